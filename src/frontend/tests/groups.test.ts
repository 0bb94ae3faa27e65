import { describe, expect, test } from "vitest";

import { parseFilter } from "../src/filter";
import { commonest, grouped, sorted, type GroupKey, type SortKey } from "../src/groups";
import type { Request } from "../src/requests";
import { STATUSES } from "../src/wire";
import { one, random, type Below } from "./random";
import { AT } from "./samples";

const PIECES = [
  ..." \"\\=:,.-*/<?#aAb19\u00a0éΣς😀\ud83d", "***", "GET /", "12", "vhost:", "http://", " HTTP/1.1", '\\"', "//",
];
const KEYS: readonly GroupKey[] = ["path", "vhost", "client", "state"];
const SORTS: readonly SortKey[] = ["age", "state", "pid", "client", "vhost", "request"];

const anyText = (below: Below) => Array.from({ length: below(6) }, () => one(below, PIECES)).join("");

function request(index: number, changes: Partial<Request> = {}): Request {
  return {
    slot: { process_num: 0, index },
    pid: 4711,
    status: "W",
    startedAt: AT - 20,
    websocket: false,
    draining: false,
    client: "192.0.2.7",
    vhost: "www.example.com:443",
    request: "GET /report/17 HTTP/1.1",
    ...changes,
  };
}

function anyRequests(below: Below): readonly Request[] {
  return Array.from({ length: below(25) }, (_, index) =>
    request(index, {
      pid: below(3),
      status: one(below, STATUSES),
      startedAt: one(below, [null, AT - below(5)]),
      client: anyText(below),
      vhost: one(below, ["", "a", anyText(below)]),
      request: one(below, ["", "-", `GET /report/${below(9)} HTTP/1.1`, `GET /${anyText(below)}`, anyText(below)]),
    }),
  );
}

const indexes = (requests: readonly Request[]) => requests.map(({ slot }) => slot.index);
const numeric = (one: number, other: number) => one - other;

describe("sorted", () => {
  const order = (key: SortKey, down: boolean, changes: readonly Partial<Request>[]) =>
    indexes(sorted(changes.map((change, index) => request(index, change)), { key, down }));

  test.each<[SortKey, boolean, readonly Partial<Request>[], readonly number[]]>([
    ["age", true, [{ startedAt: AT - 1 }, { startedAt: null }, { startedAt: AT - 9 }], [2, 0, 1]],
    ["age", false, [{ startedAt: AT - 1 }, { startedAt: null }, { startedAt: AT - 9 }], [0, 2, 1]],
    ["state", false, [{ status: "." }, { status: "W" }, { status: "_" }], [2, 1, 0]],
    ["state", true, [{ status: "." }, { status: "_" }, { status: "W" }], [0, 2, 1]],
    ["pid", false, [{ pid: 10 }, { pid: 9 }, { pid: 10, startedAt: AT - 90 }], [1, 0, 2]],
    ["pid", true, [{ pid: 9 }, { pid: 10 }, { pid: 10, startedAt: AT - 90 }], [1, 2, 0]],
    ["vhost", false, [{ vhost: "b" }, { vhost: "" }, { vhost: "a" }], [2, 0, 1]],
    ["vhost", true, [{ vhost: "a" }, { vhost: "" }, { vhost: "b" }], [2, 0, 1]],
    ["request", false, [{ request: "POST /" }, { request: "" }, { request: "GET /" }], [2, 0, 1]],
    ["client", false, [{ client: "10.0.0.9" }, { client: "9.0.0.10" }, { client: "9.0.0.9" }], [2, 1, 0]],
    ["client", false, [{ client: "" }, { client: "b" }, { client: "9.0.0.9" }], [2, 1, 0]],
    ["client", true, [{ client: "" }, { client: "9.0.0.9" }, { client: "10.0.0.9" }], [2, 1, 0]],
    ["client", false, [{ client: "100.0.2.0/24" }, { client: "9.0.2.0/24" }], [1, 0]],
    ["client", false, [{ client: "a.example" }, { client: "2001:db8::1" }, { client: "203.0.113.9" }], [2, 1, 0]],
    ["client", false, [{ client: "x10.0.0.2" }, { client: "x10.0.0.10" }], [1, 0]],
  ])("by %s, down %s: %j", (key, down, changes, expected) => {
    expect(order(key, down, changes)).toEqual(expected);
  });

  test.each([false, true])("equal ones are oldest first, then by slot; down %s", (down) => {
    const equal: readonly Partial<Request>[] = [
      { startedAt: null },
      { startedAt: AT - 3, slot: { process_num: 1, index: 1 } },
      { startedAt: AT - 3, slot: { process_num: 0, index: 2 } },
      { startedAt: AT - 8, slot: { process_num: 2, index: 3 } },
      { startedAt: null, slot: { process_num: 0, index: 4 } },
    ];
    expect(order("vhost", down, equal)).toEqual([3, 2, 1, 0, 4]);
    expect(order("pid", down, equal)).toEqual([0, 2, 4, 1, 3]);
  });

  test("nothing is lost or changed, and the order does not depend on the one before", () => {
    const below = random(1);
    for (let round = 0; round < 1000; round++) {
      const requests = anyRequests(below);
      const before = [...requests];
      const sort = { key: one(below, SORTS), down: below(2) === 0 };
      const result = sorted(requests, sort);
      expect(requests).toEqual(before);
      expect(indexes(result).sort(numeric)).toEqual(indexes(requests));
      expect(indexes(sorted([...requests].reverse(), sort))).toEqual(indexes(result));
    }
  });

  test("the other direction turns what is known round, and leaves the unknown last", () => {
    const below = random(2);
    for (let round = 0; round < 500; round++) {
      const requests = anyRequests(below);
      const up = sorted(requests, { key: "vhost", down: false }).map(({ vhost }) => vhost);
      const down = sorted(requests, { key: "vhost", down: true }).map(({ vhost }) => vhost);
      const known = up.filter((vhost) => vhost !== "");
      expect(up).toEqual([...known, ...up.filter((vhost) => vhost === "")]);
      expect(down).toEqual([...[...known].reverse(), ...up.filter((vhost) => vhost === "")]);
    }
  });
});

