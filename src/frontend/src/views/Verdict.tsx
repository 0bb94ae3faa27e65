import { error, says } from "../state";
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
  return (
    <section class={`verdict verdict-${says.value.level}`} data-testid="verdict">
      <p>{strings.verdict(says.value)}</p>{" "}
      <small>{strings.basis(says.value)}</small>
    </section>
  );
}
