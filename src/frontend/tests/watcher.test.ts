import { describe, expect, test } from "vitest";

import type { Mark } from "../src/history";
import { Watcher } from "../src/watcher";
import type { Failure, Frame } from "../src/wire";
import { AT, counted, lettered, VIEWERS } from "./samples";

type Board = Parameters<typeof counted>[1];

/** By its letters, at so many seconds after AT; ticks count seconds. */
const seen = (second: number, letters = "_", board: Board = {}): Frame => ({
  ...counted(lettered(letters), { at: AT + second, ...board }),
  tick: 1000 + second,
});
const failed = (second: number, error = "no metrics"): Failure => ({
  tick: 1000 + second,
  at: AT + second,
  interval: 1,
  error,
  viewers: VIEWERS,
  notices: [],
  alerts: [],
});

function watched(...frames: readonly Frame[]): Watcher {
  const watcher = new Watcher();
  for (const frame of frames) watcher.take(frame);
  return watcher;
}

/** Kind, beginning and end, in seconds after AT; without an end for a moment. */
const told = ({ marks }: Watcher) =>
  marks.map(({ kind, at, ended }) => [kind, at - AT, ...(ended === undefined ? [] : [ended === null ? null : ended - AT])]);

/** A sample a second, of which a letter says whether all workers are busy: "F" full, "." not, "x" not readable. */
const film = (shots: string): readonly Frame[] =>
  [...shots].map((shot, second) => (shot === "x" ? failed(second) : seen(second, shot === "F" ? "W" : "_")));

describe("saturation", () => {
  test.each([
    ["..F", [["saturation", 2, null]]],
    ["..FFF....", [["saturation", 2, null]]],
    ["..FFF.....", [["saturation", 2, 4]]],
    ["..F....F....", [["saturation", 2, null]]],
    ["..F.....F", [["saturation", 2, 2], ["saturation", 8, null]]],
    ["F", [["saturation", 0, null]]],
    [".....", []],
    ["F.xxxx", [["saturation", 0, 0], ["metrics-off", 2, null]]],
  ])("%s", (shots, marks) => {
    expect(told(watched(...film(shots)))).toEqual(marks);
  });

  test("nobody knows what was while nobody looked for two minutes", () => {
    expect(told(watched(seen(0, "W"), seen(100, "W"), seen(300, "W")))).toEqual([
      ["saturation", 0, 100],
      ["saturation", 300, null],
    ]);
  });

  test("where no worker runs, none is busy", () => {
    expect(told(watched(seen(0, ".")))).toEqual([]);
  });
});

describe("metrics off", () => {
  test("lasts until the next sample, and says why", () => {
    const watcher = watched(...film(".xx.x"));
    expect(told(watcher)).toEqual([["metrics-off", 1, 3], ["metrics-off", 4, null]]);
    expect(watcher.marks[0]?.text).toBe("no metrics");
  });

  test("for another reason it is another one", () => {
    expect(told(watched(failed(0), failed(1, "other")))).toEqual([["metrics-off", 0, 1], ["metrics-off", 1, null]]);
  });
});

describe("restarts", () => {
  test.each<[string, Board, readonly unknown[]]>([
    ["nothing", {}, []],
    ["a graceful restart", { running_generation: 1 }, [{ kind: "graceful", at: AT + 1, generation: 1 }]],
    ["a restart", { restart_time: AT + 0.5, running_generation: 1 }, [{ kind: "restart", at: AT + 0.5 }]],
    ["a restart to the first generation", { restart_time: AT + 0.5 }, [{ kind: "restart", at: AT + 0.5 }]],
    ["the clock of the start is read a little off", { restart_time: AT - 59 }, []],
  ])("%s", (_name, board, marks) => {
    expect(watched(seen(0), seen(1, "_", board), seen(2, "_", board)).marks).toEqual(marks);
  });

  test("the first sample is no restart", () => {
    expect(watched(seen(0, "_", { running_generation: 5 })).marks).toEqual([]);
  });

  test("ticks that begin again are a dashboard that was started; what lasted ended with the one before", () => {
    const again = (frame: Frame) => ({ ...frame, tick: frame.tick - 1000 });
    const watcher = watched(seen(0, "W"), failed(1), again(seen(9, "W")), again(seen(10, "W")));
    expect(told(watcher)).toEqual([
      ["saturation", 0, 0],
      ["metrics-off", 1, 1],
      ["dashboard-start", 9],
      ["saturation", 9, null],
    ]);
  });
});

