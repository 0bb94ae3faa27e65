import { describe, expect, test } from "vitest";

import { layOut } from "../src/layout";

const CASES = [
  ["one small process", [16], 740],
  ["event, 4 x 13", [13, 13, 13, 13], 740],
  ["a phone", [13, 13, 13, 13], 338],
  ["prefork", new Array(40).fill(1), 740],
  ["6,400 slots", new Array(100).fill(64), 1216],
  ["6,400 slots on a phone", new Array(100).fill(64), 338],
  ["uneven processes", [25, 3, 0, 25], 740],
] as const;

describe.each(CASES)("%s", (_name, lengths: readonly number[], width) => {
  const layout = layOut(lengths, width);
  const cells = lengths.flatMap((length, row) => Array.from({ length }, (_, index) => ({ row, index })));

  test("every cell lies inside and is found again where it is painted", () => {
    for (const cell of cells) {
      const { x, y } = layout.position(cell);
      expect(x + layout.size).toBeLessThanOrEqual(width);
      expect(y + layout.size).toBeLessThanOrEqual(layout.height);
      expect(layout.at(x + layout.size / 2, y + layout.size / 2)).toEqual(cell);
    }
  });

  test("letters stay legible", () => {
    expect(layout.size).toBeGreaterThanOrEqual(10);
  });
});

test("64 slots fit a first screen", () => {
  expect(layOut(new Array(4).fill(16), 740).height).toBeLessThanOrEqual(210);
});

test("beside the cells there is nothing", () => {
  const layout = layOut([5], 740);
  expect([layout.at(-1, 20), layout.at(739, 20), layout.at(2, 2), layout.at(2, 900)]).toEqual([null, null, null, null]);
});

test("no process, no height", () => {
  expect(layOut([], 740).height).toBe(0);
});
