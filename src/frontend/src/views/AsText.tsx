import { useSignal } from "@preact/signals";

import { rows } from "../state";
import * as strings from "../strings";

/** The grid's equivalent for who does not see it. Only what is open is kept up to date. */
export function AsText() {
  const open = useSignal(false);
  const { pid, generation, processAge, states } = strings.LABELS_OF_ROWS;
  return (
    <details onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{strings.LABELS.asText}</summary>
      {open.value && (
        <div class="sheet">
          <table>
            <thead>
              <tr>
                {[pid, generation, processAge, states].map((label) => (
                  <th key={label} scope="col">
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.value.map((row) => (
                <tr key={row.process_num} data-testid="process-row">
                  <td>{row.pid}</td>
                  <td>{strings.generationCell(row)}</td>
                  <td>{strings.processAge(row)}</td>
                  <td class="letters">{row.states}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
