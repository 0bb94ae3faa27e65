import { readdirSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import { describe, expect, test } from "vitest";

import { FrameError } from "../src/check";
import { decode } from "../src/wire";
import { failureOf, process, sampleOf, worker } from "./samples";

const good = () => structuredClone(sampleOf([process(7, [worker()])]));

/** Sets one key, deep inside. */
function changed(path: readonly (string | number)[], value: unknown): unknown {
  const root = good();
  let place = root as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) place = place[key] as Record<string | number, unknown>;
  place[path.at(-1) ?? ""] = value;
  return root;
}

function complaint(text: unknown): string {
  try {
    decode(text);
  } catch (error) {
    if (error instanceof FrameError) return `${error.path}: ${error.expected}`;
    throw error;
  }
  return "accepted";
}

describe("decode", () => {
  test("a good sample comes out as it went in", () => {
    expect(decode(JSON.stringify(good()))).toEqual(good());
  });

  test("a failure comes out as it went in", () => {
    expect(decode(JSON.stringify(failureOf("no scoreboard")))).toEqual(failureOf("no scoreboard"));
  });

  test("keys of a newer server are dropped", () => {
    expect(decode(JSON.stringify({ ...good(), findings: [1] }))).toEqual(good());
  });

  test("of an older server's viewers nothing is made up", () => {
    const viewers = { connected: 1, limit: 2 };
    const unsaid = { holding: null, free: null, reserve: null, accepting: true };
    expect(decode(JSON.stringify({ ...good(), viewers }))).toEqual({ ...good(), viewers: { ...viewers, ...unsaid } });
  });

  test.each([
    ["not JSON", "{", ": json"],
    ["a number that JSON does not have", '{"at": NaN}', ": json"],
    ["binary", new ArrayBuffer(2), ": text"],
    ["a list", "[]", ": object"],
    ["null", "null", ": object"],
    ["an empty object", "{}", "tick: present"],
    ["an error without its frame", '{"error": "x"}', "tick: present"],
  ])("%s is refused", (_name, text, expected) => {
    expect(complaint(text)).toBe(expected);
  });

  test.each([
    [["tick"], 1.5, "tick: integer"],
    [["at"], "now", "at: number"],
    [["interval"], 0, "interval: interval"],
    [["interval"], 1e9, "interval: interval"],
    [["notices"], ["fine", 1], "notices[1]: text"],
    [["viewers", "limit"], null, "viewers.limit: integer"],
    [["viewers", "holding"], "1", "viewers.holding: integer"],
    [["viewers", "accepting"], 1, "viewers.accepting: boolean"],
    [["rates", "requests_per_second"], "3", "rates.requests_per_second: number"],
    [["rates", "states", "W"], null, "rates.states.W: integer"],
    [["rates", "vhosts", 0, "vhost"], 1, "rates.vhosts[0].vhost: text"],
    [["capacity", "extended_status"], 1, "capacity.extended_status: boolean"],
    [["snapshot", "processes"], {}, "snapshot.processes: list"],
    [["snapshot", "processes", 0], 3, "snapshot.processes[0]: object"],
    [["snapshot", "processes", 0, "workers", 0, "status"], "X", "snapshot.processes[0].workers[0].status: status"],
    [["snapshot", "processes", 0, "workers", 0, "client"], {}, "snapshot.processes[0].workers[0].client: text"],
  ])("%j = %j is refused by its name", (path, value, expected) => {
    expect(complaint(JSON.stringify(changed(path, value)))).toBe(expected);
  });

  test("a list without end is refused", () => {
    expect(complaint(JSON.stringify(changed(["notices"], new Array(200_001).fill(""))))).toBe("notices: short");
  });

  test("what real Apaches gave is accepted", () => {
    const folder = new URL("../../../tests/data/", import.meta.url);
    const captures = readdirSync(folder).filter((name) => name.endsWith(".jsonl.gz"));
    expect(captures.length).toBeGreaterThan(0);
    for (const name of captures) {
      const lines = gunzipSync(readFileSync(new URL(name, folder))).toString().trim().split("\n");
      for (const line of lines) {
        const snapshot: unknown = JSON.parse(line);
        expect(complaint(JSON.stringify({ ...good(), snapshot }))).toBe("accepted");
      }
    }
  });
});
