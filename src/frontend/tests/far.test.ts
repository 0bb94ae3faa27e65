import { describe, expect, test } from "vitest";

import { covers, wanted, withColumn, withPoint, type Part } from "../src/far";
import type { Column, Point } from "../src/history";
import { pointOf } from "../src/memory";
import { counted, lettered } from "./samples";

const ALL = { from: 0, to: 1000 };

describe("what is asked for", () => {
  test.each<[string, readonly [number, number], readonly [number, number] | null]>([
    ["a half more on each side", [400, 500], [350, 550]],
    ["no more than there is", [-100, 900], [0, 1000]],
    ["nothing of what is not", [2000, 2100], null],
  ])("%s", (_name, [from, to], expected) => {
    expect(wanted({ from, to }, ALL)).toEqual(expected === null ? null : { from: expected[0], to: expected[1] });
  });
});

describe("what a part is good for", () => {
  const part: Part<Point> = { from: 300, to: 600, perPixel: 1, items: [] };

  test.each<[string, readonly [number, number], number, boolean]>([
    ["what is in it", [400, 500], 1, true],
    ["not what is beyond", [500, 700], 1, false],
    ["not what is before", [200, 500], 1, false],
    ["twice as fine", [400, 500], 0.5, true],
    ["not finer", [400, 500], 0.4, false],
    ["coarser", [300, 600], 10, true],
  ])("%s", (_name, [from, to], perPixel, expected) => {
    expect(covers(part, { from, to }, ALL, perPixel)).toBe(expected);
  });

  test("beyond what there is nothing is missing", () => {
    expect(covers({ ...part, from: 0, to: 1000 }, { from: -500, to: 1000 }, ALL, 1)).toBe(true);
    expect(covers(null, ALL, ALL, 1)).toBe(false);
  });
});

const sample = (at: number, letters: string) => counted(lettered(letters), { at, limit: 4 });
const point = (at: number, letters: string, rate: number | null = null): Point => ({
  ...pointOf(sample(at, letters), false),
  requestsPerSecond: rate,
});

describe("a part that goes on", () => {
  const part: Part<Point> = { from: 0, to: 10, perPixel: 10, items: [point(10, "W___", 1)] };

  test("the newest are together until they fill a pixel: the most busy, and the least and the most of the rates", () => {
    let grown = withPoint(part, point(11, "WW__", 2), 10);
    grown = withPoint(grown, point(12, "WWW_", 9), 11);
    grown = withPoint(grown, point(20, "W___", 3), 12);
    grown = withPoint(grown, point(21, "W___", 3), 20);
    expect(grown).toMatchObject({ from: 0, to: 21, perPixel: 10 });
    expect(grown.items.map(({ at, busy }) => [at, busy])).toEqual([[10, 1], [20, 3], [21, 1]]);
    expect(grown.items[1]?.spread?.requests).toEqual([2, 9]);
  });

  test("not with what is older, and not after a hole", () => {
    expect(withPoint(part, point(10, "W___"), 9)).toBe(part);
    expect(withPoint(part, point(30, "W___"), 29)).toBe(part);
  });

  test("letters are those of the newest, for all the time that they stand for", () => {
    const column = (at: number): Column => ({ from: at - 1, at, letters: Uint8Array.of(at), since: null });
    let grown: Part<Column> = { from: 0, to: 10, perPixel: 5, items: [column(10)] };
    for (const at of [11, 12, 13, 14, 15, 16]) grown = withColumn(grown, column(at), at - 1);
    expect(grown.items.map(({ from, at, letters }) => [from, at, ...letters])).toEqual([[9, 10, 10], [10, 15, 15], [15, 16, 16]]);
  });
});
