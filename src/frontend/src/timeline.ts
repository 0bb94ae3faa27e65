/** Paints the server's numbers over time. */
import { nearest, thin, valueTicks } from "./axis";
import { Easel, FOOT, type Surface } from "./easel";
import type { Band, Mark, MarkKind, Point } from "./history";
import type { Status } from "./wire";

export interface LaneWords {
  readonly title: string;
  /** A label of the axis. */
  readonly write: (value: number) => string;
}

export interface Picture extends Surface {
  readonly points: readonly Point[];
  readonly marks: readonly Mark[];
  readonly cursorAt: number | null;
  readonly frozenAt: number | null;
  /** Busy workers, requests a second, bytes a second. */
  readonly lanes: readonly LaneWords[];
}

interface Lane {
  readonly words: LaneWords;
  readonly index: number;
  readonly top: number;
  readonly bottom: number;
  readonly ticks: readonly number[];
  readonly color: string;
  y(value: number): number;
  value(point: Point): number | null;
  /** Least and most, where a point tells of several samples. */
  band(point: Point): Band | null;
}

/** From the bottom of the stack to its top. */
const LAYERS = [..."WRKDCLSG"] as readonly Status[];
/** Room for flags above the lanes, and between lanes. */
const HEAD = 14;
const LANE_GAP = 14;
const SHARES = [0.46, 0.27, 0.27];
/** A quiet server's axis is not to show how noise looks from near. */
const LEAST_TOPS = [1, 1, 1000];
/** The limit's line is to be seen below the band of a full house, and a rate's line below its title. */
const HEADROOM = [1.07, 1.2, 1.2];
const TITLE_DEPTH = 12;
const BAND = 3;
const TINT = 0.09;
const FILL = 0.14;
const EDGE = 0.45;
/** A layer that is thinner has no edge: nothing would be left of its own colour. */
const EDGE_FROM = 3;
/** How wide a sample is that has none before it. */
const LONE_WIDTH = 3;
const FLAG = 12;
const BAND_FILL = 0.3;
/** A flag each, so that colour tells nothing alone; what has none is a line. */
const FLAGS: Readonly<Partial<Record<MarkKind, string>>> = {
  restart: "↻",
  "metrics-off": "?",
  "dashboard-start": "»",
  bookmark: "★",
};
/** How high the bar is of what lasts. */
const LASTS = 4;

/** The worker's lane as steps: a sample stands for the time since the one before it, as in the map. */
interface Step {
  readonly point: Point;
  readonly left: number;
  readonly width: number;
  readonly joined: boolean;
}

export class TimelinePainter {
  readonly #easel: Easel;

  constructor(canvas: HTMLCanvasElement) {
    this.#easel = new Easel(canvas);
  }

