import { describe, expect, test } from "vitest";

import { FrameError } from "../src/check";
import { Decoder, type Decoded } from "../src/decoder";
import type { Sample } from "../src/wire";
import { AT, deltaOf, keyOf, VIEWERS } from "./samples";

type Loose = Record<string, unknown>;

const read = (decoder: Decoder, frame: unknown): Decoded => decoder.decode(JSON.stringify(frame));

function sampleFrom(decoder: Decoder, frame: unknown): Sample {
  const decoded = read(decoder, frame);
  if (typeof decoded === "string" || "error" in decoded) throw new Error(`no sample: ${JSON.stringify(decoded)}`);
  return decoded;
}

/** A decoder that holds the key frame of tick 1. */
function holding(changes: Loose = {}): Decoder {
  const decoder = new Decoder();
  sampleFrom(decoder, keyOf(1, changes));
  return decoder;
}

function complaint(decoder: Decoder, frame: unknown): string {
  try {
    read(decoder, frame);
  } catch (error) {
    if (error instanceof FrameError) return `${error.path}: ${error.expected}`;
    throw error;
  }
  return "accepted";
}

const workers = (sample: Sample) => sample.snapshot.processes.flatMap((process) => process.workers);

describe("samples", () => {
  test("a key frame is a sample, whose slots begin blank", () => {
    const sample = sampleFrom(new Decoder(), keyOf(1, { slots: { slot: [1], status: "_" } }));
    const blank = {
      thread_num: 0,
      generation: 0,
      status: ".",
      access_count: 0,
      bytes_served: 0,
      start_time: 0,
      stop_time: 0,
      last_used: 0,
      client: "",
      request: "",
      vhost: "",
    };
    expect(sample).toMatchObject({ tick: 1, at: AT + 1, interval: 1, viewers: VIEWERS, notices: [] });
    expect(sample.snapshot).toEqual({
      server_limit: 4,
      thread_limit: 2,
      running_generation: 0,
      restart_time: AT - 60,
      current_time: AT,
      running_time: 60,
      processes: [
        { process_num: 0, pid: 7, generation: 0, quiescing: false, workers: [blank, { ...blank, thread_num: 1, status: "_" }] },
      ],
    });
  });

  test("a delta changes what it names, and nothing else", () => {
    const decoder = holding();
    const slots = {
      slot: [1],
      status: "W",
      access_count: [2],
      bytes_served: [900],
      start_time: [1500],
      stop_time: [-200],
      client: ["192.0.2.7"],
      request: [1],
      vhost: [0],
    };
    const sample = sampleFrom(
      decoder,
      deltaOf(2, { interval: 2, running_time: 62, tables: { request: [1, "GET / HTTP/1.1"] }, slots }),
    );
    expect(sample).toMatchObject({ tick: 2, at: AT + 2, interval: 2, snapshot: { running_time: 62, server_limit: 4 } });
    expect(workers(sample)[1]).toMatchObject({
      status: "W",
      access_count: 2,
      bytes_served: 900,
      start_time: AT + 0.5,
      stop_time: AT + 0.3,
      last_used: AT + 0.5,
      client: "192.0.2.7",
      request: "GET / HTTP/1.1",
      vhost: "",
    });
  });

  test.each([
    ["never", {}, [0, 0, 0]],
    ["started, never stopped", { start_time: [500] }, [AT + 1.5, 0, AT + 1.5]],
    ["stopped, never started", { stop_time: [500] }, [0, 0.5, 0.5]],
    ["ended", { start_time: [500], stop_time: [200] }, [AT + 1.5, AT + 1.7, AT + 1.7]],
    ["used at another time", { start_time: [500], last_used: [0, 100] }, [AT + 1.5, 0, AT + 1.9]],
    ["never used", { start_time: [500], last_used: [0, null] }, [AT + 1.5, 0, 0]],
    ["null is never", { start_time: [null], stop_time: [null] }, [0, 0, 0]],
  ])("instants: %s", (_name, columns, expected) => {
    const sample = sampleFrom(holding(), deltaOf(2, { slots: { slot: [0], status: "_", ...columns } }));
    const [worker] = workers(sample);
    expect([worker?.start_time, worker?.stop_time, worker?.last_used]).toEqual(expected);
  });

  test("what does not change is the same object", () => {
    const two = { process_num: [0, 1], pid: [7, 8], generation: [0, 0], quiescing: [0, 0], workers: [2, 2] };
    const decoder = new Decoder();
    const before = sampleFrom(decoder, keyOf(1, { processes: two, slots: { status: "____" } }));
    const frame = { processes: { ...two, pid: [7, 9] }, slots: { slot: [1], status: "W" } };
    const after = sampleFrom(decoder, deltaOf(2, frame));
    const still = sampleFrom(decoder, deltaOf(3));
    const same = workers(before).map((worker, place) => worker === workers(after)[place]);
    expect(same).toEqual([true, false, true, true]);
    expect(after.snapshot.processes.map((process) => process.pid)).toEqual([7, 9]);
    expect(before.snapshot.processes.map((process) => process.workers[1]?.status)).toEqual(["_", "_"]);
    expect(still.snapshot.processes).toBe(after.snapshot.processes);
    expect(still.capacity).toBe(before.capacity);
  });

  test("an error is a failure, and breaks the chain", () => {
    const decoder = holding();
    const frame = { frame: "error", tick: 2, at_ms: 5500, interval: 1, error: "off", viewers: VIEWERS, notices: ["x"] };
    expect(read(decoder, frame)).toEqual({ tick: 2, at: 5.5, interval: 1, error: "off", viewers: VIEWERS, notices: ["x"], alerts: [] });
    expect(read(decoder, deltaOf(3))).toBe("broken");
  });

  test("a key's tables replace all", () => {
    const decoder = holding({ tables: { request: [1, "one", "two"] } });
    sampleFrom(decoder, keyOf(2, { tables: { request: [1, "three"] } }));
    expect(complaint(decoder, deltaOf(3, { slots: { slot: [0], status: "W", request: [2] } }))).toBe(
      "slots.request[0]: fitting",
    );
  });

  test("a table is written over where the frame says", () => {
    const decoder = holding({ tables: { request: [1, "one", "two", "three"] } });
    const sample = sampleFrom(
      decoder,
      deltaOf(2, { tables: { request: [3, "III", "four"] }, slots: { status: "WW", request: [3, 4] } }),
    );
    expect(workers(sample).map((worker) => worker.request)).toEqual(["III", "four"]);
  });
});

