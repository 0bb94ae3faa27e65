/** What the page knows and shows, as signals: set here alone, read by the views. */
import { batch, computed, signal } from "@preact/signals";

import { DEFAULTS, WINDOWS, type Choices, type WindowName } from "./address";
import { countBefore, pan, spanOf, zoom, type Span, type View } from "./axis";
import { withColumn, withPoint, type Part } from "./far";
import { parseFilter } from "./filter";
import { grouped, sorted } from "./groups";
import type { Column, Mark, Past, Point } from "./history";
import type { Connection, Problem } from "./live";
import { letterSince, livedIn, Memory, MOST_POINTS } from "./memory";
import type { Screen } from "./report";
import { inFlight, isSlow, sameSlot, slotId, story, type Request, type Slot } from "./requests";
import { processRows } from "./rows";
import * as strings from "./strings";
import { verdict } from "./verdict";
import { Watcher } from "./watcher";
import type { Alert, Failure, Frame, Process, Sample } from "./wire";

const LEAST_SECONDS = 10;
const LEAST_ALL_SECONDS = 60;
/** So much of the window is after a sample that is brought into sight: more of it where the recording is played on. */
const AHEAD = { standing: 0.5, playing: 0.75 } as const;

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

/** The recorder's panel was asked for. */
export const recorderOpen = signal(false);

/** A memory is another value once more is in it. */
const live = signal({ memory: new Memory() });
/** What surrounds the shown sample, if the page does not remember it itself. */
const past = signal<{ readonly memory: Memory } | null>(null);
/** What is asked of the recording for the pictures alone, because the page does not remember so much. */
export const farPoints = signal<Part<Point> | null>(null);
export const farColumns = signal<(Part<Column> & { readonly lived: Uint8Array }) | null>(null);
const watcher = new Watcher();
/** What happened, by the recording and what came since; oldest first. */
export const marks = signal<readonly Mark[]>([]);
/** From when on numbers are recorded (epoch seconds); null if nothing is. */
export const recordedFrom = signal<number | null>(null);
export const newest = signal<Sample | null>(null);
const frozen = signal<Sample | null>(null);
/** The newest, if it is one of the recording, because none comes: Apache's scoreboard can't be read. */
export const recalled = signal<Sample | null>(null);
const view = signal<View | null>(null);
const failure = signal<Failure | null>(null);
const problem = signal<Problem | null>(null);

export function receive(frame: Frame): void {
  batch(() => {
    problem.value = null;
    watcher.take(frame);
    marks.value = watcher.marks;
    if ("error" in frame) {
      failure.value = frame;
      return;
    }
    failure.value = null;
    // Nobody stopped there: the page did.
    if (standsRecalled.peek()) follow();
    recalled.value = null;
    const { memory } = live.peek();
    const before = newest.peek()?.at ?? frame.at;
    memory.take(frame);
    live.value = { memory };
    newest.value = frame;
    moment.value = frame.at;
    extend(memory, before);
  });
}

/** Show the newest sample of the recording, as the past that it is, where none has come. */
export function recall(found: Sample): void {
  if (newest.peek() !== null) return;
  batch(() => {
    const { memory } = live.peek();
    memory.take(found);
    live.value = { memory };
    newest.value = recalled.value = found;
    moment.value = found.at;
    pause();
  });
}

/** The pictures of long windows go on without another question. */
function extend(memory: Memory, before: number): void {
  const [point, column] = [memory.points.at(-1), memory.columns.at(-1)];
  const [points, columns] = [farPoints.peek(), farColumns.peek()];
  if (points !== null && point !== undefined) farPoints.value = withPoint(points, point, before);
  if (columns === null || column === undefined) return;
  // Of an Apache with other slots there is another picture.
  if (columns.items[0]?.letters.length !== column.letters.length) return;
  farColumns.value = { ...withColumn(columns, column, before), lived: columns.lived };
}

