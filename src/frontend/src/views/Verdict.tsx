import { error, sample, says } from "../state";
import * as strings from "../strings";
import { Draining } from "./Draining";

export function Verdict() {
  if (says.value === null) {
    // An error says more than that nothing came yet.
    if (error.value !== null) return null;
    return (
      <section class="verdict" data-testid="verdict">
        <p>{strings.LABELS.waiting}</p>
      </section>
    );
  }
  // Of what drains there is a line of its own, which says more.
  const advice = says.value.cause === "draining" ? null : strings.advice(says.value);
  return (
    <section class={`verdict verdict-${says.value.level}`} data-testid="verdict">
      <p>{strings.verdict(says.value)}</p>
      <Draining />
      {sample.value !== null && <span class="server">{strings.serverLine(sample.value)}</span>}
      {advice !== null && (
        <small data-testid="advice">
          <code>{advice.directive}</code> {advice.why}
        </small>
      )}
    </section>
  );
}