describe("the chain", () => {
  test("only the sample of `previous` can be continued", () => {
    const decoder = holding();
    expect(read(decoder, deltaOf(3))).toBe("broken");
    // It does not heal by itself, whatever the next ones say.
    expect(read(decoder, deltaOf(2))).toBe("broken");
    expect(read(decoder, keyOf(4))).toMatchObject({ tick: 4 });
    expect(read(decoder, deltaOf(6, { previous: 4 }))).toMatchObject({ tick: 6 });
  });

  test("before a key there is none", () => {
    expect(read(new Decoder(), deltaOf(1))).toBe("broken");
  });

  test("unknown kinds and members are passed over", () => {
    const decoder = holding();
    expect(read(decoder, { frame: "bookmark", tick: "?" })).toBe("unknown");
    expect(read(decoder, deltaOf(2, { colour: "red", slots: { slot: [0], status: "_", shoe_size: [41] } }))).toMatchObject(
      { tick: 2 },
    );
  });

  test("which frames stand by themselves", () => {
    const decoder = new Decoder();
    const kinds = [keyOf(1), deltaOf(2), deltaOf(9), { frame: "bookmark" }, keyOf(3)];
    expect(kinds.map((frame) => (read(decoder, frame), decoder.whole))).toEqual([true, false, false, false, true]);
  });
});

