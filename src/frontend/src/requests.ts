/** The requests that workers hold, and what is known of one slot. Pure; words are in `strings.ts`. */
import type { Process, Sample, Status, Worker } from "./wire";

/** The name of a slot for as long as Apache runs: its process' place in the scoreboard, and its own in the process. */
export interface Slot {
  readonly process_num: number;
  /** The worker's place in its process; its thread_num is 0 until it was used once. */
  readonly index: number;
}

export interface Request {
  readonly slot: Slot;
  readonly pid: number;
  readonly status: Status;
  /** Epoch seconds; null if the scoreboard does not say. */
  readonly startedAt: number | null;
  /** Probably a held WebSocket. */
  readonly websocket: boolean;
  /** Its process is of an old generation, or stops. */
  readonly draining: boolean;
  readonly client: string;
  readonly vhost: string;
  /** The request line, redacted and perhaps cut: "GET /report/17?q=*** HTTP/1.1". */
  readonly request: string;
}

/** A slot's whole story. */
export interface Story extends Request {
  /** The present request runs; else client, vhost and request are those of the last one. */
  readonly running: boolean;
  /** Since when it is in its state (epoch seconds), as far as the scoreboard tells. */
  readonly since: number | null;
  readonly generation: number;
  readonly quiescing: boolean;
  /** Null, as the bytes are, where they are not recorded. */
  readonly accessCount: number | null;
  readonly bytesServed: number | null;
}

/** A request that is held for longer is worth a look (seconds). */
export const SLOW_SECONDS = 10;

/** States that keep a worker from its next request. */
const HOLDS: ReadonlySet<Status> = new Set(["R", "W", "K", "D", "C", "L", "G"]);

/** Path endings of WebSockets, as in core/scoreboard.py: the scoreboard does not tell a tunnel from a slow reply. */
const SOCKET = /^\S+ [^ ?]*(?:\/(?:ws|websocket|socket|cable)|\/socket\.io\/)(?:[ ?]|$)/;

/** Whether the slot's request has not ended. */
const unfinished = (worker: Worker): boolean => worker.start_time > worker.stop_time;

/** Probably a held WebSocket: Apache's proxy shows one as a request that is being answered and never ends. */
export function looksLikeWebSocket(worker: Worker): boolean {
  const { request } = worker;
  // Few of thousands need to be taken apart.
  const hinted = request.includes("/ws") || request.includes("socket") || request.includes("/cable");
  if (!hinted || worker.status !== "W" || !unfinished(worker)) return false;
  return SOCKET.test(request);
}

/**
 * Since when a slot has been as it is (epoch seconds), null if the scoreboard does not tell. Apache notes when a
 * request starts and ends and when a worker goes idle (server/scoreboard.c, update_child_status_internal), and not when
 * it begins to read.
 */
export function sinceOf(worker: Worker): number | null {
  if (worker.status === "." || worker.status === "R" || worker.status === "S") return null;
  if (worker.status === "_") return worker.last_used > 0 ? worker.last_used : null;
  if (unfinished(worker)) return worker.start_time;
  return worker.status === "K" && worker.stop_time > 0 ? worker.stop_time : null;
}

/** A slot without a pid belongs to no process: Apache only keeps room for one. */
export function living(sample: Sample): readonly Process[] {
  return sample.snapshot.processes.filter((process) => process.pid !== 0);
}

/**
 * Whether nothing but letters is known of the workers, as of what is recorded with `record = states`: all together have
 * served requests, and each of them none.
 */
export const lettersOnly = ({ rates, snapshot }: Sample): boolean =>
  (rates.accesses ?? 0) > 0 &&
  snapshot.processes.every(({ workers }) => workers.every((each) => each.access_count === 0));

/** Whether a process takes no new requests: it stops, or is of an old generation. */
export const drains = (process: Process, sample: Sample): boolean =>
  process.quiescing || process.generation !== sample.snapshot.running_generation;

function describe(process: Process, index: number, worker: Worker, draining: boolean): Request {
  return {
    slot: { process_num: process.process_num, index },
    pid: process.pid,
    status: worker.status,
    startedAt: HOLDS.has(worker.status) && unfinished(worker) ? worker.start_time : null,
    websocket: looksLikeWebSocket(worker),
    draining,
    client: worker.client,
    vhost: worker.vhost,
    request: worker.request,
  };
}

/** Workers that did not change from a sample to the next are the same object: so are their requests then. */
const known = new WeakMap<Worker, Request>();

/** Workers that a request or its connection holds, in the order of the scoreboard. */
export function inFlight(sample: Sample): readonly Request[] {
  const requests: Request[] = [];
  for (const process of living(sample)) {
    const draining = drains(process, sample);
    for (const [index, worker] of process.workers.entries()) {
      if (!HOLDS.has(worker.status)) continue;
      let request = known.get(worker);
      if (request?.pid !== process.pid || request.draining !== draining) {
        request = describe(process, index, worker, draining);
        known.set(worker, request);
      }
      requests.push(request);
    }
  }
  return requests;
}

/** For how long the oldest request has been held, WebSockets aside (seconds); null if there is none of known age. */
export function oldestSeconds(sample: Sample): number | null {
  let oldest = Number.POSITIVE_INFINITY;
  for (const { workers } of living(sample)) {
    for (const worker of workers) {
      // Of thousands only those that would be the oldest are looked at for what they ask.
      if (worker.start_time >= oldest || !unfinished(worker) || !HOLDS.has(worker.status)) continue;
      if (!looksLikeWebSocket(worker)) oldest = worker.start_time;
    }
  }
  return oldest === Number.POSITIVE_INFINITY ? null : Math.max(0, sample.at - oldest);
}

/** How long a request has been held at an instant (seconds); null if the scoreboard does not say. */
export function ageOf(request: Request, at: number): number | null {
  return request.startedAt === null ? null : Math.max(0, at - request.startedAt);
}

/** A request that is held for long, and is no WebSocket, which is meant to be. */
export function isSlow(request: Request, at: number): boolean {
  return !request.websocket && (ageOf(request, at) ?? 0) >= SLOW_SECONDS;
}

export function story(sample: Sample, slot: Slot): Story | null {
  const process = living(sample).find((candidate) => candidate.process_num === slot.process_num);
  const worker = process?.workers[slot.index];
  if (process === undefined || worker === undefined) return null;
  const letters = lettersOnly(sample);
  return {
    ...describe(process, slot.index, worker, drains(process, sample)),
    running: unfinished(worker) && HOLDS.has(worker.status),
    since: sinceOf(worker),
    generation: process.generation,
    quiescing: process.quiescing,
    accessCount: letters ? null : worker.access_count,
    bytesServed: letters ? null : worker.bytes_served,
  };
}

/** More threads than Apache's ThreadLimit can be (20,000). */
const MOST_THREADS = 32_768;

/** A slot as one number, to look it up by. */
export const slotId = ({ process_num, index }: Slot): number => process_num * MOST_THREADS + index;

export const sameSlot = (one: Slot | null, other: Slot | null): boolean =>
  one?.process_num === other?.process_num && one?.index === other?.index;