/** Remember more: what was before these samples, and they themselves, beside those that came meanwhile. */
export function refill(before: Past, samples: readonly Sample[]): void {
  const own = live.peek().memory;
  const memory = new Memory({
    points: before.points.length > 0 ? before.points : own.points,
    columns: before.columns.length > 0 ? before.columns : own.columns,
  });
  const all = new Map(samples.map((sample) => [sample.at, sample]));
  // What came is at least as whole as what was recorded of it.
  for (const sample of own.samples()) all.set(sample.at, sample);
  for (const at of [...all.keys()].sort((one, other) => one - other)) {
    const sample = all.get(at);
    if (sample !== undefined) memory.take(sample);
  }
  live.value = { memory };
}

/** Have other parts of the recording for the pictures, and what came since they were asked for. */
export function picture(points: Part<Point> | null, columns: Part<Column> | null): void {
  const { memory } = live.peek();
  batch(() => {
    if (points !== null) farPoints.value = caughtUp(points, memory.points, withPoint);
    if (columns !== null) {
      farColumns.value = { ...caughtUp(columns, memory.columns, withColumn), lived: livedIn(columns.items) };
    }
  });
}

function caughtUp<T extends { readonly at: number }>(
  part: Part<T>,
  newer: readonly T[],
  take: (part: Part<T>, item: T, before: number) => Part<T>,
): Part<T> {
  const first = countBefore(newer, part.to);
  // What the page remembers begins later: there is a hole between them.
  if (first === 0) return part;
  return newer.slice(first).reduce((grown, item) => take(grown, item, grown.to), part);
}

/** Have the marks of the recording up to an instant (epoch seconds). */
export function mark(until: number, recorded: readonly Mark[]): void {
  watcher.adopt(recorded, until);
  marks.value = watcher.marks;
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
      const seconds = secondsOf(changes.window);
      const at = frozen.value?.at ?? null;
      // A paused page keeps its moment in sight.
      const kept = at === null || at >= endAt() - seconds ? endAt() : at + AHEAD.standing * seconds;
      view.value = at === null ? null : { seconds, endAt: kept };
    }
    choices.value = { ...choices.value, ...changes };
  });
}

export const pin = (slot: Slot | null): void =>
  choose({ pinned: sameSlot(slot, choices.value.pinned) ? null : slot });

export const paused = computed(() => frozen.value !== null);
/** Whether the page stands at the newest sample because none comes, and not because its viewer stopped it. */
const standsRecalled = computed(() => recalled.value !== null && frozen.value?.at === recalled.value.at);
/** The sample that the page shows: the newest, or the one at which it was paused. */
export const sample = computed(() => frozen.value ?? newest.value);
/** Busy workers, and the most that can be, of now, paused or not; null before the first sample. */
export const load = computed(() => {
  const current = newest.value;
  if (current === null || recalled.value !== null) return null;
  return { busy: current.rates.busy, of: current.capacity.max_request_workers ?? current.capacity.serving };
});
/** How far the newest sample is ahead of the one that is shown (seconds). */
export const behind = computed(() => (newest.value?.at ?? 0) - (sample.value?.at ?? 0));
/** The instant to which ages are counted (epoch seconds). */
export const ageAt = computed(() => frozen.value?.at ?? moment.value);

const upTo = <T extends { readonly at: number }>(list: readonly T[], at: number): readonly T[] => {
  let end = countBefore(list, at);
  while (end < list.length && list[end]?.at === at) end += 1;
  return list.slice(0, end);
};

/** The memory that surrounds the shown sample. */
const around = computed(() => (past.value ?? live.value).memory);
/** What was remembered when the shown sample was the newest. */
export const pointsBefore = computed(() => upTo(around.value.points, sample.value?.at ?? 0));
const columnsBefore = computed(() => upTo(around.value.columns, sample.value?.at ?? 0));
/** The instant from which on there is something to see (epoch seconds). */
export const oldest = computed(() => {
  const own = live.value.memory.points[0]?.at ?? newest.value?.at ?? 0;
  return Math.min(own, recordedFrom.value ?? own);
});

