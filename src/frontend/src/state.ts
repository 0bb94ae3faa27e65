/** What the page knows and shows, as signals: set here alone, read by the views. */
import { batch, computed, signal } from "@preact/signals";

import { DEFAULTS, WINDOWS, type Choices, type WindowName } from "./address";
import { pan, spanOf, zoom, type View } from "./axis";
import { parseFilter } from "./filter";
import { grouped, sorted } from "./groups";
import type { Connection, Problem } from "./live";
import { letterSince, Memory, MOST_POINTS } from "./memory";
import type { Screen } from "./report";
import { inFlight, isSlow, sameSlot, slotId, story, type Request, type Slot } from "./requests";
import { processRows } from "./rows";
import * as strings from "./strings";
import { verdict } from "./verdict";
import type { Failure, Frame, Sample } from "./wire";

const LEAST_SECONDS = 10;
const LEAST_ALL_SECONDS = 60;

export const connection = signal<Connection>({ kind: "connecting" });
/** Counts down to the next try; stands still while there is nothing to count. */
export const now = signal(Date.now());
/** Counts the changes of the colour scheme: who paints by hand repaints. */
export const scheme = signal(0);
export const choices = signal<Choices>(DEFAULTS);
/** What the pointer or the keyboard is on: a slot, and an instant (epoch seconds). */
export const hovered = signal<Slot | null>(null);
export const cursorAt = signal<number | null>(null);
/** The server's time as far as it is known, between samples too (epoch seconds). */
export const moment = signal(0);
/** A text that could not be copied, for the reader to copy. */
export const uncopied = signal<string | null>(null);
export const helping = signal(false);
export const copied = signal(false);

const memory = new Memory();
const newest = signal<Sample | null>(null);
const frozen = signal<Sample | null>(null);
const view = signal<View | null>(null);
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
    memory.take(frame);
    newest.value = frame;
    moment.value = frame.at;
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

export function choose(changes: Partial<Choices>): void {
  batch(() => {
    if (changes.window !== undefined) {
      view.value = frozen.value === null ? null : { seconds: secondsOf(changes.window), endAt: endAt() };
    }
    choices.value = { ...choices.value, ...changes };
  });
}

export const pin = (slot: Slot | null): void =>
  choose({ pinned: sameSlot(slot, choices.value.pinned) ? null : slot });

export const paused = computed(() => frozen.value !== null);
/** The sample that the page shows: the newest, or the one at which it was paused. */
export const sample = computed(() => frozen.value ?? newest.value);
/** Busy workers, and the most that can be, of now, paused or not; null before the first sample. */
export const load = computed(() => {
  const current = newest.value;
  if (current === null) return null;
  return { busy: current.rates.busy, of: current.capacity.max_request_workers ?? current.capacity.serving };
});
/** How far the newest sample is ahead of the one that is shown (seconds). */
export const behind = computed(() => (newest.value?.at ?? 0) - (sample.value?.at ?? 0));
/** The instant to which ages are counted (epoch seconds). */
export const ageAt = computed(() => frozen.value?.at ?? moment.value);

const upTo = <T extends { readonly at: number }>(list: readonly T[], at: number): readonly T[] => {
  let end = list.length;
  while (end > 0 && (list[end - 1]?.at ?? 0) > at) end -= 1;
  return list.slice(0, end);
};

/** Everything that is remembered, for the charts; a new array with each sample. */
export const points = computed(() => (newest.value === null ? [] : memory.points.slice()));
export const columns = computed(() => (newest.value === null ? [] : memory.columns.slice()));
export const marks = computed(() => (newest.value === null ? [] : memory.marks.slice()));
/** What was remembered when the shown sample was the newest. */
export const pointsBefore = computed(() => upTo(points.value, sample.value?.at ?? 0));
const columnsBefore = computed(() => upTo(columns.value, sample.value?.at ?? 0));

const endAt = (): number => view.value?.endAt ?? newest.value?.at ?? 0;

function secondsOf(window: WindowName): number {
  if (window !== "all") return WINDOWS[window];
  const seconds = endAt() - (points.value[0]?.at ?? 0);
  return Math.min(WINDOWS.all, Math.max(LEAST_ALL_SECONDS, seconds));
}

