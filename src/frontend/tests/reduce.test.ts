import { describe, expect, test } from "vitest";

import type { Span } from "../src/axis";
import { INFERRED, NOT_KNOWN, type Column } from "../src/history";
import { codeAt, columnAt, FADED, Film, firstRow, idleQuarters, lay, letterOf, lineAt, lineOf } from "../src/reduce";
import { reduce, Reducer, runs, samePlaces, sameSlots } from "../src/reduce";
import { STATUSES, type Status } from "../src/wire";

const NAN = Number.NaN;

/** "W" as it is in a column, "iW" where that is inferred, "?" where nothing is known. */
function code(letter: string): number {
  if (letter === "?") return NOT_KNOWN;
  return letter.startsWith("i") ? code(letter.slice(1)) | INFERRED : STATUSES.indexOf(letter as Status);
}

function column(from: number, at: number, letters: string, since: readonly number[] | null = null): Column {
  return {
    from,
    at,
    letters: Uint8Array.from(letters, (letter) => code(letter)),
    since: since === null ? null : Float64Array.from(since),
  };
}

const rowsOf = (count: number) => Array.from({ length: count }, (_, row) => row);
const oneBlock = (count: number) => [{ first: 0, count }];

/** All rows in one pixel. */
const together = (count: number) => lay(rowsOf(count), oneBlock(count), null, { height: 1, ratio: 1 });

function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("lines", () => {
  test("a few rows are 18 px tall, with gaps between them and wider ones between processes", () => {
    const blocks = [0, 2].map((first) => ({ first, count: 2 }));
    const lines = lay(rowsOf(4), blocks, null, { height: 300, ratio: 1 });
    expect([...lines.tops]).toEqual([0, 18, 38, 56]);
    expect([...lines.bottoms]).toEqual([17, 35, 55, 73]);
    expect(lines.height).toBe(74);
  });

  test("twice the device pixels", () => {
    const lines = lay(rowsOf(2), oneBlock(2), null, { height: 300, ratio: 2 });
    expect([...lines.tops, ...lines.bottoms]).toEqual([0, 36, 34, 70]);
  });

  test("a row for each process: no wider gaps", () => {
    const blocks = rowsOf(3).map((first) => ({ first, count: 1 }));
    expect([...lay(rowsOf(3), blocks, null, { height: 300, ratio: 1 }).tops]).toEqual([0, 18, 36]);
  });

  test.each([
    ["a phone", 64, 16, 200, 2],
    ["a row for each pixel or two", 150, 25, 302, 1],
    ["several rows for each pixel", 6400, 64, 300, 1],
    ["several rows for each pixel, twice", 6400, 64, 301, 2],
    ["a fraction of a pixel", 301, 7, 300, 1.25],
  ])("%s: lines follow each other within the height, and hold each slot once", (_name, count, per, height, ratio) => {
    const blocks = rowsOf(Math.ceil(count / per)).map((block) => ({ first: block * per, count: per }));
    const lines = lay(rowsOf(count), blocks, null, { height, ratio });
    expect([...lines.members]).toEqual(rowsOf(count));
    expect(lines.bottoms.at(-1)).toBeLessThanOrEqual(Math.ceil(height * ratio));
    for (let line = 0; line < lines.count; line++) {
      expect(lines.bottoms[line]).toBeGreaterThan(lines.tops[line] ?? 0);
      if (line > 0) expect(lines.tops[line]).toBeGreaterThanOrEqual(lines.bottoms[line - 1] ?? 0);
      expect(lineAt(lines, lines.tops[line] ?? 0)).toBe(line);
      expect(lineOf(firstRow(line, lines.count, count), lines.count, count)).toBe(line);
      expect(lines.starts[line]).toBe(firstRow(line, lines.count, count));
    }
  });

  test("outside of them is no line", () => {
    const lines = lay(rowsOf(2), oneBlock(2), null, { height: 300, ratio: 1 });
    expect([lineAt(lines, -1), lineAt(lines, 35), lineAt(lines, 999)]).toEqual([null, null, null]);
    expect(lineAt(lay([], [], null, { height: 300, ratio: 1 }), 0)).toBe(null);
  });

  test("slots that are not wanted fade, and give way to one that is", () => {
    const lines = lay(rowsOf(4), oneBlock(4), new Set([0, 2, 3]), { height: 2, ratio: 1 });
    expect([...lines.members]).toEqual([1, 2, 3]);
    expect([...lines.faded]).toEqual([0, 1]);
  });

  test("the same slots in another array are the same lines", () => {
    expect(sameSlots(together(4), together(4))).toBe(true);
    expect(sameSlots(together(4), together(5))).toBe(false);
    expect(sameSlots(together(4), lay(rowsOf(4), oneBlock(4), null, { height: 2, ratio: 1 }))).toBe(false);
  });

  test("elsewhere, or faded, they are others to look at", () => {
    const [tall, short] = [40, 20].map((height) => lay(rowsOf(4), oneBlock(4), null, { height, ratio: 1 }));
    const faded = lay(rowsOf(4), oneBlock(4), new Set([2]), { height: 40, ratio: 1 });
    if (tall === undefined || short === undefined) throw new RangeError();
    expect([sameSlots(tall, short), samePlaces(tall, short)]).toEqual([true, false]);
    expect([sameSlots(tall, faded), samePlaces(tall, faded)]).toEqual([true, false]);
    expect(samePlaces(tall, { ...tall })).toBe(true);
  });
});

