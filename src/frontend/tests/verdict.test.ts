import { describe, expect, test } from "vitest";

import type { Point } from "../src/history";
import { Memory, pointOf } from "../src/memory";
import { inFlight } from "../src/requests";
import { fullIn, verdict } from "../src/verdict";
import { STATUSES, type Process, type Sample, type Worker } from "../src/wire";
import { one, random, type Below } from "./random";
import { AT, counted, held, process, worker } from "./samples";

type Board = Parameters<typeof counted>[1];

const range = (length: number) => Array.from({ length }, (_, index) => index);
const judge = (sample: Sample, points: readonly Point[] = [pointOf(sample, true)]) =>
  verdict(sample, inFlight(sample), points);

/** A process with so many of each worker. */
const mixed = (...counts: readonly (readonly [number, Partial<Worker>])[]) =>
  process(7, counts.flatMap(([count, changes]) => range(count).map(() => worker(changes))));
const of20 = (busy: number, changes: Partial<Worker> = { status: "W", start_time: AT - 2 }, board: Board = {}) =>
  counted([mixed([busy, changes], [20 - busy, { status: "_" }])], board);

/** Points a second apart, the last one at AT. */
const line = (busy: readonly number[], of = 20): readonly Point[] =>
  busy.map((value, index) => ({ ...pointOf(counted([], { at: AT + index - busy.length + 1 }), index === 0), busy: value, of }));

describe("levels", () => {
  test.each<[number, Board, string, number, string]>([
    [3, {}, "calm", 20, "serving"],
    [14, {}, "calm", 20, "serving"],
    [15, {}, "busy", 20, "serving"],
    [19, {}, "busy", 20, "serving"],
    [20, {}, "full", 20, "serving"],
    [20, { limit: 400 }, "calm", 400, "max_request_workers"],
    [20, { limit: 20 }, "full", 20, "max_request_workers"],
    [20, { limit: 15 }, "full", 15, "max_request_workers"],
  ])("%d of 20 busy, %j: %s", (busy, board, level, of, basis) => {
    expect(judge(of20(busy, undefined, board))).toMatchObject({ level, busy, of, basis });
  });

  test.each([null, 20])("no worker runs: down, whatever the limit (%j) is", (limit) => {
    expect(judge(counted([process(0, [worker({ status: "." })])], { limit })).level).toBe("down");
  });

  test("workers of an old generation are still busy, though none may take a request", () => {
    const sample = counted([process(7, [held(3), held(4)], { generation: 1 })], { running_generation: 2, limit: 20 });
    expect(judge(sample)).toMatchObject({ level: "calm", busy: 2, cause: "draining" });
  });

  test.each([
    [1, 20, "calm"],
    [1, 5, "calm"],
    [2, 20, "slow"],
    [2, 21, "calm"],
    [3, 21, "slow"],
    [3, 30, "slow"],
    [3, 31, "calm"],
  ])("%d of %d workers held for long: %s", (slow, workers, level) => {
    const changes = { status: "W", start_time: AT - 10 } as const;
    expect(judge(counted([mixed([slow, changes], [workers - slow, {}])])).level).toBe(level);
  });

  test("WebSockets are not slow, and none is the oldest request", () => {
    const sockets = range(5).map(() => held(900, { request: "GET /ws HTTP/1.1" }));
    const sample = counted([process(7, [...sockets, held(4), ...range(14).map(() => worker())])]);
    expect(judge(sample)).toMatchObject({ level: "calm", websockets: 5, oldestSeconds: 4 });
  });

  test.each([
    ["half full, and full in a minute", range(21).map((second) => second / 2), 10, "filling"],
    ["not half full yet", range(19).map((second) => second / 2), 9, "calm"],
    ["full in ten minutes", range(21).map((second) => 9.6 + second / 60), 10, "calm"],
    ["going down", range(21).map((second) => 20 - second / 2), 10, "calm"],
  ])("%s", (_name, busy, now, level) => {
    expect(judge(of20(now), line(busy)).level).toBe(level);
  });
});

