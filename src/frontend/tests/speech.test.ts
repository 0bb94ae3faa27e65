import { beforeEach, describe, expect, test, vi } from "vitest";

import type { Alert, Process } from "../src/wire";
import { AT, counted, lettered } from "./samples";

const CALM = lettered("_____");
const BUSY = lettered("KKKK_");
const FULL = lettered("KKKKK");

/** A page whose clock is moved by hand. */
async function opened() {
  const [state, speech] = [await import("../src/state"), await import("../src/speech")];
  let now = 0;
  const timers: { run: () => void; due: number }[] = [];
  const stop = speech.announce((run, ms) => timers.push({ run, due: now + ms }));
  let heard: string[] = [];
  let last = speech.spoken.peek();
  speech.spoken.subscribe((words) => {
    if (words !== last) heard.push(words.split(":")[0] ?? "");
    last = words;
  });
  return {
    stop,
    say: speech.say,
    pause: state.pause,
    timers,
    /** What is said when a second has passed and a sample came, or none. */
    second(processes: readonly Process[] | null, alerts: readonly Alert[] = []): readonly string[] {
      heard = [];
      now += 1000;
      for (const timer of timers.filter(({ due }) => due <= now)) {
        timers.splice(timers.indexOf(timer), 1);
        timer.run();
      }
      if (processes !== null) state.receive({ ...counted(processes, { at: AT + now / 1000 }), alerts });
      return heard;
    },
  };
}

beforeEach(() => vi.resetModules());

describe("the verdict is said", () => {
  test("at first, and again only when its level changes", async () => {
    const page = await opened();
    expect(page.second(CALM)).toEqual(["Calm"]);
    for (let second = 0; second < 30; second++) expect(page.second(lettered("_____", second % 2 ? "K____" : "_____"))).toEqual([]);
    expect(page.second(FULL)).toEqual(["Full"]);
  });

  test("at most once in ten seconds, and then as it is by then", async () => {
    const page = await opened();
    const said: (readonly [number, string])[] = [];
    for (let second = 0; second < 60; second++) {
      for (const words of page.second([CALM, BUSY, FULL][second % 3] ?? CALM)) said.push([second, words]);
    }
    expect(said.length).toBeGreaterThan(3);
    for (const [index, [second]] of said.entries()) {
      if (index > 0) expect(second - (said[index - 1]?.[0] ?? 0)).toBeGreaterThanOrEqual(10);
    }
  });

  test("a change in between is told when the quiet ends, unless it has passed", async () => {
    const page = await opened();
    page.second(CALM);
    for (let second = 1; second < 10; second++) expect(page.second(second > 4 ? FULL : CALM)).toEqual([]);
    expect(page.second(FULL)).toEqual(["Full"]);
    for (let second = 1; second < 40; second++) expect(page.second(second < 8 ? CALM : FULL)).toEqual([]);
  });

  test("a change is told when the quiet ends though no sample comes then", async () => {
    const page = await opened();
    page.second(CALM);
    page.second(FULL);
    expect(Array.from({ length: 20 }, () => page.second(null)).flat()).toEqual(["Full"]);
  });

  test("not before there is one, and never after the end", async () => {
    const page = await opened();
    expect(page.timers).toEqual([]);
    page.second(CALM);
    page.stop();
    for (let second = 0; second < 30; second++) expect(page.second(FULL)).toEqual([]);
  });
});

describe("what is critical is said", () => {
  const alertOf = (rule: string, severity = "critical", path: string | null = null): Alert => ({
    ...{ rule, kind: "busy", severity, since: AT, peak: 1, threshold: 1, path, count: null },
  });
  /** What is said in some seconds of the same alerts. */
  const during = (page: Awaited<ReturnType<typeof opened>>, seconds: number, ...alerts: readonly Alert[]) =>
    Array.from({ length: seconds }, () => page.second(FULL, alerts)).flat();

  test("once, together with the verdict, and a warning is not", async () => {
    const page = await opened();
    page.second(FULL, [alertOf("one"), alertOf("slow", "warning")]);
    const { spoken } = await import("../src/speech");
    expect(spoken.value).toMatch(/^Critical: one: .*\. Full: /);
    expect(spoken.value).not.toContain("slow");
    expect(during(page, 30, alertOf("one"), alertOf("slow", "warning"))).toEqual([]);
  });

  test("by rule and path, at most once in ten seconds", async () => {
    const page = await opened();
    page.second(FULL);
    expect(during(page, 8, alertOf("one"))).toEqual([]);
    expect(during(page, 4, alertOf("one"))).toEqual(["Critical"]);
    expect(during(page, 12, alertOf("one"), alertOf("one", "critical", "GET /a"))).toEqual(["Critical"]);
    expect(during(page, 12, alertOf("one"))).toEqual([]);
  });

  test("again when it began again", async () => {
    const page = await opened();
    page.second(FULL);
    expect(during(page, 12, alertOf("one"))).toEqual(["Critical"]);
    expect(during(page, 12)).toEqual([]);
    expect(during(page, 12, alertOf("one"))).toEqual(["Critical"]);
  });

  test("of now, also while the page shows the past", async () => {
    const page = await opened();
    page.second(FULL, [alertOf("past")]);
    page.pause();
    expect(during(page, 12, alertOf("one"))).toEqual(["Critical"]);
    const { spoken } = await import("../src/speech");
    expect(spoken.value).toMatch(/^Critical: one: all workers busy for 1\d s,/);
  });
});

test("what the reader asked for is said at once, quiet or not", async () => {
  const page = await opened();
  page.second(CALM);
  page.say("Copied");
  const { spoken } = await import("../src/speech");
  expect(spoken.value).toBe("Copied");
});
