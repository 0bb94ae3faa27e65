/** What the server says of its recording, checked. */
import { float, guard, nullable, object, optional, parse, record, text, type Check } from "../check";

export type RecordingState = "recording" | "off" | "failed" | "replay";

const STATES: readonly unknown[] = ["recording", "off", "failed", "replay"] satisfies readonly RecordingState[];
const stateName = guard("fitting", (value): value is RecordingState => STATES.includes(value));

const always = record({ state: stateName, detail: text, interval: float, now: float });

/** Instants are epoch seconds. */
export interface Recording extends ReturnType<typeof always> {
  readonly problem: string | null;
  readonly since: number | null;
  readonly until: number | null;
  readonly history_since: number | null;
  readonly bytes: number | null;
  readonly limit: number | null;
  readonly file: string | null;
}

const maybe = <T>(key: string, check: Check<T>, holder: Readonly<Record<string, unknown>>): T | null =>
  optional(key, nullable(check), holder) ?? null;

/** Check an answer of `api/v1/recording`. Throws a FrameError that names the bad key. */
export function readRecording(body: unknown): Recording {
  const value = object(parse(body));
  const number = (key: string) => maybe(key, float, value);
  return {
    ...always(value),
    problem: maybe("problem", text, value),
    since: number("since"),
    until: number("until"),
    history_since: number("history_since"),
    bytes: number("bytes"),
    limit: number("limit"),
    file: maybe("file", text, value),
  };
}
