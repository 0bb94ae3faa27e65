import { beforeEach, describe, expect, test, vi } from "vitest";

import type { Sample } from "../src/wire";
import { clockwork, serve, settled, taped, type Tape } from "./recording";
import { AT, counted, lettered, VIEWERS } from "./samples";

beforeEach(() => vi.resetModules());

/** Busy as the second says: of ten workers. */
const busyAt = (at: number) => "W".repeat(at % 10).padEnd(10, "_");
const HOUR = AT + 3600;

/** A live page whose recording goes back an hour, in which nothing was recorded from AT + 1000 to AT + 1200. */
function tapeOf(more: Partial<Tape> = {}): Tape {
  const samples = new Map([...taped(AT, AT + 1000, busyAt), ...taped(AT + 1200, HOUR, busyAt)]);
  const start = { at: AT + 1200, kind: "dashboard-start" };
  return { samples, events: [{ at: AT + 500, kind: "graceful" }, start, { at: AT + 2000, kind: "bookmark", data: { text: "deploy" } }], ...more };
}

async function opened(tape: Tape = tapeOf(), at: number | null = null) {
  const [state, travel, { Opening }] = [await import("../src/state"), await import("../src/travel"), await import("../src/opening")];
  const { ask, asked } = serve(tape);
  const clock = clockwork();
  const opening = new Opening(ask, clock);
  const live = (second: number) => state.receive(counted(lettered(busyAt(second)), { at: HOUR + second }));
  if (tape.state === "replay") state.receive(last(tape));
  else live(0);
  const open = opening.open(at);
  await settled();
  await open;
  const shown = () => (state.sample.value?.at ?? Number.NaN) - AT;
  return { state, travel, opening, clock, asked, live, shown };
}

function last(tape: Tape): Sample {
  const sample = [...tape.samples.values()].at(-1);
  if (typeof sample !== "object") throw new Error("no sample");
  return sample;
}

describe("when the page opens", () => {
  test("charts, letters and whole samples go back at once; a hole is a gap", async () => {
    const { state, shown } = await opened();
    const points = state.pointsBefore.value;
    expect([points.length, (points[0]?.at ?? 0) - AT, shown()]).toEqual([3400, 1, 3600]);
    expect(points.filter(({ gap }) => gap).map(({ at }) => at - AT)).toEqual([1, 1201]);
    expect([state.columns.value.length, state.remembered().wholes]).toEqual([900, 900]);
    expect(state.marks.value.map(({ kind, at }) => [kind, at - AT])).toEqual([["graceful", 500], ["dashboard-start", 1200], ["bookmark", 2000]]);
  });

  test("the letters of a map of an hour come before those that are only remembered", async () => {
    const state = await import("../src/state");
    state.choose({ window: "1h", panel: "map" });
    const { asked } = await opened();
    const froms = asked.filter((path) => path.startsWith("states")).map((path) => Number(/from=([\d.]+)/.exec(path)?.[1]) - AT);
    expect([froms.length, froms[0]]).toEqual([2, 0]);
    expect((state.columns.value[0]?.at ?? 0) - AT).toBeLessThan(10);
  });

  test("nothing is asked again while it is live", async () => {
    const { asked, live, clock } = await opened();
    const before = asked.length;
    for (let second = 1; second < 20; second++) live(second);
    await clock.pass(60_000);
    expect(asked.slice(before)).toEqual([]);
  });

  test("what came before the answers stays, and is not there twice", async () => {
    const { state, live, opening } = await opened();
    live(1);
    await opening.open(null);
    const ats = state.remembered().samples().map(({ at }) => at);
    expect(new Set(ats).size).toBe(ats.length);
    expect(ats).toEqual([...ats].sort((one, other) => one - other));
  });

  test("without a recording it remembers what it sees, as before, and says why", async () => {
    const { state, travel, live } = await opened({ samples: new Map(), state: "off", problem: "record is off" });
    live(1);
    expect([travel.available.value, travel.recording.value?.problem, state.points.value.length]).toEqual([false, "record is off", 2]);
    state.pause();
    travel.step(-1);
    expect(state.sample.value?.at).toBe(HOUR);
    travel.seek(AT + 3);
    expect(state.sample.value?.at).toBe(HOUR);
  });

  test("an instant in the address is shown", async () => {
    const { shown, state } = await opened(tapeOf(), AT + 300);
    await settled();
    expect([shown(), state.paused.value, state.says.value?.busy]).toEqual([300, true, 0]);
  });

  test("after a hole in what came it asks for what it missed", async () => {
    const { state, opening, live, asked } = await opened();
    live(1);
    opening.reopen();
    await settled();
    const before = asked.length;
    live(60);
    opening.reopen();
    await settled();
    expect(asked.slice(before).map((path) => path.split("?")[0])).toContain("history");
    expect(state.pointsBefore.value.at(-1)?.at).toBe(HOUR + 60);
  });
});

