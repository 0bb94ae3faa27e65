/**
 * What the charts and the map show beyond what the page remembers, as asked of the recording: so much at a time that
 * panning and zooming a little needs no other answer. Pure.
 */
import type { Span } from "./axis";
import type { Column, Point } from "./history";

/** A part of the recording, thinned for a span of so many pixels. */
export interface Part<T> extends Span {
  /** How many seconds there were to a pixel, as it was asked for. */
  readonly perPixel: number;
  readonly items: readonly T[];
}

/** On each side of what is shown, as a share of it, so much more is asked for. */
const BESIDE = 0.5;
/** A picture is not to become coarser than this many pixels for one item. */
const COARSEST = 2;
/** A live page that looks at all its past for days. */
const MOST_ITEMS = 8000;

/** What to ask for to show a span within what there is (epoch seconds); null if there is nothing of it. */
export function wanted(span: Span, within: Span): Span | null {
  const beside = BESIDE * (span.to - span.from);
  const from = Math.max(within.from, span.from - beside);
  const to = Math.min(within.to, span.to + beside);
  return from < to ? { from, to } : null;
}

/** Whether a part has all there is of a span, fine enough. */
export function covers(part: Part<unknown> | null, span: Span, within: Span, perPixel: number): boolean {
  if (part === null || part.perPixel > COARSEST * perPixel) return false;
  return part.from <= Math.max(span.from, within.from) && part.to >= Math.min(span.to, within.to);
}

/**
 * A part that goes on with a newer item, if it reached up to the one before it; the newest items are one while they
 * are near.
 */
function extended<T extends { readonly at: number }>(
  part: Part<T>,
  item: T,
  before: number,
  join: (one: T, other: T, from: number) => T,
): Part<T> {
  if (item.at <= part.to || before > part.to) return part;
  const [last, earlier] = [part.items.at(-1), part.items.at(-2)];
  const from = earlier?.at ?? part.from;
  const near = last !== undefined && item.at - from <= part.perPixel;
  const items = near ? [...part.items.slice(0, -1), join(last, item, from)] : [...part.items.slice(-MOST_ITEMS), item];
  return { ...part, to: item.at, items };
}

/** `before` is when the sample before it was (epoch seconds). */
export const withPoint = (part: Part<Point>, point: Point, before: number): Part<Point> =>
  extended(part, point, before, joined);

export const withColumn = (part: Part<Column>, column: Column, before: number): Part<Column> =>
  extended(part, column, before, (one, other) => ({ ...other, from: one.from, since: null }));

/** Two points as one that begins after an instant: the most of both, and of their rates the mean over time. */
function joined(one: Point, other: Point, from: number): Point {
  const most = other.busy > one.busy ? other : one;
  const share = Math.min(1, (other.at - one.at) / Math.max(1e-9, other.at - from));
  const mean = (a: number | null, b: number | null) => (a === null || b === null ? (a ?? b) : a + (b - a) * share);
  const band = (pick: "requests" | "bytes", a: number | null, b: number | null) => {
    const all = [...(one.spread?.[pick] ?? [a]), b].filter((value) => value !== null);
    return all.length === 0 ? null : ([Math.min(...all), Math.max(...all)] as const);
  };
  return {
    ...most,
    at: other.at,
    gap: one.gap,
    requestsPerSecond: mean(one.requestsPerSecond, other.requestsPerSecond),
    bytesPerSecond: mean(one.bytesPerSecond, other.bytesPerSecond),
    spread: {
      seconds: other.at - from,
      requests: band("requests", one.requestsPerSecond, other.requestsPerSecond),
      bytes: band("bytes", one.bytesPerSecond, other.bytesPerSecond),
    },
  };
}
