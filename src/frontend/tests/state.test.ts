import { beforeEach, describe, expect, test, vi } from "vitest";

import { DEFAULTS } from "../src/address";
import { decode, type Sample, type Worker } from "../src/wire";
import { slotId } from "../src/requests";
import { AT, counted, failureOf, held, lettered, process, sampled, VIEWERS, worker } from "./samples";

type Board = Parameters<typeof counted>[1];

/** The page's state as it is before anything came. */
const fresh = () => import("../src/state");
type State = Awaited<ReturnType<typeof fresh>>;

beforeEach(() => vi.resetModules());

const second = (at: number, ...letters: readonly string[]) => counted(lettered(...letters), { at: AT + at });

/** A page that got a sample a second, the first one at AT. */
async function running(seconds: number, ...letters: readonly string[]): Promise<State> {
  const state = await fresh();
  for (let at = 0; at < seconds; at++) state.receive(second(at, ...(letters.length > 0 ? letters : ["W_"])));
  return state;
}

const shownAt = (state: State) => (state.sample.value?.at ?? Number.NaN) - AT;
const spanOf = ({ span }: State) => [span.value.from - AT, span.value.to - AT];

async function holding(workers: readonly Worker[], board: Board = {}): Promise<State> {
  const state = await fresh();
  state.receive(counted([process(100, workers)], board));
  return state;
}

test("before the first sample there is nothing, and nothing breaks", async () => {
  const state = await fresh();
  state.pause();
  state.step(-1);
  state.step(1);
  state.panBy(-10);
  state.zoomBy(2);
  state.choose({ window: "all", filter: "state:W", group: "path", sort: { key: "pid", down: false } });
  state.pin({ process_num: 0, index: 0 });
  const { sample, load, says, rows, requests, details, points, columns, marks } = state;
  expect([sample.value, load.value, says.value, details.value, state.error.value, state.outdatedSince.value]).toEqual(new Array(6).fill(null));
  expect([rows.value, requests.value, points.value, columns.value, marks.value, state.mapBlocks.value]).toEqual(new Array(6).fill([]));
  expect([state.paused.value, state.canStepBack.value, state.behind.value, state.screen("here")]).toEqual([false, false, 0, null]);
  expect(state.ordered.value).toEqual({ requests: [], websockets: [] });
});

test("a sample of the server is taken as it was decoded", async () => {
  const state = await fresh();
  state.receive(sampled([process(7, [worker(), worker()])]));
  expect(state.sample.value?.snapshot.processes[0]?.pid).toBe(7);
  expect([state.moment.value, state.holding.value, state.notices.value]).toEqual([AT, VIEWERS.holding, []]);
});

describe("pause", () => {
  test("the page stands at its sample, and what comes is still taken", async () => {
    const state = await running(5);
    state.pause();
    for (let at = 5; at < 9; at++) state.receive(second(at, "KK"));
    expect([shownAt(state), state.behind.value, state.points.value.length, state.columns.value.length]).toEqual([4, 4, 9, 9]);
    expect(state.rows.value[0]?.states).toBe("W_");
    expect(state.says.value?.busy).toBe(1);
    expect([state.load.value, state.ageAt.value, state.frozenAt.value]).toEqual([{ busy: 2, of: 2 }, AT + 4, AT + 4]);
    expect(state.pointsBefore.value.at(-1)?.at).toBe(AT + 4);
    expect(spanOf(state)).toEqual([-296, 4]);
    state.togglePause();
    expect([shownAt(state), state.paused.value, ...spanOf(state)]).toEqual([8, false, -292, 8]);
  });

  test("at an instant: the sample that was the newest then", async () => {
    const state = await running(5);
    state.pause(AT + 2.9);
    expect([shownAt(state), state.windowName.value, ...spanOf(state)]).toEqual([2, "5m", -296, 4]);
  });

  test("the verdict is that of its sample, by what was known then", async () => {
    const state = await fresh();
    for (const [at, letters] of ["__", "KK", "KK", "KK", "__"].entries()) state.receive(second(at, letters));
    state.step(-1);
    expect(state.says.value).toMatchObject({ level: "full", full: { seconds: 2, atLeast: false } });
  });

  test("nothing is out of date while the page stands still", async () => {
    const state = await running(3);
    state.connected({ kind: "connecting" });
    expect(state.outdatedSince.value).toBe((AT + 2) * 1000);
    state.pause();
    expect(state.outdatedSince.value).toBeNull();
  });

  test("a clock that is set back leaves it where it stands", async () => {
    const state = await running(5);
    state.pause();
    state.receive(second(1, "KK"));
    expect([shownAt(state), state.points.value.length]).toEqual([4, 2]);
    state.step(-1);
    expect(shownAt(state)).toBe(0);
    state.follow();
    expect(shownAt(state)).toBe(1);
  });
});

