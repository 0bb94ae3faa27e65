import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

import { cursorAt, frozenAt, panBy, span, zoomBy } from "../state";
import { live, seek } from "../travel";

/** A press that moves less is a click (CSS pixels). */
const SLOP = 4;
/** A wheel notch is some 100 pixels: one zooms by a quarter. */
const ZOOM_PER_PIXEL = 1.0022;
/** The marker of a stopped page is held so far from it (CSS pixels), and brings the page along so often. */
const GRIP = 7;
const SEEK_MS = 80;

/**
 * Pointer and wheel on a picture of time: move for the cursor, click to stop at an instant, drag the marker of a
 * stopped page to go through time, drag or swipe elsewhere to pan, Ctrl or Shift and the wheel (or a pinch) to zoom,
 * double click to go on. The wheel alone scrolls the page.
 */
export function useDrag(canvas: RefObject<HTMLCanvasElement | null>, timeAt: (x: number) => number | null): void {
  useEffect(() => {
    const target = canvas.current;
    if (target === null) return;
    let from: { readonly x: number; readonly at: number; moved: boolean; readonly grips: boolean } | null = null;
    let soughtMs = 0;
    const perPixel = () => (span.peek().to - span.peek().from) / Math.max(1, target.clientWidth);
    const listeners: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void } = {
      pointerdown: (event) => {
        const at = timeAt(event.offsetX);
        const marker = frozenAt.peek();
        const grips = at !== null && marker !== null && Math.abs(marker - at) < GRIP * perPixel();
        from = { x: event.offsetX, at: event.offsetX, moved: false, grips };
        target.setPointerCapture(event.pointerId);
      },
      pointermove: (event) => {
        cursorAt.value = timeAt(event.offsetX);
        if (from === null) return;
        const moved = from.moved || Math.abs(event.offsetX - from.x) > SLOP;
        if (moved && from.grips) {
          if (cursorAt.peek() !== null && event.timeStamp - soughtMs > SEEK_MS) {
            seek(cursorAt.peek() ?? 0);
            soughtMs = event.timeStamp;
          }
        } else if (moved) panBy((from.at - event.offsetX) * perPixel());
        from = { ...from, at: moved ? event.offsetX : from.at, moved };
      },
      pointerup: (event) => {
        const at = timeAt(event.offsetX);
        if (from !== null && (!from.moved || from.grips) && at !== null) seek(at);
        from = null;
      },
      pointercancel: () => (from = null),
      pointerleave: () => (cursorAt.value = null),
      dblclick: live,
      wheel: (event) => {
        const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
        if (!sideways && !event.ctrlKey && !event.shiftKey) return;
        event.preventDefault();
        if (sideways && !event.shiftKey) panBy(event.deltaX * perPixel());
        else zoomBy(ZOOM_PER_PIXEL ** (event.deltaY || event.deltaX), timeAt(event.offsetX) ?? undefined);
      },
    };
    const entries = Object.entries(listeners) as [string, EventListener][];
    for (const [name, listener] of entries) target.addEventListener(name, listener, { passive: false });
    return () => {
      for (const [name, listener] of entries) target.removeEventListener(name, listener);
    };
  }, []);
}