const shownView = computed<View>(() => view.value ?? { seconds: secondsOf(choices.value.window), endAt: null });
export const span = computed(() => spanOf(shownView.value, newest.value?.at ?? 0));
/** The window that is shown, if it has a name. */
export const windowName = computed(() => {
  const { window } = choices.value;
  return view.value === null || view.value.seconds === secondsOf(window) ? window : null;
});
/** Whether the charts stand still though the page does not. */
export const elsewhere = computed(() => !paused.value && view.value?.endAt != null);

const limits = () => ({
  oldest: points.value[0]?.at ?? 0,
  newest: newest.value?.at ?? 0,
  shortest: LEAST_SECONDS,
  longest: MOST_POINTS,
});

export function panBy(seconds: number): void {
  look(pan(shownView.value, seconds, limits()));
}

export function zoomBy(factor: number, around?: number): void {
  look(zoom(shownView.value, factor, around ?? span.value.to, limits()));
}

/** A paused page stays where it is: to follow is to resume. */
function look(next: View): void {
  view.value = paused.value ? { ...next, endAt: next.endAt ?? newest.value?.at ?? 0 } : next;
}

export function follow(): void {
  batch(() => {
    frozen.value = null;
    view.value = null;
  });
}

export function pause(at?: number): void {
  const place = at === undefined ? memory.wholes - 1 : memory.placeAt(at);
  show(place);
}

export const togglePause = (): void => (paused.value ? follow() : pause());

/** Go a number of samples back or forth; beyond the newest the page goes on. */
export function step(samples: number): void {
  const at = sample.value?.at;
  if (at === undefined) return;
  const nearest = memory.placeAt(at);
  // The page may stand at a sample that is no longer kept: it is before all that are.
  const place = ((memory.whole(nearest)?.at ?? at) > at ? -1 : nearest) + samples;
  if (place >= memory.wholes) follow();
  else if (samples > 0 || canStepBack.peek()) show(Math.max(0, place));
}

function show(place: number): void {
  const found = memory.whole(place);
  if (found === null) return;
  batch(() => {
    const { from, to } = span.value;
    frozen.value = found;
    const inside = found.at >= from && found.at <= to;
    view.value = { seconds: to - from, endAt: inside ? to : found.at + (found.at < from ? to - from : 0) };
  });
}

/** Whether an older sample than the shown one is kept whole. */
export const canStepBack = computed(() => {
  const at = sample.value?.at;
  return newest.value !== null && at !== undefined && (memory.whole(0)?.at ?? at) < at;
});

export const requests = computed(() => (sample.value === null ? [] : inFlight(sample.value)));
export const rows = computed(() =>
  sample.value === null ? [] : processRows(sample.value, (process) => memory.birth(process)),
);
export const says = computed(() =>
  sample.value === null ? null : verdict(sample.value, requests.value, pointsBefore.value),
);

export const filter = computed(() => parseFilter(choices.value.filter));
export const matching = computed(() => {
  const { empty, matches } = filter.value;
  return empty ? requests.value : requests.value.filter((request) => matches(request, sample.value?.at ?? 0));
});
/** The ids of the slots that a filter leaves; null without one. */
export const kept = computed(() =>
  filter.value.empty ? null : new Set(matching.value.map(({ slot }) => slotId(slot))),
);

export const isProblem = (request: Request, at: number): boolean =>
  !request.websocket && (request.draining || isSlow(request, at));

/** Sorted; in the usual order what needs a look comes first. Held WebSockets are apart. */
export const ordered = computed(() => {
  const at = sample.value?.at ?? 0;
  const { sort } = choices.value;
  const usual = sort.key === "age" && sort.down;
  const problems: Request[] = [];
  const others: Request[] = [];
  const websockets: Request[] = [];
  for (const request of sorted(matching.value, sort)) {
    if (request.websocket) websockets.push(request);
    else if (usual && isProblem(request, at)) problems.push(request);
    else others.push(request);
  }
  return { requests: [...problems, ...others], websockets };
});
export const groups = computed(() =>
  choices.value.group === null ? null : grouped(matching.value, choices.value.group),
);

