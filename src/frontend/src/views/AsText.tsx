import { useSignal } from "@preact/signals";

import { later } from "../later";
import * as strings from "../strings";

/** The grid's equivalent for who does not see it. Only what is open is kept up to date. */
export function AsText() {
  const open = useSignal(false);
  const Sheet = later.value?.Sheet;
  return (
    <details onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{strings.LABELS.asText}</summary>
      {open.value && Sheet !== undefined && <Sheet />}
    </details>
  );
}
