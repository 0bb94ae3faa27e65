import { useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { BusyChart } from "../chart";
import { points, scheme } from "../state";
import * as strings from "../strings";
import { useSize } from "./size";

export function Chart() {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<BusyChart | null>(null);
  const size = useSize(host);
  useEffect(() => () => chart.current?.destroy(), []);
  useSignalEffect(() => {
    if (size.value === null || host.current === null) return;
    chart.current ??= new BusyChart(host.current);
    chart.current.draw(points.value, size.value, scheme.value);
  });
  const busy = points.value.map((point) => point.busy ?? 0);
  return (
    <section class="panel history">
      <h2>{strings.LABELS.chart}</h2>
      <ul class="legend">
        <li>
          <span class="stroke stroke-busy" />
          {strings.LABELS.busyWorkers}
        </li>
        <li>
          <span class="stroke stroke-rate" />
          {strings.LABELS.requestsPerSecond}
        </li>
      </ul>
      <div ref={host} class="chart" role="img" aria-label={strings.chartSummary(busy.at(-1) ?? 0, Math.max(0, ...busy))} />
    </section>
  );
}
