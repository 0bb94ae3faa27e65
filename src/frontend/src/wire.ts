/**
 * Turns what the server sends into checked values, so that nothing behind this file has to doubt its types: here the
 * samples of the plain format, and the parts that those of `mod-wsgi-dashboard.v1` share with them.
 * The names are the server's own. Keys that are not named here are ignored: a newer server may say more.
 */
import { bool, float, guard, int, isFinite, list, nullable, object, parse, record, some, text, type Check } from "./check";

export const SUBPROTOCOL = "mod-wsgi-dashboard.v1";

/** Apache's status letters, in the order of its own scoreboard documentation. */
export const STATUSES = ["_", "S", "R", "W", "K", "D", "C", "L", "G", "I", "."] as const;
export type Status = (typeof STATUSES)[number];

const MAX_INTERVAL_SECONDS = 3600;

const isStatus = (value: unknown): value is Status => (STATUSES as readonly unknown[]).includes(value);
export const status = guard("status", isStatus);
const interval = guard(
  "interval",
  (value): value is number => isFinite(value) && value > 0 && value <= MAX_INTERVAL_SECONDS,
);

const worker = record({
  thread_num: int,
  generation: int,
  status,
  access_count: int,
  bytes_served: int,
  start_time: float,
  stop_time: float,
  last_used: float,
  client: text,
  request: text,
  vhost: text,
});

const process = record({
  process_num: int,
  pid: int,
  generation: int,
  quiescing: bool,
  workers: list(worker),
});

export const ofScoreboard = {
  server_limit: int,
  thread_limit: int,
  running_generation: int,
  restart_time: float,
  current_time: float,
  running_time: int,
};

const scoreboard = record({ ...ofScoreboard, processes: list(process) });

const states = record({ _: int, S: int, R: int, W: int, K: int, D: int, C: int, L: int, G: int, I: int, ".": int });

export const rates = record({
  busy: int,
  idle: int,
  graceful: int,
  open: int,
  states,
  processes: int,
  quiescing: int,
  old_generation: int,
  websockets: int,
  accesses: nullable(int),
  bytes_served: nullable(int),
  requests_per_second: nullable(float),
  bytes_per_second: nullable(float),
  requests_total: nullable(int),
  bytes_total: nullable(int),
  vhosts: list(record({ vhost: text, busy: int, requests: int })),
});

const capacity = record({
  slots: int,
  serving: int,
  threads_per_process: nullable(int),
  max_request_workers: nullable(int),
  extended_status: nullable(bool),
});

const viewerCount = record({ connected: int, limit: int });
const guarded = some({ holding: int, free: nullable(int), reserve: nullable(int), accepting: bool });

/** What a server does not say that is older than its capacity guard. */
const UNSAID = { holding: null, free: null, reserve: null, accepting: true };

const viewers: Check<Viewers> = (value) => ({ ...UNSAID, ...viewerCount(value), ...guarded(value) });

interface Viewers {
  readonly connected: number;
  readonly limit: number;
  readonly holding: number | null;
  readonly free: number | null;
  readonly reserve: number | null;
  readonly accepting: boolean;
}

const alertHead = record({ rule: text, kind: text, severity: text, since: float });
const alertMore = some({
  peak: nullable(float),
  threshold: nullable(float),
  path: nullable(text),
  count: nullable(int),
});
const NO_MORE = { peak: null, threshold: null, path: null, count: null };
const alert: Check<Alert> = (value) => ({ ...NO_MORE, ...alertHead(value), ...alertMore(value) });

/** A rule whose condition holds. A newer server may have other kinds and severities. */
export interface Alert {
  /** The operator's own word for it. */
  readonly rule: string;
  readonly kind: string;
  readonly severity: string;
  /** When the condition began (epoch seconds). */
  readonly since: number;
  /** A share of the workers (0 to 1), or the longest age in seconds, by the kind; `threshold` is the rule's own. */
  readonly peak: number | null;
  readonly threshold: number | null;
  /** Of stuck workers: the path that holds them, and how many now. */
  readonly path: string | null;
  readonly count: number | null;
}

export interface Alerted {
  readonly alerts: readonly Alert[];
}

/** The alerts of whatever may have some. */
export const someAlerts = some({ alerts: list(alert) });
export const alerted = <T>(check: Check<T>): Check<T & Alerted> => {
  return (value) => ({ alerts: [], ...check(value), ...someAlerts(value) });
};

export const ofFailure = { interval, viewers, notices: list(text) };
export const ofSample = { ...ofFailure, capacity };

const always = { tick: int, at: float };
const sample = alerted(record({ ...always, ...ofSample, snapshot: scoreboard, rates }));
const failure = alerted(record({ ...always, ...ofFailure, error: text }));

export type Worker = ReturnType<typeof worker>;
export type Process = ReturnType<typeof process>;
export type Sample = ReturnType<typeof sample>;
/** A tick at which the scoreboard could not be read. */
export type Failure = ReturnType<typeof failure>;
export type Frame = Sample | Failure;

/** Decode one sample of the plain format. Throws a FrameError that names the bad key. */
export function decode(data: unknown): Frame {
  const value = object(parse(data));
  return Object.hasOwn(value, "error") ? failure(value) : sample(value);
}
