import { computed } from "@preact/signals";
import type { TargetedKeyboardEvent } from "preact";

import { draining, Sightings, type Drain } from "../draining";
import { later } from "../later";
import { BLOCKED, drainsFor, ending, heldFor, holder, others, WORDS } from "../recorder/strings-first";
import { sameSlot } from "../requests";
import { ageAt, choices, marks, pin, requests, sample } from "../state";
import * as strings from "../strings";

const sightings = new Sightings();
const drained = computed(() => {
  if (sample.value === null) return [];
  sightings.take(sample.value);
  const turns = marks.value
    .filter(({ kind }) => kind === "graceful")
    .map(({ at, generation }) => ({ at, generation: generation ?? null }));
  return draining(sample.value, requests.value, turns, sightings);
});

/** What keeps old processes from ending; nothing while none drains. */
export function Draining() {
  const [first] = drained.value;
  if (first === undefined) return null;
  const [request] = first.holders;
  const Drains = later.value?.Drains;
  return (
    <section class="draining" aria-label={WORDS.drains} data-testid="draining">
      <p>
        {request !== undefined && BLOCKED} <Blocker drain={first} />
        <small>{drainsFor(first, ageAt.value)}</small>
      </p>
      <details onKeyDown={closeByEscape}>
        <summary>{drained.value.length > 1 ? others(drained.value.length - 1) : WORDS.details}</summary>
        {Drains !== undefined && <Drains drains={drained.value} />}
      </details>
    </section>
  );
}

/** What lies over the page closes first. */
export function closeByEscape(event: TargetedKeyboardEvent<HTMLDetailsElement>): void {
  if (event.key !== "Escape" || !event.currentTarget.open) return;
  event.currentTarget.open = false;
  event.stopPropagation();
}

/** The oldest request of a process; a click pins its slot. */
export function Blocker({ drain }: { readonly drain: Drain }) {
  const [request] = drain.holders;
  if (request === undefined) return <span>{ending(drain)}</span>;
  return (
    <button
      type="button"
      class="holder"
      title={strings.LABELS.pin}
      aria-pressed={sameSlot(request.slot, choices.value.pinned)}
      onClick={() => pin(request.slot)}
    >
      {holder(drain, request)}
      {heldFor(request, ageAt.value)}
    </button>
  );
}
