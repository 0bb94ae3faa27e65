/**
 * Turns what the server sends into checked values, so that nothing behind this file has to doubt its types.
 * The names are the server's own. Keys that are not named here are ignored: a newer server may say more.
 */

/** Apache's status letters, in the order of its own scoreboard documentation. */
export const STATUSES = ["_", "S", "R", "W", "K", "D", "C", "L", "G", "I", "."] as const;
export type Status = (typeof STATUSES)[number];

/** What a value should have been; `strings.ts` has the words. */
export type Expected =
  | "json"
  | "present"
  | "object"
  | "list"
  | "short"
  | "integer"
  | "number"
  | "interval"
  | "boolean"
  | "text"
  | "status";

export class FrameError extends Error {
  constructor(
    readonly path: string,
    readonly expected: Expected,
  ) {
    super(`${path}: ${expected}`);
  }

  /** The same error, seen from the value that holds the bad one. */
  inside(key: string): FrameError {
    const joint = this.path === "" || this.path.startsWith("[") ? "" : ".";
    return new FrameError(`${key}${joint}${this.path}`, this.expected);
  }
}

type Check<T> = (value: unknown) => T;
type Shape = Readonly<Record<string, Check<unknown>>>;
type Checked<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> };

/** Apache's largest compiled-in limit (ServerLimit of prefork); no honest list is longer. */
const MAX_ITEMS = 200_000;
const MAX_INTERVAL_SECONDS = 3600;

function guard<T>(expected: Expected, accepts: (value: unknown) => value is T): Check<T> {
  return (value) => {
    if (!accepts(value)) throw new FrameError("", expected);
    return value;
  };
}

const isFinite = (value: unknown): value is number => Number.isFinite(value);
const isStatus = (value: unknown): value is Status => (STATUSES as readonly unknown[]).includes(value);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const int = guard("integer", (value): value is number => Number.isSafeInteger(value));
const float = guard("number", isFinite);
const bool = guard("boolean", (value): value is boolean => typeof value === "boolean");
const text = guard("text", (value): value is string => typeof value === "string");
const status = guard("status", isStatus);
const interval = guard(
  "interval",
  (value): value is number => isFinite(value) && value > 0 && value <= MAX_INTERVAL_SECONDS,
);

function nullable<T>(check: Check<T>): Check<T | null> {
  return (value) => (value === null ? null : check(value));
}

/** Runs one inner check; the path of a bad value grows on the way out, so good frames pay nothing for it. */
function inner<T>(key: string | number, check: Check<T>, value: unknown): T {
  try {
    return check(value);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    throw error.inside(typeof key === "number" ? `[${key}]` : key);
  }
}

function list<T>(check: Check<T>): Check<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw new FrameError("", "list");
    if (value.length > MAX_ITEMS) throw new FrameError("", "short");
    return value.map((item, index) => inner(index, check, item));
  };
}

function record<S extends Shape>(shape: S): Check<Checked<S>> {
  const checks = Object.entries(shape);
  return (value) => {
    if (!isObject(value)) throw new FrameError("", "object");
    const result: Record<string, unknown> = {};
    for (const [key, check] of checks) {
      if (!Object.hasOwn(value, key)) throw new FrameError(key, "present");
      result[key] = inner(key, check, value[key]);
    }
    return result as Checked<S>;
  };
}

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

const scoreboard = record({
  server_limit: int,
  thread_limit: int,
  running_generation: int,
  restart_time: float,
  current_time: float,
  running_time: int,
  processes: list(process),
});

const states = record({ _: int, S: int, R: int, W: int, K: int, D: int, C: int, L: int, G: int, I: int, ".": int });

const rates = record({
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

const always = {
  tick: int,
  at: float,
  interval,
  viewers: record({ connected: int, limit: int }),
  notices: list(text),
};

const sample = record({ ...always, snapshot: scoreboard, rates, capacity });
const failure = record({ ...always, error: text });

export type Worker = ReturnType<typeof worker>;
export type Process = ReturnType<typeof process>;
export type Sample = ReturnType<typeof sample>;
/** A tick at which the scoreboard could not be read. */
export type Failure = ReturnType<typeof failure>;
export type Frame = Sample | Failure;

/** Decode one text frame, or the body of `api/v1/snapshot`. Throws a FrameError that names the bad key. */
export function decode(data: unknown): Frame {
  let value: unknown;
  try {
    value = JSON.parse(text(data));
  } catch (error) {
    throw error instanceof FrameError ? error : new FrameError("", "json");
  }
  return isObject(value) && Object.hasOwn(value, "error") ? failure(value) : sample(value);
}
