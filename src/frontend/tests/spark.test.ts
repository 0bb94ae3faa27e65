import { describe, expect, test } from "vitest";

import type { Point } from "../src/history";
import { pointOf } from "../src/memory";
import { spark } from "../src/spark";
import { random } from "./random";
import { AT, counted } from "./samples";

const BOX = { width: 100, height: 22, top: 0 };
const EMPTY = pointOf(counted([]), false);

/** Points at seconds before AT; null is a value that is not known. */
const line = (values: readonly (readonly [number, number | null])[], gaps: readonly number[] = []): readonly Point[] =>
  values.map(([ago, value]) => ({ ...EMPTY, at: AT - ago, requestsPerSecond: value, gap: gaps.includes(ago) }));
const rate = (point: Point) => point.requestsPerSecond;
const drawn = (points: readonly Point[], box = BOX) => spark(points, rate, box);

describe("lines", () => {
  test("the last five minutes, from the lower edge to the highest value", () => {
    expect(drawn(line([[300, 0], [150, 10], [0, 5]])).line).toBe("M0 21L50 1L100 11");
  });

  test("a value at the top edge if none goes beyond", () => {
    expect(drawn(line([[300, 10], [0, 20]]), { ...BOX, top: 40 }).line).toBe("M0 16L100 11");
    expect(drawn(line([[300, 10], [0, 80]]), { ...BOX, top: 40 }).line).toBe("M0 18.5L100 1");
  });

  test("what is older is left out", () => {
    expect(drawn(line([[900, 99], [301, 99], [300, 0], [0, 5]])).line).toBe("M0 21L100 1");
  });

  test("they break where nothing was seen, and where no value is known", () => {
    expect(drawn(line([[300, 0], [200, 1], [100, 1], [0, 0]], [100])).line).toBe("M0 21L33.3 1M66.7 1L100 21");
    expect(drawn(line([[300, 0], [200, 1], [150, null], [100, 1], [0, 0]])).line).toBe("M0 21L33.3 1M66.7 1L100 21");
  });

  test("the area is closed below each part", () => {
    expect(drawn(line([[300, 1], [200, 1], [100, 1], [0, 1]], [100])).area).toBe("M0 1L33.3 1L33.3 22L0 22ZM66.7 1L100 1L100 22L66.7 22Z");
  });

  test.each([
    ["no point", []],
    ["no value", line([[10, null], [0, null]])],
  ])("%s, no line", (_name, points) => {
    expect(drawn(points)).toEqual({ line: "", area: "" });
  });

  test("nothing but zeros is a line along the lower edge", () => {
    expect(drawn(line([[300, 0], [0, 0]])).line).toBe("M0 21L100 21");
  });
});

test("of whatever points, every number lies within the box, and no more are drawn than it has units", () => {
  for (let seed = 0; seed < 100; seed++) {
    const below = random(seed);
    let ago = below(600);
    const values = Array.from({ length: below(500) }, () => [(ago -= below(4)), below(6) === 0 ? null : below(50)] as const);
    const gaps = values.map(([at]) => at).filter(() => below(9) === 0);
    const { line: path, area } = drawn(line(values, gaps));
    const numbers = `${path}${area}`.match(/[^MLZ ]+/g) ?? [];
    expect(numbers.filter((number) => !(Number(number) >= 0 && Number(number) <= 100))).toEqual([]);
    expect(path).toMatch(/^(M[\d.]+ [\d.]+(L[\d.]+ [\d.]+)*)*$/);
    expect(area.split("M").length).toBe(area.split("Z").length);
    expect(path.split(/[ML]/).length - 1).toBeLessThanOrEqual(102);
  }
});
