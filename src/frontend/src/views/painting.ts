import { effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** Nobody sees the page: what comes in late, as answers that were asked for before, is painted once somebody does. */
const hidden = signal(document.hidden);
document.addEventListener("visibilitychange", () => (hidden.value = document.hidden));

/**
 * Paint whenever a signal that was read has changed, at once: the hook of the signals' library waits for the next
 * frame, in which the words around a picture would already be those of a newer sample.
 */
export function usePainting(paint: () => void): void {
  useEffect(() => effect(() => (hidden.value ? undefined : paint())), []);
}
