import { describe, expect, test } from "vitest";

import { pattern, target } from "../src/pattern";

/** Numbers from 0 up to `below`, always the same ones (mulberry32). */
function random(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const PIECES = [
  ..." /?#:;*=&%.-~\"\\<é😀aZ07", "//", "12", "***", "http://", "HTTP", " HTTP/1.1", "GET ", "deadbeef1",
];

/** A line that may be anything, no longer than Apache keeps it. */
function anyLine(below: (below: number) => number): string {
  const start = ["", "GET /", "POST http://h/", "*** /"][below(4)] ?? "";
  const rest = Array.from({ length: below(50) }, () => PIECES[below(PIECES.length)]).join("");
  return `${start}${rest}${below(2) ? " HTTP/1.1" : ""}`.slice(0, 63);
}

const upTo63 = (start: string) => start.padEnd(63, "x");

describe("a line becomes its method and the pattern of its path", () => {
  test.each([
    ["GET / HTTP/1.1", "GET /"],
    ["GET /report/17?q=*** HTTP/1.1", "GET /report/*"],
    ["GET /report/17#*** HTTP/1.1", "GET /report/*"],
    ["HEAD /report/17 HTTP/1.0", "HEAD /report/*"],
    ["GET /report/17", "GET /report/*"],
    ["GET /a/ HTTP/1.1", "GET /a/"],
    ["GET //a HTTP/1.1", "GET //a"],
    ["GET /a?next=/b/17 HTTP/1.1", "GET /a"],
    ["GET /item?id=1' OR 1=1 HTTP/1.1", "GET /item"],
    ["GET http://host/abs HTTP/1.1", "GET /abs"],
    ["GET HTTPS://host:8443/abs/5?a=*** HTTP/1.1", "GET /abs/*"],
    ["GET http://***@evil.example/abs HTTP/1.1", "GET /abs"],
    ["GET http://host HTTP/1.1", "GET /"],
    ["GET http://host?a=/b HTTP/1.1", "GET /"],
    ["GET /http://x/1 HTTP/1.1", "GET /http://x/*"],
    ['FOO"bar /method HTTP/1.1', 'FOO"bar /method'],
  ])("%s -> %s", (line, expected) => {
    expect(pattern(line)).toBe(expected);
  });
});

describe("a line without a path stays", () => {
  const lines = ["", "-", "garbage", "GET", "GET ", "OPTIONS * HTTP/1.1", "CONNECT a.example:443 HTTP/1.1", "/a/12"];
  test.each(lines)("%j", (line) => {
    expect(pattern(line)).toBe(line);
  });
});

describe("what differs in a segment is a star", () => {
  test.each([
    ["7", "*"],
    ["86798", "*"],
    ["v1", "v1"],
    ["v12", "v*"],
    ["17/18", "*/*"],
    ["3f2504e0-4f89-11d3-9a0c-0305e82c3301", "*"],
    ["3F2504E0-4F89-41D3-9A0C-0305E82C3301", "*"],
    ["00000000-0000-0000-0000-000000000000", "*"],
    ["deadbee1", "*"],
    ["DEADBEE1", "*"],
    ["deadbe1", "deadbe1"],
    ["deadbeef", "deadbeef"],
    ["acceded", "acceded"],
    ["AbCdEfGhIjKlMnOpQrS1", "*"],
    ["AbCdEfGhIjKlMnOpQr1", "AbCdEfGhIjKlMnOpQr1"],
    ["a-path-of-words-without-a-number", "a-path-of-words-without-a-number"],
    ["chunk-86798.m4s", "chunk-*.m4s"],
    ["app.123.js", "app.*.js"],
    ["600x600.webp", "*x*.webp"],
    ["2024-01-01", "*-*-*"],
    ["inter.woff2", "inter.woff2"],
    ["jquery-ui-theme.min-3.6.js", "jquery-ui-theme.min-3.6.js"],
    ["caf%C3%A9", "caf%C3%A9"],
    ["***", "*"],
    ["a;jsessionid=***", "*"],
    ["***.csv", "*"],
    ["12**", "*"],
    ["<script>alert(1)<", "<script>alert(1)<"],
  ])("%s -> %s", (segment, expected) => {
    expect(pattern(`GET /${segment} HTTP/1.1`)).toBe(`GET /${expected}`);
    expect(pattern(`GET /a/${segment}/b HTTP/1.1`)).toBe(`GET /a/${expected}/b`);
  });
});

describe("a last segment that may be cut is a star", () => {
  test.each([
    [upTo63("GET /abc/de"), "GET /abc/*"],
    [upTo63("GET /abc/de").slice(0, 62), `GET /abc/${"de".padEnd(53, "x")}`],
    [`${upTo63("GET /abc/").slice(0, 62)}/`, `${upTo63("GET /abc/").slice(0, 62)}/*`],
    [upTo63("GET http://host/abc"), "GET /*"],
    [upTo63("GET http://host"), "GET /*"],
    [upTo63("GET /abc/de?f="), "GET /abc/de"],
    [`${upTo63("GET /abc/").slice(0, 60)} HT`, upTo63("GET /abc/").slice(0, 60)],
    [`${upTo63("GET /abc/").slice(0, 62)} `, upTo63("GET /abc/").slice(0, 62)],
    // Cut by Apache, and then made shorter by a mask.
    ["GET /reset/***/conf", "GET /reset/*/*"],
    ["GET /reset/***/confirm HTTP/1.1", "GET /reset/*/confirm"],
  ])("%s -> %s", (line, expected) => {
    expect(pattern(line)).toBe(expected);
  });
});

test("the pattern of a pattern is the same one, for any line that Apache may keep", () => {
  const below = random(1);
  for (let round = 0; round < 20_000; round++) {
    const line = anyLine(below);
    expect(pattern(pattern(line)), line).toBe(pattern(line));
  }
});

test("what is remembered, and forgotten when it is too much, changes no answer", () => {
  for (let number = 0; number < 40_000; number++) pattern(`GET /a/${number} HTTP/1.1`);
  expect(pattern("GET /a/5 HTTP/1.1")).toBe("GET /a/*");
  expect(pattern("GET /a/39999 HTTP/1.1")).toBe("GET /a/*");
});

describe("target: the path with its query", () => {
  test.each([
    ["GET /report/17?q=*** HTTP/1.1", "/report/17?q=***"],
    ["GET http://host/abs?a=*** HTTP/1.1", "/abs?a=***"],
    ["GET /a#b", "/a#b"],
    ["CONNECT host:443 HTTP/1.1", ""],
    ["", ""],
  ])("%s -> %s", (line, expected) => {
    expect(target(line)).toBe(expected);
  });
});