describe("causes", () => {
  const RUNS = { start_time: AT - 2 };

  test.each<[string, readonly (readonly [number, Partial<Worker>])[]]>([
    ["reading", [[8, { status: "R" }], [12, { status: "W", ...RUNS }]]],
    ["keepalive", [[8, { status: "K" }], [12, { status: "W", ...RUNS }]]],
    ["dns", [[8, { status: "D" }], [12, { status: "W", ...RUNS }]]],
    ["logging", [[8, { status: "L" }], [12, { status: "W", ...RUNS }]]],
    ["websockets", [[8, { status: "W", ...RUNS, request: "GET /a/ws HTTP/1.1" }], [12, { status: "W", ...RUNS }]]],
    ["path", [[20, { status: "W", ...RUNS, request: "GET /report/17 HTTP/1.1" }]]],
  ])("%s", (cause, counts) => {
    expect(judge(counted([mixed(...counts)])).cause).toBe(cause);
  });

  const pathOf = (index: number, same: number) =>
    index < same ? "GET /report HTTP/1.1" : `GET /${"abcdefghijklmnopqrst"[index] ?? ""}x HTTP/1.1`;
  const paths = (same: number) =>
    counted([process(7, range(20).map((index) => held(2, { request: pathOf(index, same) })))]);

  test("a path that holds 8 of 20, but not one that holds 7, which is still worth a word", () => {
    expect([8, 7].map((same) => judge(paths(same)).cause)).toEqual(["path", "workers"]);
    expect([7, 4, 3].map((same) => judge(paths(same)).most?.count)).toEqual([7, 4, undefined]);
    expect(judge(paths(7)).most?.name).toBe("GET /report");
  });

  test("several slow paths on a server with room", () => {
    const held20 = ["GET /a HTTP/1.1", "GET /b HTTP/1.1", "GET /c HTTP/1.1"].map((request) => held(20, { request }));
    const sample = counted([process(7, [...held20, ...range(17).map(() => worker())])]);
    expect(judge(sample)).toMatchObject({ level: "slow", cause: "slow" });
  });

  test("a calm server has none", () => {
    expect(judge(of20(3))).toMatchObject({ level: "calm", cause: null, full: null, draining: null });
  });

  test("what nobody reads is not the cause of what old processes hold", () => {
    const stopping = process(7, [held(60), held(70), held(80)], { quiescing: true });
    const sample = counted([stopping, process(8, range(10).map(() => worker()), { process_num: 1 })]);
    expect(judge(sample)).toMatchObject({ level: "calm", busy: 0, most: null, cause: "draining" });
  });
});

describe("draining", () => {
  const stopping = (pid: number, process_num: number, ...workers: readonly Worker[]) =>
    process(pid, workers, { process_num, quiescing: true });
  const old = (pid: number, process_num: number, ...workers: readonly Worker[]) =>
    process(pid, workers, { process_num, generation: 1 });
  const board: Board = { running_generation: 0, limit: 20 };

  test("each process that stops or is old counts once, and the oldest request of them is told", () => {
    const both = process(10, [held(30)], { process_num: 3, generation: 1, quiescing: true });
    const sample = counted([stopping(7, 0, held(5)), old(8, 1, held(9)), process(9, [held(99)], { process_num: 2 }), both], board);
    expect(judge(sample).draining).toMatchObject({ processes: 3, oldest: { pid: 10, startedAt: AT - 30 } });
  });

  test("one that holds no request whose start is known", () => {
    expect(judge(counted([stopping(7, 0, worker({ status: "R" }), worker())], board)).draining).toEqual({ processes: 1, oldest: null });
  });

  test("a place without a process does not drain", () => {
    expect(judge(counted([process(0, [worker()], { quiescing: true, generation: 4 })], board)).draining).toBeNull();
  });
});

describe("for how long all workers have been busy", () => {
  const full = (at: number, since: number) => counted([mixed([4, { status: "W", start_time: AT - since, stop_time: AT - 900 }])], { at });
  const free = (at: number) => counted([mixed([3, { status: "W", start_time: AT - 500 }], [1, {}])], { at });

  function fullAfter(...samples: readonly Sample[]) {
    const memory = new Memory();
    for (const sample of samples) memory.take(sample);
    const last = samples.at(-1);
    if (last === undefined) throw new Error("no sample");
    return judge(last, memory.points).full;
  }

  test.each<[string, readonly Sample[], number, boolean]>([
    ["from the very first sample: since the youngest request began", [full(AT, 40)], 40, true],
    ["seen for longer than the youngest request is old", [full(AT - 8, 60), full(AT - 3, 60), full(AT, 2)], 8, true],
    ["seen to fill up", [free(AT - 8), full(AT - 6, 6), full(AT, 2)], 6, false],
    ["twice", [full(AT - 9, 50), free(AT - 8), full(AT - 1, 60), full(AT, 60)], 1, false],
    ["just now", [free(AT - 1), full(AT, 60)], 0, false],
    ["across a gap it may have been free", [free(AT - 40), full(AT - 30, 60), full(AT - 1, 10), full(AT, 10)], 10, true],
  ])("%s", (_name, samples, seconds, atLeast) => {
    expect(fullAfter(...samples)).toEqual({ seconds, atLeast });
  });

  test("not since a request of a process that stops, which keeps none of them", () => {
    const stopping = process(8, [held(1)], { process_num: 1, quiescing: true });
    const busy = mixed([4, held(40)]);
    expect(fullAfter(counted([busy, stopping]))).toEqual({ seconds: 40, atLeast: true });
  });

  test("a worker that reads may have begun just now", () => {
    expect(fullAfter(counted([mixed([3, held(40)], [1, { status: "R" }])]))?.seconds).toBe(0);
  });

  test("for longer than the page remembers: at least", () => {
    const points = line([20, 20, 20]).map((point) => ({ ...point, gap: false }));
    expect(judge(of20(20, { status: "W", start_time: AT }), points).full).toEqual({ seconds: 2, atLeast: true });
  });

  test("without a point, and without a busy worker that the numbers tell of", () => {
    const sample = of20(20, { status: "W", start_time: AT - 7 });
    expect(judge(sample, []).full).toEqual({ seconds: 0, atLeast: false });
    const empty = counted([]);
    const told = { ...empty, rates: { ...empty.rates, busy: 4 }, capacity: { ...empty.capacity, serving: 4 } };
    expect(judge(told).full?.seconds).toBe(0);
  });
});

