/**
 * What the map of slots and time shows where. A *line* is what is painted as one: a row of the map, or all the rows
 * that share a pixel. Pure: letters and sizes in, codes and device pixels out.
 */
import { countBefore, type Span } from "./axis";
import { INFERRED, NOT_KNOWN, type Column } from "./history";
import { STATUSES } from "./wire";

/** A process: rows that stand together. `first` and `count` are in rows. */
export interface Block {
  readonly first: number;
  readonly count: number;
}

/** Where lines are, and which slots are in each. */
export interface Lines {
  readonly count: number;
  /** Line i is painted in tops[i] <= y < bottoms[i] (device pixels). */
  readonly tops: Int32Array;
  readonly bottoms: Int32Array;
  /** The slots of line i are members[starts[i]] up to members[starts[i + 1] - 1]. */
  readonly starts: Int32Array;
  readonly members: Int32Array;
  /** 1: nothing in this line is wanted. */
  readonly faded: Int32Array;
  /** CSS pixels. */
  readonly rowHeight: number;
  readonly height: number;
}

/** The letters of slots, or those of lines. */
export type Letters = Pick<Column, "letters" | "since">;

/** A code for each line, the same from pixel `from` to pixel `to`, which is excluded. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly codes: Uint8Array;
  /** The pixel from which on the code of each line is known, if that is not `from`. */
  readonly known: Int32Array | null;
}

export interface Run {
  readonly from: number;
  readonly to: number;
  readonly code: number;
}

const LARGEST_ROW = 18;
/** Rows that are smaller touch: a gap would take as much as it tells. */
const GAP_FROM = 3;
const ROW_GAP = 1;
const BLOCK_GAP = 2;

/** From the least telling state to the most. */
const TELLING = "._ISWKDLCRG";

/**
 * Of slots that share a line only some may be busy. So many quarters of them are not: beside the letter of the others,
 * so that a line is not painted as if all were.
 */
const IDLE_QUARTER = 32;
export const QUARTERS = 4;
export const idleQuarters = (code: number): number => Math.floor(code / IDLE_QUARTER);
export const letterOf = (code: number): number => code & (INFERRED - 1);

/** How telling each code is: what was seen is more so than what was inferred; NOT_KNOWN is 0. */
const RANKS = new Uint8Array(256);
for (const [index, status] of STATUSES.entries()) {
  for (let quarters = 0; quarters < QUARTERS; quarters++) {
    const rank = QUARTERS * (2 * TELLING.indexOf(status) + 1) + QUARTERS - quarters;
    RANKS[index + quarters * IDLE_QUARTER] = rank + QUARTERS;
    RANKS[(index | INFERRED) + quarters * IDLE_QUARTER] = rank;
  }
}
const WAITS = RANKS[STATUSES.indexOf("_")] ?? 0;
const isBusy = (code: number | undefined): boolean => rankOf(code) > WAITS;

const rankOf = (code: number | undefined): number => RANKS[code ?? NOT_KNOWN] ?? 0;

/** Place rows (slot numbers, top to bottom) in a height of CSS pixels. */
export function lay(
  rows: readonly number[],
  blocks: readonly Block[],
  faded: ReadonlySet<number> | null,
  size: { readonly height: number; readonly ratio: number },
): Lines {
  const { height, ratio } = size;
  const count = Math.min(rows.length, Math.max(1, Math.floor(height * ratio)));
  const groups = Array.from({ length: count }, (_, line) =>
    wanted(rows.slice(firstRow(line, count, rows.length), firstRow(line + 1, count, rows.length)), faded),
  );
  const further = Math.max(0, blocks.length - 1);
  const apart = blocks.length < rows.length && (height - BLOCK_GAP * further) / rows.length >= GAP_FROM;
  const blockGap = apart ? BLOCK_GAP : 0;
  const rowHeight = Math.min(LARGEST_ROW, (height - blockGap * further) / Math.max(1, rows.length));
  const pitch = count < rows.length ? 1 / ratio : rowHeight;
  const places = place(count, blocks, blockGap, pitch, ratio);
  return { ...tabled(groups, faded), ...places, rowHeight, height: rowHeight * rows.length + blockGap * further };
}

/** The first of the rows that a line stands for, and the line of a row. */
export const firstRow = (line: number, lines: number, rows: number): number => Math.floor((line * rows) / lines);
export const lineOf = (row: number, lines: number, rows: number): number => Math.ceil(((row + 1) * lines) / rows) - 1;

