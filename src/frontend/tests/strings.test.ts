import { describe, expect, test } from "vitest";

import { parseFilter } from "../src/filter";
import { grouped } from "../src/groups";
import { pointOf } from "../src/memory";
import { Trouble } from "../src/recorded";
import { inFlight, story as storyOf, type Story } from "../src/requests";
import type { ProcessRow } from "../src/rows";
import * as strings from "../src/strings";
import { bytes, connection, holding, seconds, verdict } from "../src/strings";
import type { Cause, Verdict } from "../src/verdict";
import { AT, counted, held, process, worker } from "./samples";

const OF_20: Verdict = {
  ...{ level: "calm", busy: 3, of: 20, basis: "serving", full: null, fullIn: null, most: null },
  ...{ websockets: 0, oldestSeconds: null, draining: null, cause: null },
};
const REQUESTS = inFlight(counted([process(41, [held(50), held(60), held(70)])]));
const [MOST] = grouped(REQUESTS, "path");
if (MOST === undefined) throw new Error("no group");

describe("the verdict", () => {
  test.each<[Partial<Verdict>, readonly string[], readonly string[]]>([
    [{}, ["Calm", "3 of 20 workers"], ["oldest", "full"]],
    [{ oldestSeconds: 0.2 }, ["Calm"], ["oldest"]],
    [{ oldestSeconds: 4.25 }, ["Calm", "oldest", "4.3 s"], []],
    [{ level: "busy", busy: 18, oldestSeconds: 12.4 }, ["Busy", "18 of 20 workers", "oldest", "12 s"], []],
    [{ level: "busy", busy: 18, most: MOST }, ["3", "GET /"], []],
    [{ most: MOST }, ["Calm"], ["GET /"]],
    [{ level: "filling", fullIn: 95 }, ["1 min 35 s"], []],
    [{ level: "full", busy: 1, of: 1, full: { seconds: 0, atLeast: false } }, ["Full", "1 of 1 worker "], ["workers", "least"]],
    [{ level: "full", busy: 20, full: { seconds: 75, atLeast: true } }, ["Full", "at least 1 min 15 s"], []],
    [{ level: "busy", websockets: 15, cause: "websockets" }, ["15", "WebSockets"], []],
    [{ level: "down", busy: 0, of: 0 }, ["Down"], ["of 0"]],
    [{ level: "busy", busy: 6300, of: 6400 }, ["6,300 of 6,400"], []],
  ])("%j", (changes, with_, without) => {
    const words = verdict({ ...OF_20, ...changes });
    for (const part of with_) expect(words).toContain(part);
    for (const part of without) expect(words).not.toContain(part);
    expect(words).toMatch(/^[A-Z].*[^.]\.$/);
  });
});

describe("advice", () => {
  const CAUSES: readonly Cause[] = ["reading", "keepalive", "dns", "logging", "websockets", "path", "draining", "workers"];

  test.each(CAUSES)("%s has a directive and a reason", (cause) => {
    const advice = strings.advice({ ...OF_20, cause });
    expect(advice?.directive).toMatch(/^[A-Za-z-]+$/);
    expect(advice?.why).toMatch(/[A-Za-z].*\.$/);
  });

  test("nothing to look at, no advice", () => {
    expect(strings.advice(OF_20)).toBeNull();
  });

  test("of what drains: how many, and what holds the oldest", () => {
    const [oldest = null] = REQUESTS;
    const of = (processes: number) => strings.advice({ ...OF_20, cause: "draining", draining: { processes, oldest } })?.why;
    expect(of(1)).toMatch(/^1 old process .*41.*GET \/\./);
    expect(of(3)).toMatch(/^3 old processes /);
    expect(strings.advice({ ...OF_20, cause: "draining", draining: { processes: 1, oldest: null } })?.why).not.toContain("pid");
  });
});

test.each([
  [3, 400, "This dashboard holds 3 of 400 workers"],
  [1, 1, "This dashboard holds 1 of 1 worker"],
  [2, null, "This dashboard holds 2 workers"],
  [0, 400, "This dashboard holds no Apache worker"],
])("%d of %j workers: %s", (held, workers, expected) => {
  expect(holding(held, workers)).toBe(expected);
});

test.each([
  [0.04, "0.0 s"],
  [9.94, "9.9 s"],
  [59.9, "59 s"],
  [61, "1 min 1 s"],
  [3600, "1 h 0 min"],
  [200_000, "2 d 7 h"],
])("%d seconds are %s", (value, expected) => {
  expect(seconds(value)).toBe(expected);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1500, "1.5 kB"],
  [999_900, "1.0 MB"],
  [123_456_789, "123 MB"],
  [5e15, "5,000 TB"],
])("%d bytes are %s", (value, expected) => {
  expect(bytes(value)).toBe(expected);
});