describe("several slots in a line", () => {
  const ORDER = "GRCLDKWSI_.?";
  const lineFor = (letters: string) => reduce(column(0, 1, letters), together(letters.length)).letters[0] ?? NOT_KNOWN;

  const cases = [...ORDER].map((letter, place) => [letter, ORDER.slice(place)] as const);

  test.each(cases)("%s is the most telling of %s", (best, all) => {
    const backwards = [...all].reverse().join("");
    for (const letters of [all, backwards]) expect(letterOf(lineFor(letters))).toBe(letterOf(code(best)));
  });

  test.each([
    ["WWWW", "W", 0],
    ["WWW_", "W", 1],
    ["_W", "W", 2],
    ["_..W", "W", 3],
    ["________W", "W", 3],
    ["WWR_", "W", 1],
    ["____", "_", 0],
    ["..", ".", 0],
  ])("%s are shown as %s, %d quarters of them idle", (letters, letter, quarters) => {
    const line = lineFor(letters);
    expect([STATUSES[letterOf(line)], idleQuarters(line)]).toEqual([letter, quarters]);
  });

  test("nothing is known of any", () => {
    expect(lineFor("??")).toBe(NOT_KNOWN);
  });

  test.each([
    ["the busy one that was there first", "W_K", [5, 1, 3], "K", 3],
    ["a busy one rather than an idle one", "_W", [1, 5], "W", 5],
    ["an idle one rather than one of which nothing is known", "W_", [NAN, 4], "_", 4],
    ["the more telling of two that came at once", "WR", [4, 4], "R", 4],
    ["nothing is known", "WK", [NAN, NAN], "W", NAN],
  ])("where nothing was seen: %s", (_name, letters, since, letter, from) => {
    const reduced = reduce(column(0, 9, letters, since), together(letters.length));
    const [found = NOT_KNOWN] = reduced.letters;
    expect([letterOf(found), ...(reduced.since ?? [])]).toEqual([letterOf(code(letter)), from]);
    expect(idleQuarters(found)).toBe(letter === "_" ? 0 : 3);
  });
});

test.each([
  [1, "?"],
  [1.5, "W"],
  [2, "W"],
  [2.5, "?"],
  [4, "?"],
  [5, "iK"],
  [6, "iK"],
  [6.5, "?"],
])("at %d the slot is %s", (at, expected) => {
  const found = columnAt([column(1, 2, "W"), column(3, 6, "K", [5])], at);
  expect(found === null ? NOT_KNOWN : codeAt(found, 0, at)).toBe(code(expected));
});

/** Columns with holes and unseen stretches, whose ends are whole seconds. */
function past(random: (below: number) => number, slots: number): readonly Column[] {
  const columns: Column[] = [];
  for (let at = 0; at < 60; ) {
    const from = at + (random(4) === 0 ? 1 + random(5) : 0);
    at = from + 1 + random(4);
    const letters = Array.from({ length: slots }, () => "GRCLDKWSI_."[random(11)]).join("");
    const when = () => (random(5) === 0 ? NAN : from - 2 + random(at - from + 4));
    columns.push(column(from, at, letters, random(3) === 0 ? Array.from({ length: slots }, when) : null));
  }
  return columns;
}

/** What a slot is at an instant, in the words of Column. */
function oracle(columns: readonly Column[], slot: number, at: number): number {
  for (const { from, at: end, letters, since } of columns) {
    if (at <= from || at > end) continue;
    if (since === null) return letters[slot] ?? NOT_KNOWN;
    return (since[slot] ?? NAN) <= at ? (letters[slot] ?? 0) | INFERRED : NOT_KNOWN;
  }
  return NOT_KNOWN;
}

