import { afterEach, describe, expect, test, vi } from "vitest";

import { KINDS, readConcurrency, readEvents, type Concurrency, type RecordedEvent } from "../src/recorder/answers";
import { groups, isLate, momentOf, numbers, states } from "../src/recorder/compare";
import { fromField, query, toField, widened } from "../src/recorder/range";
import { readRecording } from "../src/recorder/recording";
import { ask, Question } from "../src/recorder/server";
import * as strings from "../src/recorder/strings";
import { BUTTON } from "../src/recorder/strings-first";
import { corners, curve, judge, knownTo, peakOf, rows, secondsFrom } from "../src/recorder/whatif";
import { one, random } from "./random";
import { AT, counted, held, process, worker } from "./samples";

const RECORDING = {
  ...{ state: "recording", detail: "full", problem: null, since: AT - 100, until: AT, history_since: AT - 900 },
  ...{ bytes: 5_000_000, limit: 512_000_000, interval: 1, now: AT, file: null },
};
const recordingOf = (changes: object = {}) => readRecording(JSON.stringify({ ...RECORDING, ...changes }));
const eventOf = (kind: string, data: object = {}, changes: object = {}): RecordedEvent => {
  const [event] = readEvents(JSON.stringify({ events: [{ id: 7, at: AT, ended: null, kind, data, ...changes }] }));
  if (event === undefined) throw new Error("no event");
  return event;
};

describe("answers are checked", () => {
  test.each<[string, object]>([
    ["state", { state: "odd" }],
    ["bytes", { bytes: "many" }],
    ["interval", { interval: null }],
    ["problem", { problem: 7 }],
  ])("a bad %s of the recording is named", (path, changes) => {
    expect(() => recordingOf(changes)).toThrow(path);
  });

  test("what an older server does not say is not known", () => {
    const { since, file, limit } = readRecording(JSON.stringify({ state: "off", detail: "full", interval: 1, now: AT }));
    expect([since, file, limit]).toEqual([null, null, null]);
  });

  test.each([
    ["[[1]]", "levels[0]"],
    ["[[1, 2, 3]]", "levels[0]"],
    ["[[1, -2]]", "levels[0]"],
    ["[7]", "levels[0]"],
  ])("levels that are no pairs, %s, are named", (levels, path) => {
    const body = `{"from": 0, "to": 3600, "seconds": 10, "workers": null, "levels": ${levels}}`;
    expect(() => readConcurrency(body)).toThrow(path);
  });

  test("events without an id, or with data that are no object, are refused", () => {
    expect(() => eventOf("graceful", {}, { id: null })).toThrow("events[0].id");
    expect(() => eventOf("graceful", {}, { data: [] })).toThrow("events[0].data");
  });
});

describe("a question", () => {
  afterEach(() => vi.unstubAllGlobals());

  const answering = (body: string, init: ResponseInit = {}) =>
    vi.stubGlobal("fetch", async () => new Response(body, { headers: { "Content-Type": "application/problem+json" }, ...init }));
  const problemOf = async () => {
    const answer = await ask("events", readEvents);
    return answer !== null && "problem" in answer ? answer.problem : null;
  };

  test("that is refused gives the server's own sentence", async () => {
    answering('{"status": 404, "detail": "Nothing is recorded."}', { status: 404 });
    expect(await problemOf()).toBe("Nothing is recorded.");
    answering("<html>", { status: 502, headers: { "Content-Type": "text/html" } });
    expect(await problemOf()).toContain("502");
  });

  test("whose answer can't be read names the place", async () => {
    answering('{"events": [{"id": "x"}]}');
    expect(await problemOf()).toContain("events[0].id");
    answering("nonsense");
    expect(await problemOf()).toMatch(/version/);
  });

  test("that nobody answers says so", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("fetch failed")));
    expect(await problemOf()).toBe(strings.LABELS.unreachable);
  });

  test("gives up the one before it, whose answer comes too late", async () => {
    const answers: ((body: string) => void)[] = [];
    vi.stubGlobal("fetch", () => new Promise((resolve) => answers.push((body) => resolve(new Response(body)))));
    const question = new Question((body) => body);
    const both = [question.ask("one"), question.ask("two")];
    expect(question.state.value.loading).toBe(true);
    answers[1]?.("second");
    answers[0]?.("first");
    await Promise.all(both);
    expect(question.state.value).toEqual({ value: "second", problem: null, loading: false });
  });
});

