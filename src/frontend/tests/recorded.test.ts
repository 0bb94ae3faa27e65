import { describe, expect, test } from "vitest";

import { NOT_KNOWN } from "../src/history";
import { Recorded, Trouble, type Ask } from "../src/recorded";
import { STATUSES } from "../src/wire";
import { AT, deltaOf, failureOf, keyOf } from "./samples";

const json = (value: unknown, status = 200, type = "application/json") =>
  new Response(typeof value === "string" ? value : JSON.stringify(value), { status, headers: { "Content-Type": type } });

/** A server that answers everything with the same, and what it was asked. */
function server(answer: () => Response | Promise<Response>) {
  const asked: string[] = [];
  const ask: Ask = async (path) => {
    asked.push(path);
    return answer();
  };
  return { recorded: new Recorded(ask), asked };
}
const answering = (value: unknown, status = 200) => server(() => json(value, status)).recorded;

const SPAN = { from: AT, to: AT + 100 };
const NAMES = "busy workers requests_per_second bytes_per_second oldest_seconds states_writing states_keepalive".split(" ");
type Column = readonly (number | null)[];

/** An answer with the same numbers in all columns of a series, but for those that are given. */
function historyOf(at: readonly number[], given: Readonly<Record<string, Column | Partial<Record<"mean" | "min" | "max", Column>>>>, step = 1) {
  const of = (name: string) => {
    const column = given[name] ?? at.map(() => 0);
    const all = Array.isArray(column) ? { mean: column, min: column, max: column } : column;
    return { mean: at.map(() => 0), min: at.map(() => 0), max: at.map(() => 0), ...all };
  };
  return { from: AT, to: AT + 100, step, interval: 1, at, series: Object.fromEntries(NAMES.map((name) => [name, of(name)])) };
}

describe("history", () => {
  test("a point ends its second, and tells what was then", async () => {
    const { recorded, asked } = server(() =>
      json(historyOf([AT, AT + 1], { busy: [3, 4], workers: [8, 8], requests_per_second: [null, 2.5], states_writing: [3, 4] })),
    );
    const points = await recorded.history(SPAN, 50.2);
    expect(points).toMatchObject([
      { at: AT + 1, gap: true, busy: 3, of: 8, requestsPerSecond: null },
      { at: AT + 2, gap: false, busy: 4, of: 8, requestsPerSecond: 2.5, states: { W: 4, K: 0 } },
    ]);
    expect(asked[0]).toMatch(/^history\?from=1000000&to=1000100&points=51&series=busy,workers,/);
  });

  test("of several samples together: the most that were busy, the rates' mean, least and most", async () => {
    const points = await answering(
      historyOf([AT, AT + 10], { busy: { mean: [3, 3], min: [1, 1], max: [9, 4] }, requests_per_second: { mean: [2, 2], min: [1, 1], max: [30, 3] } }, 10),
    ).history(SPAN, 10);
    expect(points).toMatchObject([
      { at: AT + 10, busy: 9, requestsPerSecond: 2, spread: { seconds: 10, requests: [1, 30] } },
      { at: AT + 20, busy: 4, spread: { requests: [1, 3] } },
    ]);
  });

  test("the states of a spike add up to it", async () => {
    const max = (value: number) => ({ max: [value] });
    const points = await answering(historyOf([AT], { busy: max(9), states_writing: max(9), states_keepalive: max(3) }, 10)).history(SPAN, 10);
    expect(points).toMatchObject([{ states: { W: 6.75, K: 2.25, R: 0 } }]);
  });

  test.each<[string, readonly number[], number, readonly boolean[]]>([
    ["seconds", [0, 1, 4, 8], 1, [true, false, false, true]],
    ["longer ones", [0, 10, 20, 40], 10, [true, false, false, true]],
  ])("what is missing is a gap: %s", async (_name, seconds, step, gaps) => {
    const points = await answering(historyOf(seconds.map((second) => AT + second), {}, step)).history(SPAN, 10);
    if (points instanceof Trouble) throw points;
    expect(points.map(({ gap }) => gap)).toEqual(gaps);
  });

  test("where nothing was busy to count there is no point, and none ends after the range", async () => {
    const points = await answering(historyOf([AT, AT + 60], { busy: [null, 2] }, 60)).history(SPAN, 10);
    expect(points).toMatchObject([{ at: AT + 100, busy: 2, gap: true }]);
  });

  test("of no time there is nothing to ask", async () => {
    const { recorded, asked } = server(() => json({}));
    expect([await recorded.history({ from: AT, to: AT }, 9), await recorded.letters({ from: AT, to: AT - 1 }, 9, 1), asked]).toEqual([[], [], []]);
  });
});

describe("letters", () => {
  test("are codes, and stand for the time since those before; after a hole for a moment", async () => {
    const at = [AT, AT + 1, AT + 20];
    const columns = await answering({ at, letters: ["_W", "W.", "?_"] }).letters(SPAN, 100, 1);
    const code = (letter: (typeof STATUSES)[number]) => STATUSES.indexOf(letter);
    expect(columns).toEqual([
      { from: AT - 1.5, at: AT, letters: Uint8Array.of(code("_"), code("W")), since: null },
      { from: AT, at: AT + 1, letters: Uint8Array.of(code("W"), code(".")), since: null },
      { from: AT + 18.5, at: AT + 20, letters: Uint8Array.of(NOT_KNOWN, code("_")), since: null },
    ]);
  });
});

