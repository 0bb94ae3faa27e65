import { describe, expect, test } from "vitest";

import { DEFAULTS, GROUPS, instantIn, read, WINDOW_NAMES, write, type Choices } from "../src/address";
import { one, random, type Below } from "./random";

const AT = 1_790_000_000;
const PIECES = [..." \"\\=:,.-*/<>()[]&#?+%aAß😀é", "vhost:", "%zz", "%00", "&slot=1.1", "#window=all", "__proto__", "undefined"];
const SORTS = ["age", "state", "pid", "client", "vhost", "request"] as const;

const anyText = (below: Below, pieces: readonly string[] = PIECES) =>
  Array.from({ length: below(20) }, () => one(below, pieces)).join("");

const anyChoices = (below: Below): Choices => ({
  window: one(below, WINDOW_NAMES),
  panel: one(below, ["grid", "map"]),
  filter: anyText(below),
  sort: { key: one(below, SORTS), down: below(2) === 0 },
  group: one(below, [null, ...GROUPS]),
  pinned: one(below, [null, { process_num: below(100_000), index: below(1000) }]),
});

test("what was written is read back, also as a browser writes it", () => {
  for (let seed = 0; seed < 2000; seed++) {
    const choices = anyChoices(random(seed));
    const hash = write(choices);
    expect(read(hash)).toEqual(choices);
    expect(read(new URL(`http://site/dashboard/${hash}`).hash)).toEqual(choices);
  }
});

test("garbage is read as something, and that is written and read back", () => {
  const pieces = [...PIECES, "\n", "\ud83d", "window=", "panel=", "filter=", "sort=-", "sort=", "group=", "slot=", "slot=1.", "&", "constructor", "9".repeat(30)];
  for (let seed = 0; seed < 2000; seed++) {
    const choices = read(`#${anyText(random(seed), pieces)}`);
    expect(read(write(choices))).toEqual(choices);
  }
});

test("what is as it is by default is not written", () => {
  expect(write(DEFAULTS)).toBe("");
  expect(write({ ...DEFAULTS, panel: "map" })).toBe("#panel=map");
  expect(write({ ...DEFAULTS, sort: { key: "age", down: false } })).toBe("#sort=age");
});

describe("what is not understood is as if it were not there", () => {
  test.each([
    "",
    "#",
    "window=2m",
    "window=toString",
    "panel=MAP",
    "sort=--age",
    "sort=-",
    "sort=size",
    "group=pid",
    "group=constructor",
    "slot=1",
    "slot=-1.2",
    "slot=1.2.3",
    "slot=1.5e3",
    "slot=1234567.1",
    "slot= 1.2",
    "%zz",
    "a=b&c",
  ])("%s", (hash) => {
    expect(read(`#${hash}`)).toEqual(DEFAULTS);
  });

  test("beside what is", () => {
    expect(read("#window=never&slot=3.10&sort=pid")).toEqual({
      ...{ ...DEFAULTS, pinned: { process_num: 3, index: 10 }, sort: { key: "pid", down: false } },
    });
  });
});

test("a filter is no longer than 500 characters", () => {
  expect(read(`#filter=${"a".repeat(9000)}`).filter).toBe("a".repeat(500));
});

test("a filter has one line: its box would show another text than it holds", () => {
  expect(read("#filter=a%0D%0Ab%00c%C2%85d").filter).toBe("a b c d");
});

describe("the instant", () => {
  test("comes first, to the millisecond, and is read back", () => {
    const hash = write({ ...DEFAULTS, panel: "map" }, AT + 0.12345);
    expect(hash).toBe("#at=1790000000.123&panel=map");
    expect(instantIn(hash)).toBe(1790000000.123);
    expect(read(hash)).toEqual({ ...DEFAULTS, panel: "map" });
  });

  test.each(["", "#", "#at=", "#at=now", "#at=-5", "#at=1e9", "#at=123456789012", "#at=Infinity", "#at=1.2.3"])("%j is none", (hash) => {
    expect(instantIn(hash)).toBeNull();
  });
});
