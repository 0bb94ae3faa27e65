/** Two moments side by side: what each was, and what is between them. Pure. */
import { grouped } from "../groups";
import { pointOf } from "../memory";
import { inFlight, isSlow, lettersOnly, type Request } from "../requests";
import { processRows, type ProcessRow } from "../rows";
import { verdict, type Verdict } from "../verdict";
import { STATUSES, type Sample, type Status } from "../wire";

export interface Moment {
  readonly sample: Sample;
  readonly requests: readonly Request[];
  readonly says: Verdict;
  readonly rows: readonly ProcessRow[];
}

export function momentOf(sample: Sample): Moment {
  const requests = inFlight(sample);
  // Of one sample alone nothing is known of the time before it.
  const says = verdict(sample, requests, [pointOf(sample, true)]);
  return { sample, requests, says, rows: processRows(sample, () => null) };
}

export type NumberName =
  | "busy"
  | "of"
  | "requests_per_second"
  | "bytes_per_second"
  | "oldest"
  | "slow"
  | "websockets"
  | "processes"
  | "draining"
  | "generation";

/** A number at both moments; null where it is not available, and what is between them then, too. */
export interface Pair<Name> {
  readonly name: Name;
  readonly before: number | null;
  readonly after: number | null;
  readonly change: number | null;
}

const tellsRequests = (sample: Sample): boolean =>
  sample.capacity.extended_status !== false && !lettersOnly(sample);

const NUMBERS: { readonly [name in NumberName]: (moment: Moment) => number | null } = {
  busy: ({ says }) => says.busy,
  of: ({ says }) => says.of,
  requests_per_second: ({ sample }) => sample.rates.requests_per_second,
  bytes_per_second: ({ sample }) => sample.rates.bytes_per_second,
  oldest: ({ says }) => says.oldestSeconds,
  slow: ({ sample, requests }) =>
    tellsRequests(sample) ? requests.filter((each) => isSlow(each, sample.at)).length : null,
  websockets: ({ sample }) => sample.rates.websockets,
  processes: ({ sample }) => sample.rates.processes,
  draining: ({ says }) => says.draining?.processes ?? 0,
  generation: ({ sample }) => sample.snapshot.running_generation,
};

function pair<Name>(name: Name, before: number | null, after: number | null): Pair<Name> {
  return { name, before, after, change: before === null || after === null ? null : after - before };
}

export const numbers = (before: Moment, after: Moment): readonly Pair<NumberName>[] =>
  Object.entries(NUMBERS).map(([name, of]) => pair(name as NumberName, of(before), of(after)));

/** By letter; only those that one of the moments has. */
export const states = (before: Moment, after: Moment): readonly Pair<Status>[] =>
  STATUSES.map((status) => pair(status, before.sample.rates.states[status], after.sample.rates.states[status])).filter(
    (found) => found.before !== 0 || found.after !== 0,
  );

/** Requests in flight by method and path; what changed most comes first, then the largest. */
export function groups(before: Moment, after: Moment, most: number): readonly Pair<string>[] {
  const counts = (moment: Moment) => new Map(grouped(moment.requests, "path").map(({ name, count }) => [name, count]));
  const [old, young] = [counts(before), counts(after)];
  const all = [...new Set([...old.keys(), ...young.keys()])].map((name) =>
    pair(name, old.get(name) ?? 0, young.get(name) ?? 0),
  );
  const size = ({ before: one, after: other }: Pair<string>) => Math.max(one ?? 0, other ?? 0);
  all.sort(
    (one, other) =>
      Math.abs(other.change ?? 0) - Math.abs(one.change ?? 0) ||
      size(other) - size(one) ||
      (one.name < other.name ? -1 : 1),
  );
  return all.slice(0, most);
}

/** Whether a sample is so much older than what was asked for that nothing was recorded in between. */
export const isLate = (sample: Sample, askedFor: number): boolean =>
  askedFor - sample.at > Math.max(3 * sample.interval, 8);
