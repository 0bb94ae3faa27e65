import { describe, expect, test } from "vitest";

import { ageSeconds, inFlight, looksLikeWebSocket, processRows, remember, slotDetails, verdict } from "../src/derive";
import type { Point } from "../src/derive";
import { decode, type Worker } from "../src/wire";
import { asSample, AT, process, sampleOf, worker } from "./samples";

const busy = (age: number, changes: Partial<Worker> = {}) =>
  worker({ status: "W", start_time: AT - age, stop_time: AT - age - 1, ...changes });

const sampled = (processes: readonly unknown[], changes: Record<string, unknown> = {}) =>
  asSample(decode(JSON.stringify(sampleOf(processes, changes))));

describe("ageSeconds", () => {
  test.each([
    ["in flight", { start_time: AT - 3, stop_time: AT - 9 }, 3],
    ["finished", { start_time: AT - 9, stop_time: AT - 3 }, null],
    ["never used", { start_time: 0, stop_time: 0 }, null],
    ["first request of a slot", { start_time: AT - 2, stop_time: 0 }, 2],
    ["started after the sample was taken", { start_time: AT + 1, stop_time: 0 }, 0],
  ])("%s", (_name, changes, expected) => {
    expect(ageSeconds(worker(changes), AT)).toBe(expected);
  });
});

describe("looksLikeWebSocket", () => {
  test.each([
    ["GET /dashboard/ws HTTP/1.1", {}, true],
    ["GET /ws?x=1 HTTP/1.1", {}, true],
    ["GET /news HTTP/1.1", {}, false],
    ["GET /a?next=/ws HTTP/1.1", {}, false],
    ["", {}, false],
    ["GET /ws HTTP/1.1", { status: "K" as const }, false],
    ["GET /ws HTTP/1.1", { stop_time: AT }, false],
  ])("%s %j", (request, changes, expected) => {
    expect(looksLikeWebSocket(busy(5, { request, ...changes }))).toBe(expected);
  });
});

test("in flight: busy slots of living processes, oldest first, unknown ages last", () => {
  const sample = sampled([
    process(7, [busy(2), worker(), worker({ status: "K" })]),
    process(8, [busy(12)], { process_num: 1 }),
    process(0, [worker({ status: "." })], { process_num: 2 }),
  ]);
  const rows = inFlight(sample).map(({ pid, slot, ageSeconds: age }) => [pid, slot.index, age]);
  expect(rows).toEqual([
    [8, 0, 12],
    [7, 0, 2],
    [7, 2, null],
  ]);
});

describe("verdict", () => {
  const capacity = (max_request_workers: number | null, serving = 20) => ({
    capacity: { slots: 20, serving, threads_per_process: null, max_request_workers, extended_status: true },
  });
  const withBusy = (count: number, changes: Record<string, unknown>) => {
    const sample = sampled([], changes);
    return { ...sample, rates: { ...sample.rates, busy: count } };
  };

  test.each([
    [3, capacity(null), "calm", 20, "serving"],
    [14, capacity(null), "calm", 20, "serving"],
    [15, capacity(null), "busy", 20, "serving"],
    [20, capacity(null), "full", 20, "serving"],
    [20, capacity(400), "calm", 400, "max_request_workers"],
    [0, capacity(null, 0), "down", 0, "serving"],
  ])("%d busy, %j", (count, changes, level, of, basis) => {
    expect(verdict(withBusy(count, changes), [])).toMatchObject({ level, busy: count, of, basis });
  });

  test("a held WebSocket is not the oldest request", () => {
    const sample = sampled([process(7, [busy(900, { request: "GET /ws HTTP/1.1" }), busy(4)])]);
    expect(verdict(sample, inFlight(sample)).oldestSeconds).toBe(4);
  });
});

test("process rows: empty slots are left out, old generations are marked", () => {
  const rows = processRows(
    sampled([
      process(7, [worker(), busy(1)]),
      process(0, [worker({ status: "." })], { process_num: 1 }),
      process(9, [worker({ status: "G" })], { process_num: 2, generation: 3, quiescing: true }),
    ]),
  );
  expect(rows).toEqual([
    { process_num: 0, pid: 7, generation: 0, old: false, quiescing: false, states: "_W" },
    { process_num: 2, pid: 9, generation: 3, old: true, quiescing: true, states: "G" },
  ]);
});

test("slot details: of the slot that is asked for, null when its process is gone", () => {
  const sample = sampled([process(7, [worker(), busy(6)])]);
  expect(slotDetails(sample, { process_num: 0, index: 1 })).toMatchObject({ pid: 7, status: "W", ageSeconds: 6 });
  expect(slotDetails(sample, { process_num: 4, index: 1 })).toBeNull();
});

describe("remember", () => {
  const at = (time: number) => ({ ...sampled([]), at: time });
  const times = (points: readonly Point[]) => points.map((point) => [point.at - AT, point.busy]);

  test("five minutes are kept", () => {
    expect(times(remember(remember([], at(AT - 301)), at(AT)))).toEqual([[0, 1]]);
  });

  test("a gap in time is a gap in the line, one of polling is none", () => {
    const points = [at(AT), at(AT + 6), at(AT + 26)].reduce<readonly Point[]>(remember, []);
    expect(times(points)).toEqual([
      [0, 1],
      [6, 1],
      [16, null],
      [26, 1],
    ]);
  });

  test("a clock that was set back does not tangle the line", () => {
    expect(times(remember(remember([], at(AT + 50)), at(AT)))).toEqual([[0, 1]]);
  });

  test("a rate that is not available stays so", () => {
    expect(remember([], at(AT))[0]?.requestsPerSecond).toBeNull();
  });
});
