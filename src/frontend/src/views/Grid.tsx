import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { STATE_KEYS } from "../derive";
import { GridPainter } from "../grid";
import { details, rows, sample, scheme, selected } from "../state";
import * as strings from "../strings";
import { STATUSES } from "../wire";
import { useSize } from "./size";

export function Grid() {
  return (
    <section class="panel workers" data-testid="grid">
      <h2>{strings.LABELS.workers}</h2>
      <Canvas />
      <p class="slot">
        {details.value === null
          ? strings.LABELS[selected.value === null ? "hint" : "gone"]
          : strings.slotLine(details.value)}
      </p>
      <Legend />
      <AsText />
    </section>
  );
}

function Canvas() {
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useSignal<GridPainter | null>(null);
  const size = useSize(canvas);
  useEffect(() => {
    if (canvas.current !== null) painter.value = new GridPainter(canvas.current);
  }, []);
  useSignalEffect(() => {
    if (size.value !== null) painter.value?.draw(rows.value, selected.value, size.value.width, scheme.value);
  });
  const point = (event: PointerEvent) => {
    selected.value = painter.value?.slotAt(event.offsetX, event.offsetY) ?? null;
  };
  return (
    <canvas
      ref={canvas}
      role="img"
      aria-label={strings.LABELS.grid}
      onPointerMove={point}
      onPointerDown={point}
      onPointerLeave={(event) => {
        if (event.pointerType === "mouse") selected.value = null;
      }}
    />
  );
}

function Legend() {
  const counts = sample.value?.rates.states;
  return (
    <ul class="legend" aria-label={strings.LABELS.legend}>
      {STATUSES.map((status) => (
        <li title={strings.STATE_NAMES[status]} class={counts?.[status] === 0 ? "none" : ""}>
          <span class={`swatch swatch-${STATE_KEYS[status]}`}>{status}</span>
          {strings.LEGEND_NAMES[status]} <b>{strings.count(counts?.[status] ?? 0)}</b>
        </li>
      ))}
    </ul>
  );
}

function AsText() {
  return (
    <details>
      <summary>{strings.LABELS.asText}</summary>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">{strings.LABELS.pid}</th>
              <th scope="col">{strings.LABELS.generation}</th>
              <th scope="col">{strings.LABELS.states}</th>
            </tr>
          </thead>
          <tbody>
            {rows.value.map((row) => (
              <tr key={row.process_num} data-testid="process-row">
                <td>{row.pid}</td>
                <td>{strings.generationCell(row)}</td>
                <td class="letters">{row.states}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
