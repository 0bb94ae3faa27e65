/** A small true sample, changed by each test where it matters. */
import type { Frame, Sample, Worker } from "../src/wire";

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

export function process(pid: number, workers: readonly Worker[], changes: Loose = {}) {
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
    ...changes,
  };
}

export function failureOf(error: string): Loose {
  return { tick: 2, at: AT, interval: 1, error, viewers: VIEWERS, notices: [] };
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