describe("tiles", () => {
  const tilesOf = (extended: boolean | null, says: Partial<Verdict> = {}, slow = 0) => {
    const sample = counted([process(7, [held(3), worker()])]);
    return strings.tiles({ ...sample, capacity: { ...sample.capacity, extended_status: extended } }, { ...OF_20, ...says }, slow);
  };

  test("there are four, each with a label and a meaning", () => {
    const tiles = tilesOf(true);
    expect(new Set(tiles.map(({ label }) => label)).size).toBe(4);
    for (const { means } of tiles) expect(means).toMatch(/\.$/);
    expect(tiles[0]?.value).toBe("3 / 20");
  });

  test.each([
    [true, "not available yet"],
    [null, "not available yet"],
    [false, "not available"],
  ])("a rate that the scoreboard does not hold is never 0: extended_status %s", (extended, expected) => {
    expect(tilesOf(extended).slice(1, 3).map(({ value }) => value)).toEqual([expected, expected]);
  });

  test.each([
    [true, 12.5, "12 s"],
    [true, null, "none"],
    [false, 0, "not available"],
  ])("the oldest request: extended_status %s, %j s", (extended, oldestSeconds, expected) => {
    expect(tilesOf(extended, { oldestSeconds })[3]?.value).toBe(expected);
  });

  test("how many are held for long, and when all will be busy", () => {
    expect(tilesOf(true, { oldestSeconds: 30 }, 4)[3]?.more).toMatch(/^4 /);
    expect(tilesOf(true, { fullIn: 70 })[0]?.more).toContain("1 min 10 s");
  });
});

describe("a slot's story", () => {
  const sample = counted([
    process(41, [
      held(90, { client: "192.0.2.7", vhost: "www:443", request: "GET /report HTTP/1.1", access_count: 1200, bytes_served: 5000 }),
      worker({ request: "GET /last HTTP/1.1" }),
      worker({ status: "R", client: "", vhost: "", request: "" }),
    ], { quiescing: true }),
  ]);
  const words = (index: number, seen: Parameters<typeof strings.story>[2] = null) =>
    strings.story(storyOf(sample, { process_num: 0, index }) as Story, AT, seen);

  test("of a running request", () => {
    const { state, request, facts } = words(0);
    expect(state).toContain("1 min 30 s");
    expect(request).toBe("GET /report HTTP/1.1");
    for (const fact of ["0.0", "41", "192.0.2.7", "www:443", "1,200", "5.0 kB", "drain"]) expect(facts.join(" · ")).toContain(fact);
  });

  test("of an idle slot: the request is told to be the last one", () => {
    expect(words(1).request).toMatch(/^last.*GET \/last/);
    expect(words(1).state).toContain("19 s");
  });

  test("by what was seen, where the scoreboard does not tell", () => {
    expect(words(2).state).not.toContain(" s");
    expect(words(2, { at: AT - 8, earlier: false }).state).toMatch(/ for 8\.0 s/);
    expect(words(2, { at: AT - 8, earlier: true }).state).toMatch(/ at least 8\.0 s/);
    expect(words(0, { at: AT - 8, earlier: true }).state).toMatch(/ for 1 min 30 s/);
    expect(words(2).request).toBe("not available");
  });
});

test.each([
  ["colour:red", "colour:red"],
  ["state:Q", "state:Q"],
  ["age>soon", "age>soon"],
  ["is:odd", "is:odd"],
])("the filter's error in %s names it", (text, named) => {
  const errors = parseFilter(text).errors.map(strings.filterError);
  expect(errors).toHaveLength(1);
  expect(errors[0]?.startsWith(named)).toBe(true);
});

test("the age of a request", () => {
  const [request] = REQUESTS;
  if (request === undefined) throw new Error("no request");
  const unknown = { ...request, startedAt: null };
  expect([strings.age(request, AT), strings.age(request, AT - 100), strings.age(unknown, AT)]).toEqual(["50 s", "0.0 s", "–"]);
});

test.each<[Partial<ProcessRow>, readonly string[]]>([
  [{}, ["41"]],
  [{ age: { seconds: 59, atLeast: true } }, ["41"]],
  [{ age: { seconds: 150, atLeast: false } }, ["41", "2 min"]],
  [{ age: { seconds: 150, atLeast: true } }, ["41", "> 2 min"]],
  [{ old: true, generation: 7 }, ["41", "7", "draining"]],
  [{ quiescing: true }, ["41", "draining"]],
])("labels of a process, %j: the longest says all, the shortest has its pid", (changes, parts) => {
  const row = { process_num: 0, pid: 41, generation: 3, old: false, quiescing: false, age: null, states: "_", ...changes };
  const labels = strings.processLabels(row);
  for (const part of parts) expect(labels[0]).toContain(part);
  expect(labels.at(-1)).toMatch(/^41\*?$/);
  const lengths = labels.map(({ length }) => length);
  expect(lengths).toEqual([...lengths].sort((one, other) => other - one));
});

