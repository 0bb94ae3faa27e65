/** Requests in an order, and in groups of those that are alike. Pure, and fast enough for every worker at each tick. */
import { quote } from "./filter";
import { pattern } from "./pattern";
import type { Request } from "./requests";
import { STATUSES, type Status } from "./wire";

export type SortKey = "age" | "state" | "pid" | "client" | "vhost" | "request";

export interface Sort {
  readonly key: SortKey;
  /** The largest first, of ages the longest. */
  readonly down: boolean;
}

export type GroupKey = "path" | "vhost" | "client" | "state";

export interface Group {
  /** A pattern, a name, or a letter; "" where the scoreboard says nothing. */
  readonly name: string;
  readonly count: number;
  /** When the request started that is held longest (epoch seconds); null if no start is known. */
  readonly oldestAt: number | null;
  readonly states: ReadonlyMap<Status, number>;
  /** The filter's term that shows exactly this group. */
  readonly filter: string;
}

/** An IPv4 address, or a network of them. */
const IPV4 = /^\d+\.\d+\.\d+\.\d+(?:\/\d+)?$/;

/** What to sort by; null, where there is nothing to tell, comes last in both directions. */
const RANKS: { readonly [key in SortKey]: (request: Request) => number | string | null } = {
  age: ({ startedAt }) => (startedAt === null ? null : -startedAt),
  state: ({ status }) => STATUSES.indexOf(status),
  pid: ({ pid }) => pid,
  client: ({ client }) => (IPV4.test(client) ? padded(client) : client || null),
  vhost: ({ vhost }) => vhost || null,
  request: ({ request }) => request || null,
};

const GROUPS: { readonly [key in GroupKey]: (request: Request) => string } = {
  path: ({ request }) => pattern(request),
  vhost: ({ vhost }) => vhost,
  client: ({ client }) => client,
  state: ({ status }) => status,
};

/** Equal ones are in the order of their age, the oldest first, and then of their slots. */
export function sorted(requests: readonly Request[], { key, down }: Sort): readonly Request[] {
  const ranked = requests.map((request) => ({ request, rank: RANKS[key](request) }));
  ranked.sort((one, other) => {
    if (one.rank === other.rank) return tie(one.request, other.request, key);
    if (one.rank === null) return 1;
    if (other.rank === null) return -1;
    return one.rank < other.rank === down ? 1 : -1;
  });
  return ranked.map(({ request }) => request);
}

/** The largest group first, then the oldest. */
export function grouped(requests: readonly Request[], key: GroupKey): readonly Group[] {
  const groups = new Map<string, ReturnType<typeof emptyGroup>>();
  const nameOf = GROUPS[key];
  for (const request of requests) {
    const name = nameOf(request);
    let group = groups.get(name);
    if (group === undefined) groups.set(name, (group = emptyGroup(key, name)));
    group.count++;
    group.states.set(request.status, (group.states.get(request.status) ?? 0) + 1);
    if (instant(request.startedAt) < instant(group.oldestAt)) group.oldestAt = request.startedAt;
  }
  return [...groups.values()].sort(
    (one, other) =>
      other.count - one.count || earlier(one.oldestAt, other.oldestAt) || (one.name < other.name ? -1 : 1),
  );
}

/** The method and path that most of the requests are for, as far as they are known; of equals the first by name. */
export function commonest(requests: readonly Request[]): Pick<Group, "name" | "count"> | null {
  const counts = new Map<string, number>();
  for (const { request } of requests) {
    const name = pattern(request);
    if (name === "") continue;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  let most: Pick<Group, "name" | "count"> | null = null;
  for (const [name, count] of counts) {
    if (most === null || count > most.count || (count === most.count && name < most.name)) most = { name, count };
  }
  return most;
}

function emptyGroup(key: GroupKey, name: string) {
  const filter = termFor(key, name);
  return { name, count: 0, oldestAt: null as number | null, states: new Map<Status, number>(), filter };
}

/** The filter's term that finds a group. */
export function termFor(key: GroupKey, name: string): string {
  // A letter, or a path's pattern with its method, is no part of another value.
  const joint = key === "state" || (key === "path" && name.includes(" ")) ? ":" : ":=";
  return key + joint + quote(name);
}

function tie(one: Request, other: Request, key: SortKey): number {
  return (
    (key === "pid" ? 0 : earlier(one.startedAt, other.startedAt)) ||
    one.slot.process_num - other.slot.process_num ||
    one.slot.index - other.slot.index
  );
}

const instant = (at: number | null): number => at ?? Number.POSITIVE_INFINITY;

/** Negative if `one` is earlier; what is not known comes last. NaN, which is as good as 0, if neither is known. */
const earlier = (one: number | null, other: number | null): number => instant(one) - instant(other);

/** All numbers as wide as the widest, so that text sorts as they do; the space keeps them before names and IPv6. */
const padded = (address: string): string => ` ${address.replace(/\d+/g, (digits) => digits.padStart(3, "0"))}`;
