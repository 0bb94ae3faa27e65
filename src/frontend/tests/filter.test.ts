import { describe, expect, test } from "vitest";

import { KEYS, parseFilter, quote } from "../src/filter";
import type { Request } from "../src/requests";
import { STATUSES } from "../src/wire";
import { AT } from "./samples";

type Below = (below: number) => number;

/** Numbers from 0 up to `below`, always the same ones (mulberry32). */
function random(seed: number): Below {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

function one<T>(below: Below, values: readonly T[]): T {
  const value = values[below(values.length)];
  if (value === undefined) throw new RangeError("nothing to choose from");
  return value;
}

const PIECES = [
  ..." \t\n\u00a0\"\\=:,.-*/<>()[]aAbsSwW019ßΣςİé😀\ud83d", "vhost:", "state:", "age>", '\\"', "http://", "GET /",
];

/** A text in quotes whether it needs them or not: without, "-a" is a negation. */
const inQuotes = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
const anyText = (below: Below) => Array.from({ length: below(12) }, () => one(below, PIECES)).join("");

function request(changes: Partial<Request> = {}): Request {
  return {
    slot: { process_num: 3, index: 10 },
    pid: 4711,
    status: "W",
    startedAt: AT - 20,
    websocket: false,
    draining: false,
    client: "192.0.2.7",
    vhost: "www.example.com:443",
    request: "GET /report/17?q=***&page=*** HTTP/1.1",
    ...changes,
  };
}

function anyRequest(below: Below): Request {
  return request({
    slot: { process_num: below(3), index: below(3) },
    pid: one(below, [1, 17, 4711]),
    status: one(below, STATUSES),
    startedAt: one(below, [null, AT - 0.5, AT - 5, AT - 90, AT - 4000]),
    websocket: below(3) === 0,
    draining: below(3) === 0,
    client: one(below, ["", "192.0.2.7", "2001:db8::1", anyText(below)]),
    vhost: one(below, ["", "www.example.com:443", anyText(below)]),
    request: one(below, ["", "-", "GET /report/17 HTTP/1.1", "POST /a?b=*** HTTP/1.1", anyText(below)]),
  });
}

const AGES = ["age>5s", "age<=90", "age>=1h"];
const TERMS = [
  "vhost:www", "vhost:=www.example.com:443", 'vhost:=""', "client:192.", "path:report", "path:/report/*", "method:get",
  "state:w,st", "state:open", "pid:17", "slot:1", "slot:1.2", "is:slow", "is:websocket", "is:draining", "report",
];

function anyTerm(below: Below): string {
  const key = one(below, ["vhost:", "vhost:=", "client:", "path:", "path:=", "method:"]);
  const own = key + quote(anyText(below));
  return one(below, [...TERMS, ...AGES, own, own, inQuotes(anyText(below))]);
}

const matches = (text: string, changes: Partial<Request> = {}) => parseFilter(text).matches(request(changes), AT);

describe("a term matches or not", () => {
  test.each([
    ["report", true],
    ["REPORT/17", true],
    ["192.0", true],
    ["EXAMPLE.com", true],
    ["nothing", false],
    ["report example", true],
    ["report nothing", false],
    ["-report", false],
    ["-nothing", true],
    ['"17?q=*** http"', false],
    ['"page=*** http"', true],
    ['-"page=*** http"', false],
    ['"page=*** ht', true],
    ["1.1www", false],
    ["vhost:EXAMPLE", true],
    ["vhost:192", false],
    ["vhost:=www.example.com:443", true],
    ["vhost:=www.example.com", false],
    ['vhost:="www.example.com:443"', true],
    ['vhost:"=www.example.com:443"', false],
    ['vhost:=""', false],
    ["-vhost:example", false],
    ["client:192.0.2", true],
    ["client:=192.0.2", false],
    ["client:=192.0.2.7", true],
    ["path:REPORT", true],
    ["path:/report/17", true],
    ["path:page=", true],
    ["path:q=***", true],
    ["path:GET", false],
    ["path:HTTP", false],
    ["path:/report/*", true],
    ["path:/rep*", false],
    ["path:/*", false],
    ['path:"GET /report/*"', true],
    ['path:"GET /report"', false],
    ['path:"POST /report/*"', false],
    ['path:="GET /report/*"', true],
    ["path:=/report/*", false],
    ['-path:"GET /report/*"', false],
    ["method:get", true],
    ["method:GE", false],
    ["-method:POST", true],
    ["pid:4711", true],
    ["pid:47", false],
    ["slot:3", true],
    ["slot:3.", true],
    ["slot:3.10", true],
    ["slot:3.1", false],
    ["slot:10", false],
    ["-slot:3", false],
    ["is:slow", true],
    ["is:websocket", false],
    ["-is:draining", true],
    ["http://x", false],
    ["-http://x", true],
    ["[::1]:80", false],
    ["10.0.0.1:80", false],
    ["Vhost:www", false],
    ["pid>5", false],
    ["method:GET client:192 -vhost:static age>5s", true],
  ])("%s: %s", (text, expected) => {
    expect(matches(text)).toBe(expected);
    expect(parseFilter(text)).toMatchObject({ empty: false, errors: [] });
  });
});

describe("what looks like a key but is none is text", () => {
  const texts = ["http://x", "[::1]:80", "10.0.0.1:80", "a.example:443", "IS:slow", "pid>5", "page>5", '"vhost:x"'];
  test.each(texts)("%s", (text) => {
    expect(matches(text, { client: `<${text.replaceAll('"', "")}>` })).toBe(true);
    expect(matches(text)).toBe(false);
  });
});

describe("a quoted text is read back", () => {
  test.each([
    [String.raw`"a \"b\" c"`, 'a "b" c'],
    [String.raw`"a \\ b"`, String.raw`a \ b`],
    [String.raw`"a \x b"`, String.raw`a \x b`],
    [String.raw`"a \ `, String.raw`a \ `],
    ['"a  b"', "a  b"],
    ['a"b', 'a"b'],
  ])("%s", (text, found) => {
    expect(matches(text, { request: `<${found}>` })).toBe(true);
    expect(matches(text, { request: `<${found.slice(1)}>` })).toBe(false);
  });
});

test("a backslash at the end of an open quote is a part of it", () => {
  expect(matches('"a b\\', { request: "a b\\" })).toBe(true);
  expect(matches('"a b\\', { request: "\\a b" })).toBe(false);
});

test("a text is not found across two fields", () => {
  const fields = { request: "ab", client: "cd", vhost: "ef" };
  expect(["b", "c", "e", "bc", "de"].map((text) => matches(text, fields))).toEqual([true, true, true, false, false]);
});

describe("states have letters, names, and beginnings of names", () => {
  test.each([
    ["W", "W"],
    ["w", "W"],
    ["_", "_"],
    [".", "."],
    ["waiting", "_"],
    ["wai", "_"],
    ["st", "S"],
    ["Reading", "R"],
    ["sending", "W"],
    ["se", "W"],
    ["keep", "K"],
    ["dns", "D"],
    ["c", "C"],
    ["clo", "C"],
    ["logging", "L"],
    ["gr", "G"],
    ["cle", "I"],
    ["i", "I"],
    ["open", "."],
    ["w,K,lo", "WKL"],
    ["w,", "W"],
  ])("state:%s is %s", (value, letters) => {
    const shown = STATUSES.filter((status) => matches(`state:${value}`, { status }));
    expect(new Set(shown)).toEqual(new Set(letters));
    const hidden = STATUSES.filter((status) => !matches(`-state:${value}`, { status }));
    expect(hidden).toEqual(shown);
  });
});

describe("ages", () => {
  test.each([
    ["age>5s", 5, false],
    ["age>5s", 5.5, true],
    ["age>=5s", 5, true],
    ["age<5", 4.5, true],
    ["age<5", 5, false],
    ["age<=5", 5, true],
    ["age>500ms", 0.6, true],
    ["age>500ms", 0.4, false],
    ["age<2m", 119, true],
    ["age<2m", 120, false],
    ["age>=1h", 3600, true],
    ["age>1.5h", 5399, false],
    ["age>1.h", 3601, true],
    ["age>.5", 0.6, true],
    ["age>1d", 86_401, true],
    ["-age>5", 5, true],
    ["-age>5", 6, false],
    ["is:slow", 10, true],
    ["is:slow", 9.5, false],
  ])("%s of %d s: %s", (text, seconds, expected) => {
    expect(matches(text, { startedAt: AT - seconds })).toBe(expected);
  });

  test.each([...AGES, ...AGES.map((term) => `-${term}`), "is:slow"])("an unknown age is not %s", (text) => {
    expect(matches(text, { startedAt: null })).toBe(false);
  });

  test("a held WebSocket is not slow", () => {
    expect(matches("is:slow", { websocket: true })).toBe(false);
    expect(matches("is:websocket", { websocket: true })).toBe(true);
    expect(matches("is:Draining", { draining: true })).toBe(true);
  });
});

describe("a bad term is reported and hides nothing", () => {
  test.each([
    ["foo:bar", "key"],
    ["-foo:bar", "key"],
    ['foo:"a b"', "key"],
    ["constructor:x", "key"],
    ["state:x", "state"],
    ["state:s,cl", "state"],
    ["state:w,,k", "state"],
    ["age>x", "age"],
    ["age>5y", "age"],
    ["age>1.2.3", "age"],
    ["age>.", "age"],
    ["-age<5constructor", "age"],
    ["age:5", "age"],
    ["is:idle", "is"],
    ["is:constructor", "is"],
  ])("%s", (text, kind) => {
    const errors = [{ kind, text }];
    expect(parseFilter(text)).toMatchObject({ empty: true, errors });
    expect(matches(text)).toBe(true);
    expect(parseFilter(`a ${text}  b`)).toMatchObject({ empty: false, errors });
  });
});

describe("a term that is not finished is none", () => {
  const keyed = KEYS.flatMap((key) => [`${key}:`, `-${key}:`, `${key}:=`, `${key}:"`, `${key}:="`]);
  test.each(["", " ", "-", '"', '""', '-""', "age>", "age<=", "-age>", 'vhost:""', ...keyed])("%j", (text) => {
    expect(parseFilter(text)).toMatchObject({ empty: true, errors: [] });
    expect(matches(text)).toBe(true);
  });
});

test("nothing is asked for by quotes", () => {
  expect(matches('vhost:=""', { vhost: "" })).toBe(true);
  expect(matches('-vhost:=""', { vhost: "" })).toBe(false);
  expect(matches('path:=""', { request: "" })).toBe(true);
  expect(parseFilter('vhost:=""').empty).toBe(false);
});

test("every key that help lists is one", () => {
  expect(KEYS).toEqual(["vhost", "client", "path", "method", "state", "pid", "slot", "is", "age"]);
  for (const key of KEYS) expect(parseFilter(`${key}:?`).errors).not.toContainEqual({ kind: "key", text: `${key}:?` });
});

test("what is quoted is read back, and nothing else", () => {
  const below = random(1);
  for (let round = 0; round < 10_000; round++) {
    const [text, other] = [anyText(below), anyText(below)];
    const filter = parseFilter(`vhost:=${quote(text)}`);
    expect(filter, text).toMatchObject({ empty: false, errors: [] });
    expect(filter.matches(request({ vhost: text }), AT), text).toBe(true);
    expect(filter.matches(request({ vhost: other }), AT), text).toBe(text === other);
    expect(filter.matches(request({ vhost: `${text}x` }), AT), text).toBe(false);
    expect(matches(`client:=${quote(other)} vhost:=${quote(text)}`, { client: other, vhost: text }), text).toBe(true);
  }
});

test("a part of a field is found in it", () => {
  const below = random(2);
  for (let round = 0; round < 5000; round++) {
    const text = anyText(below);
    const part = text.slice(below(text.length), text.length - below(2));
    expect(matches(`vhost:${quote(part)}`, { vhost: text }), text).toBe(true);
    expect(matches(inQuotes(part), { vhost: text }), text).toBe(true);
  }
});

test("a term and its negation share the requests out, but for those of unknown age", () => {
  const below = random(3);
  for (let round = 0; round < 10_000; round++) {
    const [term, row] = [anyTerm(below), anyRequest(below)];
    const [plain, negated] = [parseFilter(term), parseFilter(`-${term}`)];
    if (plain.empty) continue;
    const both = [plain.matches(row, AT), negated.matches(row, AT)];
    expect(both.filter(Boolean).length, term).toBe(term.startsWith("age") && row.startedAt === null ? 0 : 1);
  }
});

test("another term never adds a row", () => {
  const below = random(4);
  for (let round = 0; round < 10_000; round++) {
    const terms = Array.from({ length: below(4) }, () => (below(2) ? "-" : "") + anyTerm(below)).join(" ");
    const more = parseFilter(`${terms} ${anyTerm(below)}`);
    const row = anyRequest(below);
    if (more.matches(row, AT)) expect(parseFilter(terms).matches(row, AT), terms).toBe(true);
  }
});

test("any text is a filter, and one with nothing but errors hides nothing", () => {
  const below = random(5);
  for (let round = 0; round < 10_000; round++) {
    const text = anyText(below);
    const filter = parseFilter(text);
    const shown = filter.matches(anyRequest(below), AT);
    expect(shown || !filter.empty, text).toBe(true);
    for (const error of filter.errors) expect(text).toContain(error.text);
  }
});
