import { error, sample, says } from "../state";
import * as strings from "../strings";

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
  const advice = strings.advice(says.value);
  return (
    <section class={`verdict verdict-${says.value.level}`} data-testid="verdict">
      <p>{strings.verdict(says.value)}</p>
      {sample.value !== null && <span class="server">{strings.serverLine(sample.value)}</span>}
      {advice !== null && (
        <small data-testid="advice">
          <code>{advice.directive}</code> {advice.why}
        </small>
      )}
    </section>
  );
}
