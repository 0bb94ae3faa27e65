/** What Python says must be said here, too: tests/twins is written by `python -m tests.twins`. */
import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { Decoder } from "../src/decoder";
import { parseFilter, quote, type FilterError } from "../src/filter";
import { commonest, grouped, sorted, type GroupKey, type SortKey } from "../src/groups";
import { pointOf } from "../src/memory";
import { pattern, target } from "../src/pattern";
import { report } from "../src/report";
import { ageOf, inFlight, isSlow, lettersOnly, type Request } from "../src/requests";
import * as strings from "../src/strings";
import { groupName } from "../src/strings-later";
import { verdict, type Verdict } from "../src/verdict";
import { decode, type Sample, type Status } from "../src/wire";

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../tests/twins/${name}.json`, import.meta.url), "utf8"));

const AT = 1_700_000_000;

type Row = readonly [number, number, number, Status, number | null, boolean, boolean, string, string, string];
type GroupRow = readonly unknown[];

const requestOf = ([process_num, index, pid, status, startedAt, ...rest]: Row): Request => {
  const [websocket, draining, client, vhost, request] = rest;
  return { slot: { process_num, index }, pid, status, startedAt, websocket, draining, client, vhost, request };
};

const groupsOf = (requests: readonly Request[], key: GroupKey, at: number): readonly GroupRow[] =>
  grouped(requests, key).map((group) => [
    ...[group.name, group.count, group.oldestAt, Object.fromEntries(group.states), group.filter],
    ...[groupName(group, key), strings.oldestOf(group, at)],
  ]);

test("lines", () => {
  for (const row of read("lines") as readonly (readonly string[])[]) {
    const [line = ""] = row;
    expect([line, pattern(line), target(line), strings.requestLine(line)]).toEqual(row);
  }
});

test("numbers", () => {
  for (const row of read("numbers") as readonly (readonly [number, ...string[]])[]) {
    const [value] = row;
    // A duration, which has no decimals below ten, is a part of other texts only.
    const duration = / in about (.*) at this pace/.exec(strings.verdict({ ...NOTHING, fullIn: value }))?.[1];
    expect([value, strings.count(value), strings.seconds(value), duration, strings.bytes(value)]).toEqual(row);
  }
});

const NOTHING: Verdict = {
  ...{ level: "calm", busy: 3, of: 20, basis: "serving", full: null, fullIn: null, most: null },
  ...{ websockets: 0, oldestSeconds: null, draining: null, cause: null },
};

interface AlertCase {
  readonly failure: unknown;
  readonly words: readonly string[];
}

test("alerts", () => {
  for (const { failure, words } of read("alerts") as readonly AlertCase[]) {
    const frame = decode(JSON.stringify(failure));
    expect(frame.alerts.map((alert) => strings.alert(alert, frame.at))).toEqual(words);
  }
});

interface RequestCase {
  readonly row: Row;
  readonly age: number | null;
  readonly slow: boolean;
  readonly words: readonly string[];
}

const REQUESTS = read("requests") as readonly RequestCase[];

test("requests", () => {
  for (const { row, ...expected } of REQUESTS) {
    const request = requestOf(row);
    const words = [strings.age(request, AT), strings.slot(request.slot)];
    expect({ age: ageOf(request, AT), slow: isSlow(request, AT), words }).toEqual(expected);
  }
});

interface FilterCase {
  readonly text: string;
  readonly empty: boolean;
  readonly shown: string;
  readonly errors: readonly (readonly string[])[];
}

test("filters", () => {
  const requests = REQUESTS.map(({ row }) => requestOf(row));
  const told = (error: FilterError) => [error.kind, error.text, strings.filterError(error)];
  for (const expected of read("filters") as readonly FilterCase[]) {
    const filter = parseFilter(expected.text);
    const shown = requests.map((request) => (filter.matches(request, AT) ? "1" : "0")).join("");
    expect({ text: expected.text, empty: filter.empty, shown, errors: filter.errors.map(told) }).toEqual(expected);
  }
});

test("quotes", () => {
  for (const row of read("quotes") as readonly (readonly string[])[]) {
    const [text = ""] = row;
    expect([text, quote(text)]).toEqual(row);
  }
});

interface Order {
  readonly requests: readonly Row[];
  readonly orders: Readonly<Record<string, readonly number[]>>;
  readonly groups: Readonly<Record<string, readonly GroupRow[]>>;
  readonly commonest: unknown;
}

test("orders and groups", () => {
  for (const { requests: rows, orders, groups, commonest: most } of read("orders") as readonly Order[]) {
    const requests = rows.map(requestOf);
    for (const [name, places] of Object.entries(orders)) {
      const [key, way] = name.split(" ");
      const order = sorted(requests, { key: key as SortKey, down: way === "down" });
      expect(order.map((request) => requests.indexOf(request)), name).toEqual(places);
    }
    for (const [key, expected] of Object.entries(groups)) {
      expect(groupsOf(requests, key as GroupKey, AT)).toEqual(expected);
    }
    expect(commonest(requests)).toEqual(most);
  }
});

interface ScreenCase {
  readonly about: string;
  readonly frame: unknown;
  /** Seconds before the sample, whether there is a gap before it, busy workers, and of how many. */
  readonly points: readonly (readonly [number, number, number, number])[];
  readonly requests: readonly unknown[];
  readonly letters_only: boolean;
  readonly verdict: { readonly full_in: number | null };
  readonly sentence: string;
  readonly advice: unknown;
  readonly basis: string;
  readonly tiles: readonly unknown[];
  readonly lines: readonly string[];
}

function sampleOf(frame: unknown): Sample {
  const sample = new Decoder().decode(JSON.stringify(frame));
  if (typeof sample === "string" || "error" in sample) throw new Error("no sample");
  return sample;
}

const rowOf = ({ slot, pid, status, startedAt, websocket, draining }: Request) =>
  [slot.process_num, slot.index, pid, status, startedAt, websocket, draining];

function factsOf({ fullIn: _, ...says }: Verdict) {
  const { level, busy, of, basis, websockets, oldestSeconds, cause, full, most, draining } = says;
  const oldest = draining?.oldest?.slot ?? null;
  return {
    ...{ level, busy, of, basis, websockets, oldest_seconds: oldestSeconds, cause, most },
    full: full && { seconds: full.seconds, at_least: full.atLeast },
    draining: draining && [draining.processes, oldest && [oldest.process_num, oldest.index]],
  };
}

describe.each(read("screens") as readonly ScreenCase[])("$about", (screen) => {
  const sample = sampleOf(screen.frame);
  const requests = inFlight(sample);
  const points = screen.points.map(([before, gap, busy, of]) => ({
    ...pointOf(sample, gap === 1),
    ...{ at: sample.at - before, busy, of },
  }));
  const says = verdict(sample, requests, points);
  const slow = requests.filter((request) => isSlow(request, sample.at)).length;
  const tiles = strings.tiles(sample, says, slow);

  test("facts", () => {
    expect(requests.map(rowOf)).toEqual(screen.requests);
    expect(lettersOnly(sample)).toBe(screen.letters_only);
    const { full_in: fullIn, ...facts } = screen.verdict;
    expect(factsOf(says)).toEqual(facts);
    // A square is a multiplication there and a power here.
    expect(says.fullIn ?? -1).toBeCloseTo(fullIn ?? -1, 6);
  });

  test("words", () => {
    expect(strings.verdict(says)).toBe(screen.sentence);
    expect(strings.advice(says)).toEqual(screen.advice);
    expect(strings.basis(says)).toBe(screen.basis);
    expect(tiles.map(({ label, value, more }) => ({ label, value, more }))).toEqual(screen.tiles);
  });

  test("lines of a report", () => {
    const rest = { place: "", filter: "", groups: null, groupKey: null, rows: [], alerts: [], alertsAt: sample.at };
    const lines = report({ ...rest, sample, says, tiles, requests, websockets: [] }).split("\n");
    for (const line of screen.lines) expect(lines).toContain(line);
  });
});
