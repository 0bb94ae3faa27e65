import { describe, expect, test } from "vitest";

import { ageOf, inFlight, isSlow, living, looksLikeWebSocket, oldestSeconds, sameSlot, sinceOf, story } from "../src/requests";
import { STATUSES, type Worker } from "../src/wire";
import { one, random } from "./random";
import { AT, counted, held, process, worker } from "./samples";

const only = (own: Worker) => {
  const [request] = inFlight(counted([process(7, [own])]));
  if (request === undefined) throw new Error("not in flight");
  return request;
};

describe("looksLikeWebSocket", () => {
  test.each([
    ["GET /dashboard/ws HTTP/1.1", {}, true],
    ["GET /ws?x=1 HTTP/1.1", {}, true],
    ["GET /chat/websocket HTTP/1.1", {}, true],
    ["GET /cable HTTP/1.1", {}, true],
    ["GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", {}, true],
    ["GET /socket.io/client.js HTTP/1.1", {}, false],
    ["GET /news HTTP/1.1", {}, false],
    ["GET /laws HTTP/1.1", {}, false],
    ["GET /ws/ HTTP/1.1", {}, false],
    ["GET /a?next=/ws HTTP/1.1", {}, false],
    ["", {}, false],
    ["/ws", {}, false],
    [" /ws HTTP/1.1", {}, false],
    ["GET /ws HTTP/1.1", { status: "K" as const }, false],
    ["GET /ws HTTP/1.1", { stop_time: AT }, false],
  ])("%s %j", (request, changes, expected) => {
    expect(looksLikeWebSocket(held(5, { request, ...changes }))).toBe(expected);
  });
});

describe("since when a slot has been as it is", () => {
  const RUNS = { start_time: AT - 3, stop_time: AT - 9 };
  const ENDED = { start_time: AT - 9, stop_time: AT - 3, last_used: AT - 2 };
  const NEVER = { start_time: 0, stop_time: 0, last_used: 0 };

  test.each<[string, Partial<Worker>, number | null]>([
    ["W", RUNS, 3],
    ["W", { ...RUNS, stop_time: 0 }, 3],
    ["W", ENDED, null],
    ["D", RUNS, 3],
    ["C", RUNS, 3],
    ["L", RUNS, 3],
    ["G", RUNS, 3],
    ["G", ENDED, null],
    ["K", ENDED, 3],
    ["K", RUNS, 3],
    ["K", NEVER, null],
    ["_", ENDED, 2],
    ["_", NEVER, null],
    ["R", RUNS, null],
    ["R", ENDED, null],
    ["S", RUNS, null],
    [".", ENDED, null],
  ])("%s %j: %j s", (status, changes, seconds) => {
    const since = sinceOf(worker({ ...changes, status: status as Worker["status"] }));
    expect(since).toBe(seconds === null ? null : AT - seconds);
  });
});

describe("in flight", () => {
  test("what is held by a request or its connection, in the order of the scoreboard", () => {
    const requests = inFlight(counted([process(7, STATUSES.map((status) => worker({ status })))]));
    expect(requests.map(({ status }) => status).join("")).toBe("RWKDCLG");
    expect(requests.map(({ slot }) => slot.index)).toEqual([2, 3, 4, 5, 6, 7, 8]);
  });

  test("what is left in a slot without a process is none", () => {
    const sample = counted([process(0, [held(4)]), process(8, [held(2)], { process_num: 1 })]);
    expect(living(sample).map(({ pid }) => pid)).toEqual([8]);
    expect(inFlight(sample).map(({ pid, slot }) => [pid, slot])).toEqual([[8, { process_num: 1, index: 0 }]]);
  });

  test.each([
    ["of this generation", {}, false],
    ["of an old one", { generation: 1 }, true],
    ["that stops", { quiescing: true, generation: 2 }, true],
  ])("a process %s", (_name, changes, draining) => {
    const sample = counted([process(7, [held(4)], { generation: 2, ...changes })], { running_generation: 2 });
    expect(inFlight(sample)[0]?.draining).toBe(draining);
  });
});

