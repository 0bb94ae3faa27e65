import { GROUPS } from "../address";
import type { GroupKey } from "../groups";
import { later } from "../later";
import { lettersOnly } from "../requests";
import { choices, choose, filter, groups, matching, ordered, requests, sample } from "../state";
import * as strings from "../strings";
import { Requests } from "./Requests";

export function InFlight({ ownPath }: { readonly ownPath: string }) {
  const { group } = choices.value;
  return (
    <section class="panel inflight" data-testid="inflight">
      <div class="head">
        <h2>
          {strings.LABELS.inFlight}{" "}
          <span class="count">{strings.shownOf(matching.value.length, requests.value.length)}</span>
        </h2>
        <Filter />
        <select
          aria-label={strings.LABELS.group}
          value={group ?? ""}
          onChange={(event) => choose({ group: GROUPS.find((name) => name === event.currentTarget.value) ?? null })}
        >
          <option value="">{strings.LABELS.ungrouped}</option>
          {GROUPS.map((name) => (
            <option value={name}>{strings.GROUP_NAMES[name]}</option>
          ))}
        </select>
      </div>
      {filter.value.errors.map((error) => (
        <p class="hint hint-bad">{strings.filterError(error)}</p>
      ))}
      <Body group={group} ownPath={ownPath} />
    </section>
  );
}

function Filter() {
  return (
    <input
      type="search"
      id="filter"
      aria-label={strings.LABELS.filter}
      placeholder={strings.LABELS.filterHint}
      autocomplete="off"
      spellcheck={false}
      value={choices.value.filter}
      aria-invalid={filter.value.errors.length > 0}
      onInput={(event) => choose({ filter: event.currentTarget.value })}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}

function Body({ group, ownPath }: { readonly group: GroupKey | null; readonly ownPath: string }) {
  const empty = emptiness();
  if (empty !== null) return <p class="hint">{empty}</p>;
  if (group !== null && groups.value !== null) {
    const Groups = later.value?.Groups;
    return Groups === undefined ? null : <Groups groups={groups.value} by={group} />;
  }
  const { requests: plain, websockets } = ordered.value;
  return (
    <div class="scroll">
      <Requests requests={plain} ownPath={ownPath} sortable />
      {websockets.length > 0 && (
        <>
          <h3>
            {strings.LABELS.sockets} <span class="count">{strings.count(websockets.length)}</span>
          </h3>
          <Requests requests={websockets} ownPath={ownPath} sortable={false} />
        </>
      )}
    </div>
  );
}

/** Why there is nothing to show, or null if there is something. */
function emptiness(): string | null {
  const shown = sample.value;
  if (shown?.capacity.extended_status === false) return strings.EXTENDED_STATUS_OFF;
  if (shown !== null && lettersOnly(shown)) return strings.NOT_RECORDED;
  if (matching.value.length > 0) return null;
  if (requests.value.length > 0) return strings.nothingMatches(requests.value.length);
  if (shown?.capacity.extended_status === null) return strings.NO_TRACE;
  return shown?.rates.accesses === 0 ? strings.NO_TRAFFIC : strings.NOTHING_IN_FLIGHT;
}
