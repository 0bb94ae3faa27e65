import { describe, expect, test } from "vitest";

import { glyph } from "../src/glyphs";
import { STATUSES, type Status } from "../src/wire";

/** The pixels that a letter sets in a box, row by row. */
function pixels(status: Status, width: number, height: number): readonly string[] {
  const rows = Array.from({ length: height }, () => new Array<string>(width).fill(" "));
  const fillRect = (x: number, y: number, across: number, down: number) => {
    expect([across, down]).toEqual([1, 1]);
    const row = rows[y];
    if (row === undefined || !(x in row)) throw new RangeError(`${x}, ${y} is outside of the box`);
    row[x] = "#";
  };
  glyph({ fillRect } as unknown as OffscreenCanvasRenderingContext2D, status, width, height);
  return rows.map((row) => row.join(""));
}

describe.each([...STATUSES])("%s", (status) => {
  test("is seen, and stays within the smallest cell", () => {
    expect(pixels(status, 3, 5).join("")).toContain("#");
    expect(() => pixels(status, 5, 6)).not.toThrow();
  });
});

test("no two letters look the same", () => {
  expect(new Set(STATUSES.map((status) => pixels(status, 3, 5).join("\n"))).size).toBe(STATUSES.length);
});

test("letters are not mirrored, and stand in the middle", () => {
  expect(pixels("L", 5, 7)).toEqual(["     ", " #   ", " #   ", " #   ", " #   ", " ### ", "     "]);
});