describe("ages", () => {
  test.each<[string, Partial<Worker>, number | null]>([
    ["in flight", { start_time: AT - 3, stop_time: AT - 9 }, 3],
    ["finished, its connection is kept", { status: "K", start_time: AT - 9, stop_time: AT - 3 }, null],
    ["never used", { start_time: 0, stop_time: 0 }, null],
    ["first request of a slot", { start_time: AT - 2, stop_time: 0 }, 2],
    ["started after the sample was taken", { start_time: AT + 1, stop_time: 0 }, 0],
  ])("%s", (_name, changes, expected) => {
    expect(ageOf(only(worker({ status: "W", ...changes })), AT)).toBe(expected);
  });

  test.each([
    [9.9, "GET /report HTTP/1.1", false],
    [10, "GET /report HTTP/1.1", true],
    [900, "GET /ws HTTP/1.1", false],
  ])("%d s of %s is slow: %s", (seconds, request, slow) => {
    expect(isSlow(only(held(seconds, { request })), AT)).toBe(slow);
  });

  test("a request of which no start is known is not slow", () => {
    expect(isSlow(only(worker({ status: "R", start_time: 0, stop_time: 0 })), AT)).toBe(false);
  });
});

test("the oldest request is the first of those in flight, WebSockets aside", () => {
  const below = random(7);
  const paths = ["GET /a HTTP/1.1", "GET /ws HTTP/1.1", ""];
  for (let round = 0; round < 300; round++) {
    const workers = Array.from({ length: 1 + below(5) }, () =>
      held(below(90), { status: one(below, STATUSES), request: one(below, paths), stop_time: AT - below(90) }),
    );
    const sample = counted([process(7, workers), process(0, [held(99)], { process_num: 1 })]);
    const ages = inFlight(sample)
      .filter(({ websocket }) => !websocket)
      .map((request) => ageOf(request, AT) ?? -1);
    expect(oldestSeconds(sample)).toBe(ages.every((age) => age < 0) ? null : Math.max(...ages));
  }
});

describe("a slot's story", () => {
  const sample = counted([
    process(7, [worker(), held(6, { access_count: 12, bytes_served: 500 })], { generation: 3 }),
    process(0, [held(6)], { process_num: 1 }),
    process(9, [worker({ status: "K", start_time: AT - 9, stop_time: AT - 3 })], { process_num: 2, quiescing: true }),
  ]);
  const of = (process_num: number, index: number) => story(sample, { process_num, index });

  test("of a running request", () => {
    expect(of(0, 1)).toMatchObject({
      ...{ pid: 7, status: "W", running: true, since: AT - 6, startedAt: AT - 6 },
      ...{ generation: 3, draining: true, quiescing: false, accessCount: 12, bytesServed: 500 },
    });
  });

  test("of an idle slot: its request was the last one", () => {
    expect(of(0, 0)).toMatchObject({ status: "_", running: false, since: AT - 19, startedAt: null });
  });

  test.each(["_", "S", "I"] as const)("a slot in the state %s runs no request, whatever its times are", (status) => {
    const found = story(counted([process(7, [held(6, { status })])]), { process_num: 0, index: 0 });
    expect(found).toMatchObject({ running: false, startedAt: null });
  });

  test("of a kept connection in a process that stops", () => {
    expect(of(2, 0)).toMatchObject({ status: "K", running: false, since: AT - 3, quiescing: true, draining: true });
  });

  test.each([
    ["a slot whose process is gone", 1, 0],
    ["a slot past the last", 0, 2],
    ["a process past the last", 4, 0],
  ])("%s has none", (_name, process_num, index) => {
    expect(of(process_num, index)).toBeNull();
  });
});

test.each([
  [{ process_num: 1, index: 2 }, { process_num: 1, index: 2 }, true],
  [{ process_num: 1, index: 2 }, { process_num: 2, index: 2 }, false],
  [{ process_num: 1, index: 2 }, { process_num: 1, index: 1 }, false],
  [{ process_num: 1, index: 2 }, null, false],
  [null, null, true],
])("%j and %j are the same slot: %s", (one, other, same) => {
  expect(sameSlot(one, other)).toBe(same);
});
