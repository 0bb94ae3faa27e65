import { STATE_KEYS, type Request } from "../derive";
import { requests } from "../state";
import * as strings from "../strings";
import type { Sample } from "../wire";

/** More rows are of no use to a reader, and of much work to a browser. */
const MOST_ROWS = 100;

export function InFlight({ sample }: { readonly sample: Sample }) {
  const all = requests.value;
  return (
    <section class="panel inflight">
      <h2>
        {strings.LABELS.inFlight} <span class="count">{strings.count(all.length)}</span>
      </h2>
      {sample.capacity.extended_status === false && <p class="hint">{strings.EXTENDED_STATUS_OFF}</p>}
      <table data-testid="inflight">
        <Head />
        <tbody>
          {all.slice(0, MOST_ROWS).map((request) => (
            <Row key={strings.slot(request)} request={request} />
          ))}
          {all.length === 0 && (
            <tr class="empty">
              <td colSpan={7}>{strings.NOTHING_IN_FLIGHT}</td>
            </tr>
          )}
        </tbody>
      </table>
      {all.length > MOST_ROWS && <p class="hint">{strings.more(all.length - MOST_ROWS)}</p>}
    </section>
  );
}

function Head() {
  const { age, state, pid, slot, client, vhost, request } = strings.LABELS;
  return (
    <thead>
      <tr>
        {[age, state, pid, slot, client, vhost, request].map((label) => (
          <th key={label} scope="col">
            {label}
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Row({ request }: { readonly request: Request }) {
  return (
    <tr>
      <td class={request.ageSeconds === null ? "age missing" : "age"}>{strings.age(request)}</td>
      <td class="state">
        <span class={`swatch swatch-${STATE_KEYS[request.status]}`}>{request.status}</span>
        {strings.LEGEND_NAMES[request.status]}
      </td>
      <td class="pid">{request.pid}</td>
      <td class="slot-number">{strings.slot(request)}</td>
      <td class="client">{strings.known(request.client)}</td>
      <td class="vhost">{strings.known(request.vhost)}</td>
      <td class="request">
        {request.websocket && <span class="badge">{strings.LABELS.websocket}</span>}
        {strings.known(request.request)}
      </td>
    </tr>
  );
}
