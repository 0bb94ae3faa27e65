import { useEffect } from "preact/hooks";

import type { Concurrency } from "./answers";
import * as model from "./model";
import { BACK, type Back } from "./range";
import { NoPast } from "./Status";
import * as strings from "./strings";
import { curve, judge, knownTo, rows } from "./whatif";

const BACKS = Object.keys(BACK) as readonly Back[];
const WIDTH = 600;
const HEIGHT = 120;
/** Room for the upper half of a line at the top. */
const MARGIN = 2;

/** How often all workers would have been busy, were there fewer or more of them. */
export function WhatIf() {
  useEffect(() => {
    if (model.hasPast.value) void model.askConcurrency();
  }, [model.hasPast.value]);
  if (!model.hasPast.value) return <NoPast />;
  const { value, problem } = model.concurrency.state.value;
  return (
    <>
      <div class="line">
        <label>
          {strings.LABELS.back}{" "}
          <select
            value={model.back.value}
            onChange={(event) => {
              model.back.value = BACKS.find((name) => name === event.currentTarget.value) ?? "day";
              void model.askConcurrency();
            }}
          >
            {BACKS.map((name) => (
              <option key={name} value={name}>
                {strings.BACK_WORDS[name]}
              </option>
            ))}
          </select>
        </label>
        <Wanted />
      </div>
      {problem !== null && <p class="alert">{problem}</p>}
      {value === null ? problem === null && <p class="hint">{strings.LABELS.loading}</p> : <Answer answer={value} />}
      <p class="hint">{strings.LABELS.hours}</p>
    </>
  );
}

function Wanted() {
  return (
    <label>
      {strings.LABELS.workers}{" "}
      <input
        type="number"
        min={1}
        max={20_000}
        value={model.wanted.value ?? ""}
        data-testid="recorder-workers"
        onInput={(event) => {
          const given = event.currentTarget.valueAsNumber;
          model.wanted.value = Number.isNaN(given) ? 0 : given;
        }}
      />
    </label>
  );
}

function Answer({ answer }: { readonly answer: Concurrency }) {
  const wanted = model.wanted.value ?? 0;
  const sound = Number.isInteger(wanted) && wanted >= 1;
  return (
    <>
      <p class="answer" data-testid="recorder-answer" aria-live="polite">
        {sound ? strings.judged(judge(answer, wanted), wanted, answer) : strings.LABELS.wrongWorkers}
      </p>
      <p class="hint">
        {strings.recordedFrom(answer)} {strings.limitThen(answer.workers)}
      </p>
      {answer.seconds > 0 && (
        <>
          <Curve answer={answer} wanted={wanted} />
          <table class="shares">
            <caption>{strings.LABELS.fewest}</caption>
            <thead>
              <tr>
                <th scope="col">{strings.LABELS.workers}</th>
                <th scope="col">{strings.LABELS.full}</th>
              </tr>
            </thead>
            <tbody>
              {rows(answer).map((row) => (
                <tr key={row.workers}>
                  <td>{row.workers}</td>
                  <td>{strings.fullRow(row)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}

/** The same as the table, to the eye. */
function Curve({ answer, wanted }: { readonly answer: Concurrency; readonly wanted: number }) {
  const end = knownTo(answer);
  const x = (WIDTH * (Math.min(Math.max(1, wanted), end) - 1)) / Math.max(1, end - 1);
  return (
    <figure class="curve">
      <figcaption>{strings.curveOf(end)}</figcaption>
      <svg viewBox={`0 ${-MARGIN} ${WIDTH} ${HEIGHT + MARGIN}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="curve-area" d={`${curve(answer, WIDTH, HEIGHT)}V${HEIGHT}H0Z`} />
        <path class="curve-line" d={curve(answer, WIDTH, HEIGHT)} />
        {wanted <= end && <path class="curve-wanted" d={`M${x} 0V${HEIGHT}`} />}
      </svg>
    </figure>
  );
}