/** The line at a height in device pixels. */
export function lineAt({ count, tops, bottoms }: Lines, y: number): number | null {
  const past = tops.findIndex((top) => top > y);
  return y < 0 || y >= (bottoms.at(-1) ?? 0) || count === 0 ? null : (past < 0 ? count : past) - 1;
}

/** Of slots that share a line those that are wanted, or all if none is. */
function wanted(slots: readonly number[], faded: ReadonlySet<number> | null): readonly number[] {
  const kept = faded === null ? slots : slots.filter((slot) => !faded.has(slot));
  return kept.length > 0 ? kept : slots;
}

function tabled(groups: readonly (readonly number[])[], faded: ReadonlySet<number> | null) {
  const starts = new Int32Array(groups.length + 1);
  for (const [line, slots] of groups.entries()) starts[line + 1] = (starts[line] ?? 0) + slots.length;
  return {
    count: groups.length,
    starts,
    members: Int32Array.from(groups.flat()),
    faded: Int32Array.from(groups, ([slot]) => Number(slot !== undefined && faded?.has(slot) === true)),
  };
}

function place(count: number, blocks: readonly Block[], blockGap: number, pitch: number, ratio: number) {
  const tops = new Int32Array(count);
  const bottoms = new Int32Array(count);
  const gap = pitch >= GAP_FROM ? Math.round(ROW_GAP * ratio) : 0;
  let block = 0;
  for (let line = 0; line < count; line++) {
    while (blockGap > 0 && line >= (blocks[block + 1]?.first ?? count)) block++;
    const top = line * pitch + block * blockGap;
    tops[line] = Math.round(top * ratio);
    bottoms[line] = Math.round((top + pitch) * ratio) - gap;
  }
  return { tops, bottoms };
}

export const sameList = (one: ArrayLike<unknown>, other: ArrayLike<unknown>): boolean =>
  one.length === other.length && Array.prototype.every.call(one, (value, index) => value === other[index]);

/** Whether columns that were reduced to the lines of one are so to those of the other. */
export const sameSlots = (one: Lines, other: Lines): boolean =>
  sameList(one.starts, other.starts) && sameList(one.members, other.members);

/** Whether lines of the same slots look the same too. */
export const samePlaces = (one: Lines, other: Lines): boolean =>
  sameList(one.tops, other.tops) && sameList(one.bottoms, other.bottoms) && sameList(one.faded, other.faded);

/** The most telling slot of a line: the busy before the idle. */
export function telling({ letters, since }: Letters, { starts, members }: Lines, line: number): number {
  const end = starts[line + 1] ?? 0;
  let best = members[starts[line] ?? 0] ?? -1;
  for (let index = (starts[line] ?? 0) + 1; index < end; index++) {
    const slot = members[index] ?? -1;
    const more = since === null ? rankOf(letters[slot]) > rankOf(letters[best]) : stands(letters, since, slot, best);
    if (more) best = slot;
  }
  return best;
}

/** Whether one slot stands for two where neither was seen: its request was there first, so it is there for longer. */
function stands(letters: Uint8Array, since: Float64Array, slot: number, than: number): boolean {
  const [mine, other] = [since[slot] ?? Number.NaN, since[than] ?? Number.NaN];
  if (Number.isNaN(mine) || Number.isNaN(other)) return !Number.isNaN(mine);
  const [rank, otherRank] = [rankOf(letters[slot]), rankOf(letters[than])];
  if (rank > WAITS !== otherRank > WAITS) return rank > WAITS;
  return mine < other || (mine === other && rank > otherRank);
}

/** The letters of slots as those of lines: of several slots the letter that most of the busy ones have. */
export function reduce(column: Letters, lines: Lines): Letters {
  const letters = new Uint8Array(lines.count);
  const since = column.since === null ? null : new Float64Array(lines.count);
  const counts = new Uint16Array(STATUSES.length);
  for (let line = 0; line < lines.count; line++) {
    if (since === null) letters[line] = shared(column.letters, lines, line, counts);
    else {
      const slot = telling(column, lines, line);
      const code = column.letters[slot] ?? NOT_KNOWN;
      // Of the others it is not told when they came.
      const alone = (lines.starts[line + 1] ?? 0) - (lines.starts[line] ?? 0) > 1 && isBusy(code);
      letters[line] = alone ? code + (QUARTERS - 1) * IDLE_QUARTER : code;
      since[line] = column.since?.[slot] ?? Number.NaN;
    }
  }
  return { letters, since };
}