describe("seeking", () => {
  test("what the page remembers is there at once, without a question", async () => {
    const { travel, shown, asked } = await opened();
    const before = asked.filter((path) => path.startsWith("frames")).length;
    travel.seek(AT + 3000.7);
    expect([shown(), asked.filter((path) => path.startsWith("frames")).length]).toEqual([3000, before]);
  });

  test("the whole page is as it was then, by what was before it", async () => {
    const { travel, state, shown } = await opened();
    travel.seek(AT + 509.4);
    expect(travel.loading.value).toBe(AT + 509.4);
    expect(shown()).toBe(3600);
    await settled();
    expect([shown(), travel.loading.value, travel.hole.value]).toEqual([509, null, null]);
    expect(state.says.value).toMatchObject({ busy: 9, of: 10 });
    expect(state.pointsBefore.value.at(-1)?.at).toBe(AT + 509);
    expect(state.pointsBefore.value.length).toBeGreaterThan(500);
    state.pin({ process_num: 0, index: 8 });
    expect(state.details.value?.seen).toEqual({ at: AT + 509, earlier: false });
    state.pin({ process_num: 0, index: 7 });
    expect(state.details.value?.seen).toEqual({ at: AT + 508, earlier: false });
  });

  test("of an instant without a sample it is said why, and the one before is shown", async () => {
    const { travel, shown } = await opened();
    travel.seek(AT + 1100);
    await settled();
    expect(shown()).toBe(999);
    expect(travel.hole.value).toMatchObject({ from: AT + 999, to: AT + 1200, open: false, why: "dashboard-start" });
    travel.seek(AT + 500);
    await settled();
    expect(travel.hole.value).toBeNull();
  });

  test("what the page itself did not get is asked for", async () => {
    const tape = tapeOf();
    const { travel, live, shown } = await opened(tape);
    for (let second = 0; second < 30; second++) {
      (tape.samples as Map<number, Sample>).set(HOUR + second, counted(lettered(busyAt(second)), { at: HOUR + second }));
    }
    live(10);
    live(20);
    travel.seek(HOUR + 15);
    await settled();
    expect([shown() - 3600, travel.hole.value]).toEqual([15, null]);
  });

  test("of a scoreboard that could not be read the error is said", async () => {
    const { samples } = tapeOf();
    const failing = new Map(samples);
    for (let at = AT + 600; at < AT + 700; at++) failing.set(at, "server-metrics is off");
    const { travel, shown } = await opened(tapeOf({ samples: failing }));
    travel.seek(AT + 690);
    await settled();
    expect([shown(), travel.hole.value?.why, travel.hole.value?.text]).toEqual([599, "metrics-off", "server-metrics is off"]);
  });

  test("the newest wish counts", async () => {
    const { travel, shown } = await opened();
    travel.seek(AT + 100);
    travel.seek(AT + 400);
    await settled();
    expect(shown()).toBe(400);
    travel.seek(AT + 100);
    travel.live();
    await settled();
    expect(shown()).toBe(3600);
  });

  test("a server that fails is told of, and the page stays where it is", async () => {
    const tape = tapeOf();
    const { travel, shown } = await opened(tape);
    (tape.samples as Map<number, string>).clear();
    travel.seek(AT + 50);
    await settled();
    expect([shown(), travel.loading.value, travel.trouble.value?.why]).toEqual([3600, null, "lost"]);
  });
});