const answer = (levels: Concurrency["levels"], workers: number | null = 10): Concurrency => ({
  from: 0,
  to: 3600,
  seconds: levels.reduce((sum, [, seconds]) => sum + seconds, 0),
  workers,
  levels,
});
/** A thousand seconds: idle, 4 workers, 8 workers, and all of them. */
const LOADED = answer([[0, 500], [4, 300], [8, 150], [10, 50]]);

describe("what if there were other workers", () => {
  test.each([
    [1, 0.5],
    [4, 0.5],
    [5, 0.2],
    [8, 0.2],
    [9, 0.05],
    [10, 0.05],
  ])("%d workers would have been full %d of the time", (workers, share) => {
    expect(judge(LOADED, workers)).toEqual({ kind: "share", share, seconds: 1000 * share });
  });

  test("of more than the limit that was reached nothing is known", () => {
    expect(judge(LOADED, 11)).toEqual({ kind: "unknown", limit: 10 });
    expect(rows(LOADED).at(-1)).toEqual({ workers: 9, share: 0.05, seconds: 50 });
  });

  test("a limit that was never reached hides nothing", () => {
    expect(judge({ ...LOADED, workers: 64 }, 100)).toEqual({ kind: "share", share: 0, seconds: 0 });
    expect(rows({ ...LOADED, workers: 64 }).at(-1)).toEqual({ workers: 11, share: 0, seconds: 0 });
    expect(judge({ ...LOADED, workers: null }, 100)).toMatchObject({ share: 0 });
  });

  test("nothing recorded, nothing judged", () => {
    expect(judge(answer([]), 5)).toEqual({ kind: "nothing" });
    expect(rows(answer([]))).toEqual([]);
  });

  test("the fewest workers for each share; fewer would be full more often", () => {
    expect(rows(LOADED).map(({ workers, share }) => [workers, share])).toEqual([[1, 0.5], [5, 0.2], [9, 0.05]]);
    for (let seed = 0; seed < 200; seed++) {
      const below = random(seed);
      const levels = [...new Set(Array.from({ length: 1 + below(12) }, () => below(40)))]
        .sort((first, second) => first - second)
        .map((held) => [held, 1 + below(500)] as const);
      const given = answer(levels, one(below, [null, 5, 40, 400]));
      for (const row of rows(given)) {
        expect(row.share).toBeCloseTo(secondsFrom(levels, row.workers) / given.seconds, 9);
        if (row.workers > 1) expect(secondsFrom(levels, row.workers - 1) / given.seconds).toBeGreaterThan(row.share);
      }
      const shares = corners(given).map(([, share]) => share);
      expect(shares).toEqual([...shares].sort((first, second) => second - first));
      expect(curve(given, 600, 120)).toMatch(/^M0 [\d.]+(H[\d.]+V[\d.]+)*H600$/);
    }
  });

  test("the curve goes as far as something is known", () => {
    expect([knownTo(LOADED), knownTo({ ...LOADED, workers: 64 }), peakOf(LOADED.levels)]).toEqual([10, 11, 10]);
    expect(corners(LOADED)).toEqual([[1, 0.5], [5, 0.2], [9, 0.05], [10, 0.05]]);
  });

  test("in words", () => {
    const day = { ...LOADED, seconds: 82_800, levels: [[0, 80_220], [24, 2580]] as const, workers: 64 };
    expect(strings.judged(judge(day, 24), 24, day)).toBe(
      "With MaxRequestWorkers = 24 you would have been full 3.1 % of the last 23 h 0 min recorded (43 min 0 s).",
    );
    expect(strings.judged(judge(day, 25), 25, day)).toContain("never");
    expect(strings.judged(judge(LOADED, 11), 11, LOADED)).toMatch(/more than 10 workers .*reached/);
    expect(strings.judged(judge(answer([]), 3), 3, answer([]))).toBe(strings.LABELS.noTime);
  });
});

