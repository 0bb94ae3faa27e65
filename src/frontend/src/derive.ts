/** What the page says about a sample. Pure: values in, values out; words are in `strings.ts`. */
import type { Process, Sample, Status, Worker } from "./wire";

export const STATE_KEYS: Readonly<Record<Status, string>> = {
  _: "ready",
  S: "starting",
  R: "reading",
  W: "sending",
  K: "keepalive",
  D: "dns",
  C: "closing",
  L: "logging",
  G: "graceful",
  I: "cleanup",
  ".": "open",
};

export const HISTORY_SECONDS = 300;
const BUSY_SHARE = 0.75;
const HOLDS_A_REQUEST: ReadonlySet<Status> = new Set(["R", "W", "K", "D", "C", "L", "G"]);

export interface Verdict {
  readonly level: "calm" | "busy" | "full" | "down";
  readonly busy: number;
  readonly of: number;
  /** Where the denominator comes from: Apache's limit, or merely the workers that run now. */
  readonly basis: "max_request_workers" | "serving";
  readonly oldestSeconds: number | null;
}

export interface Request {
  readonly slot: Slot;
  readonly pid: number;
  readonly status: Status;
  readonly ageSeconds: number | null;
  readonly websocket: boolean;
  readonly client: string;
  readonly vhost: string;
  readonly request: string;
}

export interface Slot {
  readonly process_num: number;
  /** The worker's place in its process; its thread_num is 0 until it was used once. */
  readonly index: number;
}

export interface SlotDetails extends Request {
  readonly quiescing: boolean;
  readonly accessCount: number;
}

export interface ProcessRow {
  readonly process_num: number;
  readonly pid: number;
  readonly generation: number;
  readonly old: boolean;
  readonly quiescing: boolean;
  readonly states: string;
}

export interface Point {
  readonly at: number;
  readonly busy: number | null;
  readonly requestsPerSecond: number | null;
}

/** How long a busy slot has held its request; null if the scoreboard does not say. */
export function ageSeconds(worker: Worker, at: number): number | null {
  if (worker.start_time <= 0 || worker.start_time <= worker.stop_time) return null;
  return Math.max(0, at - worker.start_time);
}

/** Probably a held WebSocket: Apache's proxy shows one as a request that is being answered and never ends. */
export function looksLikeWebSocket(worker: Worker): boolean {
  const path = (worker.request.split(" ")[1] ?? "").split("?")[0] ?? "";
  return worker.status === "W" && worker.stop_time < worker.start_time && path.endsWith("/ws");
}

function describe(process: Process, index: number, worker: Worker, at: number): Request {
  return {
    slot: { process_num: process.process_num, index },
    pid: process.pid,
    status: worker.status,
    ageSeconds: HOLDS_A_REQUEST.has(worker.status) ? ageSeconds(worker, at) : null,
    websocket: looksLikeWebSocket(worker),
    client: worker.client,
    vhost: worker.vhost,
    request: worker.request,
  };
}

/** Busy slots, the longest-held first, those of unknown age last. */
export function inFlight(sample: Sample): readonly Request[] {
  const requests: Request[] = [];
  for (const process of living(sample)) {
    for (const [index, worker] of process.workers.entries()) {
      if (HOLDS_A_REQUEST.has(worker.status)) requests.push(describe(process, index, worker, sample.at));
    }
  }
  return requests.sort((one, other) => (other.ageSeconds ?? -1) - (one.ageSeconds ?? -1));
}

export function verdict(sample: Sample, requests: readonly Request[]): Verdict {
  const { busy } = sample.rates;
  const { max_request_workers: limit, serving } = sample.capacity;
  const of = limit ?? serving;
  const oldest = requests.find((request) => !request.websocket);
  return {
    level: of <= 0 ? "down" : busy >= of ? "full" : busy / of >= BUSY_SHARE ? "busy" : "calm",
    busy,
    of,
    basis: limit === null ? "serving" : "max_request_workers",
    oldestSeconds: oldest?.ageSeconds ?? null,
  };
}

/** A slot without a pid belongs to no process: Apache only keeps room for one. */
export function living(sample: Sample): readonly Process[] {
  return sample.snapshot.processes.filter((process) => process.pid !== 0);
}

export function processRows(sample: Sample): readonly ProcessRow[] {
  return living(sample).map((process) => ({
    process_num: process.process_num,
    pid: process.pid,
    generation: process.generation,
    old: process.generation !== sample.snapshot.running_generation,
    quiescing: process.quiescing,
    states: process.workers.map((worker) => worker.status).join(""),
  }));
}

export function slotDetails(sample: Sample, slot: Slot): SlotDetails | null {
  const process = living(sample).find((candidate) => candidate.process_num === slot.process_num);
  const worker = process?.workers[slot.index];
  if (process === undefined || worker === undefined) return null;
  return {
    ...describe(process, slot.index, worker, sample.at),
    quiescing: process.quiescing,
    accessCount: worker.access_count,
  };
}

/** Append a sample to the chart's points; a gap in time becomes a gap in the line. */
export function remember(points: readonly Point[], sample: Sample): readonly Point[] {
  const { at, interval } = sample;
  const kept = points.filter((point) => point.at < at && point.at >= at - HISTORY_SECONDS);
  const last = kept.at(-1);
  // Polling every 5 s is no gap.
  if (last !== undefined && at - last.at > Math.max(3 * interval, 8)) {
    kept.push({ at: (last.at + at) / 2, busy: null, requestsPerSecond: null });
  }
  kept.push({ at, busy: sample.rates.busy, requestsPerSecond: sample.rates.requests_per_second });
  return kept;
}
