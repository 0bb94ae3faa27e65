import { useEffect } from "preact/hooks";

import type { RecordedEvent } from "./answers";
import { isLate, type Moment } from "./compare";
import { Differences } from "./Differences";
import * as model from "./model";
import { Picture } from "./Picture";
import { NoPast } from "./Status";
import * as strings from "./strings";
import { Field } from "./Take";

/** A longer list is of no use to choose from. */
const MOST_CHOICES = 100;
const SIDES = ["before", "after"] as const;

/** Two moments side by side. */
export function Compare() {
  useEffect(() => {
    if (!model.hasPast.value) return;
    model.askEvents();
    model.beginComparison();
  }, [model.hasPast.value]);
  if (!model.hasPast.value) return <NoPast />;
  const [before, after] = SIDES.map((side) => model.moments[side].value.moment);
  return (
    <>
      <div class="line">
        <Against />
        <button type="button" onClick={model.swap}>
          {strings.LABELS.swap}
        </button>
      </div>
      <div class="sides">
        {SIDES.map((side) => (
          <Side key={side} side={side} />
        ))}
      </div>
      {before && after && <Differences before={before} after={after} />}
    </>
  );
}

function Against() {
  const events = model.newestFirst.value;
  return (
    <label class="against">
      {strings.LABELS.compareWith}{" "}
      <select value={model.against.value} onChange={(event) => model.compareWith(event.currentTarget.value)}>
        <optgroup label={strings.LABELS.minutesAgo}>
          {strings.EARLIER.map(([seconds, words]) => (
            <option key={seconds} value={seconds}>
              {words}
            </option>
          ))}
        </optgroup>
        <Choices label={strings.LABELS.bookmarksOf} events={events.filter(isBookmark)} />
        <Choices label={strings.LABELS.eventsOf} events={events.filter((event) => !isBookmark(event))} />
        <option value={model.OWN_INSTANT}>{strings.LABELS.instant}</option>
      </select>
    </label>
  );
}

const isBookmark = ({ kind }: RecordedEvent): boolean => kind === "bookmark";

function Choices({ label, events }: { readonly label: string; readonly events: readonly RecordedEvent[] }) {
  if (events.length === 0) return null;
  return (
    <optgroup label={label}>
      {events.slice(0, MOST_CHOICES).map((event) => (
        <option key={event.id} value={`event ${event.id}`}>
          {strings.eventLine(event)}
        </option>
      ))}
    </optgroup>
  );
}

function Side({ side }: { readonly side: model.Side }) {
  const at = model.instants[side].value;
  const { moment, failure, problem, loading } = model.moments[side].value;
  const trouble = problem ?? (failure === null ? null : strings.failureThen(failure));
  return (
    <section class="side" aria-label={strings.LABELS[side]} data-testid={`recorder-${side}`}>
      <div class="line">
        <Field
          label={strings.LABELS[side]}
          value={at}
          set={(chosen) => {
            if (side === "before") model.against.value = model.OWN_INSTANT;
            model.setInstant(side, chosen);
          }}
        />
        <button type="button" onClick={() => model.show(moment?.sample.at ?? at)}>
          {strings.LABELS.show}
        </button>
      </div>
      {trouble !== null && <p class="hint hint-bad">{trouble}</p>}
      {moment === null && loading && <p class="hint">{strings.LABELS.loading}</p>}
      {moment !== null && <Told moment={moment} at={at} />}
    </section>
  );
}

function Told({ moment, at }: { readonly moment: Moment; readonly at: number }) {
  return (
    <>
      {isLate(moment.sample, at) && <p class="hint hint-bad">{strings.lateBy(at, moment.sample.at)}</p>}
      <p class="says">{strings.sentence(moment)}</p>
      <Picture rows={moment.rows} words={strings.gridOf(moment.sample.at)} />
    </>
  );
}
