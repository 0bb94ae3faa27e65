import { describe, expect, test } from "vitest";

import { grouped } from "../src/groups";
import { Memory } from "../src/memory";
import { report, type Screen } from "../src/report";
import { inFlight } from "../src/requests";
import { processRows } from "../src/rows";
import * as strings from "../src/strings";
import { verdict } from "../src/verdict";
import type { Process, Worker } from "../src/wire";
import { AT, counted, held, process, worker } from "./samples";

const HOSTILE = ["<script>alert(1)</script>", "${7*7}", "%s %n", "'; DROP TABLE", "`rm -rf`", "\u202e\u{1f600}", "=1+1"];

const PLAIN = [process(41, [held(40, { request: "GET /report/17 HTTP/1.1", client: "192.0.2.7", vhost: "www:443" }), worker(), worker({ status: "R", client: "", vhost: "", request: "" })])];

function screenOf(processes: readonly Process[] = PLAIN, changes: Partial<Screen> = {}): Screen {
  const sample = counted(processes);
  const memory = new Memory();
  memory.take(sample);
  const all = inFlight(sample);
  const says = verdict(sample, all, memory.points);
  return {
    ...{ place: "site/dashboard/", sample, says, filter: "", groups: null, groupKey: null },
    tiles: strings.tiles(sample, says, 1),
    rows: processRows(sample, (one) => memory.birth(one)),
    alerts: [],
    alertsAt: sample.at,
    requests: all.filter(({ websocket }) => !websocket),
    websockets: all.filter(({ websocket }) => websocket),
    ...changes,
  };
}

const linesOf = (screen: Screen) => report(screen).split("\n");
const many = (count: number, changes: (index: number) => Partial<Worker> = () => ({})) =>
  process(7, Array.from({ length: count }, (_, index) => held(2, { request: `GET /${index} HTTP/1.1`, ...changes(index) })));

describe("a report", () => {
  const screen = screenOf();
  const lines = linesOf(screen);

  test("tells where and when, the verdict, and what to look at", () => {
    expect(lines[0]).toContain("site/dashboard/");
    expect(lines[0]).toContain(strings.dateTime(screen.sample.at));
    expect(lines).toContain(strings.verdict(screen.says));
    expect(lines).toContain(strings.serverLine(screen.sample));
    const full = screenOf([many(4)]);
    expect(linesOf(full)[2]?.startsWith(`${strings.advice(full.says)?.directive ?? "?"}: `)).toBe(true);
  });

  test("has the four tiles", () => {
    for (const { label, value } of screen.tiles) expect(lines.some((line) => line.startsWith(`${label}: ${value}`))).toBe(true);
    expect(screen.tiles).toHaveLength(4);
  });

  test("has the letters of each process, and how many there are of each", () => {
    expect(lines.some((line) => line.startsWith("41") && line.endsWith(": W_R"))).toBe(true);
    const legend = lines.find((line) => line.startsWith("_ "));
    for (const letter of "_RW") expect(legend).toMatch(new RegExp(`${letter} \\S+ 1`));
    expect(legend).not.toContain("K ");
  });

  test("has the requests, with what is not known said to be so", () => {
    expect(lines.some((line) => ["40 s", "W", "41 · 0.0", "192.0.2.7", "www:443", "GET /report/17 HTTP/1.1"].every((part) => line.includes(part)))).toBe(true);
    expect(lines.find((line) => line.includes("41 · 0.2"))?.split(strings.NOT_AVAILABLE)).toHaveLength(4);
    expect(lines.find((line) => line.startsWith(strings.LABELS.inFlight))).toMatch(/: 2$/);
  });

  test("ends with one line feed, and a calm server's has no advice", () => {
    expect(report(screen)).toMatch(/[^\n]\n$/);
    const calm = screenOf([process(7, [worker(), worker(), worker(), worker()])]);
    expect(linesOf(calm)[2]).toBe(strings.serverLine(calm.sample));
  });
});

test("the filter stands where the requests do", () => {
  expect(report(screenOf(PLAIN, { filter: "vhost:www" }))).toMatch(/^.*vhost:www.*: 2$/m);
});

test.each([
  [50, 50, false],
  [51, 50, true],
  [400, 50, true],
])("of %d requests %d have a line", (count, shown, more) => {
  const lines = linesOf(screenOf([many(count)]));
  expect(lines.filter((line) => line.includes(" HTTP/1.1"))).toHaveLength(shown);
  expect(lines.includes(strings.more(count - 50))).toBe(more);
});

test("WebSockets come after the requests", () => {
  const lines = linesOf(screenOf([many(4, (index) => (index < 2 ? { request: "GET /ws HTTP/1.1" } : {}))]));
  const shown = lines.filter((line) => line.includes(" HTTP/1.1")).map((line) => line.split("GET ")[1]);
  expect(shown).toEqual(["/2 HTTP/1.1", "/3 HTTP/1.1", "/ws HTTP/1.1", "/ws HTTP/1.1"]);
});

test("groups take the place of requests", () => {
  const requests = inFlight(counted([many(12, (index) => ({ request: index < 9 ? "GET /a HTTP/1.1" : "" }))]));
  const lines = linesOf(screenOf([many(12)], { groups: grouped(requests, "path"), groupKey: "path" }));
  const shown = lines.slice(lines.findIndex((line) => line.startsWith(strings.LABELS.inFlight)) + 1);
  expect(shown).toHaveLength(3);
  expect(shown[0]).toMatch(/^ +9 × GET \/a, .*2/);
  expect(shown[1]).toContain(strings.NOT_AVAILABLE);
});

test.each(HOSTILE)("%s stands there as it is, on its one line", (text) => {
  const same = screenOf([process(7, [held(2, { request: text, client: text, vhost: text })])]);
  const line = linesOf(same).find((candidate) => candidate.includes("7 · 0.0"));
  expect(line?.split(text)).toHaveLength(4);
  expect(linesOf(same)).toHaveLength(linesOf(screenOf([process(7, [held(2)])])).length);
});

test("alerts stand behind the verdict, a line each", () => {
  const unsaid = { path: null, count: null, threshold: 1, peak: 1 };
  const alert = { rule: "saturated", kind: "busy", severity: "critical", since: AT - 12, ...unsaid };
  const hostile = HOSTILE.map((path) => ({ ...alert, kind: "stuck", path, count: 2 }));
  const screen = screenOf(PLAIN, { alerts: [alert, ...hostile] });
  const lines = linesOf(screen);
  expect(lines).toContain(strings.alertLine(alert, screen.alertsAt));
  for (const text of HOSTILE) expect(lines.filter((line) => line.includes(text))).toHaveLength(1);
  expect(lines).toHaveLength(linesOf(screenOf()).length + 1 + HOSTILE.length);
});