describe("steps", () => {
  test("go through the recording sample by sample, over stretches and holes, and back", async () => {
    const { travel, shown } = await opened();
    travel.seek(AT + 1201);
    await settled();
    const seen = [shown()];
    for (const samples of [-1, -1, -1, 1, 1, 1, -10, 10]) {
      travel.step(samples);
      await settled();
      seen.push(shown());
    }
    expect(seen).toEqual([1201, 1200, 999, 998, 999, 1200, 1201, 991, 1201]);
  });

  test("back beyond what the page remembers, down to the first that was recorded", async () => {
    const { travel, state, shown } = await opened();
    const first = (state.remembered().whole(0)?.at ?? 0) - AT;
    travel.seek(AT + first);
    travel.step(-1);
    await settled();
    expect([shown(), state.standsFar.value]).toEqual([first - 1, true]);
    travel.step(1);
    await settled();
    expect([shown(), state.standsFar.value]).toEqual([first, true]);
    travel.step(1);
    await settled();
    expect([shown(), state.standsFar.value]).toEqual([first + 1, false]);
    travel.seek(AT + 2);
    await settled();
    travel.step(-10);
    await settled();
    expect([shown(), state.canStepBack.value]).toEqual([0, false]);
  });
});

describe("steps while others are under way", () => {
  test("are added to them", async () => {
    const { travel, state, shown } = await opened();
    const first = (state.remembered().whole(0)?.at ?? 0) - AT;
    travel.seek(AT + first);
    for (const samples of [-1, -10, -10]) travel.step(samples);
    await settled();
    expect(shown()).toBe(first - 21);
    for (const samples of [-10, 10, 1]) travel.step(samples);
    await settled();
    expect(shown()).toBe(first - 20);
  });

  test("count for nothing once the viewer went elsewhere", async () => {
    const { travel, shown } = await opened();
    travel.seek(AT + 2000);
    await settled();
    // Not there yet: what this goes through has to be fetched.
    for (let presses = 0; presses < 60; presses++) travel.step(-10);
    travel.seek(AT + 2300);
    await settled();
    travel.step(-1);
    await settled();
    expect(shown()).toBe(2299);
  });
});

describe("events", () => {
  test("the one before and the next; after the newest comes now", async () => {
    const { travel, state, shown } = await opened();
    const seen = [];
    for (const direction of [-1, -1, -1, -1, 1, 1, 1] as const) {
      await travel.jump(direction);
      await settled();
      seen.push(shown());
    }
    expect([seen, state.paused.value]).toEqual([[2000, 1200, 500, 500, 1200, 2000, 3600], false]);
  });
});

describe("play", () => {
  test("as fast as is asked for, until it is told to stop", async () => {
    const { travel, clock, shown, state } = await opened();
    travel.seek(AT + 100);
    await settled();
    travel.play(2);
    await clock.pass(5_000);
    expect(shown()).toBeGreaterThanOrEqual(108);
    expect(shown()).toBeLessThanOrEqual(110);
    travel.play(60);
    await clock.pass(5_000);
    expect(shown()).toBeGreaterThan(350);
    travel.pausePlay();
    const at = shown();
    await clock.pass(5_000);
    expect([shown(), travel.speed.value, state.paused.value]).toEqual([at, null, true]);
  });

  test("not more than ten pictures a second, and never the same twice", async () => {
    const { travel, clock, state } = await opened();
    const { effect } = await import("@preact/signals");
    travel.seek(AT + 100);
    await settled();
    const painted: number[] = [];
    const end = effect(() => void painted.push(state.frozenAt.value ?? 0));
    painted.length = 0;
    travel.play(60);
    await clock.pass(3_000);
    end();
    expect(painted.length).toBeLessThanOrEqual(31);
    expect(new Set(painted).size).toBe(painted.length);
    expect(painted.length).toBeGreaterThan(20);
  });

  test("nobody waits for a hole, and at its end the page is live", async () => {
    const { travel, clock, state, shown } = await opened();
    travel.seek(AT + 990);
    await settled();
    travel.play(10);
    await clock.pass(2_500);
    expect(shown()).toBeGreaterThanOrEqual(1200);
    expect(shown()).toBeLessThan(1230);
    travel.seek(AT + 3590);
    travel.play(10);
    await clock.pass(3_000);
    expect([shown(), state.paused.value, travel.speed.value]).toEqual([3600, false, null]);
  });
});