describe("hostile frames are refused by name, and nothing is held after them", () => {
  const huge = { process_num: [0], pid: [7], generation: [0], quiescing: [0], workers: [1e9] };
  const heads = (changes: Loose) => ({
    processes: { process_num: [0], pid: [7], generation: [0], quiescing: [0], workers: [2], ...changes },
  });
  const slots = (changes: Loose) => ({ slots: { slot: [0, 1], status: "_W", ...changes } });

  test.each<[string, Loose, string]>([
    ["no tick", { tick: undefined }, "tick: present"],
    ["a tick of text", { tick: "2" }, "tick: integer"],
    ["no rates", { rates: null }, "rates: object"],
    ["a bad member that need not be there", { interval: 0 }, "interval: interval"],
    ["bad viewers", { viewers: 3 }, "viewers: object"],
    ["a notice that is no text", { notices: [{}] }, "notices[0]: text"],
    ["a thread limit of text", { thread_limit: "2" }, "thread_limit: integer"],
    ["processes that are a list", { processes: [] }, "processes: object"],
    ["processes without a column", { processes: { process_num: [0] } }, "processes.pid: present"],
    ["columns of other lengths", heads({ pid: [7, 8] }), "processes: fitting"],
    ["another number of slots", heads({ workers: [3] }), "processes.workers: fitting"],
    ["fewer processes", { processes: { process_num: [], pid: [], generation: [], quiescing: [], workers: [] } }, "processes.workers: fitting"],
    ["a pid of null", heads({ pid: [null] }), "processes.pid[0]: integer"],
    ["no status", { slots: {} }, "slots.status: present"],
    ["a status that is no letter", slots({ status: "_x" }), "slots.status: status"],
    ["a status of two UTF-16 units", slots({ status: "😀" }), "slots.status: status"],
    ["fewer letters than slots", slots({ status: "_" }), "slots.slot: fitting"],
    ["letters for all slots, and one too many", { slots: { status: "___" } }, "slots.status: fitting"],
    ["a slot out of the board", slots({ slot: [0, 2] }), "slots.slot[1]: fitting"],
    ["a slot twice", slots({ slot: [0, 0] }), "slots.slot[1]: fitting"],
    ["a slot before the first", slots({ slot: [-1, 1] }), "slots.slot[0]: integer"],
    ["slots backwards", slots({ slot: [1, -1] }), "slots.slot[1]: integer"],
    ["a slot beyond all numbers", slots({ slot: [0, 1e300] }), "slots.slot[1]: integer"],
    ["a counter too few", slots({ access_count: [1] }), "slots.access_count: fitting"],
    ["a counter that is no number", slots({ access_count: [1, {}] }), "slots.access_count[1]: integer"],
    ["a counter of half a request", slots({ bytes_served: [0.5, 1] }), "slots.bytes_served[0]: integer"],
    ["a counter that grows beyond all numbers", slots({ bytes_served: [1, 2 ** 53] }), "slots.bytes_served[1]: integer"],
    ["a start of text", slots({ start_time: ["1", null] }), "slots.start_time[0]: integer"],
    ["a stop that is a list", slots({ stop_time: [null, [1]] }), "slots.stop_time[1]: integer"],
    ["half a pair", slots({ last_used: [0, 5, 1] }), "slots.last_used[2]: fitting"],
    ["a pair for no row", slots({ last_used: [2, 5] }), "slots.last_used[0]: fitting"],
    ["a pair before the first row", slots({ thread_num: [-1, 5] }), "slots.thread_num[0]: integer"],
    ["a pair without a value", slots({ generation: [1, null] }), "slots.generation[1]: integer"],
    ["a position out of the table", slots({ request: [0, 3] }), "slots.request[1]: fitting"],
    ["a position before the table", slots({ vhost: [-1, 0] }), "slots.vhost[0]: integer"],
    ["a string that is an object", slots({ client: [{}, 0] }), "slots.client[0]: integer"],
    ["tables that are a list", { tables: [1] }, "tables: object"],
    ["an empty table", { tables: { client: [] } }, "tables.client: integer"],
    ["a table at no position", { tables: { client: ["a"] } }, "tables.client: integer"],
    ["a table at position 0", { tables: { client: [0, "a"] } }, "tables.client: fitting"],
    ["a table with a hole", { tables: { request: [4, "a"] } }, "tables.request: fitting"],
    ["a table with a number in it", { tables: { vhost: [1, 5] } }, "tables.vhost[1]: text"],
    ["a table without end", { tables: { vhost: [1, ...new Array(200_000).fill("")] } }, "tables.vhost: short"],
    ["a column without end", slots({ slot: new Array(200_001).fill(0) }), "slots.slot: short"],
  ])("%s", (_name, changes, expected) => {
    const decoder = holding({ tables: { request: [1, "one", "two"] } });
    expect(complaint(decoder, deltaOf(2, changes))).toBe(expected);
    expect(read(decoder, deltaOf(2))).toBe("broken");
    expect(read(decoder, keyOf(2))).toMatchObject({ tick: 2 });
  });

  test.each<[string, Loose, string]>([
    ["a billion slots", { processes: huge }, "processes.workers: short"],
    ["a negative number of slots", heads({ workers: [-2] }), "processes.workers[0]: integer"],
    ["no processes", { processes: undefined }, "processes: present"],
    ["no capacity", { capacity: undefined }, "capacity: present"],
    ["no running time", { running_time: undefined }, "running_time: present"],
  ])("a key with %s", (_name, changes, expected) => {
    expect(complaint(new Decoder(), keyOf(1, changes))).toBe(expected);
  });

  test("many processes of many slots", () => {
    const many = new Array(1000).fill(0);
    const processes = { process_num: many, pid: many, generation: many, quiescing: many, workers: many.map(() => 201) };
    expect(complaint(new Decoder(), keyOf(1, { processes }))).toBe("processes.workers: short");
  });

  test.each([
    ["not JSON", "{", ": json"],
    ["null", "null", ": object"],
    ["a list", "[]", ": object"],
    ["no kind", "{}", "frame: present"],
    ["a kind that is no text", '{"frame": 7}', "frame: text"],
    ["a kind from the prototype", '{"__proto__": {"frame": "key"}}', "frame: present"],
  ])("%s", (_name, text, expected) => {
    let found = "accepted";
    try {
      new Decoder().decode(text);
    } catch (error) {
      if (error instanceof FrameError) found = `${error.path}: ${error.expected}`;
    }
    expect(found).toBe(expected);
  });

  test("names of the prototype are strings like any other", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const text = JSON.stringify(keyOf(1, { tables: { request: [1, ...names] }, slots: { status: "WW", request: [1, 2] } }));
    const decoder = new Decoder();
    const frame = text.replace('"frame"', '"__proto__":{"error":"x","slots":{}},"constructor":{"prototype":{"polluted":1}},"frame"');
    const decoded = decoder.decode(frame) as Sample;
    expect(workers(decoded).map((worker) => worker.request)).toEqual(["__proto__", "constructor"]);
    expect(complaint(decoder, JSON.parse('{"frame":"delta","previous":1,"tick":2,"at_ms":1,"rates":{"__proto__":{"busy":1}}}'))).toBe(
      "rates.busy: present",
    );
    expect("polluted" in {}).toBe(false);
  });
});
