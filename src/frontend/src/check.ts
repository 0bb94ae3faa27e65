/** Checks of values of unknown type. Each gives the value back, typed, or throws a FrameError that names the place. */

/** What a value should have been; `strings.ts` has the words. */
export type Expected =
  | "json"
  | "present"
  | "object"
  | "list"
  | "short"
  | "fitting"
  | "integer"
  | "number"
  | "interval"
  | "boolean"
  | "text"
  | "status";

export class FrameError extends Error {
  constructor(
    readonly path: string,
    readonly expected: Expected,
  ) {
    super(`${path}: ${expected}`);
  }

  /** The same error, seen from the value that holds the bad one. */
  inside(key: string): FrameError {
    const joint = this.path === "" || this.path.startsWith("[") ? "" : ".";
    return new FrameError(`${key}${joint}${this.path}`, this.expected);
  }
}

export type Check<T> = (value: unknown) => T;
export type Shape = Readonly<Record<string, Check<unknown>>>;
export type Checked<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> };
export type Loose = Readonly<Record<string, unknown>>;

/** Apache's largest compiled-in limit (ServerLimit of prefork); no honest list is longer. */
export const MAX_ITEMS = 200_000;

export function guard<T>(expected: Expected, accepts: (value: unknown) => value is T): Check<T> {
  return (value) => {
    if (!accepts(value)) throw new FrameError("", expected);
    return value;
  };
}

export const isFinite = (value: unknown): value is number => Number.isFinite(value);
const isObject = (value: unknown): value is Loose =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const int = guard("integer", (value): value is number => Number.isSafeInteger(value));
export const float = guard("number", isFinite);
export const bool = guard("boolean", (value): value is boolean => typeof value === "boolean");
export const text = guard("text", (value): value is string => typeof value === "string");
export const object = guard("object", isObject);

export function nullable<T>(check: Check<T>): Check<T | null> {
  return (value) => (value === null ? null : check(value));
}

/** Runs one inner check; the path of a bad value grows on the way out, so good frames pay nothing for it. */
export function inner<T>(key: string | number, check: Check<T>, value: unknown): T {
  try {
    return check(value);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    throw error.inside(typeof key === "number" ? `[${key}]` : key);
  }
}

export function list<T>(check: Check<T>): Check<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw new FrameError("", "list");
    if (value.length > MAX_ITEMS) throw new FrameError("", "short");
    return value.map((item, index) => inner(index, check, item));
  };
}

/** One member that must be there. Only an object's own members count: "constructor" is not in every frame. */
export function member<T>(key: string, check: Check<T>, holder: Loose): T {
  if (!Object.hasOwn(holder, key)) throw new FrameError(key, "present");
  return inner(key, check, holder[key]);
}

/** One member that need not be there. */
export function optional<T>(key: string, check: Check<T>, holder: Loose): T | undefined {
  return Object.hasOwn(holder, key) ? inner(key, check, holder[key]) : undefined;
}

export function record<S extends Shape>(shape: S): Check<Checked<S>> {
  const checks = Object.entries(shape);
  return (value) => {
    const holder = object(value);
    const result: Record<string, unknown> = {};
    for (const [key, check] of checks) result[key] = member(key, check, holder);
    return result as Checked<S>;
  };
}

/** Those members of a shape that are there. */
export function some<S extends Shape>(shape: S): Check<Partial<Checked<S>>> {
  const checks = Object.entries(shape);
  return (value) => {
    const holder = object(value);
    const result: Record<string, unknown> = {};
    for (const [key, check] of checks) {
      if (Object.hasOwn(holder, key)) result[key] = inner(key, check, holder[key]);
    }
    return result as Partial<Checked<S>>;
  };
}

export function parse(data: unknown): unknown {
  const json = text(data);
  try {
    return JSON.parse(json);
  } catch {
    throw new FrameError("", "json");
  }
}
