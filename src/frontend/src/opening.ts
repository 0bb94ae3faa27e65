/**
 * Fills the page from the recording: its memory when it opens, or was away, and the pictures of what is beyond that.
 * While the page is live nothing is asked again; a hidden page asks nothing.
 */
import { computed, effect, signal, type ReadonlySignal } from "@preact/signals";

import { WINDOWS } from "./address";
import { lastOf, type Span } from "./axis";
import { covers, wanted } from "./far";
import type { Column, Point } from "./history";
import { costOf, MOST_COLUMNS, MOST_LETTERS, mostColumns, MOST_POINTS, MOST_WORKERS } from "./memory";
import type { Clock } from "./outside";
import { Alarm } from "./outside";
import { MOST_ANSWERED, MOST_ANSWERED_COLUMNS, Trouble, type Ask, Recorded } from "./recorded";
import type { Recording } from "./recorder/recording";
import * as journey from "./journey";
import * as state from "./state";
import * as travel from "./travel";
import { pixels } from "./travel";
import type { Sample } from "./wire";

/** The first stretch of whole samples: from it is seen how far back there is room for more. */
const FIRST_STRETCH = 60;
/** A viewer who pans goes on for a moment. */
const SETTLED_MS = 150;
/** A page that was away for less misses nothing that matters. */
const LEAST_AWAY_SECONDS = 3;
const HOUR = 3600;

/** In its notices the server says that its recorder has failed, too; null before the first. */
const told = computed(() => (state.latest.value === null ? null : state.notices.value.join("\n")));

export class Opening {
  readonly #filling: Recorded;
  readonly #picturing: Recorded;
  readonly #settled: Alarm;
  /** Another page of the browser may have been away: each filling is another one. */
  #turn = 0;
  #opening = false;
  /** The instant to show, until that is done. */
  #wanted: number | null = null;
  #asked: unknown = null;
  #picturingNow = false;
  readonly #filled = signal(false);

  constructor(ask: Ask, clock: Clock) {
    this.#filling = new Recorded(ask);
    this.#picturing = new Recorded(ask);
    this.#settled = new Alarm(clock);
    journey.begin(new Recorded(ask), clock);
    effect(() => this.#watch());
    let before: string | null = null;
    effect(() => {
      const after = told.value;
      if (before !== null && after !== null) void this.#askState();
      before = after;
    });
  }

  /** Ask how the recording stands now. */
  async #askState(): Promise<void> {
    const found = await this.#filling.recording();
    if (!(found instanceof Trouble)) travel.recording.value = found;
  }

