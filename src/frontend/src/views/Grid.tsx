import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { GridPainter } from "../grid";
import { hovered, kept, pin, rows, scheme, told } from "../state";
import * as strings from "../strings";
import { usePainting } from "./painting";
import { useRoom } from "./size";
import { stepOf, tellSlot } from "./slots";

/** Every worker now. */
export function Grid() {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useSignal<GridPainter | null>(null);
  const room = useRoom(host);
  useEffect(() => {
    if (canvas.current !== null) painter.value = new GridPainter(canvas.current);
    return () => (hovered.value = null);
  }, []);
  usePainting(() => {
    if (room.value === null) return;
    const { width, height } = room.value;
    painter.value?.draw({
      rows: rows.value,
      selected: told.value,
      kept: kept.value,
      scheme: scheme.value,
      width,
      height,
    });
  });
  const at = (event: MouseEvent) => painter.value?.slotAt(event.offsetX, event.offsetY) ?? null;
  return (
    <div
      ref={host}
      class="canvas"
      role="application"
      tabIndex={0}
      aria-label={strings.LABELS.grid}
      data-testid="cells"
      onKeyDown={(event) => {
        const [across, down] = stepOf(event);
        if (across !== 0 || down !== 0) tellSlot(painter.value?.step(told.value, across, down) ?? null, event);
        else if (event.key === "Enter" && told.value !== null) pin(told.value);
      }}
      onBlur={() => (hovered.value = null)}
    >
      <canvas
        ref={canvas}
        onPointerMove={(event) => (hovered.value = at(event))}
        onPointerLeave={() => (hovered.value = null)}
        onClick={(event) => {
          const slot = at(event);
          if (slot !== null) pin(slot);
        }}
      />
    </div>
  );
}
