import { describe, expect, test } from "vitest";

import { NOT_KNOWN, type Column } from "../src/history";
import { letterSince, Memory, pointOf } from "../src/memory";
import { STATUSES, type Process, type Sample, type Status } from "../src/wire";
import { AT, counted, held, lettered, process, worker } from "./samples";

type Board = Parameters<typeof counted>[1];

const ofLetters = (at: number, letters: readonly string[], board: Board = {}) =>
  counted(lettered(...letters), { at, ...board });

function remember(...samples: readonly Sample[]): Memory {
  const memory = new Memory();
  for (const sample of samples) memory.take(sample);
  return memory;
}

/** A memory of one slot, idle at each of these seconds. */
const seenAt = (seconds: readonly number[], board: Board = {}) =>
  remember(...seconds.map((second) => ofLetters(AT + second, ["_"], board)));

const secondsOf = (list: readonly { readonly at: number }[]) => list.map(({ at }) => at - AT);
const spelt = ({ letters }: Column) => [...letters].map((code) => (code === NOT_KNOWN ? "?" : STATUSES[code])).join("");
const wholesOf = (memory: Memory) => Array.from({ length: memory.wholes }, (_, place) => memory.whole(place));
const range = (length: number) => Array.from({ length }, (_, index) => index);

/** Samples of one process, of whose workers the next `changing` are new objects each second; all others are shared. */
function* turning(slots: number, changing: number): Generator<Sample> {
  const template = counted([]);
  let workers = range(slots).map(() => worker());
  for (let second = 0, next = 0; ; second++) {
    workers = [...workers];
    for (let changed = 0; changed < changing; changed++, next++) workers[next % slots] = worker();
    const processes: readonly Process[] = [process(7, workers)];
    yield { ...template, at: AT + second, snapshot: { ...template.snapshot, processes } };
  }
}

function filled(samples: Iterator<Sample>, count: number): Memory {
  const memory = new Memory();
  for (let taken = 0; taken < count; taken++) memory.take(samples.next().value as Sample);
  return memory;
}

/** What the whole samples take, as the bound counts it, measured anew. */
function taken(memory: Memory): number {
  const workers = new Set<unknown>();
  const lists = new Map<unknown, number>();
  for (const whole of wholesOf(memory)) {
    for (const own of whole?.snapshot.processes ?? []) {
      lists.set(own, own.workers.length);
      for (const one of own.workers) workers.add(one);
    }
  }
  return workers.size + [...lists.values()].reduce((sum, length) => sum + length / 16, 0) + memory.wholes;
}

describe("bounds", () => {
  test("an hour of numbers, and a quarter of an hour of letters and of whole samples, at 1 Hz", () => {
    const memory = seenAt(range(3700));
    expect([memory.points.length, memory.columns.length, memory.wholes]).toEqual([3600, 900, 900]);
    expect([memory.points[0]?.at, memory.columns[0]?.at, memory.whole(0)?.at]).toEqual([AT + 100, AT + 2800, AT + 2800]);
    expect([memory.points, memory.columns].map((list) => list.at(-1)?.at)).toEqual([AT + 3699, AT + 3699]);
  });

  test("eight million letters", () => {
    const { snapshot } = ofLetters(AT, ["_".repeat(20_000)]);
    const memory = remember(...range(410).map((second) => ({ ...counted([], { at: AT + second }), snapshot })));
    expect(memory.columns).toHaveLength(400);
    expect(memory.columns[0]?.at).toBe(AT + 10);
  });

  test.each([
    ["all change", 1000, 1000, 100],
    ["few change", 1000, 10, 880],
    ["a large server", 6400, 3200, 30],
    ["a large process at rest", 6400, 0, 200],
  ])("60,000 workers in whole samples, shared ones counted once: %s", (_name, slots, changing, count) => {
    const memory = filled(turning(slots, changing), count);
    expect(memory.wholes).toBeLessThan(count);
    expect(taken(memory)).toBeLessThanOrEqual(60_000);
    // No sample is forgotten without need.
    expect(taken(memory)).toBeGreaterThan(60_000 - slots * (1 + 1 / 16) - 1);
  });

  test("of the largest servers two whole samples, for a step back", () => {
    const memory = filled(turning(40_000, 40_000), 4);
    expect([memory.wholes, memory.whole(0)?.at, memory.whole(1)?.at]).toEqual([2, AT + 2, AT + 3]);
  });

  test("what a clock took back is no longer counted", () => {
    const source = turning(1000, 1000);
    const samples = range(50).map(() => source.next().value as Sample);
    const memory = remember(...samples, ...samples, ...samples);
    expect(memory.wholes).toBe(50);
  });
});