  /** Fill the page, and show it as it was at an instant if one is given (epoch seconds). */
  async open(at: number | null): Promise<void> {
    const turn = ++this.#turn;
    this.#opening = true;
    this.#wanted = at;
    await this.#open(turn);
    if (turn === this.#turn) this.#opening = false;
  }

  async #open(turn: number): Promise<void> {
    const found = await this.#filling.recording();
    if (turn !== this.#turn) return;
    if (found instanceof Trouble) return this.#unrecorded(found);
    travel.recording.value = found;
    state.recordedFrom.value = found.state === "off" ? null : beginOf(found);
    if (state.recordedFrom.value === null) return;
    const shown = Promise.all([this.#fillShown(found), this.#fillMap(found)]);
    if ("error" in (await first(state.latest))) await this.#recall(found, turn);
    await first(state.newest);
    if (turn !== this.#turn) return;
    if (found.state === "replay" && !state.paused.peek()) state.pause();
    if (this.#wanted !== null) travel.seek(this.#wanted);
    this.#wanted = null;
    await shown;
    await this.#fill(found, turn);
    if (turn !== this.#turn) return;
    this.#filled.value = true;
    this.#asked = null;
    this.#watch();
  }

  /** Fill the page again if it was away for long enough to matter. */
  reopen(): void {
    const newest = state.newest.peek();
    if (this.#opening) return;
    if (this.#filled.peek() && travel.replaying.peek()) return;
    // Its server may be another one.
    if (this.#filled.peek() && newest !== null && !away(newest)) return void this.#askState();
    void this.open(this.#wanted);
  }

  /** Let go of everything that is under way. */
  rest(): void {
    this.#turn += 1;
    this.#opening = false;
    this.#settled.clear();
    this.#filling.stop();
    this.#picturing.stop();
    journey.rest();
  }

  /** Where Apache's scoreboard can't be read, the newest sample of the recording is shown. */
  async #recall(found: Recording, turn: number): Promise<void> {
    let span: Span = { from: state.recordedFrom.peek() ?? 0, to: endOf(found) };
    for (let tries = 0; tries < 3; tries++) {
      const points = await this.#filling.history(span, MOST_ANSWERED);
      if (turn !== this.#turn || points instanceof Trouble) return;
      const { at, spread } = points.at(-1) ?? {};
      if (at === undefined) return;
      const seconds = spread?.seconds ?? found.interval;
      span = { from: at - seconds, to: at };
      if (seconds <= FIRST_STRETCH) break;
    }
    const frames = await this.#filling.frames(span);
    if (turn !== this.#turn || frames instanceof Trouble) return;
    const newest = lastOf(frames, (frame) => !("error" in frame));
    if (newest !== undefined && !("error" in newest)) state.recall(newest);
  }

  #unrecorded(why: Trouble): void {
    // A server that is older than its recorder says 404.
    if (why.why !== "outdated") travel.trouble.value = why;
  }

  /** What the charts show first is asked for first, as fine as they show it: an hour in seconds takes longer. */
  async #fillShown(found: Recording): Promise<void> {
    const turn = this.#turn;
    const to = endOf(found);
    const begin = state.recordedFrom.peek() ?? to;
    const span = { from: Math.max(begin, to - WINDOWS[state.choices.peek().window]), to };
    const perPixel = Math.max(found.interval, (span.to - span.from) / pixels.peek());
    const items = await this.#picturing.history(span, (span.to - span.from) / perPixel);
    if (turn === this.#turn && !(items instanceof Trouble)) state.picture({ ...span, perPixel, items }, null);
  }

  /** The letters of the shown window, where the map is what is shown, and there are more than the page remembers. */
  async #fillMap(found: Recording): Promise<void> {
    const turn = this.#turn;
    const { window, panel } = state.choices.peek();
    await first(state.newest);
    const to = state.recalled.peek()?.at ?? endOf(found);
    const span = { from: Math.max(state.recordedFrom.peek() ?? to, to - WINDOWS[window]), to };
    const most = mostColumns(state.slots.peek());
    if (turn !== this.#turn || panel !== "map" || span.to - span.from <= most * found.interval) return;
    const perPixel = (span.to - span.from) / pixels.peek();
    const items = await this.#picturing.letters(span, Math.min(pixels.peek(), most), found.interval);
    if (turn === this.#turn && !(items instanceof Trouble)) state.picture(null, { ...span, perPixel, items });
  }

  /** Numbers first, then letters, then whole samples: each is shown at once. */
  async #fill(found: Recording, turn: number): Promise<void> {
    const to = state.recalled.peek()?.at ?? endOf(found);
    const past: { points: readonly Point[]; columns: readonly Column[] } = { points: [], columns: [] };
    const from = Math.max(to - HOUR, state.recordedFrom.peek() ?? 0);
    const points = await this.#filling.history({ from, to }, MOST_POINTS);
    if (turn !== this.#turn) return;
    if (points instanceof Trouble) return this.#unrecorded(points);
    state.refill(Object.assign(past, { points }), []);
    void travel.refreshMarks();
    const { interval, snapshot } = await first(state.newest);
    const slots = snapshot.processes.reduce((sum, { workers }) => sum + workers.length, 0);
    const most = Math.min(MOST_COLUMNS, MOST_LETTERS / Math.max(1, slots));
    const columns = await this.#filling.letters({ from: to - most * interval, to }, most, interval);
    if (turn !== this.#turn) return;
    if (!(columns instanceof Trouble)) state.refill(Object.assign(past, { columns }), []);
    await this.#fillWhole(past, to, interval, turn);
  }

  async #fillWhole(
    past: { readonly points: readonly Point[]; readonly columns: readonly Column[] },
    to: number,
    interval: number,
    turn: number,
  ): Promise<void> {
    let samples: readonly Sample[] = [];
    let seconds = FIRST_STRETCH * interval;
    for (const stretch of ["newest", "rest"]) {
      const frames = await this.#filling.frames({ from: to - seconds, to });
      if (turn !== this.#turn || frames instanceof Trouble) return;
      samples = frames.filter((frame) => !("error" in frame)) as Sample[];
      state.refill(past, samples);
      const cost = samples.reduce((sum, sample, index) => sum + costOf(sample, samples[index - 1] ?? null), 0);
      const room = (MOST_WORKERS / Math.max(1, cost)) * seconds;
      if (stretch === "newest" && room < 2 * seconds) return;
      seconds = Math.min(MOST_COLUMNS * interval, room);
    }
  }

  /** Ask for what is to be seen and is not remembered, once the viewer has settled. */
  #watch(): void {
    if (state.recordedFrom.value === null || state.newest.value === null || !this.#filled.value) return;
    const wish = state.wish.value;
    void pixels.value;
    if (this.#asked === wish || this.#picturingNow) return;
    const { points, columns } = this.#lacking();
    if (points === null && columns === null) return;
    this.#settled.set(SETTLED_MS, () => void this.#picture());
  }

  #lacking(): { readonly points: Span | null; readonly columns: Span | null } {
    const span = state.span.value;
    const within = { from: state.oldest.value, to: state.newest.value?.at ?? 0 };
    const perPixel = (span.to - span.from) / Math.max(1, pixels.value);
    const map = state.choices.value.panel === "map";
    const has = (part: Parameters<typeof covers>[0], remembers: boolean) =>
      remembers || covers(part, span, within, perPixel);
    const far = state.farColumns.value;
    const same = far?.items[0]?.letters.length === state.slots.value;
    const hasColumns = has(same ? far : null, state.remembersColumns.value);
    return {
      points: has(state.farPoints.value, state.remembersPoints.value) ? null : wanted(span, within),
      columns: !map || hasColumns ? null : wanted(span, within),
    };
  }

  async #picture(): Promise<void> {
    const { points, columns } = this.#lacking();
    const turn = this.#turn;
    this.#asked = state.wish.peek();
    this.#picturingNow = true;
    const span = state.span.peek();
    const perPixel = (span.to - span.from) / Math.max(1, pixels.peek());
    const count = (whole: Span, most: number) => Math.min(most, (whole.to - whole.from) / perPixel);
    if (points !== null) {
      const items = await this.#picturing.history(points, count(points, MOST_ANSWERED));
      if (turn === this.#turn && !(items instanceof Trouble)) state.picture({ ...points, perPixel, items }, null);
    }
    if (columns !== null && turn === this.#turn) {
      const interval = state.newest.peek()?.interval ?? 1;
      const slots = state.slots.peek();
      const most = Math.min(MOST_ANSWERED_COLUMNS, MOST_LETTERS / Math.max(1, slots));
      const letters = (whole: Span) => this.#picturing.letters(whole, count(whole, most), interval);
      let items = await letters(columns);
      const at = state.sample.peek()?.at ?? columns.to;
      // Those of the newest Apache come: of one with other slots, what is up to the shown moment.
      if (!(items instanceof Trouble) && items[0]?.letters.length !== slots && at > columns.from && at < columns.to) {
        items = await letters({ from: columns.from, to: at });
      }
      if (turn === this.#turn && !(items instanceof Trouble)) state.picture(null, { ...columns, perPixel, items });
    }
    this.#picturingNow = false;
    // The viewer may have gone on meanwhile.
    if (this.#asked !== state.wish.peek()) this.#watch();
  }
}

/** Numbers of a time that has only them begin with a bucket of ten minutes at most, which began before its samples. */
const LONGEST_BUCKET_SECONDS = 600;

/** From when on something is recorded (epoch seconds). */
function beginOf({ since, history_since: numbers }: Recording): number | null {
  if (since === null || numbers === null) return since ?? numbers;
  return since - numbers <= LONGEST_BUCKET_SECONDS ? since : numbers;
}

const endOf = ({ state, until, now }: Recording): number => (state === "replay" ? (until ?? now) : now);

/** Whether the newest sample that came continues none before it. */
function away(newest: Sample): boolean {
  const memory = state.remembered();
  const before = memory.whole(memory.wholes - 2);
  return before === null || newest.at - before.at > LEAST_AWAY_SECONDS * newest.interval;
}

/** The first value that comes, or the one that is there. */
function first<T>(of: ReadonlySignal<T | null>): Promise<T> {
  return new Promise((resolve) => {
    let done: (() => void) | null = null;
    done = effect(() => {
      if (of.value === null) return;
      resolve(of.value);
      queueMicrotask(() => done?.());
    });
  });
}