  draw(picture: Picture): void {
    const easel = this.#easel;
    easel.begin(picture);
    const { scale, colors } = easel;
    const points = thin(picture.points, picture.span, scale.right - scale.left);
    const lanes = lanesOf(picture, points, [colors.ink, colors.rate, colors.busy]);
    const bottom = picture.height - FOOT;
    easel.times(picture.span, [HEAD, bottom]);
    for (const lane of lanes) this.#axis(lane);
    this.#clipped(() => {
      for (const lane of lanes) {
        if (lane.index === 0) this.#workers(lane, points);
        else this.#rate(lane, points);
      }
    });
    for (const lane of lanes) this.#title(lane, points[0]?.of);
    for (const mark of picture.marks) this.#mark(mark, bottom, picture.span.to);
    this.#frozen(picture.frozenAt, bottom);
    if (picture.cursorAt === null || easel.instant(picture.cursorAt, [HEAD, bottom], colors.muted) === null) return;
    const point = points[nearest(points, picture.cursorAt)];
    if (point !== undefined) for (const lane of lanes) this.#dot(lane, point, 3.5);
  }

  /** The instant at x (CSS pixels); null beside the plot. */
  timeAt(x: number): number | null {
    return this.#easel.scale.at(x);
  }

  #clipped(paint: () => void): void {
    const { context, scale, height } = this.#easel;
    context.save();
    context.beginPath();
    context.rect(scale.left, 0, scale.right - scale.left, height);
    context.clip();
    paint();
    context.restore();
  }

  #axis({ words, ticks, y }: Lane): void {
    const { colors, scale } = this.#easel;
    for (const value of ticks) {
      const color = value === 0 ? colors.line : colors.grid;
      this.#easel.rule([scale.left, y(value), scale.right, y(value)], color);
      // That every lane begins at 0 is plain, and its label would touch that of the lane below.
      if (value > 0) this.#easel.text(words.write(value), scale.left - 7, y(value), colors.muted, "right");
    }
  }

  /** Below the limit's line, if that is where the title would be. */
  #title({ words, top, index, y }: Lane, limit = 0): void {
    const { colors, scale } = this.#easel;
    const line = index === 0 ? y(limit) - top : 0;
    const depth = line > 0 && line < 2 * TITLE_DEPTH ? line + TITLE_DEPTH - 2 : TITLE_DEPTH;
    this.#easel.text(words.title, scale.left + 7, top + depth, colors.muted, "left", true);
  }

  #workers(lane: Lane, points: readonly Point[]): void {
    const { scale } = this.#easel;
    let before: number | null = null;
    const steps = points.map((point): Step => {
      const right = this.#easel.snap(scale.x(point.at));
      const left = (point.gap ? null : before) ?? right - LONE_WIDTH;
      const joined = left === before;
      before = right;
      return { point, left, width: right - left, joined };
    });
    const sums = points.map(() => 0);
    for (const status of LAYERS) {
      this.#layer(lane, steps, sums, status);
    }
    this.#full(lane, steps);
    this.#limit(lane, steps);
  }

  /** One state on top of those below it, with an edge in the colour that is made to be told from its own. */
  #layer(lane: Lane, steps: readonly Step[], sums: number[], status: Status): void {
    const { context, colors, ratio } = this.#easel;
    const edges = new Path2D();
    context.beginPath();
    for (const [index, { point, left, width }] of steps.entries()) {
      const below = sums[index] ?? 0;
      const sum = below + point.states[status];
      if (sum === below) continue;
      const top = this.#easel.snap(lane.y(sum));
      const height = this.#easel.snap(lane.y(below)) - top;
      context.rect(left, top, width, height);
      if (height >= EDGE_FROM) edges.rect(left, top, width, 1 / ratio);
      sums[index] = sum;
    }
    context.fillStyle = colors.states[status].fill;
    context.fill();
    context.globalAlpha = EDGE;
    context.fillStyle = colors.states[status].letter;
    context.fill(edges);
    context.globalAlpha = 1;
  }

  /** Where no worker is free. */
  #full({ top, bottom }: Lane, steps: readonly Step[]): void {
    const { context, colors } = this.#easel;
    context.fillStyle = colors.states.G.fill;
    for (const { point, left, width } of steps) {
      if (point.of <= 0 || point.busy < point.of) continue;
      context.fillRect(left, top, width, BAND);
      context.globalAlpha = TINT;
      context.fillRect(left, top, width, bottom - top);
      context.globalAlpha = 1;
    }
  }

  #limit({ y }: Lane, steps: readonly Step[]): void {
    const { context, colors, ratio } = this.#easel;
    context.beginPath();
    for (const { point, left, width, joined } of steps) {
      if (point.of <= 0) continue;
      const level = this.#easel.snap(y(point.of)) - 0.5 / ratio;
      if (!joined) context.moveTo(left, level);
      context.lineTo(left, level);
      context.lineTo(left + width, level);
    }
    context.strokeStyle = colors.ink;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.stroke();
    context.setLineDash([]);
  }

  #rate(lane: Lane, points: readonly Point[]): void {
    const { context, scale } = this.#easel;
    for (const part of unbroken(lane, points)) {
      const [first, last] = [part[0], part.at(-1)];
      if (first === undefined || last === undefined) continue;
      if (first === last) this.#dot(lane, first, 2);
      context.beginPath();
      for (const point of part) context.lineTo(scale.x(point.at), lane.y(lane.value(point) ?? 0));
      context.lineWidth = 1.5;
      context.lineJoin = "round";
      context.strokeStyle = context.fillStyle = lane.color;
      context.stroke();
      context.lineTo(scale.x(last.at), lane.bottom);
      context.lineTo(scale.x(first.at), lane.bottom);
      context.globalAlpha = FILL;
      context.fill();
      this.#band(lane, part);
      context.globalAlpha = 1;
    }
  }

  /** From the least to the most of each point, around the line of the mean. */
  #band(lane: Lane, part: readonly Point[]): void {
    const { context, scale } = this.#easel;
    const banded = part.filter((point) => lane.band(point) !== null);
    if (banded.length === 0) return;
    context.beginPath();
    for (const point of banded) context.lineTo(scale.x(point.at), lane.y(lane.band(point)?.[1] ?? 0));
    for (const point of banded.reverse()) context.lineTo(scale.x(point.at), lane.y(lane.band(point)?.[0] ?? 0));
    context.globalAlpha = BAND_FILL;
    context.fill();
  }

  #dot(lane: Lane, point: Point, radius: number): void {
    const { context, colors, scale } = this.#easel;
    const x = scale.x(point.at);
    const value = lane.value(point);
    if (value === null || scale.at(x) === null) return;
    context.beginPath();
    context.arc(x, lane.y(value), radius, 0, 2 * Math.PI);
    context.fillStyle = lane.color;
    context.fill();
    context.strokeStyle = colors.panel;
    context.lineWidth = 1.5;
    context.stroke();
  }

  #mark({ kind, at, ended }: Mark, bottom: number, newest: number): void {
    const easel = this.#easel;
    const { context, colors } = easel;
    const { warn, panel } = colors;
    if (ended !== undefined) this.#lasting(at, ended ?? newest, kind === "saturation" ? colors.states.G.fill : warn);
    if (kind === "saturation") return;
    const x = easel.instant(at, [HEAD - 2, bottom], warn, 1, kind === "graceful" ? [3, 3] : []);
    const flag = FLAGS[kind];
    if (x === null || flag === undefined) return;
    const left = easel.snap(x - FLAG / 2);
    context.fillStyle = warn;
    context.beginPath();
    context.roundRect(left, 0, FLAG, FLAG, 3);
    context.fill();
    easel.text(flag, left + FLAG / 2, FLAG / 2 + 0.5, panel, "center");
  }

  /** A bar over its time, with an end on each side. */
  #lasting(from: number, to: number, color: string): void {
    const { context, scale, ratio } = this.#easel;
    const left = Math.max(scale.left, scale.x(from));
    const right = Math.min(scale.right, Math.max(scale.x(to), scale.x(from) + 2));
    if (left >= right) return;
    context.fillStyle = color;
    context.fillRect(left, HEAD - LASTS - 1, right - left, LASTS - 1);
    for (const x of [left, right - 1 / ratio]) context.fillRect(x, HEAD - LASTS - 3, 1 / ratio, LASTS + 2);
  }

  #frozen(at: number | null, bottom: number): void {
    const { context, colors } = this.#easel;
    const x = this.#easel.instant(at, [HEAD - 6, bottom], colors.ink, 1.5);
    if (x === null) return;
    context.fillStyle = colors.ink;
    context.beginPath();
    context.moveTo(x - 5, HEAD - 12);
    context.lineTo(x + 5, HEAD - 12);
    context.lineTo(x, HEAD - 5);
    context.fill();
  }
}

