import { recording } from "../travel";
import { hasPast } from "./model";
import * as strings from "./strings";

/** What is recorded, since when, and how much room it takes. */
export function Status() {
  const what = recording.value;
  if (what === null) return <p class="hint">{strings.LABELS.loading}</p>;
  const facts = hasPast.value ? strings.facts(what) : [];
  return (
    <div data-testid="recorder-status">
      {strings.status(what).map((line, place) => (
        <p key={line} class={what.state === "failed" && place === 0 ? "alert" : ""}>
          {line}
        </p>
      ))}
      {facts.length > 0 && (
        <dl class="facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
      {what.state === "recording" && <p class="hint">{strings.kept}</p>}
    </div>
  );
}

/** Why there is nothing to ask for, where nothing is recorded. */
export function NoPast() {
  const what = recording.value;
  const words = what === null ? strings.LABELS.loading : strings.status(what)[0];
  return <p class="hint">{words}</p>;
}