test("whole samples are those that came, and share what they shared", () => {
  const source = turning(8, 1);
  const memory = filled(source, 3);
  const [one, other] = [memory.whole(0), memory.whole(1)];
  const shared = one?.snapshot.processes[0]?.workers.filter((own) => other?.snapshot.processes[0]?.workers.includes(own));
  expect(shared).toHaveLength(7);
});

describe("time", () => {
  test("a sample of the same instant takes the place of the one before", () => {
    const memory = remember(ofLetters(AT, ["_"]), ofLetters(AT + 1, ["_"]), ofLetters(AT + 1, ["W"]));
    expect(secondsOf(memory.points)).toEqual([0, 1]);
    expect(memory.columns.map(spelt)).toEqual(["_", "W"]);
    expect(memory.points.map(({ gap }) => gap)).toEqual([true, false]);
    expect(memory.wholes).toBe(2);
  });

  test("a clock that is set back takes the place of what is later", () => {
    const memory = remember(
      ofLetters(AT, ["_"]),
      ofLetters(AT + 5, ["W"]),
      ofLetters(AT + 6, ["W"], { running_generation: 1 }),
      ofLetters(AT + 2, ["K"]),
    );
    expect(secondsOf(memory.points)).toEqual([0, 2]);
    expect(memory.columns.map((column) => [column.from - AT, column.at - AT, spelt(column)]).slice(1)).toEqual([[0, 2, "K"]]);
    expect(wholesOf(memory).map((whole) => (whole?.at ?? 0) - AT)).toEqual([0, 2]);
  });

  test("set back before all that is remembered: a new beginning", () => {
    const memory = seenAt([50, 51, 0]);
    expect(memory.points).toEqual([expect.objectContaining({ at: AT, gap: true })]);
    expect(memory.columns).toHaveLength(1);
    expect(memory.columns[0]?.since).not.toBeNull();
  });

  test.each([0, -5])("an instant of %d is taken like any other", (at) => {
    const memory = remember(ofLetters(at, ["_"]), ofLetters(at + 1, ["W"]));
    expect(memory.columns.map(spelt)).toEqual(["_", "W"]);
  });

  test.each([
    ["1 Hz", 1, [0, 1, 2], [true, false, false]],
    ["polling every 5 s", 1, [0, 5, 10], [true, false, false]],
    ["eight seconds", 1, [0, 8], [true, false]],
    ["a little longer", 1, [0, 8.01], [true, true]],
    ["20 s of silence", 1, [0, 20, 21], [true, true, false]],
    ["a sample a minute", 60, [0, 60, 120], [true, false, false]],
    ["some minutes without one", 60, [0, 181], [true, true]],
  ])("gaps: %s", (_name, interval, seconds, gaps) => {
    const memory = seenAt(seconds, { interval });
    expect(memory.points.map(({ gap }) => gap)).toEqual(gaps);
    expect(memory.columns.map(({ since }) => since !== null)).toEqual(gaps);
  });

  test("columns follow each other without a hole or an overlap, also past the bound", () => {
    const memory = seenAt([...range(400), ...range(400).map((second) => 430 + 2 * second), ...range(300).map((second) => 2000 + second)]);
    expect(memory.columns).toHaveLength(900);
    for (const [index, column] of memory.columns.entries()) {
      expect(column.from).toBeLessThan(column.at);
      if (index > 0) expect(column.from).toBe(memory.columns[index - 1]?.at);
    }
  });
});

