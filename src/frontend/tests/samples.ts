/** A small true sample, changed by each test where it matters. */
import { decode, STATUSES, type Frame, type Process, type Sample, type Status, type Worker } from "../src/wire";

type Loose = Record<string, unknown>;

export const AT = 1_000_000;

export const VIEWERS = { connected: 1, limit: 2, holding: 1, free: 3, reserve: 2, accepting: true };

export function worker(changes: Partial<Worker> = {}): Worker {
  return {
    thread_num: 0,
    generation: 0,
    status: "_",
    access_count: 3,
    bytes_served: 900,
    start_time: AT - 20,
    stop_time: AT - 19,
    last_used: AT - 19,
    client: "127.0.0.1",
    request: "GET / HTTP/1.1",
    vhost: "localhost:80",
    ...changes,
  };
}

export function process(pid: number, workers: readonly Worker[], changes: Partial<Process> = {}): Process {
  return { process_num: 0, pid, generation: 0, quiescing: false, workers, ...changes };
}

export function sampleOf(processes: readonly unknown[], changes: Loose = {}): Loose {
  return {
    tick: 1,
    at: AT,
    interval: 1,
    snapshot: {
      server_limit: 4,
      thread_limit: 2,
      running_generation: 0,
      restart_time: AT - 60,
      current_time: AT,
      running_time: 60,
      processes,
    },
    rates: {
      busy: 1,
      idle: 3,
      graceful: 0,
      open: 0,
      states: { _: 3, S: 0, R: 0, W: 1, K: 0, D: 0, C: 0, L: 0, G: 0, I: 0, ".": 0 },
      processes: 1,
      quiescing: 0,
      old_generation: 0,
      websockets: 0,
      accesses: null,
      bytes_served: null,
      requests_per_second: null,
      bytes_per_second: null,
      requests_total: 12,
      bytes_total: 3600,
      vhosts: [{ vhost: "localhost:80", busy: 1, requests: 12 }],
    },
    capacity: {
      slots: 4,
      serving: 4,
      threads_per_process: 2,
      max_request_workers: null,
      extended_status: true,
    },
    viewers: VIEWERS,
    notices: [],
    alerts: [],
    ...changes,
  };
}

export function failureOf(error: string): Loose {
  return { tick: 2, at: AT, interval: 1, error, viewers: VIEWERS, notices: [], alerts: [] };
}

/** The scoreboard of `sampleOf([process(7, [worker(), worker()])])` as a key frame of v1: its workers never worked. */
export function keyOf(tick: number, changes: Loose = {}): Loose {
  const { snapshot, at, ...rest } = sampleOf([], changes);
  return {
    ...rest,
    frame: "key",
    tick,
    at_ms: (AT + tick) * 1000,
    ...(snapshot as Loose),
    processes: { process_num: [0], pid: [7], generation: [0], quiescing: [0], workers: [2] },
    slots: { slot: [0, 1], status: "__" },
    ...changes,
  };
}

export function deltaOf(tick: number, changes: Loose = {}): Loose {
  return { frame: "delta", tick, previous: tick - 1, at_ms: (AT + tick) * 1000, rates: sampleOf([])["rates"], ...changes };
}

export function asSample(frame: Frame): Sample {
  if ("error" in frame) throw new Error("a failure, not a sample");
  return frame;
}

export const sampled = (processes: readonly unknown[], changes: Loose = {}): Sample =>
  asSample(decode(JSON.stringify(sampleOf(processes, changes))));

/** A worker in the middle of a request that began so many seconds before AT. */
export const held = (seconds: number, changes: Partial<Worker> = {}): Worker =>
  worker({ status: "W", start_time: AT - seconds, stop_time: AT - seconds - 1, ...changes });

const EMPTY = sampled([]);

interface Board {
  readonly at?: number;
  readonly interval?: number;
  /** MaxRequestWorkers. */
  readonly limit?: number | null;
  readonly extended?: boolean;
  readonly restart_time?: number;
  readonly running_generation?: number;
}

const without = (letters: string, none: string): number => [...letters].filter((letter) => !none.includes(letter)).length;

/** A sample of these very processes, with the numbers that the server would derive from them. */
export function counted(processes: readonly Process[], board: Board = {}): Sample {
  const { at = AT, interval = 1, limit = null, extended = true, restart_time = AT - 60, running_generation = 0 } = board;
  const lettersOf = ({ workers }: Process) => workers.map(({ status }) => status).join("");
  const every = processes.map(lettersOf).join("");
  const live = processes.filter(({ pid }) => pid !== 0);
  const counting = live.filter(({ quiescing }) => !quiescing).map(lettersOf).join("");
  const current = live.filter(({ quiescing, generation }) => !quiescing && generation === running_generation);
  const { snapshot, ...rest } = EMPTY;
  return {
    ...rest,
    at,
    interval,
    snapshot: { ...snapshot, restart_time, running_generation, processes },
    rates: {
      ...rest.rates,
      busy: without(counting, "_.SIG"),
      idle: without(counting, "SRWKDCLGI."),
      states: Object.fromEntries(STATUSES.map((letter) => [letter, every.split(letter).length - 1])) as Record<Status, number>,
      processes: live.length,
      quiescing: live.filter(({ quiescing }) => quiescing).length,
      old_generation: live.filter(({ generation }) => generation !== running_generation).length,
    },
    capacity: {
      ...rest.capacity,
      slots: every.length,
      serving: without(current.map(lettersOf).join(""), ".GI"),
      max_request_workers: limit,
      extended_status: extended,
    },
  };
}

/** Processes by the letters of their workers; the first has the pid 100. A process of nothing but "." is none. */
export const lettered = (...letters: readonly string[]): readonly Process[] =>
  letters.map((own, process_num) =>
    process(
      /^\.*$/.test(own) ? 0 : 100 + process_num,
      [...own].map((letter) => worker({ status: letter as Status })),
      { process_num },
    ),
  );