const endAt = (): number => view.value?.endAt ?? newest.value?.at ?? 0;

function secondsOf(window: WindowName): number {
  return window === "all" ? Math.max(LEAST_ALL_SECONDS, endAt() - oldest.value) : WINDOWS[window];
}

const shownView = computed<View>(() => view.value ?? { seconds: secondsOf(choices.value.window), endAt: null });
export const span = computed(() => spanOf(shownView.value, newest.value?.at ?? 0));
/** How many slots the shown sample has. */
export const slots = computed(
  () => sample.value?.snapshot.processes.reduce((sum, { workers }) => sum + workers.length, 0) ?? 0,
);
/** Another value once the viewer wants to see something else. */
export const wish = computed(() => {
  const { window, panel } = choices.value;
  return { view: view.value, window, panel, slots: slots.value };
});

/** Whether a list goes back to the start of the window, or of all that there is; `slack` is in seconds. */
const reaches = (list: readonly { readonly at: number }[], { from }: Span, slack: number): boolean =>
  (list[0]?.at ?? Number.POSITIVE_INFINITY) - slack <= Math.max(from, oldest.value);
const slack = () => 2 * (newest.value?.interval ?? 1);
const meets = (part: Span | null, { from, to }: Span) => part !== null && part.from < to && part.to > from;
/** Whether the page remembers enough for its pictures. */
export const remembersPoints = computed(() => reaches(live.value.memory.points, span.value, slack()));
export const remembersColumns = computed(() => {
  const { columns } = live.value.memory;
  return columns[0]?.letters.length === slots.value && reaches(columns, span.value, slack());
});

/** What the charts and the map show; a new array with each sample. */
export const points = computed<readonly Point[]>(() => {
  const own = live.value.memory.points;
  const far = farPoints.value;
  return far !== null && !remembersPoints.value && meets(far, span.value) ? far.items : own.slice();
});
const pictured = computed(() => {
  const own = live.value.memory.columns;
  const far = farColumns.value;
  const use = far !== null && !remembersColumns.value && meets(far, span.value);
  return use ? far : { items: own.slice(), lived: null };
});
export const columns = computed(() => {
  const { items } = pictured.value;
  return items[0]?.letters.length === slots.value ? items : [];
});
/** The window that is shown, if it has a name. */
export const windowName = computed(() => {
  const { window } = choices.value;
  return view.value === null || view.value.seconds === secondsOf(window) ? window : null;
});
/** Whether the charts stand still though the page does not. */
export const elsewhere = computed(() => !paused.value && view.value?.endAt != null);

const limits = () => {
  const at = newest.value?.at ?? 0;
  const longest = Math.max(MOST_POINTS, at - oldest.value);
  return { oldest: oldest.value, newest: at, shortest: LEAST_SECONDS, longest };
};

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
    frozen.value = past.value = null;
    view.value = null;
  });
}

/** Stop at the sample that was newest at an instant, of those that the page remembers. */
export function pause(at?: number): void {
  const { memory } = live.peek();
  show(at === undefined ? memory.wholes - 1 : memory.placeAt(at));
}

export const togglePause = (): void => (paused.value ? follow() : pause());

/** Go a number of samples back or forth; beyond the newest the page goes on. */
export function step(samples: number): void {
  const at = sample.value?.at;
  if (at === undefined) return;
  const { memory } = live.peek();
  const nearest = memory.placeAt(at);
  // The page may stand at a sample that is no longer kept: it is before all that are.
  const place = ((memory.whole(nearest)?.at ?? at) > at ? -1 : nearest) + samples;
  if (place >= memory.wholes) follow();
  else if (samples > 0 || canStepBack.peek()) show(Math.max(0, place));
}

function show(place: number): void {
  const found = live.peek().memory.whole(place);
  if (found !== null) stand(found, null);
}