test("a clock that is set back takes what was later", () => {
  const back = { ...seen(2, "_", { running_generation: 2 }), tick: 1006 };
  expect(told(watched(seen(0), seen(5, "_", { running_generation: 1 }), back))).toEqual([["graceful", 2]]);
});

test("no more than 2,000 are kept", () => {
  const { marks } = watched(...Array.from({ length: 2500 }, (_, second) => seen(second, "_", { running_generation: second })));
  expect([marks.length, marks.at(-1)?.at]).toEqual([2000, AT + 2499]);
});

test("the marks are the same array until there is another one", () => {
  const watcher = watched(...film("..F"));
  const { marks } = watcher;
  for (const frame of [seen(3, "W"), seen(4)]) watcher.take(frame);
  expect(watcher.marks).toBe(marks);
});

describe("what the recording tells", () => {
  const full = (from: number, ended: number | null): Mark => ({
    kind: "saturation",
    at: AT + from,
    ended: ended === null ? null : AT + ended,
  });
  const adopted = (shots: string, until: number, recorded: readonly Mark[]) => {
    const watcher = watched(...film(shots));
    watcher.adopt(recorded, AT + until);
    return watcher;
  };

  test("takes the place of what was seen up to then; nothing is there twice", () => {
    const bookmark: Mark = { kind: "bookmark", at: AT - 5, text: "deploy" };
    const watcher = adopted("F......F......", 6, [bookmark, full(-3, 0)]);
    expect(told(watcher)).toEqual([["bookmark", -5], ["saturation", -3, 0], ["saturation", 7, 7]]);
  });

  test("what lasts there goes on here, from when it began there", () => {
    const watcher = adopted("FF", 1, [full(-60, null)]);
    for (const second of [2, 3, 4, 5]) watcher.take(seen(second));
    expect(told(watcher)).toEqual([["saturation", -60, null]]);
    watcher.take(seen(6));
    expect(told(watcher)).toEqual([["saturation", -60, 1]]);
  });

  test("what it does not tell yet of the newest seconds stays, and is not there twice once it does", () => {
    const watcher = watched(seen(0), seen(7), seen(8, "_", { running_generation: 1 }));
    watcher.adopt([], AT + 9);
    expect(told(watcher)).toEqual([["graceful", 8]]);
    watcher.adopt([{ kind: "graceful", at: AT + 8.001, generation: 1 }], AT + 9);
    expect(watcher.marks.map(({ at }) => at)).toEqual([AT + 8.001]);
    watcher.adopt([], AT + 20);
    expect(told(watcher)).toEqual([]);
  });

  test("what ended here while the answer came has ended", () => {
    expect(told(adopted("FF.......", 2, [full(-60, null)]))).toEqual([["saturation", -60, 1]]);
  });

  test("what was about to end when this page opened ends", () => {
    const watcher = adopted("..", 1, [full(-60, null)]);
    for (const second of [2, 3, 4, 5]) watcher.take(seen(second));
    expect(told(watcher)).toEqual([["saturation", -60, null]]);
    watcher.take(seen(6));
    expect(told(watcher)).toEqual([["saturation", -60, 1]]);
  });

  test("metrics that were off there and are not here were so until the next sample", () => {
    const watcher = adopted("..", 1, [{ kind: "metrics-off", at: AT - 9, ended: null, text: "no metrics" }]);
    watcher.take(seen(2));
    expect(told(watcher)).toEqual([["metrics-off", -9, 2]]);
  });
});
