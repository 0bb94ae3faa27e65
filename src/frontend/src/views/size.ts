import { useSignal, type ReadonlySignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** The inner size of an element in whole CSS pixels, null until it is laid out. */
export function useSize(
  element: RefObject<HTMLElement | null>,
): ReadonlySignal<{ readonly width: number; readonly height: number } | null> {
  const size = useSignal<{ width: number; height: number } | null>(null);
  useEffect(() => {
    if (element.current === null) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry === undefined || entry.contentRect.width < 1) return;
      size.value = { width: Math.floor(entry.contentRect.width), height: Math.floor(entry.contentRect.height) };
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return size;
}