describe("steps", () => {
  test("back and forth, to the oldest, and beyond the newest on", async () => {
    const state = await running(5);
    const steps = [-1, -1, 1, -10, -1, 1, 10].map((samples) => {
      state.step(samples);
      return [shownAt(state), state.paused.value, state.canStepBack.value];
    });
    expect(steps).toEqual([
      ...[[3, true, true], [2, true, true], [3, true, true], [0, true, false], [0, true, false], [1, true, true]],
      [4, false, true],
    ]);
  });

  test("from a sample that is no longer kept: none is older, and the next is the oldest that is kept", async () => {
    const state = await running(3);
    state.step(-1);
    for (let at = 3; at < 1000; at++) state.receive(second(at, "W_"));
    expect([shownAt(state), state.canStepBack.value]).toEqual([1, false]);
    state.step(-1);
    expect(shownAt(state)).toBe(1);
    state.step(1);
    expect(shownAt(state)).toBe(100);
  });

  test("a sample outside of the charts brings them to it", async () => {
    const state = await running(200);
    state.choose({ window: "1m" });
    expect(spanOf(state)).toEqual([139, 199]);
    state.step(-100);
    expect([shownAt(state), ...spanOf(state)]).toEqual([99, 69, 129]);
    state.pause(AT + 180);
    expect([shownAt(state), ...spanOf(state)]).toEqual([180, 139, 199]);
    state.choose({ window: "all" });
    state.pause(AT + 30);
    state.choose({ window: "1m" });
    expect([shownAt(state), ...spanOf(state)]).toEqual([30, 0, 60]);
  });
});

describe("what the charts show", () => {
  test("a window follows the newest sample", async () => {
    const state = await running(100);
    expect([state.windowName.value, ...spanOf(state)]).toEqual(["5m", -201, 99]);
    state.choose({ window: "1m" });
    state.receive(second(100, "W_"));
    expect([state.windowName.value, ...spanOf(state)]).toEqual(["1m", 40, 100]);
  });

  test("all is what is remembered, and a minute at least", async () => {
    const state = await running(20);
    state.choose({ window: "all" });
    expect(spanOf(state)).toEqual([-41, 19]);
    for (let at = 20; at < 100; at++) state.receive(second(at, "W_"));
    expect(spanOf(state)).toEqual([0, 99]);
  });

  test("panned, they stand still until they are told to follow", async () => {
    const state = await running(100);
    state.choose({ window: "1m" });
    state.panBy(-20);
    state.receive(second(100, "W_"));
    expect([state.elsewhere.value, state.paused.value, ...spanOf(state)]).toEqual([true, false, 19, 79]);
    expect(shownAt(state)).toBe(100);
    state.panBy(500);
    expect([state.elsewhere.value, ...spanOf(state)]).toEqual([false, 40, 100]);
    state.panBy(-500);
    state.follow();
    expect([state.elsewhere.value, ...spanOf(state)]).toEqual([false, 40, 100]);
  });

  test("zoomed, they follow, and have no window's name; a window ends it", async () => {
    const state = await running(100);
    state.zoomBy(0.1);
    expect([state.windowName.value, ...spanOf(state)]).toEqual([null, 69, 99]);
    state.zoomBy(0.0001);
    expect(spanOf(state)).toEqual([89, 99]);
    state.zoomBy(1e9);
    expect(spanOf(state)).toEqual([99 - 3600, 99]);
    state.choose({ window: "1m" });
    expect([state.windowName.value, ...spanOf(state)]).toEqual(["1m", 39, 99]);
  });

  test("of a paused page they stand still, whatever is done to them", async () => {
    const state = await running(100);
    state.pause();
    const done = [
      () => state.panBy(500),
      () => state.zoomBy(0.5),
      () => state.choose({ window: "1m" }),
      () => state.panBy(-20),
      () => state.choose({ window: "all" }),
    ];
    for (const action of done) {
      action();
      const before = spanOf(state);
      state.receive(second((state.points.value.at(-1)?.at ?? 0) + 1 - AT, "W_"));
      expect([shownAt(state), ...spanOf(state)]).toEqual([99, ...before]);
    }
  });

  test("a choice that is no window moves nothing", async () => {
    const state = await running(100);
    state.panBy(-20);
    const before = spanOf(state);
    state.choose({ filter: "W" });
    expect(spanOf(state)).toEqual(before);
  });
});