test("where nothing was seen, each slot is known from when its request started, or its last one ended", () => {
  const workers = [
    held(7),
    worker({ status: "_", last_used: AT - 40 }),
    worker({ status: "_", last_used: 0 }),
    worker({ status: "K", start_time: AT - 9, stop_time: AT - 3 }),
    worker({ status: "R" }),
  ];
  const [column] = remember(counted([process(7, workers)])).columns;
  expect([...(column?.since ?? [])]).toEqual([AT - 7, AT - 40, Number.NaN, AT - 3, Number.NaN]);
});

test("the letters of slots that no process has are those of open slots", () => {
  const left = process(0, [worker({ status: "W" }), worker({ status: "G" })]);
  expect(remember(counted([left, ...lettered("_K")])).columns.map(spelt)).toEqual([".._K"]);
});

test.each([...STATUSES])("the letter %s", (letter) => {
  expect(remember(counted([process(7, [worker({ status: letter })])])).columns.map(spelt)).toEqual([letter]);
});

describe("another number of slots is another Apache", () => {
  const memory = remember(
    ofLetters(AT, ["W", "W"]),
    counted(lettered("W", "W", "_", "."), { at: AT + 1, restart_time: AT + 1 }),
  );

  test("its letters stand for none of the time before it", () => {
    expect(memory.columns.map(spelt)).toEqual(["WW_."]);
    expect(memory.columns[0]?.since).not.toBeNull();
  });

  test("what was known of processes is forgotten; the numbers stay", () => {
    expect(memory.birth({ process_num: 0, pid: 100 })?.at).toBe(AT + 1);
    expect(memory.points).toHaveLength(2);
  });
});

describe("births", () => {
  const birth = (memory: Memory, pid: number, process_num = 0) => memory.birth({ process_num, pid });

  test("of a process that was there at first: earlier than that", () => {
    expect(birth(seenAt([0, 1]), 100)).toEqual({ pid: 100, at: AT, earlier: true });
  });

  test("of a process that was seen to come: exact, also where another one was", () => {
    const memory = remember(
      ofLetters(AT, ["_", "."]),
      ofLetters(AT + 1, ["_", "_"]),
      counted([process(9, [worker()]), ...lettered(".", "_").slice(1)], { at: AT + 2 }),
    );
    expect(birth(memory, 101, 1)).toEqual({ pid: 101, at: AT + 1, earlier: false });
    expect(birth(memory, 9)).toEqual({ pid: 9, at: AT + 2, earlier: false });
    expect(birth(memory, 100)).toBeNull();
  });

  test("of a process that came while nobody looked: earlier", () => {
    const memory = remember(ofLetters(AT, ["_", "."]), ofLetters(AT + 20, ["_", "_"]));
    expect(birth(memory, 101, 1)).toEqual({ pid: 101, at: AT + 20, earlier: true });
  });

  test("of a process that the clock left in the future: now, or earlier", () => {
    const memory = remember(ofLetters(AT, ["."]), ofLetters(AT + 500, ["_"]), ofLetters(AT + 2, ["_"]));
    expect(birth(memory, 100)).toEqual({ pid: 100, at: AT + 2, earlier: true });
  });

  test("a place in which a process was is known for it when it is gone", () => {
    const memory = remember(ofLetters(AT, ["_", ".", "."]), ofLetters(AT + 1, [".", ".", "_"]));
    expect([0, 1, 2].map((place) => memory.lived(place, place, 1))).toEqual([true, false, true]);
  });
});

describe("placeAt", () => {
  test.each([
    [-1, 0],
    [0, 0],
    [0.9, 0],
    [1, 1],
    [4, 1],
    [5, 2],
    [99, 2],
  ])("%d s: whole sample %d", (second, place) => {
    expect(seenAt([0, 1, 5]).placeAt(AT + second)).toBe(place);
  });

  test("no sample, no place", () => {
    expect(new Memory().placeAt(AT)).toBe(-1);
    expect(new Memory().whole(-1)).toBeNull();
  });
});

test("a point's most is MaxRequestWorkers, or else the workers that run; a rate that is not available stays so", () => {
  const points = [null, 400].map((limit) => pointOf(ofLetters(AT, ["W_", "K."], { limit }), false));
  expect(points.map(({ busy, of }) => [busy, of])).toEqual([
    [2, 3],
    [2, 400],
  ]);
  expect(points[0]?.requestsPerSecond).toBeNull();
});