describe("a replay", () => {
  const replay = () => tapeOf({ state: "replay" });

  test("opens at its end, paused, and goes back there", async () => {
    const { travel, state, shown } = await opened(replay());
    expect([shown(), state.paused.value, travel.replaying.value]).toEqual([3599, true, true]);
    travel.seek(AT + 20);
    await settled();
    expect(shown()).toBe(20);
    travel.live();
    expect([shown(), state.paused.value]).toEqual([3599, true]);
    travel.step(1);
    await settled();
    expect([shown(), state.paused.value]).toEqual([3599, true]);
  });

  test("plays to its end, and stops there", async () => {
    const { travel, clock, state, shown } = await opened(replay());
    travel.seek(AT + 3590);
    travel.togglePause();
    await clock.pass(20_000);
    expect([shown(), state.paused.value, travel.speed.value]).toEqual([3599, true, null]);
  });
});

describe("the pictures", () => {
  test("of more than is remembered are asked for once the viewer has settled, and go on by themselves", async () => {
    const { state, clock, asked, live } = await opened();
    state.choose({ window: "all", panel: "map" });
    state.panBy(-1);
    const before = asked.length;
    await clock.pass(100);
    expect(asked.length).toBe(before);
    await clock.pass(1_000);
    expect(asked.slice(before).map((path) => path.split("?")[0])).toEqual(["states"]);
    expect((state.columns.value[0]?.at ?? 0) - AT).toBeLessThan(5);
    live(1);
    await clock.pass(10_000);
    expect(asked.length).toBe(before + 1);
  });

  test("a moment far from what is remembered has its own", async () => {
    const { state, clock, travel } = await opened();
    state.choose({ window: "1m" });
    travel.seek(AT + 100);
    await settled();
    await clock.pass(1_000);
    expect(state.points.value.some(({ at }) => at === AT + 90)).toBe(true);
    expect(state.span.value.from).toBeLessThanOrEqual(AT + 100);
  });
});

describe("where Apache's scoreboard can't be read from the start", () => {
  const failure = (second: number, notices: readonly string[] = []) => ({
    ...{ tick: second, at: HOUR + second, interval: 1, error: "no metrics", viewers: VIEWERS, notices, alerts: [] },
  });

  async function failing(tape: Tape) {
    const [state, travel, { Opening }] = [await import("../src/state"), await import("../src/travel"), await import("../src/opening")];
    const { ask, asked } = serve(tape);
    state.connected({ kind: "live" });
    state.receive(failure(0));
    void new Opening(ask, clockwork()).open(null);
    await settled();
    return { state, travel, asked, shown: () => (state.sample.value?.at ?? Number.NaN) - AT };
  }
  const offSince = (second: number) => {
    const tape = tapeOf();
    return { ...tape, samples: new Map([...tape.samples].map(([at, sample]) => [at, at < AT + second ? sample : "no metrics"])) };
  };

  test("the newest recorded sample is shown, as what was", async () => {
    const { state, shown, travel } = await failing(offSince(3000));
    expect([shown(), state.paused.value, state.error.value]).toEqual([2999, true, "no metrics"]);
    expect([state.outdatedSince.value, state.load.value]).toEqual([(AT + 2999) * 1000, null]);
    expect([state.points.value.at(-1)?.at, state.points.value.length > 900]).toEqual([AT + 2999, true]);
    travel.step(-1);
    await settled();
    expect([shown(), state.outdatedSince.value]).toEqual([2998, null]);
  });

  test("the page goes on by itself once there is a sample, but not from where its viewer went", async () => {
    const { state, shown } = await failing(offSince(3000));
    state.receive(counted(lettered("W"), { at: HOUR + 5 }));
    expect([shown(), state.paused.value, state.outdatedSince.value]).toEqual([3605, false, null]);
    vi.resetModules();
    const other = await failing(offSince(3000));
    other.travel.step(-1);
    await settled();
    other.state.receive(counted(lettered("W"), { at: HOUR + 5 }));
    expect([other.shown(), other.state.paused.value]).toEqual([2998, true]);
  });

  test("without a recorded sample there is the error", async () => {
    const { state } = await failing(offSince(0));
    expect([state.sample.value, state.error.value, state.paused.value]).toEqual([null, "no metrics", false]);
  });

  test("how the recording stands is asked once, and when the server has something else to say", async () => {
    const { state, asked, travel } = await failing(offSince(3000));
    const count = () => asked.filter((path) => path === "recording").length;
    for (let second = 1; second < 5; second++) state.receive(failure(second));
    expect([count(), travel.recording.value?.state]).toEqual([1, "recording"]);
    state.receive(failure(5, ["It does not record: the disk is full."]));
    await settled();
    expect(count()).toBe(2);
  });
});
