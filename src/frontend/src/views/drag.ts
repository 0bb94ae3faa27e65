import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

import { cursorAt, follow, panBy, pause, span, zoomBy } from "../state";

/** A press that moves less is a click (CSS pixels). */
const SLOP = 4;
/** A wheel notch is some 100 pixels: one zooms by a quarter. */
const ZOOM_PER_PIXEL = 1.0022;

/**
 * Pointer and wheel on a picture of time: move for the cursor, click to stop at an instant, drag or swipe to pan, Ctrl
 * or Shift and the wheel (or a pinch) to zoom, double click to go on. The wheel alone scrolls the page.
 */
export function useDrag(canvas: RefObject<HTMLCanvasElement | null>, timeAt: (x: number) => number | null): void {
  useEffect(() => {
    const target = canvas.current;
    if (target === null) return;
    let from: { readonly x: number; readonly at: number; moved: boolean } | null = null;
    const perPixel = () => (span.peek().to - span.peek().from) / Math.max(1, target.clientWidth);
    const listeners: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void } = {
      pointerdown: (event) => {
        from = { x: event.offsetX, at: event.offsetX, moved: false };
        target.setPointerCapture(event.pointerId);
      },
      pointermove: (event) => {
        cursorAt.value = timeAt(event.offsetX);
        if (from === null) return;
        const moved = from.moved || Math.abs(event.offsetX - from.x) > SLOP;
        if (moved) panBy((from.at - event.offsetX) * perPixel());
        from = { x: from.x, at: moved ? event.offsetX : from.at, moved };
      },
      pointerup: (event) => {
        const at = timeAt(event.offsetX);
        if (from !== null && !from.moved && at !== null) pause(at);
        from = null;
      },
      pointercancel: () => (from = null),
      pointerleave: () => (cursorAt.value = null),
      dblclick: follow,
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