/** The code of all slots of a line that were seen. `counts` is room to count in. */
function shared(letters: Uint8Array, { starts, members }: Lines, line: number, counts: Uint16Array): number {
  const start = starts[line] ?? 0;
  const end = starts[line + 1] ?? 0;
  let best = letters[members[start] ?? -1] ?? NOT_KNOWN;
  if (end - start === 1) return best;
  counts.fill(0);
  let busy = 0;
  for (let index = start; index < end; index++) {
    const code = letters[members[index] ?? -1] ?? NOT_KNOWN;
    if (!isBusy(code)) {
      if (rankOf(code) > rankOf(best)) best = code;
      continue;
    }
    busy += 1;
    const count = (counts[code] = (counts[code] ?? 0) + 1);
    const most = isBusy(best) ? (counts[best] ?? 0) : 0;
    if (count > most || (count === most && rankOf(code) > rankOf(best))) best = code;
  }
  if (busy === 0) return best;
  return best + IDLE_QUARTER * Math.floor((QUARTERS * (end - start - busy)) / (end - start));
}

export function columnAt(columns: readonly Column[], at: number): Column | null {
  const column = columns[countBefore(columns, at)];
  return column !== undefined && column.from < at ? column : null;
}

/** The code of a slot, or of a line, at an instant of its column. */
export function codeAt({ letters, since }: Letters, index: number, at: number): number {
  const letter = letters[index] ?? NOT_KNOWN;
  if (since === null) return letter;
  return (since[index] ?? Number.NaN) <= at ? letter | INFERRED : NOT_KNOWN;
}

function codesAt(reduced: Letters, at: number): Uint8Array {
  return reduced.since === null ? reduced.letters : reduced.letters.map((_, line) => codeAt(reduced, line, at));
}

/** The most telling of several codes, line by line. */
function merge(layers: readonly Uint8Array[]): Uint8Array {
  const merged = new Uint8Array(layers[0] ?? []);
  for (const codes of layers) {
    for (let line = 0; line < merged.length; line++) {
      if (rankOf(codes[line]) > rankOf(merged[line])) merged[line] = codes[line] ?? NOT_KNOWN;
    }
  }
  return merged;
}

const pixelTime = (span: Span, pixels: number): number => (span.to - span.from) / pixels;
/** Pixels are numbered through all time: this is the number of the first one of a span. */
const originOf = (span: Span, pixels: number): number => Math.round(span.from / pixelTime(span, pixels));

/** Reduces columns to the same lines again and again, each only once. */
export class Reducer {
  readonly #reduced = new WeakMap<Column, Letters>();
  /** By the first column of several that share a pixel. */
  readonly #merged = new WeakMap<Column, { readonly last: Column; readonly codes: Uint8Array }>();

  constructor(private readonly lines: Lines) {}

