/** Alerts, from what the server sends to what the page says of them. */
import { beforeEach, describe, expect, test, vi } from "vitest";

import { FrameError } from "../src/check";
import { Decoder } from "../src/decoder";
import { parseFilter } from "../src/filter";
import { termFor } from "../src/groups";
import { pattern } from "../src/pattern";
import type { RecordedEvent } from "../src/recorder/answers";
import * as recorder from "../src/recorder/strings";
import { inFlight } from "../src/requests";
import * as strings from "../src/strings";
import { decode, type Alert } from "../src/wire";
import { AT, counted, deltaOf, failureOf, held, keyOf, lettered, process, sampleOf } from "./samples";

type Loose = Record<string, unknown>;

const alertOf = (changes: Partial<Alert> = {}): Alert => ({
  ...{ rule: "saturated", kind: "busy", severity: "critical", since: AT - 130 },
  ...{ peak: 1, threshold: 1, path: null, count: null, ...changes },
});
const stuckOf = (changes: Partial<Alert> = {}): Alert =>
  alertOf({
    ...{ rule: "stuck-workers", kind: "stuck", severity: "warning", since: AT - 40, peak: 130, threshold: 1 },
    ...{ path: "GET /report/*", count: 5, ...changes },
  });
const ERROR = { rule: "metrics-off", kind: "error", severity: "critical", since: AT - 5 };

function complaint(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof FrameError) return `${error.path}: ${error.expected}`;
    throw error;
  }
  return "accepted";
}

describe("on the wire", () => {
  const unsaid = { peak: null, threshold: null, path: null, count: null };
  const without = ({ alerts: _, ...rest }: Loose): Loose => rest;
  const reading = (frames: readonly Loose[]) => {
    const decoder = new Decoder();
    return frames.map((frame) => {
      const decoded = decoder.decode(JSON.stringify(frame));
      return typeof decoded === "string" ? decoded : decoded.alerts.map(({ rule }) => rule);
    });
  };

  test.each([
    ["a sample", sampleOf([])],
    ["a failure", failureOf("off")],
  ])("the plain format of %s has them, and an older server's has none", (_name, plain) => {
    expect(decode(JSON.stringify({ ...plain, alerts: [ERROR] })).alerts).toEqual([{ ...ERROR, ...unsaid }]);
    expect(decode(JSON.stringify(without(plain))).alerts).toEqual([]);
  });

  test("what a delta does not name stands as it did", () => {
    const [one, two] = [stuckOf(), alertOf()];
    const frames = [
      without(keyOf(1)),
      deltaOf(2, { alerts: [one] }),
      deltaOf(3),
      deltaOf(4, { alerts: [two, one] }),
      deltaOf(5, { alerts: [] }),
      deltaOf(6),
    ];
    const stuck = [one.rule];
    expect(reading(frames)).toEqual([[], stuck, stuck, [two.rule, one.rule], [], []]);
  });

  test("a key and an error begin anew", () => {
    const error = { frame: "error", at_ms: AT * 1000, ...without(failureOf("off")) };
    const frames = [keyOf(1, { alerts: [alertOf()] }), without(keyOf(2)), { ...error, alerts: [ERROR] }, error];
    expect(reading(frames)).toEqual([["saturated"], [], ["metrics-off"], []]);
  });

  test("kinds, severities and members of a newer server pass", () => {
    const newer = { ...ERROR, kind: "queue", severity: "info", backlog: 7 };
    const { alerts } = decode(JSON.stringify({ ...sampleOf([]), alerts: [newer] }));
    expect(alerts).toEqual([{ ...ERROR, kind: "queue", severity: "info", ...unsaid }]);
  });

  test.each([
    ["no list", {}, "alerts: list"],
    ["no object", ["saturated"], "alerts[0]: object"],
    ["no rule", [{ ...ERROR, rule: undefined }], "alerts[0].rule: present"],
    ["a beginning that is none", [{ ...ERROR, since: "now" }], "alerts[0].since: number"],
    ["a path that is no text", [{ ...ERROR, path: {} }], "alerts[0].path: text"],
    ["half a worker", [{ ...ERROR, count: 0.5 }], "alerts[0].count: integer"],
  ])("%s is refused by its name", (_name, alerts, expected) => {
    expect(complaint(() => decode(JSON.stringify({ ...sampleOf([]), alerts })))).toBe(expected);
    expect(complaint(() => new Decoder().decode(JSON.stringify(keyOf(1, { alerts }))))).toBe(expected);
  });
});