/** The place of a slot among all slots of the scoreboard. */
export function placeOf(of: Sample, slot: Slot): number | null {
  let first = 0;
  for (const process of of.snapshot.processes) {
    if (process.process_num === slot.process_num) {
      return slot.index < process.workers.length ? first + slot.index : null;
    }
    first += process.workers.length;
  }
  return null;
}

/** What the pointer is on, or else what is pinned. */
export const told = computed(() => hovered.value ?? choices.value.pinned);
/** The story of the slot that is pointed at, or else of the pinned one; and since when it was seen in its state. */
export const details = computed(() => {
  const shown = sample.value;
  const slot = told.value;
  if (shown === null || slot === null) return null;
  const found = story(shown, slot);
  const place = placeOf(shown, slot);
  if (found === null || place === null) return null;
  const seen = letterSince(columnsBefore.value, place);
  const born = memory.birth({ process_num: slot.process_num, pid: found.pid });
  // A letter may have been another process' before.
  return { story: found, seen: seen !== null && born !== null && born.at > seen.at ? born : seen };
});

/** Whether the story is that of the pinned slot. */
export const sameTold = computed(() => choices.value.pinned !== null && sameSlot(told.value, choices.value.pinned));

interface MapRows {
  /** Places of slots, top to bottom. */
  readonly places: readonly number[];
  readonly slots: readonly Slot[];
}

let mapRowsBefore: MapRows & { readonly key: string } = { key: "", places: [], slots: [] };

/** The rows of the map: of every process that was ever there. The same object until they change. */
export const mapRows = computed<MapRows>(() => {
  const processes = newest.value?.snapshot.processes ?? [];
  const lived = processes.filter(({ process_num }) => memory.lived(process_num));
  const shape = lived.map(({ process_num, workers }) => `${process_num}/${workers.length}`).join();
  if (shape === mapRowsBefore.key) return mapRowsBefore;
  const places: number[] = [];
  const slots: Slot[] = [];
  let place = 0;
  for (const process of processes) {
    for (let index = 0; index < process.workers.length; index++, place++) {
      if (!memory.lived(process.process_num)) continue;
      places.push(place);
      slots.push({ process_num: process.process_num, index });
    }
  }
  mapRowsBefore = { key: shape, places, slots };
  return mapRowsBefore;
});

export const mapBlocks = computed(() => {
  const shown = new Map(rows.value.map((row) => [row.process_num, row]));
  const blocks: { label: string; first: number; count: number; marked: boolean }[] = [];
  let process_num = -1;
  for (const [first, slot] of mapRows.value.slots.entries()) {
    if (slot.process_num !== process_num) {
      process_num = slot.process_num;
      const row = shown.get(process_num);
      const label = row === undefined ? "" : `${row.pid}`;
      blocks.push({ label, first, count: 0, marked: row?.old === true || row?.quiescing === true });
    }
    const block = blocks.at(-1);
    if (block !== undefined) block.count += 1;
  }
  return blocks;
});

/** Places of slots that a filter fades in the map. */
export const dimmed = computed(() => {
  const left = kept.value;
  if (left === null) return null;
  const { places, slots } = mapRows.value;
  return new Set(places.filter((_, row) => !left.has(slotId(slots[row] ?? { process_num: -1, index: 0 }))));
});

export const frozenAt = computed(() => frozen.value?.at ?? null);

const latest = computed(() => failure.value ?? newest.value);
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
  if (newest.value === null || paused.value || (current && error.value === null)) return null;
  return newest.value.at * 1000;
});

/** What is on the screen, for who wants it as text. */
export function screen(place: string): Screen | null {
  if (sample.value === null || says.value === null) return null;
  const slow = requests.value.filter((request) => isSlow(request, sample.value?.at ?? 0)).length;
  return {
    place,
    sample: sample.value,
    says: says.value,
    tiles: strings.tiles(sample.value, says.value, slow),
    rows: rows.value,
    filter: choices.value.filter,
    ...ordered.value,
    groups: groups.value,
    groupKey: choices.value.group,
  };
}
