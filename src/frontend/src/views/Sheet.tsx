import { rows } from "../state";
import * as strings from "../strings";
import { LABELS_OF_ROWS } from "../strings-later";

/** The grid as a table. */
export function Sheet() {
  const { pid, generation, processAge, states } = LABELS_OF_ROWS;
  return (
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
  );
}
