/** What is wrong, if anything: the facts of the page's one sentence. Pure; the words are in `strings.ts`. */
import { commonest, type Group } from "./groups";
import type { Point } from "./history";
import { drains, isSlow, lettersOnly, living, oldestSeconds, sinceOf, type Request } from "./requests";
import type { Sample, Status } from "./wire";

export type Level = "calm" | "slow" | "filling" | "busy" | "full" | "down";

/** What most of the busy workers are held by; each has a directive to look at. */
export type Cause = (typeof STATE_CAUSES)[number][1] | "websockets" | "path" | "draining" | "slow" | "workers";

export interface Full {
  readonly seconds: number;
  /** It may have been full before that, unseen. */
  readonly atLeast: boolean;
}

export interface Draining {
  readonly processes: number;
  /** The request that has been held longest by one of them. */
  readonly oldest: Request | null;
}

export interface Verdict {
  readonly level: Level;
  readonly busy: number;
  readonly of: number;
  /** Where the most comes from: Apache's limit, or merely the workers that run now. */
  readonly basis: "max_request_workers" | "serving";
  readonly full: Full | null;
  /** Seconds until all workers are busy if it goes on like this. */
  readonly fullIn: number | null;
  /** The method and path that holds more workers than any other. */
  readonly most: Pick<Group, "name" | "count"> | null;
  readonly websockets: number;
  /** Seconds for which the oldest request, WebSockets aside, has been held. */
  readonly oldestSeconds: number | null;
  readonly draining: Draining | null;
  readonly cause: Cause | null;
}

const BUSY_SHARE = 0.75;
/** Half full, and full within two minutes if it goes on like this. */
const FILLING_SHARE = 0.5;
const FILLING_SECONDS = 120;
/** So many requests that are held for long are no accident. */
const SLOW_SHARE = 0.1;
const LEAST_SLOW = 2;
/** A share of the busy workers that is worth a word, and one that makes a cause. */
const TOLD_SHARE = 0.2;
const CAUSE_SHARE = 0.4;
/** The pace is that of the last minute; a forecast beyond ten is none. */
const PACE_SECONDS = 60;
const LEAST_PACE_SECONDS = 10;
const FORESEEABLE_SECONDS = 600;
/** Of the changes, the line must explain so much (R squared). */
const LEAST_FIT = 0.5;

/** Not counted as busy: idle, or leaving. */
const IDLE: ReadonlySet<Status> = new Set(["_", ".", "S", "I", "G"]);

const STATE_CAUSES = [
  ["R", "reading"],
  ["K", "keepalive"],
  ["D", "dns"],
  ["L", "logging"],
] as const;

/** `points` are those up to the sample. */
export function verdict(sample: Sample, requests: readonly Request[], points: readonly Point[]): Verdict {
  const { busy } = sample.rates;
  const { max_request_workers: limit, serving } = sample.capacity;
  const of = limit ?? serving;
  const websockets = requests.filter((request) => request.websocket).length;
  // What old processes still do is told apart, and mostly not counted as busy.
  const present = requests.filter((request) => !request.websocket && !request.draining);
  const slow = present.filter((request) => isSlow(request, sample.at)).length;
  const pace = fullIn(points);
  const last = points.at(-1);
  const level = levelOf({ busy, of, serving, slow, pace });
  const largest = commonest(present);
  const most = largest !== null && largest.count >= TOLD_SHARE * busy ? largest : null;
  const draining = drainingOf(sample, requests);
  const facts = { busy, of, most, websockets, draining };
  return {
    ...facts,
    level,
    basis: limit === null ? "serving" : "max_request_workers",
    full: level === "full" ? fullFor(sample, points) : null,
    fullIn: pace,
    oldestSeconds: last?.at === sample.at ? last.oldestSeconds : oldestSeconds(sample),
    cause: causeOf(sample, level, facts),
  };
}

interface Load {
  readonly busy: number;
  readonly of: number;
  readonly serving: number;
  readonly slow: number;
  readonly pace: number | null;
}

