import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { sample } from "../state";
import { dateTime } from "../strings";
import { KINDS, type RecordedEvent } from "./answers";
import * as model from "./model";
import { NoPast } from "./Status";
import * as strings from "./strings";

/** What happened, newest first. */
export function Events() {
  useEffect(() => {
    if (model.hasPast.value) model.askEvents();
  }, [model.hasPast.value]);
  if (!model.hasPast.value) return <NoPast />;
  return (
    <>
      {!model.isReplay.value && <Bookmark />}
      {model.complaint.value !== null && (
        <p class="alert" role="alert">
          {model.complaint.value}
        </p>
      )}
      <fieldset class="kinds">
        <legend class="unseen">{strings.LABELS.kinds}</legend>
        {KINDS.map((kind) => (
          <label key={kind}>
            <input type="checkbox" checked={model.kinds.value.has(kind)} onChange={() => model.toggleKind(kind)} />{" "}
            {strings.KIND_NAMES[kind]}
          </label>
        ))}
      </fieldset>
      <List />
    </>
  );
}

function Bookmark() {
  const text = useSignal("");
  const busy = useSignal(false);
  const at = sample.value?.at;
  const set = async () => {
    busy.value = true;
    if (await model.bookmark(text.value)) text.value = "";
    busy.value = false;
  };
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.value.trim() !== "" && !busy.value) void set();
      }}
    >
      <input
        type="text"
        maxLength={200}
        aria-label={strings.LABELS.bookmarkText}
        placeholder={strings.LABELS.bookmarkHint}
        value={text.value}
        onInput={(event) => (text.value = event.currentTarget.value)}
      />
      <button type="submit" disabled={busy.value || at === undefined || text.value.trim() === ""}>
        {strings.LABELS.bookmark}
      </button>
      {at !== undefined && <span class="hint">{strings.bookmarkAt(at)}</span>}
    </form>
  );
}

function List() {
  const { problem, loading, value } = model.events.state.value;
  const all = model.newestFirst.value;
  if (problem !== null) return <p class="alert">{problem}</p>;
  if (value === null && loading) return <p class="hint">{strings.LABELS.loading}</p>;
  if (all.length === 0) return <p class="hint">{strings.LABELS.noEvents}</p>;
  return (
    <>
      <ul class="events" data-testid="recorder-events">
        {all.map((event) => (
          <Row key={event.id} event={event} />
        ))}
      </ul>
      {all.length >= model.MOST_EVENTS && <p class="hint">{strings.newestOnly(all.length)}</p>}
    </>
  );
}

function Row({ event }: { readonly event: RecordedEvent }) {
  return (
    <li>
      <button type="button" title={strings.LABELS.look} onClick={() => model.show(event.at)}>
        <time>{dateTime(event.at)}</time> <b>{strings.kindName(event.kind)}</b>{" "}
        <span class="what">{strings.what(event)}</span> <span class="long">{strings.howLong(event)}</span>
      </button>
      {event.kind === "bookmark" && !model.isReplay.value && (
        <button
          type="button"
          aria-label={strings.removeBookmark(event)}
          onClick={() => void model.removeBookmark(event)}
        >
          {strings.LABELS.remove}
        </button>
      )}
    </li>
  );
}
