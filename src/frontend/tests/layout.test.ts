import { describe, expect, test } from "vitest";

import { layOut, type Cell, type Room } from "../src/layout";
import { random } from "./random";

const many = (count: number, length: number): readonly number[] => new Array<number>(count).fill(length);

const WIDE: Room = { width: 1216, height: 330 };
const PHONE: Room = { width: 338, height: 300 };
const CASES: readonly (readonly [string, readonly number[], Room])[] = [
  ["one small process", [16], WIDE],
  ["event, 4 x 13", many(4, 13), WIDE],
  ["a phone", many(4, 13), PHONE],
  ["prefork", many(40, 1), WIDE],
  ["prefork of 256", many(256, 1), PHONE],
  ["16 x 64 slots", many(16, 64), WIDE],
  ["6,400 slots", many(100, 64), WIDE],
  ["6,400 slots on a phone", many(100, 64), PHONE],
  ["uneven processes", [25, 3, 0, 25, 0, 0, 7], WIDE],
  ["hardly any room", many(3, 10), { width: 20, height: 1 }],
];

const cellsOf = (lengths: readonly number[]): readonly Cell[] =>
  lengths.flatMap((length, row) => Array.from({ length }, (_, index) => ({ row, index })));

describe.each(CASES)("%s", (_name, lengths, room) => {
  const layout = layOut(lengths, room);
  const { width, height } = layout.cell;
  const cells = cellsOf(lengths);

  test("every cell lies inside, and is found again where it is painted", () => {
    const places = cells.map((cell) => layout.position(cell));
    if (room.width > 100) expect(Math.max(...places.map(({ x }) => x + width))).toBeLessThanOrEqual(room.width);
    expect(Math.max(...places.map(({ y }) => y + height))).toBeLessThanOrEqual(layout.height);
    for (const [right, below] of [[0, 0], [width / 2, height / 2], [width - 0.01, height - 0.01]] as const) {
      expect(places.map(({ x, y }) => layout.at(x + right, y + below))).toEqual(cells);
    }
  });

  test("no process is painted into another one's part", () => {
    const outside = cells.filter((cell) => {
      const { x, y } = layout.position(cell);
      const block = layout.block(cell.row);
      return x < block.x || y < block.y || x + width > block.x + block.width || y + height > block.y + block.height;
    });
    expect(outside).toEqual([]);
    const parts = lengths.map((length, row) => ({ ...layout.block(row), length })).filter(({ length }) => length > 0);
    for (const [index, one] of parts.entries()) {
      const other = parts[index + 1];
      if (other !== undefined) expect(one.x + one.width <= other.x || one.y + one.height <= other.y).toBe(true);
    }
  });

  test("a letter of three by five pixels fits", () => {
    expect([width >= 5, height >= 6]).toEqual([true, true]);
  });

  test("no step leaves the cells, and all are reached by steps", () => {
    const [first] = cells;
    const reached = new Set<string>();
    const next = first === undefined ? [] : [first];
    for (let cell = next.pop(); cell !== undefined; cell = next.pop()) {
      if (reached.has(`${cell.row}.${cell.index}`)) continue;
      reached.add(`${cell.row}.${cell.index}`);
      if (!(cell.index >= 0 && cell.index < (lengths[cell.row] ?? 0))) throw new RangeError(`a step left for ${cell.row}.${cell.index}`);
      next.push(layout.step(cell, 1, 0), layout.step(cell, -1, 0), layout.step(cell, 0, 1), layout.step(cell, 0, -1));
    }
    expect(reached.size).toBe(cells.length);
  });
});

