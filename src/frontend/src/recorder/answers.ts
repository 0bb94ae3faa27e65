/** What the recorder's API answers, checked. Each reader throws a FrameError that names the bad key. */
import {
  float,
  FrameError,
  guard,
  int,
  isFinite,
  list,
  nullable,
  object,
  parse,
  record,
  text,
  type Loose,
} from "../check";
import { decode, type Frame } from "../wire";

/** The kinds of events that this version has words for, in the order of the filter. */
export const KINDS = [
  "apache-start",
  "graceful",
  "drained",
  "process-end",
  "saturation",
  "metrics-off",
  "alert",
  "dashboard-start",
  "clock",
  "bookmark",
] as const;
export type Kind = (typeof KINDS)[number];

/** There are many of these, and seldom does one of them matter. */
export const USUAL_KINDS: readonly Kind[] = KINDS.filter((kind) => kind !== "process-end");

export const isKind = (kind: string): kind is Kind => (KINDS as readonly string[]).includes(kind);

const event = record({ id: int, at: float, ended: nullable(float), kind: text, data: object });
const events = record({ events: list(event) });

/** Instants are epoch seconds; `ended` is null while it goes on, and for what is but a moment. */
export type RecordedEvent = ReturnType<typeof event>;

export const readEvents = (body: unknown): readonly RecordedEvent[] => events(parse(body)).events;
export const readEvent = (body: unknown): RecordedEvent => event(parse(body));

/** A number or a text of an event's data; null where it is missing or something else. */
export const numberOf = (data: Loose, key: string): number | null => {
  const value = Object.hasOwn(data, key) ? data[key] : null;
  return isFinite(value) ? value : null;
};
export const textOf = (data: Loose, key: string): string | null => {
  const value = Object.hasOwn(data, key) ? data[key] : null;
  return typeof value === "string" ? value : null;
};

/** Workers held, and for how many seconds exactly so many were. */
export type Level = readonly [number, number];

const natural = guard("number", (value): value is number => isFinite(value) && value >= 0);
const pair = list(natural);

function level(value: unknown): Level {
  const [held, seconds, ...rest] = pair(value);
  if (held === undefined || seconds === undefined || rest.length > 0) throw new FrameError("", "fitting");
  return [held, seconds];
}

const concurrency = record({
  from: float,
  to: float,
  seconds: natural,
  workers: nullable(natural),
  levels: list(level),
});

export type Concurrency = ReturnType<typeof concurrency>;

export const readConcurrency = (body: unknown): Concurrency => concurrency(parse(body));
export const readGrid = (body: unknown): Frame => decode(body);