describe("requests", () => {
  const GET = (path: string) => ({ request: `GET ${path} HTTP/1.1` });
  const WORKERS = [
    held(3, GET("/b")),
    held(30, GET("/a")),
    held(5, GET("/ws")),
    worker(),
    held(4, { ...GET("/a"), status: "K" }),
  ];
  const indexes = (state: State) => {
    const { requests, websockets } = state.ordered.value;
    return [requests, websockets].map((list) => list.map(({ slot }) => slot.index));
  };

  test("the oldest first, WebSockets apart", async () => {
    expect(indexes(await holding(WORKERS))).toEqual([[1, 4, 0], [2]]);
  });

  test("what needs a look comes before what is older, but not in another order", async () => {
    const state = await fresh();
    const stopping = process(101, [held(1, GET("/z"))], { process_num: 1, quiescing: true });
    state.receive(counted([process(100, [held(9), held(2)]), stopping]));
    const pids = () => state.ordered.value.requests.map(({ pid, slot }) => `${pid}.${slot.index}`);
    expect(pids()).toEqual(["101.0", "100.0", "100.1"]);
    state.choose({ sort: { key: "age", down: false } });
    expect(pids()).toEqual(["101.0", "100.1", "100.0"]);
    state.choose({ sort: { key: "pid", down: false } });
    expect(pids()).toEqual(["100.0", "100.1", "101.0"]);
  });

  test("a filter leaves some requests, and fades the other slots", async () => {
    const state = await holding(WORKERS);
    expect([state.kept.value, state.dimmed.value]).toEqual([null, null]);
    state.choose({ filter: "path:/a" });
    expect(indexes(state)).toEqual([[1, 4], []]);
    expect(state.kept.value).toEqual(new Set([1, 4].map((index) => slotId({ process_num: 0, index }))));
    expect(state.dimmed.value).toEqual(new Set([0, 2, 3]));
    expect(state.screen("here")).toMatchObject({ filter: "path:/a", place: "here" });
    state.choose({ filter: "nothing" });
    expect([indexes(state), state.kept.value?.size, state.dimmed.value?.size]).toEqual([[[], []], 0, 5]);
  });

  test("groups are of what the filter leaves", async () => {
    const state = await holding(WORKERS);
    expect(state.groups.value).toBeNull();
    state.choose({ group: "path", filter: "-is:websocket" });
    expect(state.groups.value?.map(({ name, count }) => [name, count])).toEqual([["GET /a", 2], ["GET /b", 1]]);
  });

  test("ages of a filter are those at the shown sample", async () => {
    const state = await running(1);
    for (const at of [0, 20]) state.receive(counted([process(100, [held(3)])], { at: AT + at }));
    state.choose({ filter: "age>10s" });
    expect(state.matching.value).toHaveLength(1);
    state.step(-1);
    expect(state.matching.value).toHaveLength(0);
  });
});