/** Show a sample by itself, with what surrounds it (null: what the page remembers), and the charts where it is. */
export function stand(found: Sample, surroundings: Memory | null, playing: "playing" | "standing" = "standing"): void {
  batch(() => {
    const { from, to } = span.value;
    const seconds = to - from;
    const centred = Math.min(newest.value?.at ?? found.at, found.at + AHEAD[playing] * seconds);
    frozen.value = found;
    past.value = surroundings === null ? null : { memory: surroundings };
    const inside = found.at >= from && found.at <= to;
    view.value = inside && view.value?.endAt != null ? view.value : { seconds, endAt: inside ? to : centred };
  });
}

/** The page's own memory, and whether the shown sample is of it. */
export const remembered = (): Memory => live.peek().memory;
export const standsFar = computed(() => past.value !== null);

/** Whether an older sample than the shown one is kept whole. */
export const canStepBack = computed(() => {
  const at = sample.value?.at;
  return at !== undefined && Math.min(live.value.memory.whole(0)?.at ?? at, recordedFrom.value ?? at) < at;
});

export const requests = computed(() => (sample.value === null ? [] : inFlight(sample.value)));
export const rows = computed(() =>
  sample.value === null ? [] : processRows(sample.value, (process) => around.value.birth(process)),
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
  const born = around.value.birth({ process_num: slot.process_num, pid: found.pid });
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
  const lived: { readonly process: Process; readonly first: number }[] = [];
  let first = 0;
  for (const process of sample.value?.snapshot.processes ?? []) {
    const slots = process.workers.length;
    const drawn = pictured.value.lived?.subarray(first, first + slots).includes(1) === true;
    if (drawn || around.value.lived(process.process_num, first, slots)) lived.push({ process, first });
    first += slots;
  }
  const shape = lived.map(({ process, first }) => `${first}/${process.process_num}/${process.workers.length}`).join();
  if (shape === mapRowsBefore.key) return mapRowsBefore;
  const places = lived.flatMap(({ process, first }) => process.workers.map((_, index) => first + index));
  const slots = lived.flatMap(({ process: { process_num, workers } }) =>
    workers.map((_, index) => ({ process_num, index })),
  );
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

/** The newest frame. */
export const latest = computed<Frame | null>(() => failure.value ?? newest.value);
/** How many Apache workers all viewers of the dashboard hold; null if the server does not say. */
export const holding = computed(() => latest.value?.viewers.holding ?? null);
export const notices = computed(() => latest.value?.notices ?? []);

const isCritical = ({ severity }: Alert): boolean => severity === "critical";
/** What is critical now, whatever the page shows. */
export const criticalNow = computed(() => latest.value?.alerts.filter(isCritical) ?? []);
/** The frame whose alerts are shown: that of the shown sample, or of now where Apache's scoreboard can't be read. */
const alerting = computed(() => (paused.value && !standsRecalled.value ? sample.value : latest.value));
/** What goes on by the rules: what is critical first, then what began first. */
export const alerts = computed(() =>
  [...(alerting.value?.alerts ?? [])].sort(
    (one, other) => Number(isCritical(other)) - Number(isCritical(one)) || one.since - other.since,
  ),
);
/** The instant to which their time is counted (epoch seconds). */
export const alertsAt = computed(() => Math.max(ageAt.value, alerting.value?.at ?? 0));

export const error = computed(() => {
  if (problem.value !== null) return strings.problem(problem.value);
  return failure.value?.error ?? null;
});

/** When the shown numbers were read (ms), if they are no longer those of now. */
export const outdatedSince = computed(() => {
  const current = connection.value.kind === "live" || connection.value.kind === "polling";
  const stopped = paused.value && !standsRecalled.value;
  if (newest.value === null || stopped || (current && error.value === null)) return null;
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
    alerts: alerts.value,
    alertsAt: alertsAt.value,
    rows: rows.value,
    filter: choices.value.filter,
    ...ordered.value,
    groups: groups.value,
    groupKey: choices.value.group,
  };
}