describe("frames", () => {
  test("are decoded in order, runs one after the other; what continues nothing is left out", async () => {
    const failure = { ...failureOf("no metrics"), frame: "error", at_ms: (AT + 3) * 1000 };
    const lines = [deltaOf(1), keyOf(1), deltaOf(2), deltaOf(4), failure, keyOf(1, { at_ms: (AT + 9) * 1000 })];
    const recorded = server(() => json(lines.map((line) => JSON.stringify(line)).join("\n"), 200, "application/x-ndjson")).recorded;
    const frames = await recorded.frames(SPAN);
    if (frames instanceof Trouble) throw frames;
    expect(frames.map((frame) => [frame.at - AT, "error" in frame])).toEqual([[1, false], [2, false], [3, true], [9, false]]);
  });
});

describe("marks", () => {
  test("are of what the page marks, with what is said of it", async () => {
    const event = (kind: string, at: number, ended: number | null, data: object = {}) => ({ id: at, at: AT + at, ended, kind, data });
    const events = [
      event("apache-start", 1, null),
      event("graceful", 1.5, null, { generation: 4 }),
      event("saturation", 2, AT + 4, { peak: 8 }),
      event("metrics-off", 5, null, { error: "no metrics" }),
      event("process-end", 6, null),
      event("toString", 7, null),
      event("bookmark", 8, null, { text: "deploy 4711" }),
      event("bookmark", 9, null, { text: 7 }),
    ];
    expect(await answering({ events }).marks(SPAN)).toEqual([
      { kind: "restart", at: AT + 1 },
      { kind: "graceful", at: AT + 1.5, generation: 4 },
      { kind: "saturation", at: AT + 2, ended: AT + 4 },
      { kind: "metrics-off", at: AT + 5, ended: null, text: "no metrics" },
      { kind: "bookmark", at: AT + 8, text: "deploy 4711" },
      { kind: "bookmark", at: AT + 9 },
    ]);
  });
});

describe("troubles", () => {
  const ASKING: readonly ((recorded: Recorded) => Promise<unknown>)[] = [
    (recorded) => recorded.recording(),
    (recorded) => recorded.history(SPAN, 9),
    (recorded) => recorded.letters(SPAN, 9, 1),
    (recorded) => recorded.frames(SPAN),
    (recorded) => recorded.marks(SPAN),
  ];

  test.each(ASKING)("a refusal has the server's words (%#)", async (question) => {
    const recorded = answering({ status: 404, detail: "There is no recording: record is off." }, 404);
    expect(await question(recorded)).toEqual(new Trouble({ kind: "refused", status: 404, text: "There is no recording: record is off." }));
  });

  test.each(ASKING)("no answer (%#)", async (question) => {
    const { recorded } = server(() => Promise.reject(new TypeError("no network")));
    expect(await question(recorded)).toEqual(new Trouble("lost"));
  });

  test.each(ASKING.flatMap((question) => ["[", "[1]", "{}", '"x"', "null"].map((body) => [question, body] as const)))("an answer that is none (%#)", async (question, body) => {
    const trouble = await question(server(() => json(body)).recorded);
    expect(trouble).toMatchObject({ why: { kind: "frame" } });
  });

  test.each<[string, unknown, (recorded: Recorded) => Promise<unknown>]>([
    ["series", { ...historyOf([AT], {}), at: [AT, AT + 1] }, (recorded) => recorded.history(SPAN, 9)],
    ["busy.mean[0]", historyOf([AT], { busy: ["1" as unknown as number] }), (recorded) => recorded.history(SPAN, 9)],
    ["letters", { at: [AT], letters: ["_", "_"] }, (recorded) => recorded.letters(SPAN, 9, 1)],
    ["letters", { at: [AT, AT + 1], letters: ["_", "__"] }, (recorded) => recorded.letters(SPAN, 9, 1)],
    ["state", { state: "on" }, (recorded) => recorded.recording()],
  ])("what does not fit is named: %s", async (path, answer, question) => {
    expect(await question(answering(answer))).toMatchObject({ why: { kind: "frame", path } });
  });

  test("a newer question takes the place of an older one of its kind alone", async () => {
    const pending: [string, AbortSignal, (answer: Response) => void][] = [];
    const recorded = new Recorded(
      (path, signal) =>
        new Promise((resolve, reject) => {
          pending.push([path, signal, resolve]);
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    );
    const first = recorded.history(SPAN, 9);
    const letters = recorded.letters(SPAN, 9, 1);
    const second = recorded.history({ from: AT, to: AT + 5 }, 9);
    expect(pending.map(([, signal]) => signal.aborted)).toEqual([true, false, false]);
    expect(await first).toEqual(new Trouble("outdated"));
    pending[2]?.[2](json(historyOf([AT], {})));
    expect(await second).toHaveLength(1);
    recorded.stop();
    expect(await letters).toEqual(new Trouble("outdated"));
  });
});
