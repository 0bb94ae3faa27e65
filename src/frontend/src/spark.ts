/** A sparkline's paths: the last five minutes, at most one point a unit of width. Pure. */
import { thin } from "./axis";
import type { Point } from "./history";

const SECONDS = 300;

interface Box {
  readonly width: number;
  readonly height: number;
  /** The value at the top edge, if the values don't go beyond. */
  readonly top: number;
}

export function spark(
  points: readonly Point[],
  pick: (point: Point) => number | null,
  { width, height, top }: Box,
): { readonly line: string; readonly area: string } {
  const to = points.at(-1)?.at ?? 0;
  const from = to - SECONDS;
  const shown = thin(points, { from, to }, width).filter(({ at }) => at >= from);
  const most = shown.reduce((highest, point) => Math.max(highest, pick(point) ?? 0), top) || 1;
  const round = (value: number) => Math.round(value * 10) / 10;
  let line = "";
  let area = "";
  let start = "";
  let last = "";
  const close = () => {
    if (start !== "") area += `L${last} ${height}L${start} ${height}Z`;
    start = "";
  };
  for (const point of shown) {
    const value = pick(point);
    if (value === null || point.gap) close();
    if (value === null) continue;
    const x = String(round(((point.at - from) / SECONDS) * width));
    const y = round(1 + (1 - value / most) * (height - 2));
    const step = `${start === "" ? "M" : "L"}${x} ${y}`;
    line += step;
    area += step;
    if (start === "") start = x;
    last = x;
  }
  close();
  return { line, area };
}
