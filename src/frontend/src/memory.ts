/**
 * What the page remembers of the samples it got, within bounds: the numbers of each, the letters of each slot, and the
 * newest samples whole. Pure: time comes with the samples.
 */
import { NOT_KNOWN, type Column, type Past, type Point } from "./history";
import { oldestSeconds, sinceOf } from "./requests";
import { STATUSES, type Sample, type Status } from "./wire";

/** The numbers of an hour at 1 Hz take less than a megabyte; for more the flight recorder is asked. */
export const MOST_POINTS = 3600;
/** The map shows 15 minutes at 1 Hz ... */
export const MOST_COLUMNS = 900;
/** ... and its letters, a byte each, may take so much: a scoreboard of 20,000 slots has 400 s. */
export const MOST_LETTERS = 8_000_000;
/**
 * Whole samples share what did not change, so one costs its changed workers, some 250 bytes each: 15 MB. A server of 64
 * slots that all change twice a second can be gone through for a quarter of an hour, one of 6,400 for a minute.
 */
export const MOST_WORKERS = 60_000;
/** A pointer to a worker that did not change is a part of one that did. */
const POINTER = 1 / 16;
const NEVER = Number.NEGATIVE_INFINITY;
/** Polling every 5 s is no gap. */
const LEAST_GAP_SECONDS = 8;

const CODES = new Map<Status, number>(STATUSES.map((status, code) => [status, code]));
const OPEN = STATUSES.indexOf(".");

interface Birth {
  readonly pid: number;
  readonly at: number;
  readonly earlier: boolean;
}

interface Whole {
  readonly sample: Sample;
  /** What it takes beside the one before it, in workers. */
  readonly cost: number;
}

/** Which slots had a worker: those of another letter than "." in any of these columns. */
export function livedIn(columns: readonly Column[]): Uint8Array {
  const lived = new Uint8Array(columns[0]?.letters.length ?? 0);
  for (const { letters } of columns) {
    for (let place = 0; place < lived.length; place++) if ((letters[place] ?? OPEN) < OPEN) lived[place] = 1;
  }
  return lived;
}

/**
 * Grows by samples, in the order of time; one that is not (a clock was set back) takes the place of later ones. What
 * was before them can be given at the start.
 */
export class Memory {
  #points: Point[] = [];
  #columns: Column[] = [];
  #wholes: Whole[] = [];
  /** By the process' place in the scoreboard: as many as there were processes at all. */
  #births = new Map<number, Birth>();
  #lived: Uint8Array = new Uint8Array();
  #cost = 0;

  /** `mostWorkers` is the bound of the whole samples. */
  constructor(
    { points, columns }: Past = { points: [], columns: [] },
    private readonly mostWorkers = MOST_WORKERS,
  ) {
    this.#points = points.slice(-MOST_POINTS);
    this.#columns = columns.slice(-mostColumns(columns[0]?.letters.length ?? 0));
    this.#lived = livedIn(this.#columns);
  }

  /** Oldest first. The arrays change with each sample; what is in them does not. */
  get points(): readonly Point[] {
    return this.#points;
  }

  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** How many samples are kept whole. */
  get wholes(): number {
    return this.#wholes.length;
  }

  /** A sample that is kept whole; 0 is the oldest. */
  whole(place: number): Sample | null {
    return this.#wholes[place]?.sample ?? null;
  }

