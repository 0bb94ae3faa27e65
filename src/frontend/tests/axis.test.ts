import { afterEach, describe, expect, test } from "vitest";

import { countBefore, nearest, pan, spanOf, thin, timeScale, timeTicks, valueTicks, zoom } from "../src/axis";
import { GUTTER, MARGIN, type Limits, type View } from "../src/axis";
import type { Point } from "../src/history";

const STATES = { _: 0, S: 0, R: 0, W: 0, K: 0, D: 0, C: 0, L: 0, G: 0, I: 0, ".": 0 };
const LIMITS: Limits = { oldest: 1000, newest: 5000, shortest: 10, longest: 3600 };

const point = (at: number, busy = 0, gap = false): Point => ({
  at,
  gap,
  busy,
  of: 10,
  states: STATES,
  requestsPerSecond: null,
  bytesPerSecond: null,
  oldestSeconds: null,
});

/** The same numbers in each run: a failure can be looked at again. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return (state / 2 ** 32) * below;
  };
}

test("points that share a pixel keep the least and the most of their rates", () => {
  const rated = (at: number, busy: number, rate: number): Point => ({ ...point(at, busy), requestsPerSecond: rate });
  const span = { from: 0, to: 100 };
  const [only] = thin([rated(1, 2, 5), rated(2, 4, 1), rated(3, 1, 9)], span, 10);
  expect(only).toMatchObject({ at: 2, busy: 4, requestsPerSecond: 1, spread: { requests: [1, 9], bytes: null } });
});

describe("time ticks", () => {
  const home = process.env["TZ"];
  const noon = Date.UTC(2026, 6, 1, 12) / 1000;

  afterEach(() => {
    if (home === undefined) delete process.env["TZ"];
    else process.env["TZ"] = home;
  });

  test.each([
    ["a minute", 60, 700, 10],
    ["5 min", 300, 700, 30],
    ["5 min on a phone", 300, 294, 120],
    ["an hour", 3600, 700, 600],
    ["12 h", 43_200, 700, 7200],
    ["10 days", 864_000, 700, 86_400],
  ])("%s", (_name, seconds, pixels, step) => {
    process.env["TZ"] = "UTC";
    const ticks = timeTicks({ from: noon - seconds, to: noon }, pixels);
    expect(ticks.slice(1).map((at, index) => at - (ticks[index] ?? 0))).toEqual(ticks.slice(1).map(() => step));
    expect(ticks.at(-1)).toBe(noon - (noon % step));
  });

  test("hours of the local clock, also where it differs by half an hour", () => {
    process.env["TZ"] = "Asia/Kolkata";
    const ticks = timeTicks({ from: noon - 43_200, to: noon }, 300);
    expect(ticks.map((at) => new Date(at * 1000).getHours())).toEqual([6, 9, 12, 15]);
    expect(ticks.map((at) => new Date(at * 1000).getMinutes())).toEqual([0, 0, 0, 0]);
  });

  test("stay apart and inside, whatever the span", () => {
    const random = dice(1);
    for (let round = 0; round < 500; round++) {
      const seconds = 2 * 10 ** random(5.5);
      const pixels = 100 + random(1500);
      const to = noon + random(1e6);
      const span = { from: to - seconds, to };
      const ticks = timeTicks(span, pixels);
      const apart = ((ticks[1] ?? Infinity) - (ticks[0] ?? 0)) * (pixels / seconds);
      expect(apart).toBeGreaterThan(69.99);
      for (const at of ticks) expect(at >= span.from && at <= span.to).toBe(true);
    }
  });
});

describe("value ticks", () => {
  test.each([
    [64, 120, true, 70, [0, 20, 40, 60]],
    [1, 120, true, 1, [0, 1]],
    [3, 120, true, 3, [0, 1, 2, 3]],
    [0, 60, false, 1, [0, 0.5, 1]],
    [1180, 60, false, 1200, [0, 500, 1000]],
    [256, 30, true, 300, [0, 300]],
    [Number.NaN, 60, true, 1, [0, 1]],
  ])("up to %d in %d px, whole: %s", (most, pixels, whole, top, ticks) => {
    expect(valueTicks(most, pixels, whole)).toEqual({ top, ticks });
  });

  test("cover the value, waste less than half, and stay apart", () => {
    const random = dice(2);
    for (let round = 0; round < 2000; round++) {
      const [most, pixels, whole] = [10 ** (random(14) - 2), 30 + random(300), random(1) < 0.5];
      const { top, ticks } = valueTicks(most, pixels, whole);
      const step = (ticks[1] ?? top) - (ticks[0] ?? 0);
      expect(top).toBeGreaterThanOrEqual(most * (1 - 1e-9));
      expect(top).toBeLessThanOrEqual(Math.max(whole ? 1 : 0, most * 2));
      expect(ticks.length).toBeGreaterThan(1);
      expect((step * pixels) / top).toBeGreaterThan(21.99);
      if (whole) for (const tick of [...ticks, top]) expect(Number.isInteger(tick)).toBe(true);
    }
  });
});

describe("panning", () => {
  test.each([
    ["into the past", null, -100, 4900],
    ["back to now", 4900, 100, null],
    ["beyond now", 4900, 1e6, null],
    ["beyond the beginning", 4900, -1e6, 1010],
    ["not at all", 4900, 0, 4900],
  ])("%s", (_name, endAt, seconds, expected) => {
    expect(pan({ seconds: 300, endAt }, seconds, LIMITS)).toEqual({ seconds: 300, endAt: expected });
  });

  test("there is nothing to see but now", () => {
    const view: View = { seconds: 300, endAt: null };
    expect(pan(view, -3, { ...LIMITS, oldest: 4995 })).toEqual(view);
  });
});

describe("zooming", () => {
  test.each([
    ["a view that follows keeps its edge", null, 0.5, 4800, { seconds: 150, endAt: null }],
    ["not nearer than the shortest", null, 1e-9, 4800, { seconds: 10, endAt: null }],
    ["not farther than the longest", null, 1e9, 4800, { seconds: 3600, endAt: null }],
    ["around the middle", 4000, 0.5, 3850, { seconds: 150, endAt: 3925 }],
    ["out beyond now: it follows", 4900, 4, 4700, { seconds: 1200, endAt: null }],
  ])("%s", (_name, endAt, factor, around, expected) => {
    expect(zoom({ seconds: 300, endAt }, factor, around, LIMITS)).toEqual(expected);
  });

  test("the instant under the pointer stays there", () => {
    const random = dice(3);
    for (let round = 0; round < 500; round++) {
      const view = { seconds: 20 + random(300), endAt: 2000 + random(1500) };
      const around = view.endAt - random(1) * view.seconds;
      const zoomed = zoom(view, 0.6 + random(0.9), around, LIMITS);
      const share = (one: View) => (around - spanOf(one, LIMITS.newest).from) / one.seconds;
      expect(share(zoomed)).toBeCloseTo(share(view), 6);
    }
  });
});

test("a scale and its inverse agree inside the plot; beside it is no time", () => {
  const scale = timeScale({ from: 100, to: 200 }, 566);
  expect([scale.left, scale.right]).toEqual([GUTTER, 566 - MARGIN]);
  expect([scale.x(100), scale.x(150), scale.x(200)]).toEqual([GUTTER, 306, 556]);
  expect([scale.at(GUTTER), scale.at(306), scale.at(556)]).toEqual([100, 150, 200]);
  expect([scale.at(GUTTER - 1), scale.at(557)]).toEqual([null, null]);
});

test.each([
  [[], 5, -1, 0],
  [[3], 5, 0, 1],
  [[3, 7], 2, 0, 0],
  [[3, 7], 5, 0, 1],
  [[3, 7], 5.1, 1, 1],
  [[3, 7], 7, 1, 1],
  [[3, 7], 99, 1, 2],
])("in %j, at %d: nearest is %d, older are %d", (ats, at, index, older) => {
  const points = ats.map((each) => point(each));
  expect(nearest(points, at)).toBe(index);
  expect(countBefore(points, at)).toBe(older);
});

describe("thin", () => {
  test("keeps all points where there is room, and one beyond each edge", () => {
    const points = [1, 2, 3, 4, 5, 6, 7, 8].map((at) => point(at));
    expect(thin(points, { from: 3, to: 6 }, 300).map(({ at }) => at)).toEqual([2, 3, 4, 5, 6, 7]);
  });

  test("keeps peaks, gaps and the count within its bounds", () => {
    const random = dice(4);
    for (let round = 0; round < 50; round++) {
      const points = Array.from({ length: 2000 }, (_, at) => point(at, Math.floor(random(100)), random(40) < 1));
      const pixels = 20 + Math.floor(random(300));
      const span = { from: random(500), to: 1000 + random(1000) };
      const inside = points.filter(({ at }) => at >= span.from && at <= span.to);
      const thinned = thin(points, span, pixels);
      const shown = thinned.filter(({ at }) => at >= span.from && at <= span.to);
      expect(shown.length).toBeLessThanOrEqual(pixels + 1);
      expect(thinned.length - shown.length).toBeLessThanOrEqual(2);
      expect(Math.max(...shown.map(({ busy }) => busy))).toBe(Math.max(...inside.map(({ busy }) => busy)));
      const perPixel = (span.to - span.from) / pixels;
      const gaps = (some: readonly Point[]) =>
        new Set(some.filter(({ gap }) => gap).map(({ at }) => Math.floor(at / perPixel)));
      expect(gaps(shown)).toEqual(gaps(inside));
    }
  });

  test("a span that moves on shows the same points", () => {
    const random = dice(5);
    const now = 1_763_741_000.123_456;
    const points = Array.from({ length: 900 }, (_, place) => point(now - 900 + place, Math.floor(random(100))));
    const shown = (to: number) =>
      thin(points, { from: to - 600, to }, 151).filter(({ at }) => at > now - 550 && at < now - 10);
    for (let later = 1; later < 40; later++) expect(shown(now + later * 1.001)).toEqual(shown(now));
  });
});