describe("in words", () => {
  test.each([
    [alertOf(), "saturated: all workers busy for 2 min 10 s, peak 100 %"],
    [alertOf({ rule: "filling", threshold: 0.9, peak: 0.975 }), "filling: 90 % of the workers or more busy for 2 min 10 s, peak 97.5 %"],
    [alertOf({ kind: "oldest", rule: "slow", threshold: 30, peak: 3700 }), "slow: a request older than 30 s for 2 min 10 s, longest 1 h 1 min"],
    [stuckOf(), "stuck-workers: 5 workers stuck on GET /report/* for 40 s, longest 2 min 10 s"],
    [stuckOf({ count: 1 }), "stuck-workers: 1 worker stuck on GET /report/* for 40 s, longest 2 min 10 s"],
    [stuckOf({ count: 0 }), "stuck-workers: workers stuck on GET /report/* for 40 s, longest 2 min 10 s"],
    [stuckOf({ path: null, count: null, peak: null }), "stuck-workers: workers stuck for 40 s"],
    [stuckOf({ path: "" }), "stuck-workers: 5 workers stuck on not available for 40 s, longest 2 min 10 s"],
    [alertOf({ ...ERROR, peak: null, threshold: 5 }), "metrics-off: scoreboard not readable for 5 s"],
    [alertOf({ kind: "restart", rule: "restarted", peak: null, since: AT - 12 }), "restarted: Apache restarted 12 s ago"],
    [alertOf({ kind: "queue", rule: "backlog", peak: 17 }), "backlog: queue for 2 min 10 s"],
    [alertOf({ since: AT + 3, peak: null }), "saturated: all workers busy for 0 s"],
  ])("%j", (alert, expected) => {
    expect(strings.alert(alert, AT)).toBe(expected);
  });

  test.each([
    [0.29, "29 %"],
    [0.9, "90 %"],
    [0.955, "95.5 %"],
    [0.99984, "99.9 %"],
    [1, "100 %"],
    [1.25, "125 %"],
  ])("a peak of %d is %s: only what is full is 100 %%", (peak, expected) => {
    expect(strings.extreme("busy", peak)).toBe(`, peak ${expected}`);
  });

  test("a line has the severity, which may be a newer server's, and the beginning", () => {
    const began = strings.instant(AT - 130);
    expect(strings.alertLine(alertOf({ kind: "restart" }), AT)).toMatch(new RegExp(`, at ${began}$`));
    expect(strings.alertLine(alertOf(), AT)).toBe(`Critical: ${strings.alert(alertOf(), AT)}, since ${began}`);
    expect(strings.alertLine(alertOf({ severity: "info" }), AT)).toMatch(/^info: /);
  });

  test("the title has a sign while something is critical", () => {
    expect(strings.title({ busy: 1, of: 2 }, "www", true)).toBe("⚠ 50 % busy · www");
    expect(strings.title(null, "www", true)).toBe("⚠ mod_wsgi dashboard · www");
    expect(strings.title(null, "www")).toBe("mod_wsgi dashboard · www");
  });
});

describe("as events of the recording", () => {
  const eventOf = (ended: number | null, { since: at, ...data }: Alert): RecordedEvent => ({
    ...{ id: 1, at, ended, kind: "alert", data: { ...data } },
  });

  test("they say rule, condition, peak and how long", () => {
    const event = eventOf(AT, stuckOf());
    expect(recorder.kindName("alert")).toBe("Alert");
    expect(recorder.what(event)).toBe("stuck-workers: 5 workers stuck on GET /report/*, longest 2 min 10 s, warning");
    expect(recorder.howLong(event)).toBe("40 s");
    expect(recorder.howLong(eventOf(null, stuckOf()))).toBe(recorder.LABELS.goOn);
  });

  test("what is missing breaks nothing", () => {
    const bare = { id: 1, at: AT, ended: null, kind: "alert", data: {} };
    expect(recorder.what(bare)).not.toMatch(/null|undefined/);
  });
});