  /**
   * What a span of so many pixels shows; nothing where nothing is known. A pixel is a fixed stretch of time wherever
   * the span begins, and shows the most telling of the columns that end in it: so a burst is never skipped, nor does it
   * flicker as the map moves on.
   */
  stretches(columns: readonly Column[], span: Span, pixels: number): readonly Stretch[] {
    const perPixel = pixelTime(span, pixels);
    const origin = originOf(span, pixels);
    const pixelOf = (at: number) => Math.ceil(at / perPixel) - 1 - origin;
    const stretches: Stretch[] = [];
    let next = 0;
    for (let index = countBefore(columns, origin * perPixel); index < columns.length && next < pixels; ) {
      const first = columns[index];
      if (first === undefined) break;
      const last = pixelOf(first.at);
      const start = index;
      while (index < columns.length && pixelOf(columns[index]?.at ?? 0) === last) index++;
      const from = Math.max(next, Math.floor(first.from / perPixel) - origin);
      next = Math.min(pixels, last + 1);
      const several = index > start + 1;
      const to = several ? Math.min(last, pixels) : next;
      if (from < to) stretches.push(this.#alone(first, from, to, pixelOf));
      if (to < next) {
        stretches.push({ from: to, to: next, codes: this.#together(columns.slice(start, index)), known: null });
      }
    }
    return stretches;
  }

  #alone(column: Column, from: number, to: number, pixelOf: (at: number) => number): Stretch {
    const { letters, since } = this.#reduce(column);
    if (since === null) return { from, to, codes: letters, known: null };
    const codes = letters.map((letter) => letter | INFERRED);
    const knownFrom = (at: number) => (at <= column.at ? Math.max(from, pixelOf(at)) : to);
    return { from, to, codes, known: Int32Array.from(since, knownFrom) };
  }

  #together(columns: readonly Column[]): Uint8Array {
    const [first, last] = [columns[0], columns.at(-1)];
    const known = first && this.#merged.get(first);
    if (first === undefined || last === undefined || known?.last === last) return known?.codes ?? new Uint8Array();
    const codes = merge(columns.map((column) => codesAt(this.#reduce(column), column.at)));
    this.#merged.set(first, { last, codes });
    return codes;
  }

  #reduce(column: Column): Letters {
    const known = this.#reduced.get(column);
    if (known !== undefined) return known;
    const reduced = reduce(column, this.lines);
    this.#reduced.set(column, reduced);
    return reduced;
  }
}

/** The stretches of one line in which its code stays the same. */
export function runs(stretches: readonly Stretch[], line: number): readonly Run[] {
  const found: Run[] = [];
  for (const { from: start, to, codes, known } of stretches) {
    const code = codes[line] ?? NOT_KNOWN;
    const from = known?.[line] ?? start;
    const last = found.at(-1);
    if (from >= to) continue;
    if (last?.to === from && last.code === code) found[found.length - 1] = { ...last, to };
    else found.push({ from, to, code });
  }
  return found;
}

export interface Scene {
  readonly columns: readonly Column[];
  readonly span: Span;
  readonly lines: Lines;
  /** Pixels by code; by code + FADED in lines that fade. */
  readonly colors: Uint32Array;
}

export const FADED = 256;

/** Pixels that only have to be moved to the left by some. */
interface Kept {
  readonly first: number;
  readonly last: number;
  readonly by: number;
}

/** The pixels of a map. What only moved on since the last drawing is moved, not painted again. */
export class Film {
  stretches: readonly Stretch[] = [];
  /** What all pixels depend on, and the columns that they showed: how many, the oldest and the newest. */
  #setting: readonly unknown[] = [];
  #shown: readonly [number, Column | undefined, Column | undefined] = [0, undefined, undefined];
  #origin = 0;

  constructor(
    readonly pixels: Uint32Array,
    readonly width: number,
  ) {}

  draw({ columns, span, lines, colors }: Scene, reducer: Reducer): void {
    const perPixel = pixelTime(span, this.width);
    const origin = originOf(span, this.width);
    const by = origin - this.#origin;
    const setting = [reducer, lines, colors, perPixel];
    // The same array may hold other columns by now.
    const shown = [columns.length, columns[0], columns.at(-1)] as const;
    const settled = sameList(setting, this.#setting);
    if (settled && by === 0 && sameList(shown, this.#shown)) return;
    const [first, last] = settled ? this.#kept(columns, by, (at) => Math.ceil(at / perPixel) - origin) : [0, 0];
    this.stretches = reducer.stretches(columns, span, this.width);
    if (first >= last) this.pixels.fill(0);
    this.#paint(lines, colors, first < last ? { first, last, by } : { first: 0, last: 0, by: 0 });
    this.#setting = setting;
    this.#shown = shown;
    this.#origin = origin;
  }

  /** The pixels that are what they were, `by` pixels further right: columns come and go at the ends. */
  #kept(columns: readonly Column[], by: number, pixelAfter: (at: number) => number): readonly [number, number] {
    const [, oldest, newest] = this.#shown;
    const first = columns[0];
    if (first === undefined || oldest === undefined || newest === undefined || by < 0) return [0, 0];
    if (columns[countBefore(columns, newest.at)] !== newest) return [0, 0];
    const from = first === oldest ? 0 : Math.max(0, pixelAfter(Math.max(first.from, oldest.from)) + 1);
    // The newest pixel may show more columns than it did.
    return [from, (this.stretches.at(-1)?.to ?? 0) - by - 1];
  }

  #paint(lines: Lines, colors: Uint32Array, kept: Kept): void {
    const { pixels, width } = this;
    const { count, tops, bottoms, faded } = lines;
    const stretches = this.stretches.filter(({ from, to }) => from < kept.first || to > kept.last);
    for (let line = 0; line < count; line++) {
      const shade = faded[line] === 1 ? FADED : 0;
      const start = (tops[line] ?? 0) * width;
      if (kept.by > 0) pixels.copyWithin(start, start + kept.by, start + width);
      pixels.fill(0, start, start + kept.first);
      pixels.fill(0, start + kept.last, start + width);
      for (const { from, to, codes, known } of stretches) {
        const color = colors[(codes[line] ?? 0) + shade] ?? 0;
        for (let index = start + (known === null ? from : (known[line] ?? to)); index < start + to; index++) {
          pixels[index] = color;
        }
      }
      const end = (bottoms[line] ?? 0) * width;
      for (let copy = start + width; copy < end; copy += width) pixels.copyWithin(copy, start, start + width);
    }
  }
}
