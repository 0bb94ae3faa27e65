import { effect } from "@preact/signals";
import { useEffect } from "preact/hooks";

/**
 * Paint whenever a signal that was read has changed, at once: the hook of the signals' library waits for the next
 * frame, in which the words around a picture would already be those of a newer sample.
 */
export function usePainting(paint: () => void): void {
  useEffect(() => effect(paint), []);
}
