import { describe, expect, test } from "vitest";

import type { Verdict } from "../src/derive";
import { bytes, connection, holding, requestsTile, seconds, verdict } from "../src/strings";
import { decode } from "../src/wire";
import { asSample, sampleOf } from "./samples";

describe("verdict", () => {
  const of20: Verdict = { level: "calm", busy: 3, of: 20, basis: "serving", oldestSeconds: null };

  test.each<[Verdict, string]>([
    [of20, "Calm: 3 of 20 workers busy."],
    [{ ...of20, level: "busy", busy: 18, oldestSeconds: 12.4 }, "Busy: 18 of 20 workers busy, oldest request 12 s."],
    [{ ...of20, level: "full", busy: 1, of: 1 }, "Full: 1 of 1 worker busy."],
    [{ ...of20, oldestSeconds: 0.2 }, "Calm: 3 of 20 workers busy."],
    [{ ...of20, level: "down", busy: 0, of: 0 }, "Down: no worker is running."],
  ])("%j", (says, expected) => {
    expect(verdict(says)).toBe(expected);
  });
});

test.each([
  [3, 400, "This dashboard holds 3 of 400 workers"],
  [1, 1, "This dashboard holds 1 of 1 worker"],
  [2, null, "This dashboard holds 2 workers"],
  [0, 400, "This dashboard holds no Apache worker"],
])("%d of %j workers: %s", (held, workers, expected) => {
  expect(holding(held, workers)).toBe(expected);
});

test.each([
  [0.04, "0.0 s"],
  [9.94, "9.9 s"],
  [59.9, "59 s"],
  [61, "1 min 1 s"],
  [3600, "1 h 0 min"],
  [200_000, "2 d 7 h"],
])("%d seconds are %s", (value, expected) => {
  expect(seconds(value)).toBe(expected);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1500, "1.5 kB"],
  [999_900, "1.0 MB"],
  [123_456_789, "123 MB"],
  [5e15, "5,000 TB"],
])("%d bytes are %s", (value, expected) => {
  expect(bytes(value)).toBe(expected);
});

describe("a rate that the scoreboard does not hold is never 0", () => {
  test.each([
    [true, "not available yet"],
    [null, "not available yet"],
    [false, "not available"],
  ])("extended_status %s", (extended_status, expected) => {
    const sample = asSample(decode(JSON.stringify(sampleOf([]))));
    expect(requestsTile({ ...sample, capacity: { ...sample.capacity, extended_status } }).value).toBe(expected);
  });
});

test("the countdown never runs below zero", () => {
  const state = { kind: "reconnecting", why: "restart", due: 1000, since: null } as const;
  expect([0, 600, 5000].map((now) => connection(state, now).countdown)).toEqual(["in 1 s", "in 1 s", "in 0 s"]);
});
