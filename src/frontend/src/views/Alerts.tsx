import { termFor } from "../groups";
import { others } from "../recorder/strings-first";
import { alerts, alertsAt, choices, choose } from "../state";
import * as strings from "../strings";
import { seek } from "../travel";
import type { Alert } from "../wire";
import { closeByEscape } from "./Draining";

/** What goes on by the rules, the worst in one line, the rest on demand; nothing while nothing does. */
export function Alerts() {
  const [worst, ...rest] = alerts.value;
  if (worst === undefined) return null;
  return (
    <section class="alerts" aria-label={strings.LABELS.alerts} data-testid="alerts">
      <List alerts={[worst]} />
      {rest.length > 0 && (
        <details onKeyDown={closeByEscape}>
          <summary>{others(rest.length)}</summary>
          <List alerts={rest} />
        </details>
      )}
    </section>
  );
}

const List = ({ alerts: some }: { readonly alerts: readonly Alert[] }) => (
  <ul>
    {some.map((alert) => (
      <Row key={`${alert.rule} ${alert.path ?? ""}`} alert={alert} />
    ))}
  </ul>
);

/** A click leads to when it began. */
function Row({ alert }: { readonly alert: Alert }) {
  const filter = alert.path === null ? null : termFor("path", alert.path);
  const filtered = filter === choices.value.filter;
  const find = () => choose({ group: null, filter: filtered ? "" : (filter ?? "") });
  return (
    <li class={`alerts-${alert.severity === "critical" ? "critical" : "warning"}`}>
      <b>{strings.severity(alert.severity)}</b>
      <button type="button" title={strings.LABELS.showBegin} onClick={() => seek(alert.since)}>
        {strings.alert(alert, alertsAt.value)}, {strings.began(alert)}
      </button>
      {filter !== null && (
        <button type="button" aria-pressed={filtered} onClick={find}>
          {strings.LABELS.findStuck}
        </button>
      )}
    </li>
  );
}
