import { choices, choose, details, pin, rows, sameTold, sample, told } from "../state";
import { later } from "../later";
import * as strings from "../strings";
import { STATE_KEYS } from "../palette";
import { STATUSES } from "../wire";
import { AsText } from "./AsText";
import { Grid } from "./Grid";
import type { Panel } from "../address";

const PANELS: readonly (readonly [Panel, string])[] = [
  ["grid", strings.LABELS.asGrid],
  ["map", strings.LABELS.asMap],
];

export function Workers() {
  const { panel } = choices.value;
  const SlotMap = later.value?.SlotMap;
  return (
    <section class="panel workers" data-testid="grid">
      <div class="head">
        <h2>{strings.LABELS.workers}</h2>
        <div class="segments" role="group" aria-label={strings.LABELS.panel}>
          {PANELS.map(([name, words]) => (
            <button type="button" aria-pressed={panel === name} onClick={() => choose({ panel: name })}>
              {words}
            </button>
          ))}
        </div>
        <Legend />
        <AsText />
      </div>
      {panel === "grid" && <Grid />}
      {panel === "map" && (SlotMap === undefined ? <div class="canvas" /> : <SlotMap />)}
      <Story />
    </section>
  );
}

/** The states that some worker is in; help lists them all. */
function Legend() {
  const counts = { ...sample.value?.rates.states };
  // Of those that are shown: places for which there is no process are not.
  counts["."] = rows.value.reduce((sum, { states }) => sum + (states.split(".").length - 1), 0);
  return (
    <ul class="legend" aria-label={strings.LABELS.legend}>
      {STATUSES.filter((status) => (counts[status] ?? 0) > 0).map((status) => (
        <li key={status} title={strings.STATE_NAMES[status]}>
          <span class={`swatch swatch-${STATE_KEYS[status]}`}>{status}</span>
          {strings.LEGEND_NAMES[status]} <b>{strings.count(counts[status] ?? 0)}</b>
        </li>
      ))}
    </ul>
  );
}

function Story() {
  if (details.value === null) {
    return (
      <div class="story">
        <p>{strings.LABELS[told.value === null ? "hint" : "gone"]}</p>
        {told.value !== null && <Unpin />}
      </div>
    );
  }
  const { story, seen } = details.value;
  const words = strings.story(story, sample.value?.at ?? 0, seen);
  return (
    <div class={sameTold.value ? "story story-pinned" : "story"} data-testid="story">
      <p>
        <span class={`swatch swatch-${STATE_KEYS[story.status]}`}>{story.status}</span>
        {words.state}
      </p>
      <p class="line">{words.request}</p>
      <p class="facts">{words.facts.join(" · ")}</p>
      {sameTold.value && <Unpin />}
    </div>
  );
}

function Unpin() {
  if (choices.value.pinned === null) return null;
  return (
    <button type="button" class="unpin" onClick={() => pin(choices.value.pinned)}>
      {strings.LABELS.unpin}
    </button>
  );
}