function lanesOf({ lanes, height }: Picture, points: readonly Point[], colors: readonly string[]): readonly Lane[] {
  const room = Math.max(1, height - HEAD - FOOT - LANE_GAP * (lanes.length - 1));
  let next = HEAD;
  return lanes.map((words, index) => {
    const tall = Math.round(room * (SHARES[index] ?? 0));
    const top = next;
    const bottom = top + tall;
    next = bottom + LANE_GAP;
    const value = (point: Point) => [point.busy, point.requestsPerSecond, point.bytesPerSecond][index] ?? null;
    const band = ({ spread }: Point) => [null, spread?.requests ?? null, spread?.bytes ?? null][index] ?? null;
    const highest = (point: Point) => Math.max(value(point) ?? 0, band(point)?.[1] ?? 0);
    const values = points.map((point) => Math.max(highest(point), index === 0 ? point.of : 0));
    const most = Math.max(LEAST_TOPS[index] ?? 1, Math.max(...values) * (HEADROOM[index] ?? 1));
    const axis = valueTicks(most, tall, index !== 1);
    const y = (amount: number) => bottom - (amount / axis.top) * tall;
    return { words, index, top, bottom, ticks: axis.ticks, color: colors[index] ?? "", y, value, band };
  });
}

/** Points that a line joins: it breaks at a gap, and where the rate is not known. */
function unbroken(lane: Lane, points: readonly Point[]): readonly (readonly Point[])[] {
  const parts: Point[][] = [[]];
  for (const point of points) {
    const known = lane.value(point) !== null;
    if (point.gap || !known) parts.push([]);
    if (known) parts.at(-1)?.push(point);
  }
  return parts;
}