describe("processes of one length", () => {
  test.each(CASES.filter(([, lengths]) => new Set(lengths).size === 1))("%s: right and left, down and up, return", (_name, lengths, room) => {
    const layout = layOut(lengths, room);
    const returned: (readonly [Cell, Cell])[] = [];
    for (const cell of cellsOf(lengths)) {
      const right = layout.step(cell, 1, 0);
      if (right !== cell) returned.push([cell, layout.step(right, -1, 0)]);
      const below = layout.step(cell, 0, 1);
      if (below === cell) continue;
      if (layout.position(below).y <= layout.position(cell).y) throw new RangeError(`${cell.row}.${cell.index} is not above`);
      // Up into a short last line, where there is nothing above, is to its end.
      const last = { row: cell.row, index: (lengths[cell.row] ?? 0) - 1 };
      const back = layout.step(below, 0, -1);
      returned.push([below.row !== cell.row && back.index === last.index ? last : cell, back]);
    }
    expect(returned.map(([, back]) => back)).toEqual(returned.map(([expected]) => expected));
  });

  test("right goes to what is painted to the right, or to the next process", () => {
    const layout = layOut(many(4, 16), WIDE);
    for (const cell of cellsOf(many(4, 16))) {
      const right = layout.step(cell, 1, 0);
      if (right.row === cell.row && right !== cell) {
        expect(layout.position(right).y).toBe(layout.position(cell).y);
        expect(layout.position(right).x - layout.position(cell).x).toBeGreaterThanOrEqual(layout.cell.width);
      } else if (right !== cell) expect(right.row).toBe(cell.row + 1);
    }
  });
});

test("at the outermost cells a step goes nowhere", () => {
  const layout = layOut([5], WIDE);
  const ends = [layout.step({ row: 0, index: 0 }, -1, 0), layout.step({ row: 0, index: 4 }, 1, 0), layout.step({ row: 0, index: 2 }, 0, 1)];
  expect(ends.map(({ index }) => index)).toEqual([0, 4, 2]);
});

test("a step of nothing, even from a process without workers, ends", () => {
  expect(layOut([3, 0], WIDE).step({ row: 1, index: 0 }, 0, 0)).toEqual({ row: 1, index: 0 });
});

test.each([
  ["16 x 1", many(1, 16)],
  ["4 x 25", many(4, 25)],
  ["16 x 25", many(16, 25)],
  ["16 x 64", many(16, 64)],
  ["256 x 1", many(256, 1)],
  ["100 x 64", many(100, 64)],
  ["6,400 x 1", many(6400, 1)],
])("%s slots fit 1216 x 330 CSS pixels", (_name, lengths) => {
  expect(layOut(lengths, WIDE).height).toBeLessThanOrEqual(330);
});

test("labels are left out only where nothing else helps", () => {
  const widths = [layOut(many(100, 64), WIDE), layOut(many(90, 64), { width: 1216, height: 380 }), layOut(many(100, 64), PHONE)];
  expect(widths.map(({ labelWidth }) => labelWidth > 0)).toEqual([false, true, true]);
});

test("few workers get large cells", () => {
  expect(layOut(many(4, 16), WIDE).cell.width).toBeGreaterThanOrEqual(24);
});

test("more height never makes cells smaller", () => {
  for (let seed = 0; seed < 60; seed++) {
    const below = random(seed);
    const lengths = many(1 + below(60), 1 + below(64));
    const width = 200 + below(1200);
    const sizes = [100, 200, 400, 800].map((height) => layOut(lengths, { width, height }).cell.width);
    expect(sizes).toEqual([...sizes].sort((one, other) => one - other));
  }
});

test("beside the cells there is nothing", () => {
  const layout = layOut([5], WIDE);
  const { x, y } = layout.position({ row: 0, index: 4 });
  const beside = [layout.at(-1, 20), layout.at(1215, 20), layout.at(4, 4), layout.at(4, 900), layout.at(x + 40, y + 4)];
  expect(beside).toEqual([null, null, null, null, null]);
});

test("between processes there is nothing", () => {
  const layout = layOut(many(4, 16), WIDE);
  const block = layout.block(0);
  const y = layout.position({ row: 0, index: 0 }).y + 4;
  const beside = [4, 8, 12].map((gap) => layout.at(block.x + block.width + gap, y));
  expect(beside).toEqual([null, null, null]);
});

test("no process: nothing is found, and there is hardly any height", () => {
  const layout = layOut([], WIDE);
  expect(layout.at(3, 3)).toBeNull();
  expect(layout.height).toBeLessThan(10);
});
