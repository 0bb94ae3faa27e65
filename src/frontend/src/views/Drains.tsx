import type { Drain } from "../draining";
import { drainsFor, others } from "../recorder/strings-first";
import { ageAt } from "../state";
import { DRAINS, moreHeld } from "../strings-later";
import { Blocker } from "./Draining";

/** More are of no use to a reader. */
const MOST_SHOWN = 50;

/** All processes that drain. */
export function Drains({ drains }: { readonly drains: readonly Drain[] }) {
  return (
    <div class="drains">
      <table>
        <caption>{DRAINS.longest}</caption>
        <tbody>
          {drains.slice(0, MOST_SHOWN).map((drain) => (
            <tr key={`${drain.process_num}/${drain.pid}`}>
              <td>
                <Blocker drain={drain} />
              </td>
              <td>{moreHeld(drain)}</td>
              <td>{drainsFor(drain, ageAt.value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {drains.length > MOST_SHOWN && <p class="hint">{others(drains.length - MOST_SHOWN)}</p>}
      <p class="hint">
        <code>ServerLimit</code> {DRAINS.why}
      </p>
    </div>
  );
}
