/** Going from slot to slot with the keyboard, in the grid and in the map. */
import type { Slot } from "../requests";
import { say } from "../speech";
import { details, hovered, sample } from "../state";
import * as strings from "../strings";

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Cells across and down; both 0 for other keys. */
export const stepOf = (event: KeyboardEvent): readonly [number, number] => STEPS[event.key] ?? [0, 0];

/** Point at a slot, and say aloud what it does. */
export function tellSlot(slot: Slot | null, event: Event): void {
  event.preventDefault();
  if (slot === null) return;
  hovered.value = slot;
  const shown = details.peek();
  if (shown === null) return;
  const words = strings.story(shown.story, sample.peek()?.at ?? 0, shown.seen);
  say([words.state, words.request, ...words.facts].join(", "));
}