describe("two moments", () => {
  const report = (seconds: number) => held(seconds, { request: `GET /report/${seconds} HTTP/1.1` });
  const before = momentOf(counted([process(7, [held(3), worker(), worker(), worker()])], { limit: 4 }));
  const after = momentOf(
    counted([process(7, [held(3), report(30), report(40), report(50)])], { limit: 4, at: AT + 60, running_generation: 0 }),
  );
  const numberOf = (name: string) => numbers(before, after).find((pair) => pair.name === name);

  test("numbers and what is between them", () => {
    expect(numberOf("busy")).toEqual({ name: "busy", before: 1, after: 4, change: 3 });
    expect(numberOf("oldest")).toEqual({ name: "oldest", before: 3, after: 110, change: 107 });
    expect(numberOf("slow")).toMatchObject({ before: 0, after: 4 });
  });

  test("between a number and none there is nothing", () => {
    const first = { ...before, sample: { ...before.sample, rates: { ...before.sample.rates, requests_per_second: 5 } } };
    const pair = numbers(first, after).find(({ name }) => name === "requests_per_second");
    expect(pair).toEqual({ name: "requests_per_second", before: 5, after: null, change: null });
    expect(strings.value("requests_per_second", null)).toBe("not available");
    if (pair !== undefined) expect(strings.change("requests_per_second", pair)).toBe("");
  });

  test("states that neither has are left out", () => {
    expect(states(before, after)).toEqual([
      { name: "_", before: 3, after: 0, change: -3 },
      { name: "W", before: 1, after: 4, change: 3 },
    ]);
  });

  test("groups by path, what changed most first, those of one side too", () => {
    expect(groups(before, after, 5).map(({ name, change }) => [name, change])).toEqual([["GET /report/*", 3], ["GET /", 0]]);
    expect(groups(after, before, 1).map(({ name, change }) => [name, change])).toEqual([["GET /report/*", -3]]);
  });

  test("of one sample it is not known for how long it was full before", () => {
    expect(after.says.level).toBe("full");
    expect(after.says.full?.atLeast).toBe(true);
  });

  test.each([
    ["busy", 3, "+3"],
    ["busy", -3, "−3"],
    ["busy", 0, "="],
    ["oldest", 107, "+1 min 47 s"],
    ["oldest", 0.01, "="],
    ["bytes_per_second", -1500, "−1.5 kB"],
    ["requests_per_second", 0.26, "+0.3"],
  ] as const)("%s by %d: %s", (name, change, words) => {
    expect(strings.change(name, { name, before: 0, after: 0, change })).toBe(words);
  });

  test.each([
    [5, 1, false],
    [8.1, 1, true],
    [100, 60, false],
  ])("a sample %d s before the moment, one each %d s: nothing was recorded then: %j", (seconds, interval, late) => {
    expect(isLate(counted([], { interval }), AT + seconds)).toBe(late);
  });
});

describe("a stretch of time", () => {
  test("a field shows an instant, and gives it back", () => {
    for (const at of [AT, 0, 1_790_000_000, 1_767_225_599]) expect(fromField(toField(at))).toBe(at);
    expect(toField(1_790_000_000.9)).toBe(toField(1_790_000_000));
    expect(toField(1e20)).toBe("");
  });

  test.each(["", "2026-11-21", "soon", "2026-13-41T00:00", "2026-11-21T03:12Z"])("%j is no instant", (text) => {
    expect(fromField(text)).toBeNull();
  });

  test("a query has its bounds and what more is asked", () => {
    expect(query(widened({ from: 10.6, to: 20.2 }), { format: "csv" })).toBe("from=10&to=21&format=csv");
  });
});

