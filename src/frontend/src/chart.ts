/** The uPlot chart: busy workers on the left axis, requests a second on the right one. */
import uPlot from "uplot";

import { HISTORY_SECONDS, type Point } from "./derive";
import { LABELS, minute } from "./strings";

export interface Size {
  readonly width: number;
  readonly height: number;
}

const LEAST_TOP = 4;

export class BusyChart {
  #plot: uPlot | null = null;
  #scheme = -1;

  constructor(private readonly host: HTMLElement) {}

  draw(points: readonly Point[], size: Size, scheme: number): void {
    if (scheme !== this.#scheme) this.destroy();
    this.#scheme = scheme;
    this.#plot ??= new uPlot(options(this.host, size), [[], [], []], this.host);
    if (this.#plot.width !== size.width || this.#plot.height !== size.height) this.#plot.setSize(size);
    this.#plot.setData([
      points.map((point) => point.at),
      points.map((point) => point.busy),
      points.map((point) => point.requestsPerSecond),
    ]);
  }

  destroy(): void {
    this.#plot?.destroy();
    this.#plot = null;
  }
}

function options(host: HTMLElement, size: Size): uPlot.Options {
  const style = getComputedStyle(host);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--muted"),
    font: `11px ${style.fontFamily}`,
    grid: { stroke: color("--chart-grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    ...size,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 0, 0, 0],
    scales: {
      x: { range: (_plot, _min, max) => [max - HISTORY_SECONDS, max] },
      busy: { range: fromZero },
      rate: { range: fromZero },
    },
    axes: [
      { ...axis, size: 26, space: 60, values: (_plot, splits) => splits.map(minute) },
      { ...axis, scale: "busy", size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] },
      { ...axis, scale: "rate", size: 44, side: 1, grid: { show: false } },
    ],
    series: [
      {},
      {
        label: LABELS.busyWorkers,
        scale: "busy",
        stroke: color("--chart-busy"),
        fill: color("--chart-busy-fill"),
        width: 1.75,
        points: { show: false },
      },
      {
        label: LABELS.requestsPerSecond,
        scale: "rate",
        stroke: color("--chart-rate"),
        width: 1.5,
        dash: [5, 3],
        points: { show: false },
      },
    ],
  };
}

function fromZero(_plot: uPlot, _min: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, Math.max(LEAST_TOP, (max ?? 0) * 1.1)];
}