  /** The place of the whole sample that was newest at an instant, or else of the oldest. -1 if there is none. */
  placeAt(at: number): number {
    let place = this.#wholes.length - 1;
    while (place > 0 && (this.#wholes[place]?.sample.at ?? 0) > at) place -= 1;
    return place;
  }

  /** When the process that is in a place now was first seen, and whether it may be older; null for another one. */
  birth({ process_num, pid }: { readonly process_num: number; readonly pid: number }): Birth | null {
    const birth = this.#births.get(process_num);
    return birth?.pid === pid ? birth : null;
  }

  /** Whether there was ever a process in a place, whose slots are those from `first` on. */
  lived(process_num: number, first: number, slots: number): boolean {
    return this.#births.has(process_num) || this.#lived.subarray(first, first + slots).includes(1);
  }

  /** All samples that are kept whole, oldest first. */
  samples(): readonly Sample[] {
    return this.#wholes.map(({ sample }) => sample);
  }

  take(sample: Sample): void {
    const before = this.#forgetFrom(sample.at);
    const last = this.#points.at(-1)?.at ?? NEVER;
    const gap = sample.at - last > Math.max(3 * sample.interval, LEAST_GAP_SECONDS);
    this.#points.push(pointOf(sample, gap));
    if (this.#points.length > MOST_POINTS) this.#points.shift();
    this.#takeLetters(sample, gap);
    this.#bear(sample, gap || before === null);
    this.#keep(sample);
  }

  /** Drop what is not before an instant; gives the newest sample that is left. */
  #forgetFrom(at: number): Sample | null {
    for (const list of [this.#points, this.#columns]) while ((list.at(-1)?.at ?? NEVER) >= at) list.pop();
    while ((this.#wholes.at(-1)?.sample.at ?? NEVER) >= at) this.#cost -= this.#wholes.pop()?.cost ?? 0;
    for (const [place, { pid, at: bornAt }] of this.#births) {
      if (bornAt > at) this.#births.set(place, { pid, at, earlier: true });
    }
    return this.#wholes.at(-1)?.sample ?? null;
  }

  #bear({ at, snapshot }: Sample, earlier: boolean): void {
    for (const { process_num, pid } of snapshot.processes) {
      if (pid !== 0 && this.#births.get(process_num)?.pid !== pid) this.#births.set(process_num, { pid, at, earlier });
    }
  }

  #takeLetters(sample: Sample, gap: boolean): void {
    const slots = sample.snapshot.processes.reduce((sum, process) => sum + process.workers.length, 0);
    const before = this.#columns.at(-1);
    // Another number of slots is another Apache: its slots have other names.
    if (before !== undefined && before.letters.length !== slots) {
      this.#columns = [];
      this.#births.clear();
      this.#lived = new Uint8Array();
    }
    const last = this.#columns.at(-1);
    const letters = new Uint8Array(slots);
    const since = gap || last === undefined ? new Float64Array(slots) : null;
    let place = 0;
    for (const process of sample.snapshot.processes) {
      for (const worker of process.workers) {
        letters[place] = process.pid === 0 ? OPEN : (CODES.get(worker.status) ?? NOT_KNOWN);
        if (since !== null) since[place] = sinceOf(worker) ?? Number.NaN;
        place += 1;
      }
    }
    this.#columns.push({ from: last?.at ?? sample.at - MOST_COLUMNS * sample.interval, at: sample.at, letters, since });
    if (this.#columns.length > mostColumns(slots)) this.#columns.shift();
  }

  #keep(sample: Sample): void {
    const cost = costOf(sample, this.#wholes.at(-1)?.sample ?? null);
    this.#wholes.push({ sample, cost });
    this.#cost += cost;
    // Two at least: a step back is always possible.
    while (this.#wholes.length > 2 && (this.#cost > this.mostWorkers || this.#wholes.length > MOST_COLUMNS)) {
      this.#cost -= this.#wholes.shift()?.cost ?? 0;
      this.#countOldest();
    }
  }

  /** The oldest has nothing before it to share with. */
  #countOldest(): void {
    const [oldest] = this.#wholes;
    if (oldest === undefined) return;
    const cost = costOf(oldest.sample, null);
    this.#cost += cost - oldest.cost;
    this.#wholes[0] = { ...oldest, cost };
  }
}

/** How many columns of so many slots are kept. */
export const mostColumns = (slots: number): number =>
  Math.min(MOST_COLUMNS, Math.floor(MOST_LETTERS / Math.max(1, slots)));

export function pointOf(sample: Sample, gap: boolean): Point {
  const { at, rates, capacity } = sample;
  return {
    at,
    gap,
    busy: rates.busy,
    of: capacity.max_request_workers ?? capacity.serving,
    states: rates.states,
    requestsPerSecond: rates.requests_per_second,
    bytesPerSecond: rates.bytes_per_second,
    oldestSeconds: oldestSeconds(sample),
  };
}

/** What a sample takes beside the one before it, in workers. */
export function costOf(sample: Sample, before: Sample | null): number {
  let cost = 1;
  for (const [row, process] of sample.snapshot.processes.entries()) {
    const old = before?.snapshot.processes[row];
    if (process === old) continue;
    cost += process.workers.length * POINTER;
    for (const [index, worker] of process.workers.entries()) if (worker !== old?.workers[index]) cost += 1;
  }
  return cost;
}

/**
 * Since when a slot has had its newest letter, by what was seen: epoch seconds of the sample that first showed it, and
 * whether it may have had it before that. Columns are those up to the sample in question.
 */
export function letterSince(
  columns: readonly Column[],
  place: number,
): { readonly at: number; readonly earlier: boolean } | null {
  let first = columns.length - 1;
  const letter = columns[first]?.letters[place];
  if (letter === undefined) return null;
  while (first > 0 && !breaks(columns, first) && columns[first - 1]?.letters[place] === letter) first -= 1;
  return { at: columns[first]?.at ?? 0, earlier: first === 0 || breaks(columns, first) };
}

/** Whether it was not seen what was between a column and the one before it. */
const breaks = (columns: readonly Column[], index: number): boolean =>
  columns[index]?.since !== null || columns[index].from > (columns[index - 1]?.at ?? NEVER);