describe("grouped", () => {
  test("the largest first, then the oldest, then by name", () => {
    const vhosts = ["d", "c", "b", "a", "e", "e"];
    const starts = [AT - 1, null, AT - 5, AT - 1, null, AT - 2];
    const requests = vhosts.map((vhost, index) => request(index, { vhost, startedAt: starts[index] ?? null }));
    const groups = grouped(requests, "vhost").map(({ name, count, oldestAt }) => [name, count, oldestAt]);
    expect(groups).toEqual([
      ["e", 2, AT - 2],
      ["b", 1, AT - 5],
      ["a", 1, AT - 1],
      ["d", 1, AT - 1],
      ["c", 1, null],
    ]);
  });

  test("a path's group has every request of its pattern, and counts their states", () => {
    const lines = ["GET /report/1 HTTP/1.1", "GET /report/2?a=*** HTTP/1.1", "POST /report/1 HTTP/1.1"];
    const requests = lines.map((line, index) => request(index, { request: line, status: index === 1 ? "K" : "W" }));
    const [first, second, ...rest] = grouped(requests, "path");
    expect(first).toMatchObject({ name: "GET /report/*", count: 2, filter: 'path:"GET /report/*"' });
    expect(first?.states).toEqual(new Map([["W", 1], ["K", 1]]));
    expect(second).toMatchObject({ name: "POST /report/*", count: 1, filter: 'path:"POST /report/*"' });
    expect(rest).toEqual([]);
  });

  test.each<[GroupKey, Partial<Request>, string, string]>([
    ["vhost", { vhost: "" }, "", 'vhost:=""'],
    ["vhost", { vhost: "a:443" }, "a:443", "vhost:=a:443"],
    ["client", { client: "::1" }, "::1", "client:=::1"],
    ["state", { status: "." }, ".", "state:."],
    ["path", { request: "" }, "", 'path:=""'],
    ["path", { request: "-" }, "-", "path:=-"],
    ["path", { request: "=x / HTTP/1.1" }, "=x /", 'path:"=x /"'],
  ])("by %s of %j", (key, changes, name, filter) => {
    expect(grouped([request(0, changes)], key)).toMatchObject([{ name, filter, count: 1 }]);
  });

  test("groups add up, and the filter of each shows its members and no other", () => {
    const below = random(3);
    for (let round = 0; round < 1500; round++) {
      const requests = anyRequests(below);
      const key = one(below, KEYS);
      const groups = grouped(requests, key);
      expect(new Set(groups.map(({ name }) => name)).size).toBe(groups.length);
      const shown = groups.flatMap(({ name, count, oldestAt, states, filter }) => {
        const parsed = parseFilter(filter);
        expect(parsed.errors, filter).toEqual([]);
        expect(parsed.empty, filter).toBe(false);
        const members = requests.filter((member) => parsed.matches(member, AT));
        expect(members.length, filter).toBe(count);
        expect([...states.values()].reduce((sum, each) => sum + each, 0)).toBe(count);
        const starts = members.flatMap(({ startedAt }) => startedAt ?? []);
        expect(oldestAt).toBe(starts.length > 0 ? Math.min(...starts) : null);
        if (key === "vhost" || key === "client") expect(members.every((member) => member[key] === name)).toBe(true);
        return members;
      });
      expect(indexes(shown).sort(numeric)).toEqual(indexes(requests));
    }
  });
});

test("the commonest is the largest group of those that have a name", () => {
  const below = random(11);
  for (let round = 0; round < 200; round++) {
    const requests = Array.from({ length: below(30) }, (_, index) =>
      request(index, { request: one(below, ["", "GET /a/1 HTTP/1.1", "GET /a/22 HTTP/1.1", "POST /b HTTP/1.1", "-"]) }),
    );
    const named = grouped(requests, "path").filter(({ name }) => name !== "");
    const most = Math.max(0, ...named.map(({ count }) => count));
    const [first] = named.filter(({ count }) => count === most).sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(commonest(requests)).toEqual(first === undefined ? null : { name: first.name, count: first.count });
  }
});
