/** What is on the screen, as text that can be pasted into a message. Pure. */
import { STATUSES, type Alert, type Sample } from "./wire";
import { oldestOf, times, type TileWords } from "./strings";
import * as strings from "./strings";
import { groupName } from "./strings-later";
import type { GroupKey, Group } from "./groups";
import type { Request } from "./requests";
import type { ProcessRow } from "./rows";
import type { Verdict } from "./verdict";

export interface Screen {
  readonly place: string;
  readonly sample: Sample;
  readonly says: Verdict;
  readonly tiles: readonly TileWords[];
  readonly alerts: readonly Alert[];
  /** The instant to which their time is counted (epoch seconds). */
  readonly alertsAt: number;
  readonly rows: readonly ProcessRow[];
  readonly filter: string;
  readonly requests: readonly Request[];
  readonly websockets: readonly Request[];
  readonly groups: readonly Group[] | null;
  readonly groupKey: GroupKey | null;
}

/** More lines are of no use in a message. */
const MOST_LINES = 50;

export function report(screen: Screen): string {
  const { sample, says } = screen;
  const advice = strings.advice(says);
  const lines = [
    `${strings.PRODUCT} · ${screen.place} · ${strings.dateTime(sample.at)}`,
    strings.verdict(says),
    ...(advice === null ? [] : [`${advice.directive}: ${advice.why}`]),
    ...screen.alerts.map((alert) => strings.alertLine(alert, screen.alertsAt)),
    strings.serverLine(sample),
    "",
    ...screen.tiles.map(({ label, value, more }) => `${label}: ${value}${more === "" ? "" : ` (${more})`}`),
    "",
    ...screen.rows.map((row) => `${strings.processLabels(row)[0] ?? ""}: ${row.states}`),
    legend(sample),
    "",
    ...inFlight(screen),
  ];
  return `${lines.join("\n")}\n`;
}

const legend = ({ rates }: Sample): string =>
  STATUSES.filter((status) => rates.states[status] > 0)
    .map((status) => `${status} ${strings.LEGEND_NAMES[status]} ${strings.count(rates.states[status])}`)
    .join(", ");

function inFlight({ sample, requests, websockets, groups, groupKey, filter }: Screen): readonly string[] {
  const filtered = filter === "" ? "" : ` (${strings.LABELS.filter}: ${filter})`;
  const head = `${strings.LABELS.inFlight}${filtered}: ${strings.count(requests.length + websockets.length)}`;
  const line = (request: Request) =>
    [
      strings.age(request, sample.at).padStart(12),
      request.status,
      strings.pidAndSlot(request),
      strings.known(request.client),
      strings.known(request.vhost),
      strings.known(request.request),
    ].join("  ");
  const lines =
    groups === null || groupKey === null
      ? [...requests, ...websockets].map(line)
      : groups.map(
          (group) => `${times(group.count).padStart(8)} ${groupName(group, groupKey)}, ${oldestOf(group, sample.at)}`,
        );
  const rest = lines.length - MOST_LINES;
  return [head, ...lines.slice(0, MOST_LINES), ...(rest > 0 ? [strings.more(rest)] : [])];
}