function levelOf({ busy, of, serving, slow, pace }: Load): Level {
  if (of <= 0 || (busy === 0 && serving <= 0)) return "down";
  if (busy >= of) return "full";
  if (busy / of >= BUSY_SHARE) return "busy";
  if (pace !== null && pace <= FILLING_SECONDS && busy / of >= FILLING_SHARE) return "filling";
  return slow >= Math.max(LEAST_SLOW, SLOW_SHARE * of) ? "slow" : "calm";
}

type Facts = Pick<Verdict, "busy" | "most" | "websockets" | "draining">;

function causeOf(sample: Sample, level: Level, { busy, most, websockets, draining }: Facts): Cause | null {
  // With nothing busy, the requests that are held are those of processes that stop.
  const calm = level === "calm" || level === "down";
  if (draining !== null && (calm || busy === 0)) return "draining";
  if (calm) return null;
  const enough = Math.max(1, CAUSE_SHARE * busy);
  const found = STATE_CAUSES.find(([letter]) => sample.rates.states[letter] >= enough);
  if (found !== undefined) return found[1];
  // Nobody knows what they do.
  if (lettersOnly(sample)) return null;
  if (websockets >= enough) return "websockets";
  if (most !== null && most.count >= enough) return "path";
  return level === "slow" ? "slow" : "workers";
}

function drainingOf(sample: Sample, requests: readonly Request[]): Draining | null {
  const processes = living(sample).filter((process) => drains(process, sample)).length;
  if (processes === 0) return null;
  let oldest: Request | null = null;
  for (const request of requests) {
    if (!request.draining || request.startedAt === null) continue;
    if (request.startedAt < (oldest?.startedAt ?? Number.POSITIVE_INFINITY)) oldest = request;
  }
  return { processes, oldest };
}

/** For how long all workers have been busy. */
function fullFor(sample: Sample, points: readonly Point[]): Full {
  let first = points.length;
  let atLeast = false;
  while (first > 0 && !atLeast) {
    const point = points[first - 1];
    if (point === undefined || point.busy < point.of) break;
    first -= 1;
    // Before a gap nothing was seen, and before the first point nothing is remembered.
    atLeast = point.gap || first === 0;
  }
  const seen = points[first]?.at ?? sample.at;
  // All have been on what they do since the youngest of their requests began.
  const since = atLeast ? Math.min(seen, youngest(sample)) : seen;
  return { seconds: Math.max(0, sample.at - since), atLeast };
}

/** When the youngest request began of those that count as busy; nothing in a process that stops does. */
function youngest(sample: Sample): number {
  let start = Number.NEGATIVE_INFINITY;
  for (const process of living(sample)) {
    if (process.quiescing) continue;
    for (const worker of process.workers) {
      if (IDLE.has(worker.status)) continue;
      start = Math.max(start, sinceOf(worker) ?? sample.at);
    }
  }
  return start > 0 ? Math.min(start, sample.at) : sample.at;
}

/** Seconds until all workers are busy at the pace of the last minute; null if they don't fill up. */
export function fullIn(points: readonly Point[]): number | null {
  const last = points.at(-1);
  if (last === undefined || last.busy >= last.of) return null;
  const recent = points.slice(-PACE_SECONDS).filter((point) => point.at > last.at - PACE_SECONDS);
  const first = recent[0];
  if (first === undefined || last.at - first.at < LEAST_PACE_SECONDS) return null;
  const slope = paceOf(recent);
  const seconds = slope > 0 ? (last.of - last.busy) / slope : Number.POSITIVE_INFINITY;
  return seconds <= FORESEEABLE_SECONDS ? seconds : null;
}

/** Busy workers a second, by least squares; 0 where no line fits. */
function paceOf(points: readonly Point[]): number {
  const mean = (pick: (point: Point) => number) => points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const at = mean((point) => point.at);
  const busy = mean((point) => point.busy);
  const both = mean((point) => (point.at - at) * (point.busy - busy));
  const across = mean((point) => (point.at - at) ** 2);
  const up = mean((point) => (point.busy - busy) ** 2);
  return across > 0 && up > 0 && both ** 2 / (across * up) >= LEAST_FIT ? both / across : 0;
}
