/** What the page knows, as signals: set here alone, read by the views. */
import { batch, computed, signal } from "@preact/signals";

import { inFlight, processRows, remember, slotDetails, verdict, type Point, type Slot } from "./derive";
import type { Connection, Problem } from "./live";
import * as strings from "./strings";
import type { Failure, Frame, Sample } from "./wire";

export const connection = signal<Connection>({ kind: "connecting" });
export const sample = signal<Sample | null>(null);
export const points = signal<readonly Point[]>([]);
export const selected = signal<Slot | null>(null);
/** Counts down to the next try; stands still while there is nothing to count. */
export const now = signal(Date.now());

/** Counts the changes of the colour scheme: who paints by hand repaints. */
export const scheme = signal(0);

const failure = signal<Failure | null>(null);
const problem = signal<Problem | null>(null);

export function receive(frame: Frame): void {
  batch(() => {
    problem.value = null;
    if ("error" in frame) {
      failure.value = frame;
      return;
    }
    failure.value = null;
    sample.value = frame;
    points.value = remember(points.value, frame);
  });
}

export function complain(what: Problem): void {
  problem.value = what;
}

export function connected(state: Connection): void {
  batch(() => {
    now.value = Date.now();
    connection.value = state;
  });
}

export const requests = computed(() => (sample.value === null ? [] : inFlight(sample.value)));
export const rows = computed(() => (sample.value === null ? [] : processRows(sample.value)));
export const says = computed(() => (sample.value === null ? null : verdict(sample.value, requests.value)));
export const details = computed(() =>
  sample.value === null || selected.value === null ? null : slotDetails(sample.value, selected.value),
);

const latest = computed(() => failure.value ?? sample.value);
/** How many Apache workers all viewers of the dashboard hold; null if the server does not say. */
export const holding = computed(() => latest.value?.viewers.holding ?? null);
export const notices = computed(() => latest.value?.notices ?? []);

export const error = computed(() => {
  if (problem.value !== null) return strings.problem(problem.value);
  return failure.value?.error ?? null;
});

/** When the shown numbers were read (ms), if they are no longer those of now. */
export const outdatedSince = computed(() => {
  const current = connection.value.kind === "live" || connection.value.kind === "polling";
  if (sample.value === null || (current && error.value === null)) return null;
  return sample.value.at * 1000;
});
