/** What the panel knows and shows, as signals, and what its buttons do. The words are in `strings.ts`. */
import { batch, computed, signal } from "@preact/signals";

import type { Span } from "../axis";
import { recorderOpen, sample, span } from "../state";
import { recording, refreshMarks, seek } from "../travel";
import {
  KINDS,
  readConcurrency,
  readEvent,
  readEvents,
  readGrid,
  USUAL_KINDS,
  type Kind,
  type RecordedEvent,
} from "./answers";
import { momentOf } from "./compare";
import { BACK, PRESETS, query, widened, type Back, type Preset } from "./range";
import { readRecording } from "./recording";
import { ask, Question } from "./server";
import * as strings from "./strings";

export type TabName = "status" | "events" | "take" | "whatif" | "compare";

export const tab = signal<TabName>("status");

/** Whether there is anything to ask for; a recorder that has failed may still have what it wrote. */
export const hasPast = computed(() => {
  const known = recording.value;
  if (known === null || known.state === "off") return false;
  return known.state !== "failed" || known.since !== null || known.history_since !== null;
});
export const isReplay = computed(() => recording.value?.state === "replay");
/** The end of what is recorded (epoch seconds), as far as it is known. */
const endAt = (): number => {
  const known = recording.peek();
  return (known?.state === "replay" ? known.until : known?.now) ?? sample.peek()?.at ?? 0;
};

/** Go to a moment with the whole page. */
export function show(at: number): void {
  recorderOpen.value = false;
  seek(at);
}

/** Ask how the recording stands; what can't be had or read leaves what was known. */
export async function askRecording(): Promise<void> {
  const answer = await ask("recording", readRecording);
  if (answer !== null && "value" in answer) recording.value = answer.value;
}

// Events

/** More are of no use to a reader. */
export const MOST_EVENTS = 500;

export const kinds = signal<ReadonlySet<Kind>>(new Set(USUAL_KINDS));
export const events = new Question(readEvents);
/** What became of the newest wish to set or remove a bookmark, if it failed. */
export const complaint = signal<string | null>(null);
export const newestFirst = computed(() => [...(events.state.value.value ?? [])].reverse());

export function askEvents(): void {
  const kind = KINDS.filter((each) => kinds.peek().has(each)).join();
  if (kind === "") events.forget();
  else void events.ask(`events?${new URLSearchParams({ limit: `${MOST_EVENTS}`, kind }).toString()}`);
}

export function toggleKind(kind: Kind): void {
  const chosen = new Set(kinds.peek());
  if (!chosen.delete(kind)) chosen.add(kind);
  kinds.value = chosen;
  askEvents();
}

/** Bookmark the moment that the page shows; gives whether that was done. */
export async function bookmark(text: string): Promise<boolean> {
  const at = sample.peek()?.at;
  const body = JSON.stringify({ at, text: text.trim() });
  const headers = { "Content-Type": "application/json" };
  const answer = await ask("bookmarks", readEvent, { method: "POST", headers, body });
  return settle(answer);
}

export async function removeBookmark({ id }: RecordedEvent): Promise<void> {
  settle(await ask(`bookmarks/${id}`, () => null, { method: "DELETE" }));
}

function settle(answer: { readonly value: unknown } | { readonly problem: string } | null): boolean {
  const done = answer !== null && "value" in answer;
  complaint.value = answer !== null && "problem" in answer ? answer.problem : null;
  if (done) {
    askEvents();
    void refreshMarks();
  }
  return done;
}

// Take it along

export const range = signal<Span>({ from: 0, to: 0 });
export const wellOrdered = computed(() => range.value.from < range.value.to);
export const exportLink = computed(() => `api/v1/export?${query(range.value)}`);
/** The most rows that the server gives at once. */
const MOST_ROWS = 4000;
export const csvLink = computed(
  () => `api/v1/history?${query(range.value, { points: `${MOST_ROWS}`, format: "csv" })}`,
);

export function take(preset: Preset): void {
  const seconds = PRESETS[preset];
  range.value = widened(seconds === null ? span.peek() : { from: endAt() - seconds, to: endAt() });
}

// What if

export const back = signal<Back>("day");
export const wanted = signal<number | null>(null);
export const concurrency = new Question(readConcurrency);

export async function askConcurrency(): Promise<void> {
  const seconds = BACK[back.peek()];
  const to = endAt();
  const known = recording.peek();
  const from = seconds === null ? (known?.history_since ?? known?.since ?? 0) : to - seconds;
  await concurrency.ask(`concurrency?${query({ from, to })}`);
  const answer = concurrency.state.peek().value;
  const most = answer?.levels.at(-1)?.[0] ?? null;
  if (wanted.peek() === null) wanted.value = answer?.workers ?? most;
}

// Compare

export type Side = "before" | "after";

/** The instants that are compared (epoch seconds). */
export const instants = { before: signal(0), after: signal(0) } as const;
/** What was chosen to compare with: seconds earlier, an event's id, or an instant of its own. */
export const against = signal("300");
const grids = { before: new Question(readGrid), after: new Question(readGrid) } as const;

function momentAt(side: Side) {
  return computed(() => {
    const { value: frame, ...rest } = grids[side].state.value;
    if (frame === null) return { moment: null, failure: null, ...rest };
    return "error" in frame
      ? { moment: null, failure: frame.error, ...rest }
      : { moment: momentOf(frame), failure: null, ...rest };
  });
}

export const moments = { before: momentAt("before"), after: momentAt("after") } as const;

export function setInstant(side: Side, at: number): void {
  const since = recording.peek()?.since ?? null;
  instants[side].value = at;
  if (since !== null && at < since) grids[side].fail(strings.nothingBefore(since));
  else void grids[side].ask(`grid?${new URLSearchParams({ at: `${at}` }).toString()}`);
}

/** Compare the moment that the page shows with the one before it that was chosen last, or else with the oldest. */
export function beginComparison(): void {
  const after = sample.peek()?.at ?? endAt();
  setInstant("after", after);
  const since = recording.peek()?.since ?? 0;
  if (after - Number(against.peek()) < since) against.value = OWN_INSTANT;
  if (against.peek() === OWN_INSTANT) setInstant("before", Math.min(after, Math.max(instants.before.peek(), since)));
  else compareWith(against.peek());
}

export function compareWith(chosen: string): void {
  against.value = chosen;
  const event = newestFirst.peek().find(({ id }) => chosen === `event ${id}`);
  if (event !== undefined) setInstant("before", event.at);
  else if (/^\d+$/.test(chosen)) setInstant("before", instants.after.peek() - Number(chosen));
}

export function swap(): void {
  const [before, after] = [instants.before.peek(), instants.after.peek()];
  batch(() => {
    against.value = OWN_INSTANT;
    setInstant("before", after);
    setInstant("after", before);
  });
}

export const OWN_INSTANT = "instant";
