/** Time and value axes: what the pictures of the past show, where, and their ticks. Pure: numbers in, numbers out. */
import type { Point } from "./history";

/** A stretch of time in epoch seconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What the viewer chose to see: so many seconds up to `endAt`, or up to the newest sample (null). */
export interface View {
  readonly seconds: number;
  readonly endAt: number | null;
}

/** What there is to see (epoch seconds), and how much of it at once (seconds). */
export interface Limits {
  readonly oldest: number;
  readonly newest: number;
  readonly shortest: number;
  readonly longest: number;
}

/** Where an instant is drawn, and which one is drawn at x; CSS pixels. */
export interface TimeScale {
  readonly left: number;
  readonly right: number;
  x(at: number): number;
  /** Null beside the plot. */
  at(x: number): number | null;
}

export interface ValueAxis {
  readonly top: number;
  readonly ticks: readonly number[];
}

/** Room for labels left of every plot, so that they stand in line, and right of it (CSS pixels). */
export const GUTTER = 56;
export const MARGIN = 10;

const MINUTE = 60;
const HOUR = 3600;
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12, 24].map((hours) => hours * HOUR),
];
const TIME_TICK_PIXELS = 70;
const VALUE_TICK_PIXELS = 22;

export function timeScale(span: Span, width: number): TimeScale {
  const right = Math.max(GUTTER + 1, width - MARGIN);
  const perPixel = (span.to - span.from) / (right - GUTTER);
  return {
    left: GUTTER,
    right,
    x: (at) => GUTTER + (at - span.from) / perPixel,
    at: (x) => (x < GUTTER || x > right ? null : span.from + (x - GUTTER) * perPixel),
  };
}

/** Round instants of the local clock within a span that is so many pixels wide. */
export function timeTicks(span: Span, pixels: number): readonly number[] {
  const least = ((span.to - span.from) / Math.max(1, pixels)) * TIME_TICK_PIXELS;
  const longest = TIME_STEPS.at(-1) ?? HOUR;
  const step = TIME_STEPS.find((candidate) => candidate >= least) ?? Math.ceil(least / longest) * longest;
  const zone = -MINUTE * new Date(span.to * 1000).getTimezoneOffset();
  const ticks: number[] = [];
  for (let at = Math.ceil((span.from + zone) / step) * step - zone; at <= span.to; at += step) ticks.push(at);
  return ticks;
}

/**
 * A value axis from 0 up to at least `top`, with steps of 1, 2 or 5. Its top is rounded less than its steps are: a plot
 * is not to stay half empty, and not to be scaled anew with each sample either.
 */
export function valueTicks(top: number, pixels: number, whole = false): ValueAxis {
  const wanted = top > 0 && Number.isFinite(top) ? top : 1;
  const least = Math.max(whole ? 1 : 0, (wanted * VALUE_TICK_PIXELS) / Math.max(VALUE_TICK_PIXELS, pixels));
  for (let power = 10 ** Math.floor(Math.log10(least)); ; power *= 10) {
    for (const digit of [1, 2, 5]) {
      const step = digit * power;
      const fine = Math.max(whole ? 1 : 0, digit === 1 ? power / 2 : power);
      const rounded = Math.ceil(wanted / fine - 1e-9) * fine;
      if (step < least || (step * pixels) / rounded < Math.min(VALUE_TICK_PIXELS, pixels)) continue;
      const count = Math.floor(rounded / step + 1e-9);
      // A low plot has room for no step: its top is told.
      if (count === 0) return { top: rounded, ticks: [0, rounded] };
      return { top: rounded, ticks: Array.from({ length: count + 1 }, (_, index) => index * step) };
    }
  }
}

export function spanOf(view: View, newest: number): Span {
  const to = view.endAt ?? newest;
  return { from: to - view.seconds, to };
}

/** A right edge that is within what there is; null at the newest sample, which it then follows. */
function edge(endAt: number, limits: Limits): number | null {
  return endAt >= limits.newest || limits.oldest + limits.shortest >= limits.newest
    ? null
    : Math.max(limits.oldest + limits.shortest, endAt);
}

/** Move a view by seconds, towards the past if they are negative. */
export function pan(view: View, seconds: number, limits: Limits): View {
  return { ...view, endAt: edge((view.endAt ?? limits.newest) + seconds, limits) };
}

/** Show `factor` times as many seconds; `around` stays where it is, or the right edge in a view that follows. */
export function zoom(view: View, factor: number, around: number, limits: Limits): View {
  const seconds = Math.max(limits.shortest, Math.min(limits.longest, view.seconds * factor));
  if (view.endAt === null) return { seconds, endAt: null };
  return { seconds, endAt: edge(around + ((view.endAt - around) * seconds) / view.seconds, limits) };
}

/** How many of the values, which are in order of time, are older than an instant. */
export function countBefore(values: readonly { readonly at: number }[], at: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle]?.at ?? at) < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last of a list that passes. */
export function lastOf<T>(list: readonly T[], passes: (item: T) => boolean): T | undefined {
  let index = list.length - 1;
  while (index >= 0 && !passes(list[index] as T)) index -= 1;
  return list[index];
}

/** The index of the value that is nearest in time; -1 if there is none. */
export function nearest(values: readonly { readonly at: number }[], at: number): number {
  const after = countBefore(values, at);
  const before = values[after - 1];
  const next = values[after];
  if (before === undefined) return next === undefined ? -1 : after;
  return next === undefined || at - before.at <= next.at - at ? after - 1 : after;
}

/** One of two points, with the least and the most of the rates of both. */
function together(best: Point, other: Point): Point {
  const gap = best.gap || other.gap;
  const band = (pick: "requests" | "bytes", rate: (point: Point) => number | null) => {
    const rates = [best, other].flatMap((point) => point.spread?.[pick] ?? [rate(point)]).filter((one) => one !== null);
    return rates.length === 0 ? null : ([Math.min(...rates), Math.max(...rates)] as const);
  };
  const requests = band("requests", (point) => point.requestsPerSecond);
  const bytes = band("bytes", (point) => point.bytesPerSecond);
  if (requests === null && bytes === null) return gap === best.gap ? best : { ...best, gap };
  return { ...best, gap, spread: { seconds: best.spread?.seconds ?? 0, requests, bytes } };
}

/**
 * At most one point for each pixel, the one with the most busy workers, and one beyond each edge of the span. A pixel
 * is a fixed stretch of time wherever the span begins: a picture that moves on must not choose others each second.
 */
export function thin(points: readonly Point[], span: Span, pixels: number): readonly Point[] {
  const perPixel = (span.to - span.from) / Math.max(1, pixels);
  const first = countBefore(points, span.from);
  const chosen: Point[] = points.slice(Math.max(0, first - 1), first);
  let column = Number.NaN;
  for (let index = first; index < points.length; index++) {
    const point = points[index];
    const last = chosen.at(-1);
    if (point === undefined) break;
    if (point.at > span.to) {
      chosen.push(point);
      break;
    }
    const here = Math.floor(point.at / perPixel);
    if (here !== column || last === undefined) chosen.push(point);
    else chosen[chosen.length - 1] = point.busy > last.busy ? together(point, last) : together(last, point);
    column = here;
  }
  return chosen;
}
