import { describe, expect, test } from "vitest";

import { draining, Sightings, type Turn } from "../src/draining";
import { drainsFor, ending, heldFor, holder } from "../src/recorder/strings-first";
import { inFlight } from "../src/requests";
import type { Process, Sample } from "../src/wire";
import { AT, counted, held, process, worker } from "./samples";

const NOW = { running_generation: 3, restart_time: AT - 1000 };

/** A process of generation 2, so one that drains, in a place of its own. */
const old = (process_num: number, seconds: readonly number[], changes: Partial<Process> = {}): Process =>
  process(100 + process_num, [worker(), ...seconds.map((each) => held(each))], { process_num, generation: 2, ...changes });

const drainsOf = (sample: Sample, turns: readonly Turn[] = [], sightings = new Sightings()) => {
  sightings.take(sample);
  return draining(sample, inFlight(sample), turns, sightings);
};
const sinceOf = (turns: readonly Turn[], changes: Partial<Process> = {}, sightings?: Sightings) =>
  drainsOf(counted([old(0, [5], changes)], NOW), turns, sightings)[0]?.since;

describe("which processes drain, and what holds them", () => {
  test("those of old generations and those that stop; not those of now, and no empty place", () => {
    const sample = counted(
      [
        old(0, [5]),
        process(7, [held(90)], { process_num: 1, generation: 3 }),
        process(8, [held(2)], { process_num: 2, generation: 3, quiescing: true }),
        process(0, [worker({ status: "." })], { process_num: 3, generation: 2 }),
      ],
      NOW,
    );
    expect(drainsOf(sample).map(({ pid, old: outdated }) => [pid, outdated])).toEqual([[100, true], [8, false]]);
  });

  test("the one whose oldest request has been held longest comes first, and one that nothing holds last", () => {
    const sample = counted([old(0, []), old(1, [3, 40]), old(2, [250, 1]), old(3, [12])], NOW);
    const found = drainsOf(sample);
    expect(found.map(({ pid }) => pid)).toEqual([102, 101, 103, 100]);
    expect(found.map(({ holders }) => holders.map(({ slot }) => slot.index))).toEqual([[1, 2], [2, 1], [1], []]);
  });

  test("a request of unknown age comes after those of known age, and before nothing at all", () => {
    const unknown = old(1, [], { workers: [worker({ status: "R" })] });
    expect(drainsOf(counted([old(0, []), unknown, old(2, [1])], NOW)).map(({ pid }) => pid)).toEqual([102, 101, 100]);
  });

  test("nothing drains, nothing is told", () => {
    expect(drainsOf(counted([process(7, [held(90)])]))).toEqual([]);
  });
});

describe("since when", () => {
  test.each<[string, readonly Turn[], Partial<Process>, { at: number; atLeast: boolean }]>([
    ["nothing is known of the restart", [], {}, { at: AT, atLeast: true }],
    ["the newest restart made it old", [{ at: AT - 30, generation: null }], {}, { at: AT - 30, atLeast: false }],
    ["it was old before the newest restart", [{ at: AT - 30, generation: null }], { generation: 1 }, { at: AT - 30, atLeast: true }],
    [
      "the generation that followed its own is known",
      [{ at: AT - 300, generation: 2 }, { at: AT - 30, generation: 3 }],
      { generation: 1 },
      { at: AT - 300, atLeast: false },
    ],
    ["a restart after the sample is none yet", [{ at: AT + 1, generation: 3 }], {}, { at: AT, atLeast: true }],
    ["one of an Apache that ran before is none", [{ at: AT - 2000, generation: 3 }], {}, { at: AT, atLeast: true }],
    ["one of another generation than the running one", [{ at: AT - 30, generation: 2 }], {}, { at: AT, atLeast: true }],
    ["it stops without a restart", [{ at: AT - 30, generation: 3 }], { generation: 3, quiescing: true }, { at: AT, atLeast: true }],
  ])("%s", (_name, turns, changes, since) => {
    expect(sinceOf(turns, changes)).toEqual(since);
  });

  test("where it is not known: at least since it was first seen to drain, whenever that was looked at", () => {
    const sightings = new Sightings();
    for (const at of [AT - 10, AT - 50, AT - 20]) sightings.take(counted([old(0, [5])], { ...NOW, at }));
    expect(sinceOf([], {}, sightings)).toEqual({ at: AT - 50, atLeast: true });
    // Another process took the place.
    expect(sinceOf([], { pid: 999 }, sightings)).toEqual({ at: AT, atLeast: true });
  });

  test("a restart that was noticed after the process was seen to drain is not when it began", () => {
    const sightings = new Sightings();
    sightings.take(counted([old(0, [5])], { ...NOW, at: AT - 50 }));
    expect(sinceOf([{ at: AT - 30, generation: null }], {}, sightings)).toEqual({ at: AT - 50, atLeast: true });
  });
});

test("the line names pid, slot, request and its age, and tells a WebSocket", () => {
  const sample = counted([old(0, [250]), old(1, [], { workers: [held(8, { request: "GET /ws HTTP/1.1" })] }), old(2, [])], NOW);
  const [slow, socket, empty] = drainsOf(sample);
  if (slow?.holders[0] === undefined || socket?.holders[0] === undefined || empty === undefined) throw new Error("no drain");
  expect(holder(slow, slow.holders[0]) + heldFor(slow.holders[0], AT)).toBe("pid 100, slot 0.1, GET /, 4 min 10 s");
  expect(heldFor(socket.holders[0], AT)).toContain("WebSocket");
  expect(ending(empty)).toContain("102");
  expect(drainsFor(slow, AT + 4)).toBe("generation 2 drains for at least 4.0 s");
  expect(drainsFor({ ...slow, old: false, since: { at: AT - 70, atLeast: false } }, AT)).toMatch(/ 1 min 10 s$/);
});