describe("since when a slot has had its letter", () => {
  test.each([
    ["nothing is remembered", [], [], null],
    ["as long as anything is remembered", ["R", "R"], [], { at: 0, earlier: true }],
    ["seen to change", ["_", "R", "R"], [], { at: 1, earlier: false }],
    ["seen to change just now", ["_", "_", "R"], [], { at: 2, earlier: false }],
    ["another time before", ["R", "_", "R"], [], { at: 2, earlier: false }],
    ["no further than a gap", ["R", "R", "R"], [1], { at: 1, earlier: true }],
    ["found so after a gap", ["_", "_", "R"], [2], { at: 2, earlier: true }],
    ["a change after a gap", ["_", "R", "K"], [1], { at: 2, earlier: false }],
  ])("%s", (_name, letters, gaps, expected) => {
    const columns = letters.map((letter, at) => ({
      from: at - 1,
      at,
      letters: Uint8Array.of(9, STATUSES.indexOf(letter as Status)),
      since: gaps.some((gap) => gap === at) ? new Float64Array(2) : null,
    }));
    expect(letterSince(columns, 1)).toEqual(expected);
  });

  test("of no slot", () => {
    expect(letterSince(seenAt([0, 1]).columns, 1)).toBeNull();
  });
});

describe("what was recorded before", () => {
  const point = (at: number) => pointOf(ofLetters(AT + at, ["_"]), false);
  const column = (at: number, letter: Status, from = at - 1): Column => ({
    ...{ from: AT + from, at: AT + at, since: null },
    letters: Uint8Array.of(STATUSES.indexOf(letter)),
  });

  test("stands before the first sample, which follows it without a gap", () => {
    const memory = new Memory({ points: [point(0), point(1), point(2)], columns: [column(0, "W"), column(1, "W"), column(2, "_")] });
    for (const second of [2, 3]) memory.take(ofLetters(AT + second, ["W"]));
    expect(secondsOf(memory.points)).toEqual([0, 1, 2, 3]);
    expect(memory.points.map(({ gap }) => gap)).toEqual([false, false, false, false]);
    expect(memory.columns.map(spelt)).toEqual(["W", "W", "W", "W"]);
    expect(letterSince(memory.columns, 0)).toEqual({ at: AT, earlier: true });
  });

  test("a sample long after it is one after a gap", () => {
    const memory = new Memory({ points: [point(0)], columns: [column(0, "W")] });
    memory.take(ofLetters(AT + 60, ["W"]));
    expect(memory.points.map(({ gap }) => gap)).toEqual([false, true]);
    expect(letterSince(memory.columns, 0)).toEqual({ at: AT + 60, earlier: true });
  });

  test("a hole in it ends what is known of a letter", () => {
    const memory = new Memory({ points: [], columns: [column(0, "W"), column(1, "W"), column(60, "W")] });
    expect(letterSince(memory.columns, 0)).toEqual({ at: AT + 60, earlier: true });
    expect(letterSince(memory.columns.slice(0, 2), 0)).toEqual({ at: AT, earlier: true });
  });

  test("tells which slots had a worker, not since when its process has been there", () => {
    const two = (letters: string): Column => ({ ...column(0, "W"), letters: Uint8Array.from(letters, (letter) => STATUSES.indexOf(letter as Status)) });
    const memory = new Memory({ points: [], columns: [two("_..")] });
    memory.take(ofLetters(AT + 1, [".", "_", "."]));
    expect([0, 1, 2].map((place) => memory.lived(place, place, 1))).toEqual([true, true, false]);
    expect(memory.birth({ process_num: 1, pid: 101 })).toEqual({ pid: 101, at: AT + 1, earlier: true });
  });

  test("is bounded as all else", () => {
    const memory = new Memory({ points: range(5000).map(point), columns: range(5000).map((second) => column(second, "W")) });
    expect([memory.points.length, memory.columns.length, memory.points[0]?.at]).toEqual([3600, 900, AT + 1400]);
  });
});
