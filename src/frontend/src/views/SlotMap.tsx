import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { MapPainter } from "../map";
import { sameSlot } from "../requests";
import {
  columns,
  cursorAt,
  dimmed,
  frozenAt,
  hovered,
  mapBlocks,
  mapRows,
  pin,
  placeOf,
  sample,
  scheme,
  span,
  told,
} from "../state";
import * as strings from "../strings";
import { usePainting } from "./painting";
import { useRoom } from "./size";
import { stepOf, tellSlot } from "./slots";

/** Every slot over time: a stuck request is a bar as long as it lasts, a burst is a wall. */
export function SlotMap() {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useSignal<MapPainter | null>(null);
  const room = useRoom(host);
  useEffect(() => {
    if (canvas.current !== null) painter.value = new MapPainter(canvas.current);
    return () => (hovered.value = cursorAt.value = null);
  }, []);
  usePainting(() => {
    if (room.value === null || sample.value === null) return;
    painter.value?.draw({
      ...room.value,
      columns: columns.value,
      rows: mapRows.value.places,
      blocks: mapBlocks.value,
      span: span.value,
      cursorAt: cursorAt.value,
      frozenAt: frozenAt.value,
      firstSeenAt: columns.value[0]?.since == null ? null : columns.value[0].at,
      selected: told.value === null ? null : placeOf(sample.value, told.value),
      dimmed: dimmed.value,
      scheme: scheme.value,
    });
  });
  const slotAt = (event: MouseEvent) => {
    const place = painter.value?.slotAt(event.offsetX, event.offsetY) ?? null;
    return place === null ? null : (mapRows.value.slots[mapRows.value.places.indexOf(place)] ?? null);
  };
  return (
    <div
      ref={host}
      class="canvas"
      role="application"
      tabIndex={0}
      aria-label={strings.LABELS.map}
      data-testid="map"
      onKeyDown={(event) => {
        const [, down] = stepOf(event);
        const { slots } = mapRows.value;
        if (event.key === "Enter" && told.value !== null) pin(told.value);
        else if (down !== 0) {
          const row = slots.findIndex((slot) => sameSlot(slot, told.value));
          tellSlot(slots[Math.min(slots.length - 1, Math.max(0, row + down))] ?? null, event);
        }
      }}
      onBlur={() => (hovered.value = null)}
    >
      <canvas
        ref={canvas}
        onPointerMove={(event) => {
          hovered.value = slotAt(event);
          cursorAt.value = painter.value?.timeAt(event.offsetX) ?? null;
        }}
        onPointerLeave={() => (hovered.value = cursorAt.value = null)}
        onClick={(event) => {
          const slot = slotAt(event);
          if (slot !== null) pin(slot);
        }}
      />
    </div>
  );
}
