import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { GridPainter } from "../grid";
import type { ProcessRow } from "../rows";
import { scheme } from "../state";
import { usePainting } from "../views/painting";
import { useRoom } from "../views/size";

interface PictureProps {
  readonly rows: readonly ProcessRow[];
  readonly words: string;
}

/** Every worker of a moment, small. */
export function Picture({ rows, words }: PictureProps) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useSignal<GridPainter | null>(null);
  const shown = useSignal(rows);
  const room = useRoom(host);
  shown.value = rows;
  useEffect(() => {
    if (canvas.current !== null) painter.value = new GridPainter(canvas.current);
  }, []);
  usePainting(() => {
    if (room.value === null) return;
    painter.value?.draw({ ...room.value, rows: shown.value, selected: null, kept: null, scheme: scheme.value });
  });
  return (
    // It can be scrolled where there is too little room, with the keyboard as well.
    <div ref={host} class="canvas picture" role="img" aria-label={words} tabIndex={0}>
      <canvas ref={canvas} />
    </div>
  );
}