describe("words", () => {
  test.each<[string, object, readonly string[]]>([
    ["graceful", { generation: 7, before: 6, draining: 3 }, ["generation 7 after 6", "3 old processes drain"]],
    ["graceful", { generation: 7, before: 6, draining: 1 }, ["1 old process drains"]],
    [
      "drained",
      { pid: 6763, process_num: 2, generation: 6, seconds: 250, slot: 4, request: "GET /export HTTP/1.1", client: "192.0.2.7" },
      ["pid 6763", "generation 6", "4 min 10 s", "slot 4", "GET /export", "192.0.2.7"],
    ],
    ["drained", { pid: 6763, request: null, client: null, slot: null }, ["pid 6763"]],
    ["process-end", { pid: 5, successor: 9, held: 2 }, ["pid 5", "pid 9", "2 workers"]],
    ["saturation", { workers: 20, peak: 24 }, ["20 workers", "24 at most"]],
    ["metrics-off", { error: "Set server-metrics=on." }, ["Set server-metrics=on."]],
    ["dashboard-start", { gap: 12.4, version: "1.2" }, ["12 s", "1.2"]],
    ["dashboard-start", { gap: null }, ["nothing was recorded before"]],
    ["clock", { seconds: -30 }, ["back", "30 s"]],
    ["bookmark", { text: "<b>deploy</b> 4711" }, ["<b>deploy</b> 4711"]],
  ])("%s %j", (kind, data, parts) => {
    const words = strings.what(eventOf(kind, data));
    for (const part of parts) expect(words).toContain(part);
    expect(words).not.toMatch(/null|undefined|NaN|, ,|^, /);
  });

  test("data that are not what they should be are passed over, and so is a kind that is not known", () => {
    for (const kind of KINDS) {
      const words = strings.what(eventOf(kind, { pid: "x", seconds: {}, text: 7, gap: "long", generation: null }));
      expect(words).not.toMatch(/null|undefined|NaN|object/);
    }
    expect([strings.kindName("constructor"), strings.what(eventOf("constructor"))]).toEqual(["constructor", ""]);
  });

  test.each([
    ["saturation", null, "goes on"],
    ["saturation", AT + 75, "1 min 15 s"],
    ["graceful", null, ""],
    ["drained", AT + 75, ""],
  ])("how long %s lasts that ended at %j: %j", (kind, ended, words) => {
    expect(strings.howLong(eventOf(kind, {}, { ended }))).toBe(words);
  });

  test.each([
    [0, "0 %"],
    [0.0004, "< 0.1 %"],
    [0.0312, "3.1 %"],
    [0.34, "34 %"],
    [0.9999, "> 99.9 %"],
    [1, "100 %"],
  ])("a share of %d is %s", (share, words) => {
    expect(strings.percent(share)).toBe(words);
  });

  test.each<[object, readonly string[]]>([
    [{}, ["recorded whole"]],
    [{ detail: "states" }, ["only the letters"]],
    [{ state: "off" }, ["record = off"]],
    [{ state: "failed", problem: "The disk is full." }, ["The disk is full.", "goes on"]],
    [{ state: "failed" }, ["Nothing is recorded", "goes on"]],
    [{ problem: "The disk is nearly full." }, ["recorded whole", "The disk is nearly full."]],
    [{ state: "replay", file: "incident.gz" }, ["replay of incident.gz"]],
  ])("the recording %j is told", (changes, parts) => {
    const words = strings.status(recordingOf(changes)).join(" ");
    for (const part of parts) expect(words).toContain(part);
  });

  test("room and time are told where they are known, and nothing else", () => {
    const all = strings.facts(recordingOf()).flat().join(" ");
    for (const part of ["5.0 MB of 512 MB (1.0 %)", "1 min 40 s"]) expect(all).toContain(part);
    const none = strings.facts(recordingOf({ since: null, until: null, history_since: null, bytes: null }));
    expect(none).toEqual([["A sample each", "1 s"]]);
    expect(strings.facts(recordingOf({ interval: 0.25 })).at(-1)?.[1]).toBe("0.25 s");
  });

  test("the button never says that a recorder which failed records", () => {
    expect([BUTTON.recording, BUTTON.failed]).toEqual(["Recording", "Not recording"]);
  });
});