describe("the slot that is told of", () => {
  test("the one that is pointed at, or else the pinned one; pinned twice is unpinned", async () => {
    const state = await running(2, "W_", "K_");
    const [one, other] = [{ process_num: 0, index: 0 }, { process_num: 1, index: 0 }];
    state.pin(one);
    expect([state.details.value?.story.status, state.sameTold.value]).toEqual(["W", true]);
    state.hovered.value = other;
    expect([state.details.value?.story.status, state.sameTold.value]).toEqual(["K", false]);
    state.hovered.value = null;
    state.pin({ ...one });
    expect([state.details.value, state.choices.value]).toEqual([null, DEFAULTS]);
  });

  test("since when it was seen so, up to the shown sample", async () => {
    const state = await running(0);
    for (const [at, letters] of ["R_", "__", "R_", "R_", "__"].entries()) state.receive(second(at, "_", letters));
    state.pin({ process_num: 1, index: 0 });
    expect(state.details.value?.seen).toEqual({ at: AT + 4, earlier: false });
    state.step(-1);
    expect(state.details.value?.seen).toEqual({ at: AT + 2, earlier: false });
    state.step(-3);
    expect(state.details.value?.seen).toEqual({ at: AT, earlier: true });
  });

  test("not for longer than its process was there", async () => {
    const state = await fresh();
    for (const [at, pid] of [7, 7, 8, 8].entries()) state.receive(counted([process(pid, [worker({ status: "_" })])], { at: AT + at }));
    state.pin({ process_num: 0, index: 0 });
    expect(state.details.value?.seen).toMatchObject({ at: AT + 2, earlier: false });
  });

  test("a slot that is gone has no story", async () => {
    const state = await running(2, "W_", "K_");
    state.pin({ process_num: 1, index: 0 });
    state.receive(second(2, "W_", ".."));
    expect(state.details.value).toBeNull();
    for (const slot of [{ process_num: 9, index: 0 }, { process_num: 0, index: 2 }]) {
      state.hovered.value = slot;
      expect(state.details.value).toBeNull();
    }
  });

  test("its place among all slots", async () => {
    const { placeOf } = await fresh();
    const sample: Sample = second(0, "W_", ".", "KKK");
    const places = [[0, 1], [1, 0], [2, 2], [2, 3], [3, 0]].map(([process_num = 0, index = 0]) => placeOf(sample, { process_num, index }));
    expect(places).toEqual([1, 2, 5, null, null]);
  });
});

describe("the map's rows", () => {
  test("are the slots of every process that was ever there, and the same object until they change", async () => {
    const state = await running(1, "W_", "..", "K_", "..");
    const before = state.mapRows.value;
    expect(before.places).toEqual([0, 1, 4, 5]);
    state.receive(second(1, "__", "..", "..", ".."));
    expect(state.mapRows.value).toBe(before);
    state.receive(second(2, "__", "W_", "..", ".."));
    expect(state.mapRows.value.places).toEqual([0, 1, 2, 3, 4, 5]);
    expect(state.mapRows.value.slots[2]).toEqual({ process_num: 1, index: 0 });
  });

  test("one block a process, with a label while it lives, marked while it drains", async () => {
    const state = await running(1, "W_", "K_");
    const stopping = process(100, [held(3), worker()], { quiescing: true });
    state.receive(counted([stopping, ...lettered("", "..").slice(1)], { at: AT + 1 }));
    expect(state.mapBlocks.value).toEqual([
      { label: "100", first: 0, count: 2, marked: true },
      { label: "", first: 2, count: 2, marked: false },
    ]);
  });

  test("another Apache has other rows", async () => {
    const state = await running(2, "W_", "K_");
    state.receive(second(2, "W_K_", "...."));
    expect(state.mapRows.value.places).toEqual([0, 1, 2, 3]);
  });
});

describe("errors", () => {
  test("a scoreboard that cannot be read is said, and the last sample stays", async () => {
    const state = await running(2);
    state.connected({ kind: "live" });
    expect([state.error.value, state.outdatedSince.value]).toEqual([null, null]);
    state.receive(decode(JSON.stringify(failureOf("no metrics"))));
    expect([state.error.value, state.outdatedSince.value, shownAt(state)]).toEqual(["no metrics", (AT + 1) * 1000, 1]);
    state.receive(second(2, "W_"));
    expect([state.error.value, state.outdatedSince.value]).toEqual([null, null]);
  });

  test("a bad frame is said until a good one comes", async () => {
    const state = await running(1);
    state.complain({ kind: "refused", status: 503, text: "" });
    expect(state.error.value).toContain("503");
    state.receive(second(1, "W_"));
    expect(state.error.value).toBeNull();
  });
});