/** The codes of a line, pixel by pixel. */
function painted(columns: readonly Column[], slots: number, span: Span, pixels: number): readonly number[][] {
  const reducer = new Reducer(lay(rowsOf(slots), oneBlock(slots), null, { height: 600, ratio: 1 }));
  const stretches = reducer.stretches(columns, span, pixels);
  expect(reducer.stretches(columns, span, pixels)).toEqual(stretches);
  return rowsOf(slots).map((line) => {
    const row = new Array<number>(pixels).fill(NOT_KNOWN);
    let end = 0;
    for (const run of runs(stretches, line)) {
      expect(run.from).toBeGreaterThanOrEqual(end);
      end = run.to;
      row.fill(run.code, run.from, run.to);
    }
    expect(end).toBeLessThanOrEqual(pixels);
    return row;
  });
}

describe("over time", () => {
  test.each([1, 2, 4])("with %d pixels a second each shows what was at its end", (perSecond) => {
    const random = dice(perSecond);
    for (let round = 0; round < 40; round++) {
      const columns = past(random, 5);
      const from = random(30);
      const rows = painted(columns, 5, { from, to: from + 30 }, 30 * perSecond);
      const expected = rowsOf(5).map((slot) =>
        rowsOf(30 * perSecond).map((pixel) => oracle(columns, slot, from + (pixel + 1) / perSecond)),
      );
      expect(rows).toEqual(expected);
    }
  });

  test("with fewer pixels than columns none is skipped", () => {
    const columns = rowsOf(60).map((at) => column(at, at + 1, at === 31 ? "R" : "_"));
    for (const pixels of [7, 13, 29, 59]) {
      const [row] = painted(columns, 1, { from: 0, to: 60 }, pixels);
      expect(row?.filter((each) => each === code("R")).length).toBe(1);
      expect(row?.filter((each) => each === code("_")).length).toBe(pixels - 1);
    }
  });

  test("a request that is held is one run", () => {
    const columns = rowsOf(60).map((at) => column(at, at + 1, "W"));
    const reducer = new Reducer(together(1));
    for (const pixels of [7, 60, 700]) {
      const stretches = reducer.stretches(columns, { from: 10.3, to: 50.3 }, pixels);
      expect(runs(stretches, 0)).toEqual([{ from: 0, to: pixels, code: code("W") }]);
    }
  });
});

describe("a film that moves on is the same as one that is painted anew", () => {
  const colors = Uint32Array.from({ length: 2 * FADED }, (_, place) => place + 1);

  test.each([
    ["columns wider than a pixel", 300, 60],
    ["columns narrower than a pixel", 37, 60],
    ["a span that is longer than the past", 80, 200],
  ])("%s", (_name, width, seconds) => {
    const random = dice(width);
    for (let round = 0; round < 20; round++) {
      const all = past(random, 6).map((each) => ({ ...each, from: each.from + 1e9, at: each.at + 1e9 }));
      const lines = lay(rowsOf(6), oneBlock(6), new Set([4]), { height: 30, ratio: 1 });
      const size = width * (lines.bottoms.at(-1) ?? 0);
      const reducer = new Reducer(lines);
      const film = new Film(new Uint32Array(size), width);
      let [oldest, newest] = [0, 1 + random(5)];
      let late = 0;
      while (newest < all.length) {
        newest += random(3);
        oldest += random(8) === 0 ? 1 : 0;
        late = random(9) === 0 ? random(5) : late;
        const columns = all.slice(oldest, Math.max(oldest + 1, newest));
        const to = (columns.at(-1)?.at ?? 0) + 0.123456789 + late;
        const scene = { columns, span: { from: to - seconds, to }, lines, colors };
        const anew = new Film(new Uint32Array(size), width);
        film.draw(scene, reducer);
        anew.draw(scene, new Reducer(lines));
        expect(film.pixels.findIndex((pixel, place) => pixel !== anew.pixels[place])).toBe(-1);
      }
    }
  });

  test("also where the past is another one, in the same array", () => {
    const lines = lay(rowsOf(1), oneBlock(1), null, { height: 18, ratio: 1 });
    const reducer = new Reducer(lines);
    const film = new Film(new Uint32Array(17 * 60), 60);
    const columns = [column(0, 20, "W"), column(20, 40, "K")];
    const draw = () => film.draw({ columns, span: { from: 0, to: 60 }, lines, colors }, reducer);
    draw();
    columns.splice(1, 1, column(20, 30, "R"));
    draw();
    expect([film.pixels[25], film.pixels[35]]).toEqual([code("R") + 1, 0]);
    columns.shift();
    draw();
    expect([film.pixels[5], film.pixels[25]]).toEqual([0, code("R") + 1]);
    columns.unshift(column(0, 20, "G"));
    draw();
    expect([film.pixels[5], film.pixels[25]]).toEqual([code("G") + 1, code("R") + 1]);
  });
});
