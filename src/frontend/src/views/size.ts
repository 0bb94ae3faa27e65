import { useSignal, type ReadonlySignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

import type { Room } from "../layout";

/** Where the page scrolls as a whole, a picture may take so much of the window's height. */
const FLOWING_SHARE = 0.6;

/**
 * The room for a picture in whole CSS pixels, null until it is laid out: the element's own, or, where its height is
 * that of its content, a share of the window's.
 */
export function useRoom(element: RefObject<HTMLElement | null>): ReadonlySignal<Room | null> {
  const room = useSignal<Room | null>(null);
  useEffect(() => {
    const host = element.current;
    if (host === null) return;
    const observer = new ResizeObserver(() => {
      const fixed = getComputedStyle(host).overflowY !== "visible";
      const width = Math.floor(host.clientWidth);
      const height = fixed ? Math.floor(host.clientHeight) : Math.floor(window.innerHeight * FLOWING_SHARE);
      const same = room.peek()?.width === width && room.peek()?.height === height;
      if (!same && width > 0 && height > 0) room.value = { width, height };
    });
    observer.observe(host);
    return () => observer.disconnect();
  }, []);
  return room;
}
