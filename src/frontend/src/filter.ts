/**
 * The language of the filter box: terms with spaces between them, all of which must hold. A term is a text,
 * `key:value`, `key:=value` where it must be all of it, or `age>5s`; values may be quoted, and `-` in front negates.
 * What cannot be understood is reported and hides nothing: the box is read at each key stroke, half-written.
 */
import { pattern, target } from "./pattern";
import { ageOf, isSlow, type Request } from "./requests";
import { STATUSES, type Status } from "./wire";

export type FilterError = { readonly kind: "key" | "state" | "age" | "is"; readonly text: string };

export interface Filter {
  /** Nothing is filtered: there is no term, or none that can be understood. */
  readonly empty: boolean;
  readonly errors: readonly FilterError[];
  /** `at` is the instant for which ages are told (epoch seconds). */
  matches(request: Request, at: number): boolean;
}

/** null: not known, so that neither the term nor its negation holds. */
type Test = (request: Request, at: number) => boolean | null;
/** What a value means behind its key and `joint`, or what it should have been. */
type Key = (value: string, joint: string) => Test | FilterError["kind"];

/** Sign, key, joint, quoted value or bare one. "http://x" has no key; an open quote ends with the text. */
const TERM = /(-?)(?:(age(?=[<>])|[a-z]+(?=:(?!\/\/)))(:=?|[<>]=?))?(?:"((?:[^"\\]|\\[^]?)*)"?|(\S*))/g;
const BARE = /^(?!["=]|\/\/)\S+$/;
const AGE = /^([\d.]+)(ms|[smhd]?)$/;
const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, m: 60, h: 3600, d: 86_400 };
/** In the order of STATUSES. */
const STATE_NAMES = "waiting starting reading sending keepalive dns closing logging graceful cleanup open".split(" ");

const IS = new Map<string, Test>([
  ["websocket", (request) => request.websocket],
  ["draining", (request) => request.draining],
  ["slow", isSlow],
]);

const MEANINGS = new Map<string, Key>([
  ["vhost", (value, joint) => within(value, joint, (request) => request.vhost)],
  ["client", (value, joint) => within(value, joint, (request) => request.client)],
  ["path", onPath],
  ["method", (value) => equal(value.toUpperCase(), ({ request }) => request.split(" ", 1)[0]?.toUpperCase())],
  ["state", onState],
  ["pid", (value) => equal(value, ({ pid }) => `${pid}`)],
  ["slot", onSlot],
  ["is", (value) => IS.get(value.toLowerCase()) ?? "is"],
  ["age", onAge],
]);

/** In the order in which help lists them. */
export const KEYS: readonly string[] = [...MEANINGS.keys()];

export function parseFilter(text: string): Filter {
  const tests: Test[] = [];
  const errors: FilterError[] = [];
  for (const [term, sign, key, joint = "", quoted, bare = ""] of text.matchAll(TERM)) {
    const value = quoted?.replace(/\\(["\\])/g, "$1") ?? bare;
    // Somebody is typing, unless `vhost:=""` asks for nothing.
    if (value === "" && !term.endsWith(':=""')) continue;
    const test = key === undefined ? anywhere(value) : (MEANINGS.get(key)?.(value, joint) ?? "key");
    if (typeof test === "string") errors.push({ kind: test, text: term });
    else tests.push(sign === "" ? test : (request, at) => test(request, at) === false);
  }
  return {
    empty: tests.length === 0,
    errors,
    matches: (request, at) => tests.every((test) => test(request, at)),
  };
}

/** Write a value as it must stand behind "key:" or "key:=" to be read back exactly. */
export function quote(text: string): string {
  return BARE.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function equal(value: string, read: (request: Request) => string | undefined): Test {
  return (request) => read(request) === value;
}

function within(value: string, joint: string, read: (request: Request) => string): Test {
  return joint === ":=" ? equal(value, read) : containing(value, read);
}

/** Upper case, as lower case depends on the neighbours: a sigma at the end is another letter. */
function containing(value: string, read: (request: Request) => string): Test {
  const wanted = value.toUpperCase();
  return (request) => read(request).toUpperCase().includes(wanted);
}

function anywhere(value: string): Test {
  // No field holds a line feed, as the server escapes it, so nothing is found across two of them.
  return containing(value, ({ request, client, vhost }) => `${request}\n${client}\n${vhost}`);
}

/** A path holds no space, so what has one is a pattern with its method. */
function onPath(value: string, joint: string): Test {
  if (joint === ":=" || value.includes(" ")) return equal(value, ({ request }) => pattern(request));
  if (!/^\/.*\*/.test(value)) return containing(value, ({ request }) => target(request));
  return equal(value, ({ request }) => pattern(request).replace(/^[^ ]* /, ""));
}

function onState(value: string): Test | "state" {
  const wanted = new Set<Status>();
  for (const word of value.replace(/,$/, "").split(",")) {
    const letter = STATUSES.find((status) => status === word.toUpperCase());
    const named = STATUSES.filter((_, index) => STATE_NAMES[index]?.startsWith(word.toLowerCase()));
    const [status, another] = letter === undefined ? named : [letter];
    if (status === undefined || another !== undefined) return "state";
    wanted.add(status);
  }
  return ({ status }) => wanted.has(status);
}

function onSlot(value: string): Test {
  const wanted = value.replace(/\.$/, "");
  return ({ slot }) => wanted === `${slot.process_num}` || wanted === `${slot.process_num}.${slot.index}`;
}

function onAge(value: string, joint: string): Test | "age" {
  const [, number, unit = ""] = AGE.exec(value) ?? [];
  const limit = Number(number) * (UNIT_SECONDS[unit] ?? 1);
  if (joint.startsWith(":") || Number.isNaN(limit)) return "age";
  return (request, at) => {
    const seconds = ageOf(request, at);
    if (seconds === null) return null;
    return seconds === limit ? joint.endsWith("=") : seconds > limit === joint.startsWith(">");
  };
}
