/** A canvas to paint time on, with what all such pictures share: colours, device pixels and the time axis. */
import { timeScale, timeTicks, type Span, type TimeScale } from "./axis";
import { palette, type Palette } from "./palette";

/** What every picture of time has. */
export interface Surface {
  readonly span: Span;
  readonly width: number;
  readonly height: number;
  /** Another number once colours are others. */
  readonly scheme: number;
}

interface Colors extends Palette {
  readonly line: string;
  readonly panel: string;
  readonly grid: string;
  readonly busy: string;
  readonly rate: string;
}

/** Room for the time axis below a plot (CSS pixels). */
export const FOOT = 18;
const TEXT_SIZE = 11;

const hourMinute = clock({});
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const hourMinuteSecond = clock({ second: "2-digit" });
const MINUTE = 60;

function clock(more: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...more });
}

/** Left, top, right, bottom; and top, bottom. */
type Box = readonly [number, number, number, number];
type Reach = readonly [number, number];

/** A canvas with its colours and its pixels; all measures are CSS pixels. */
export class Easel {
  readonly context: CanvasRenderingContext2D;
  ratio = 0;
  width = 0;
  height = 0;
  scale: TimeScale = timeScale({ from: 0, to: 1 }, 0);
  colors: Colors;
  #scheme = -1;

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser has no 2d canvas");
    this.context = context;
    this.colors = colorsOf(canvas);
  }

  /** Make ready for a new drawing. True if colours may be others than in the last one. */
  begin({ width, height, scheme, span }: Surface): boolean {
    const ratio = window.devicePixelRatio;
    if (width !== this.width || height !== this.height || ratio !== this.ratio) {
      Object.assign(this, { width, height, ratio });
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, width, height);
    this.scale = timeScale(span, width);
    if (scheme === this.#scheme) return false;
    this.#scheme = scheme;
    this.colors = colorsOf(this.canvas);
    return true;
  }

  /** The nearest place that begins a device pixel. */
  snap(place: number): number {
    return Math.round(place * this.ratio) / this.ratio;
  }

  /** A level or upright line on whole device pixels. */
  rule([left, top, right, bottom]: Box, color: string, width = 1, dash: number[] = []): void {
    const { context, ratio } = this;
    const pixels = Math.max(1, Math.round(width * ratio));
    const crisp = (place: number) => (Math.round(place * ratio - pixels / 2) + pixels / 2) / ratio;
    context.strokeStyle = color;
    context.lineWidth = pixels / ratio;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(crisp(left), crisp(top));
    context.lineTo(crisp(right), crisp(bottom));
    context.stroke();
    context.setLineDash([]);
  }

  /** An upright line at an instant; its x, or null if that is not in the picture. */
  instant(at: number | null, [top, bottom]: Reach, color: string, width = 1, dash: number[] = []): number | null {
    const x = at === null ? -1 : this.scale.x(at);
    if (x < this.scale.left - 0.5 || x > this.scale.right + 0.5) return null;
    this.rule([x, top, x, bottom], color, width, dash);
    return x;
  }

  text(words: string, x: number, y: number, color: string, align: CanvasTextAlign = "left", halo = false): void {
    const { context, colors } = this;
    context.font = `${TEXT_SIZE}px ${colors.font}`;
    context.textAlign = align;
    context.textBaseline = "middle";
    if (halo) {
      context.strokeStyle = colors.panel;
      context.lineWidth = 3;
      context.lineJoin = "round";
      context.strokeText(words, x, y);
    }
    context.fillStyle = color;
    context.fillText(words, x, y);
  }

  /** The time axis: lines from top to bottom, labels below. */
  times(span: Span, [top, bottom]: Reach): void {
    const { scale, context, colors } = this;
    const ticks = timeTicks(span, scale.right - scale.left);
    const format = ticks.some((at) => at % MINUTE !== 0) ? hourMinuteSecond : hourMinute;
    const midnight = format.format(new Date(2000, 0, 1));
    for (const at of ticks) {
      const x = scale.x(at);
      this.rule([x, top, x, bottom], colors.grid);
      const time = format.format(at * 1000);
      const label = time === midnight ? date.format(at * 1000) : time;
      context.font = `${TEXT_SIZE}px ${colors.font}`;
      const half = context.measureText(label).width / 2;
      this.text(label, Math.min(x, this.width - half), bottom + FOOT / 2 + 2, colors.muted, "center");
    }
  }
}

function colorsOf(element: Element): Colors {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  return {
    ...palette(element),
    line: color("--line"),
    panel: color("--panel"),
    grid: color("--chart-grid"),
    busy: color("--chart-busy"),
    rate: color("--chart-rate"),
  };
}