test("the numbers at an instant, and of all: a rate that is not known is not told", () => {
  const point = pointOf(counted([process(7, [held(3), worker()])]), false);
  expect(strings.reading(point)).toMatch(/1 of 2 busy$/);
  expect(strings.reading({ ...point, requestsPerSecond: 2.5, bytesPerSecond: 1500 })).toMatch(/2\.5 .*1\.5 kB\/s$/);
  const summary = strings.chartSummary([{ ...point, busy: 2 }, point], [{ kind: "graceful", at: AT }]);
  for (const part of ["1 now", "2 at most", "1 of 2 samples", "graceful restart"]) expect(summary).toContain(part);
});

test("the countdown never runs below zero", () => {
  const state = { kind: "reconnecting", why: "restart", due: 1000, since: null } as const;
  expect([0, 600, 5000].map((now) => connection(state, now).countdown)).toEqual(["in 1 s", "in 1 s", "in 0 s"]);
});

describe("the recording", () => {
  const NOW = Date.now() / 1000;
  const OTHER_DAY = NOW - 40 * 86_400;

  test("an instant has its day if that is not today", () => {
    expect(strings.instant(NOW)).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(strings.instant(OTHER_DAY)).toMatch(/^\d+ [A-Z][a-z]+ \d\d:\d\d:\d\d$/);
  });

  test("of several samples together the reading says so, and how far the rates went", () => {
    const point = { ...pointOf(counted([process(1, [held(1)])]), false), requestsPerSecond: 2.5 };
    const spread = { seconds: 60, requests: [0, 40] as const, bytes: null };
    expect(strings.reading({ ...point, spread })).toMatch(/ – .* at most 1 of 1 busy · 2\.5 requests\/s \(0\.0 to 40\.0\)$/);
    expect(strings.reading({ ...point, spread: { ...spread, seconds: 1 } })).not.toContain("most");
  });

  test.each<[Parameters<typeof strings.mark>[0], string]>([
    [{ kind: "graceful", at: NOW }, "graceful restart at"],
    [{ kind: "saturation", at: NOW, ended: NOW + 75 }, "full for 1 min 15 s at"],
    [{ kind: "saturation", at: NOW, ended: NOW }, "full at"],
    [{ kind: "metrics-off", at: NOW, ended: null, text: "no metrics" }, "scoreboard not readable, still: no metrics at"],
    [{ kind: "bookmark", at: NOW, text: "deploy 4711" }, "bookmark: deploy 4711 at"],
  ])("a mark says what, how long and when: %j", (mark, words) => {
    expect(strings.mark(mark)).toBe(`${words} ${strings.instant(NOW)}`);
  });

  test.each<[Partial<Parameters<typeof strings.hole>[0]>, RegExp]>([
    [{}, /^Nothing was recorded from .* to .*\d\. This is the sample before\.$/],
    [{ open: true }, /^Nothing was recorded after [^:]*:\d\d:\d\d\. /],
    [{ why: "dashboard-start" }, /: the dashboard was restarted\. /],
    [{ why: "restart" }, /: Apache was restarted\. /],
    [{ why: "metrics-off", text: "Set server-metrics=on." }, /^Apache's scoreboard could not be read from .*: Set server-metrics=on\. This/],
  ])("a hole: %j", (changes, words) => {
    expect(strings.hole({ from: NOW - 60, to: NOW, open: false, why: null, text: "", ...changes })).toMatch(words);
  });

  test("why there is none", () => {
    const none = { state: "off", problem: null } as unknown as NonNullable<Parameters<typeof strings.unrecorded>[0]>;
    expect(strings.unrecorded(none, null)).toContain("record");
    expect(strings.unrecorded({ ...none, problem: "The disk is full." }, null)).toBe("The disk is full.");
    expect(strings.unrecorded({ ...none, state: "recording" }, null)).toBe("");
    expect(strings.unrecorded(null, new Trouble("lost"))).toContain("no answer");
    expect(strings.troubled(new Trouble({ kind: "frame", path: "series.busy", expected: "list" }))).toContain("series.busy is not a list");
    expect(strings.troubled(new Trouble({ kind: "refused", status: 503, text: "Busy." }))).toBe("Busy.");
    expect(strings.troubled(new Trouble("outdated"))).toBe("");
  });

  test("what a replay is of", () => {
    const replay = { file: "incident.gz", since: NOW - 60, until: NOW } as unknown as Parameters<typeof strings.replay>[0];
    expect(strings.replay(replay)).toBe(`Replay of incident.gz, from ${strings.instant(NOW - 60)} to ${strings.instant(NOW)}`);
    expect(strings.replay({ ...replay, since: null, file: null })).toBe("Replay of a recording");
  });
});
