import { useComputed, useSignal } from "@preact/signals";
import { Component } from "preact";

import { STATE_KEYS } from "../palette";
import type { SortKey } from "../groups";
import { sameSlot, slotId, type Request } from "../requests";
import { ageAt, choices, choose, isProblem, pin, sample } from "../state";
import * as strings from "../strings";

/** More rows are of no use to a reader, and of much work to a browser. */
const MOST_ROWS = 25;
const COLUMNS: readonly SortKey[] = ["age", "state", "request", "vhost", "client", "pid"];

interface RequestsProps {
  readonly requests: readonly Request[];
  readonly ownPath: string;
  readonly sortable: boolean;
}

/** The roles are said because cells are laid out anew where they have little room, which takes a table's own away. */
export function Requests({ requests, ownPath, sortable }: RequestsProps) {
  const at = sample.value?.at ?? 0;
  const { pinned } = choices.value;
  return (
    <>
      <table role="table">
        {sortable && <Head />}
        <tbody role="rowgroup">
          {requests.slice(0, MOST_ROWS).map((request) => (
            <Row
              key={slotId(request.slot)}
              request={request}
              ownPath={ownPath}
              pinned={sameSlot(request.slot, pinned)}
              problem={isProblem(request, at)}
            />
          ))}
        </tbody>
      </table>
      {requests.length > MOST_ROWS && <p class="hint">{strings.more(requests.length - MOST_ROWS)}</p>}
    </>
  );
}

function Head() {
  const { sort } = choices.value;
  return (
    <thead role="rowgroup">
      <tr role="row">
        {COLUMNS.map((column) => {
          const own = sort.key === column;
          return (
            <th
              key={column}
              role="columnheader"
              scope="col"
              class={column}
              aria-sort={own ? (sort.down ? "descending" : "ascending") : "none"}
            >
              <button
                type="button"
                onClick={() => choose({ sort: { key: column, down: own ? !sort.down : column === "age" } })}
              >
                {strings.COLUMN_NAMES[column]}
                {own && <span aria-hidden="true">{sort.down ? " ↓" : " ↑"}</span>}
              </button>
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

interface RowProps {
  readonly request: Request;
  readonly ownPath: string;
  readonly pinned: boolean;
  readonly problem: boolean;
}

/** Most requests at the top are those of the sample before: a row of them is not made anew. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { request, pinned, problem } = this.props;
    return request !== next.request || pinned !== next.pinned || problem !== next.problem;
  }

  override render(props: RowProps) {
    return <Cells {...props} />;
  }
}

function Cells({ request, ownPath, pinned, problem }: RowProps) {
  const look = `${pinned ? "pinned" : ""} ${problem ? "problem" : ""}`;
  const own = request.websocket && request.request.split(" ")[1] === ownPath;
  return (
    <tr role="row" class={look.trim()} onClick={() => pin(request.slot)}>
      <Age request={request} />
      <td role="cell" class="state" title={strings.STATE_NAMES[request.status]}>
        <span class={`swatch swatch-${STATE_KEYS[request.status]}`}>{request.status}</span>
        <span class="name">{strings.LEGEND_NAMES[request.status]}</span>
      </td>
      <td role="cell" class="request">
        {own && <span class="badge">{strings.LABELS.own}</span>}
        {request.draining && <span class="badge badge-warn">{strings.LABELS.draining}</span>}
        {strings.requestLine(request.request)}
      </td>
      <td role="cell" class="vhost">
        {strings.known(request.vhost)}
      </td>
      <td role="cell" class="client">
        {strings.known(request.client)}
      </td>
      <td role="cell" class="pid">
        <button
          type="button"
          aria-pressed={pinned}
          title={strings.LABELS.pin}
          onClick={(event) => {
            event.stopPropagation();
            pin(request.slot);
          }}
        >
          {strings.pidAndSlot(request)}
        </button>
      </td>
    </tr>
  );
}

/** Ages go on between samples; only their text nodes change. */
function Age({ request }: { readonly request: Request }) {
  const shown = useSignal(request);
  shown.value = request;
  const words = useComputed(() => strings.age(shown.value, ageAt.value));
  return (
    <td role="cell" class="age">
      {words}
    </td>
  );
}