test.each(["GET /report/17?q=1 HTTP/1.1", 'GET /a"b\\c HTTP/1.1', "GET / HTTP/1.1", "-", "<script>alert(1)</script>", "GET /\u202e/7 HTTP/1.1"])(
  "the filter of %s finds its requests and no other",
  (request) => {
    const requests = inFlight(counted([process(7, [held(70, { request }), held(70, { request: "POST /other HTTP/1.1" })])]));
    const { matches, errors } = parseFilter(termFor("path", pattern(request)));
    expect(errors).toEqual([]);
    expect(requests.filter((each) => matches(each, AT)).map((each) => each.request)).toEqual([request]);
  },
);

describe("on the page", () => {
  beforeEach(() => vi.resetModules());
  const opened = () => import("../src/state");
  const second = (at: number, alerts: readonly Alert[] = []) => ({ ...counted(lettered("W_"), { at: AT + at }), alerts });
  const failed = (at: number, alerts: readonly Alert[] = []) => ({
    ...{ tick: 9, at: AT + at, interval: 1, error: "off", viewers: second(0).viewers, notices: [], alerts },
  });
  type State = Awaited<ReturnType<typeof opened>>;
  const shown = ({ alerts }: State) => alerts.value.map(({ rule }) => rule);

  test("none is nothing", async () => {
    const state = await opened();
    expect(shown(state)).toEqual([]);
    state.receive(second(0));
    expect([shown(state), state.criticalNow.value]).toEqual([[], []]);
  });

  test("critical comes first, then what began first, whatever the server's order", async () => {
    const state = await opened();
    const alerts = [
      alertOf({ rule: "b", severity: "warning", since: AT - 50 }),
      alertOf({ rule: "d", severity: "critical", since: AT - 1 }),
      alertOf({ rule: "a", severity: "info", since: AT - 90 }),
      alertOf({ rule: "c", severity: "critical", since: AT - 9 }),
    ];
    state.receive(second(0, alerts));
    expect(shown(state)).toEqual(["c", "d", "a", "b"]);
    expect(state.criticalNow.value.map(({ rule }) => rule)).toEqual(["d", "c"]);
  });

  test("the past has its own, counted to its own time; what is critical now stays so", async () => {
    const state = await opened();
    state.receive(second(0, [stuckOf()]));
    state.receive(second(9, [alertOf()]));
    state.pause(AT);
    expect([shown(state), state.alertsAt.value]).toEqual([["stuck-workers"], AT]);
    expect(state.criticalNow.value).toEqual([alertOf()]);
    state.follow();
    expect([shown(state), state.alertsAt.value]).toEqual([["saturated"], AT + 9]);
  });

  test("an error has its own, before any sample and after one", async () => {
    const state = await opened();
    state.receive(failed(0, [alertOf(ERROR)]));
    expect([shown(state), state.alertsAt.value]).toEqual([["metrics-off"], AT]);
    state.receive(second(1, [stuckOf()]));
    state.receive(failed(8, [alertOf(ERROR)]));
    expect([shown(state), state.alertsAt.value]).toEqual([["metrics-off"], AT + 8]);
    expect(state.screen("here")?.alerts).toEqual([alertOf(ERROR)]);
  });

  test("beside a recorded sample that stands for none the error's are shown", async () => {
    const state = await opened();
    state.receive(failed(60, [alertOf(ERROR)]));
    state.recall(second(0, [stuckOf()]));
    expect(shown(state)).toEqual(["metrics-off"]);
    state.pause();
    state.receive(second(61));
    expect(shown(state)).toEqual([]);
  });
});