describe("in how long all will be busy", () => {
  test.each([
    ["a worker a second", range(11), 10],
    ["a worker in two seconds", range(21).map((second) => second / 2), 20],
    ["a worker in five seconds, in steps", range(51).map((second) => Math.floor(second / 5)), 50],
  ])("rising: %s", (_name, busy, seconds) => {
    expect(fullIn(line(busy))).toBeCloseTo(seconds, -1);
  });

  test("exactly, along a line", () => {
    expect(fullIn(line(range(41).map((second) => second / 4)))).toBeCloseTo(40, 6);
  });

  test("the pace is that of the last minute", () => {
    const points = line([...range(30).map(() => 0), ...range(61).map((second) => second / 6)]);
    expect(fullIn(points)).toBeCloseTo(60, 6);
  });

  test.each([
    ["falling", range(21).map((second) => 20 - second / 2)],
    ["still", range(30).map(() => 7)],
    ["noise", range(60).map((second) => 8 + ((second * 7) % 5))],
    ["noise upon a slow rise", range(60).map((second) => 8 + second / 30 + ((second * 7) % 5) * 2)],
    ["in more than ten minutes", range(60).map((second) => second / 120)],
    ["full", range(21)],
    ["of too short a time", range(10)],
    ["of one sample", [3]],
    ["of none", []],
  ])("%s: not foreseen", (_name, busy) => {
    expect(fullIn(line(busy))).toBeNull();
  });
});

const NUMBERS = ["busy", "of", "fullIn", "websockets", "oldestSeconds"] as const;

function anyWorker(below: Below): Worker {
  const time = () => one(below, [0, AT - below(900), AT + below(5)]);
  const request = one(below, ["", "-", "GET /ws HTTP/1.1", "GET /report/7 HTTP/1.1", "\ud83d %zz"]);
  return worker({ status: one(below, STATUSES), start_time: time(), stop_time: time(), last_used: time(), request });
}

function anySample(below: Below): Sample {
  const processes: readonly Process[] = range(below(4)).map((process_num) =>
    process(one(below, [0, 100 + process_num]), range(below(6)).map(() => anyWorker(below)), {
      ...{ process_num, generation: below(2), quiescing: below(4) === 0 },
    }),
  );
  return counted(processes, { limit: one(below, [null, 1, 5, 400]), at: AT + below(30), running_generation: below(2) });
}

test("of whatever a server says, all numbers are numbers, and none is negative", () => {
  for (let seed = 0; seed < 400; seed++) {
    const below = random(seed);
    const memory = new Memory();
    let last = anySample(below);
    for (const sample of [...range(below(20)).map(() => anySample(below)), last]) memory.take((last = sample));
    const says = judge(last, memory.points);
    const numbers = [...NUMBERS.map((name) => says[name]), says.full?.seconds ?? null, says.draining?.processes ?? null];
    for (const number of numbers) if (number !== null && !(number >= 0 && number < 1e6)) expect({ seed, numbers }).toBeNull();
    expect([says.level === "full", says.level === "full" && says.full !== null]).toEqual([says.full !== null, says.full !== null]);
    if (says.level === "calm" || says.level === "down") expect([null, "draining"]).toContain(says.cause);
    else expect(says.cause).not.toBeNull();
  }
});
