/**
 * What the server recorded, asked for and checked: `api/v1/recording`, `history`, `states`, `frames` and `events`.
 * Whatever goes wrong comes back as a Trouble, and never as an exception.
 */
import { FrameError, float, isFinite, list, nullable, object, optional, parse, record, text } from "./check";
import type { Span } from "./axis";
import { Decoder } from "./decoder";
import { NOT_KNOWN, type Band, type Column, type Mark, type MarkKind, type Point } from "./history";
import type { Problem } from "./live";
import { readRecording, type Recording } from "./recorder/recording";
import { refusal } from "./refusal";
import { STATUSES, type Frame, type Status } from "./wire";

/** Asks for a path below `api/v1/`. */
export type Ask = (path: string, signal: AbortSignal) => Promise<Response>;

/** Why there is no answer: none came, a newer question took its place, or the server's own reason. */
export class Trouble {
  constructor(readonly why: Problem | "lost" | "outdated") {}
}

const numbers = list(nullable(float));
const series = record({ mean: numbers, min: numbers, max: numbers });
type Series = ReturnType<typeof series>;

const STATE_SERIES: Readonly<Record<Status, string>> = {
  _: "states_waiting",
  S: "states_starting",
  R: "states_reading",
  W: "states_writing",
  K: "states_keepalive",
  D: "states_dns",
  C: "states_closing",
  L: "states_logging",
  G: "states_graceful",
  I: "states_cleanup",
  ".": "open",
};
/** Of those that are drawn. */
const DRAWN = [..."RWKDCLSG"] as readonly Status[];
const NUMBERS = ["busy", "workers", "requests_per_second", "bytes_per_second", "oldest_seconds"] as const;
const NAMES = [...NUMBERS, ...DRAWN.map((status) => STATE_SERIES[status])];
const NO_STATES = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<Status, number>;

const history = record({ step: float, interval: float, at: list(float), series: object });

/** The numbers of a time as points, of which each ends its stretch; `until` is where the newest ends at the latest. */
function pointsOf(value: unknown, until: number): readonly Point[] {
  const { step, interval, at, series: given } = history(value);
  const columns = Object.fromEntries(NAMES.map((name) => [name, optional(name, series, given)]));
  if (Object.values(columns).some((column) => column !== undefined && !fits(column, at.length))) {
    throw new FrameError("series", "fitting");
  }
  const get = (name: string, kind: keyof Series, index: number) => columns[name]?.[kind][index] ?? null;
  const bandOf = (name: string, index: number): Band | null => {
    const [least, most] = [get(name, "min", index), get(name, "max", index)];
    return least === null || most === null ? null : [least, most];
  };
  const longest = Math.max(3 * interval, 1.5 * step);
  const points: Point[] = [];
  for (const [index, start] of at.entries()) {
    const busy = get("busy", "max", index);
    if (busy === null) continue;
    const end = Math.min(start + step, Math.max(start, until));
    points.push({
      at: end,
      gap: end - (points.at(-1)?.at ?? Number.NEGATIVE_INFINITY) > longest,
      busy,
      of: get("workers", "max", index) ?? 0,
      states: statesOf(busy, (status) => get(STATE_SERIES[status], "max", index) ?? 0),
      requestsPerSecond: get("requests_per_second", "mean", index),
      bytesPerSecond: get("bytes_per_second", "mean", index),
      oldestSeconds: get("oldest_seconds", "max", index),
      ...(step > interval && {
        spread: {
          seconds: step,
          requests: bandOf("requests_per_second", index),
          bytes: bandOf("bytes_per_second", index),
        },
      }),
    });
  }
  return points;
}

const fits = (column: Series, length: number): boolean =>
  column.mean.length === length && column.min.length === length && column.max.length === length;

/** The most of each state, so that together they are as many as were busy at once: a spike keeps its height. */
function statesOf(busy: number, most: (status: Status) => number): Readonly<Record<Status, number>> {
  const states = { ...NO_STATES };
  let sum = 0;
  for (const status of DRAWN) {
    states[status] = most(status);
    if (status !== "S" && status !== "G") sum += states[status];
  }
  if (sum > busy) for (const status of DRAWN) if (status !== "S" && status !== "G") states[status] *= busy / sum;
  return states;
}

/** By the letter's own number. */
const CODES = new Uint8Array(128).fill(NOT_KNOWN);
for (const [code, status] of STATUSES.entries()) CODES[status.charCodeAt(0)] = code;
const letters = record({ at: list(float), letters: list(text) });

/** The letters of a time as columns; one that is later than `longest` seconds after the one before it ends a hole. */
function columnsOf(value: unknown, longest: number): readonly Column[] {
  const { at, letters: rows } = letters(value);
  const slots = rows[0]?.length ?? 0;
  if (rows.length !== at.length || rows.some((row) => row.length !== slots)) throw new FrameError("letters", "fitting");
  let before = Number.NEGATIVE_INFINITY;
  return rows.map((row, index) => {
    const end = at[index] ?? 0;
    const from = end - before > longest ? end - longest / 2 : before;
    before = end;
    const codes = new Uint8Array(slots);
    for (let place = 0; place < slots; place++) codes[place] = CODES[row.charCodeAt(place)] ?? NOT_KNOWN;
    return { from, at: end, letters: codes, since: null };
  });
}

const event = record({ at: float, ended: nullable(float), kind: text, data: object });
const events = record({ events: list(event) });

/** What the page marks, by the server's names. */
const KINDS: Readonly<Record<string, MarkKind>> = {
  "apache-start": "restart",
  graceful: "graceful",
  saturation: "saturation",
  "metrics-off": "metrics-off",
  "dashboard-start": "dashboard-start",
  bookmark: "bookmark",
};
const LASTING: ReadonlySet<string> = new Set(["saturation", "metrics-off"]);

function marksOf(value: unknown): readonly Mark[] {
  return events(value).events.flatMap(({ at, ended, kind, data }): readonly Mark[] => {
    const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
    const said = data["text"] ?? data["error"];
    const words = typeof said === "string" ? { text: said } : {};
    const { generation: begun } = data;
    const generation = isFinite(begun) ? { generation: begun } : {};
    if (known === undefined) return [];
    return [{ kind: known, at, ...(LASTING.has(kind) && { ended }), ...words, ...generation }];
  });
}

/** After so long the page may do something else. */
const BREATH_MS = 12;
const breath = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

/** The frames of a time, a line each; those that continue nothing are left out. */
async function framesOf(lines: string, signal: AbortSignal): Promise<readonly Frame[]> {
  const decoder = new Decoder();
  const frames: Frame[] = [];
  let begun = performance.now();
  for (const line of lines.split("\n")) {
    if (line === "") continue;
    const frame = decoder.decode(line);
    if (frame !== "broken" && frame !== "unknown") frames.push(frame);
    if (performance.now() - begun < BREATH_MS) continue;
    await breath();
    signal.throwIfAborted();
    begun = performance.now();
  }
  return frames;
}

/** The most points and letters that the server gives at once. */
export const MOST_ANSWERED = 4000;
export const MOST_ANSWERED_COLUMNS = 2000;
const MOST_EVENTS = 1000;

/** One question of a kind at a time: a newer one takes the place of an older one. */
export class Recorded {
  readonly #asked = new Map<string, AbortController>();

  constructor(private readonly ask: Ask) {}

  /** Let go of all questions. */
  stop(): void {
    for (const asked of this.#asked.values()) asked.abort();
  }

  recording(): Promise<Recording | Trouble> {
    return this.#question("recording", readRecording);
  }

  /** `points` is how many are wanted, at most. */
  async history({ from, to }: Span, points: number): Promise<readonly Point[] | Trouble> {
    if (from >= to) return [];
    const most = Math.min(MOST_ANSWERED, Math.max(1, Math.ceil(points)));
    const path = `history?from=${from}&to=${to}&points=${most}&series=${NAMES.join()}`;
    return this.#question(path, (body) => pointsOf(parse(body), to));
  }

  /** `interval` is that of the samples (seconds). */
  async letters({ from, to }: Span, points: number, interval: number): Promise<readonly Column[] | Trouble> {
    if (from >= to) return [];
    const most = Math.min(MOST_ANSWERED_COLUMNS, Math.max(1, Math.ceil(points)));
    const longest = Math.max(3 * interval, (2 * (to - from)) / most);
    const path = `states?from=${from}&to=${to}&points=${most}`;
    return this.#question(path, (body) => columnsOf(parse(body), longest));
  }

  frames({ from, to }: Span): Promise<readonly Frame[] | Trouble> {
    return this.#question(`frames?from=${from}&to=${to}`, framesOf);
  }

  /** The newest that are marked, oldest first. */
  marks({ from, to }: Span): Promise<readonly Mark[] | Trouble> {
    const path = `events?from=${from}&to=${to}&limit=${MOST_EVENTS}&kind=${Object.keys(KINDS).join()}`;
    return this.#question(path, (body) => marksOf(parse(body)));
  }

  async #question<T>(
    path: string,
    read: (body: string, signal: AbortSignal) => T | Promise<T>,
  ): Promise<T | Trouble> {
    const [kind = ""] = path.split("?");
    const asked = new AbortController();
    this.#asked.get(kind)?.abort();
    this.#asked.set(kind, asked);
    try {
      const answer = await this.ask(path, asked.signal);
      const body = await answer.text();
      if (!answer.ok) return new Trouble({ kind: "refused", status: answer.status, text: refusal(answer, body) });
      const value = await read(body, asked.signal);
      return asked.signal.aborted ? new Trouble("outdated") : value;
    } catch (error) {
      if (error instanceof FrameError) {
        return new Trouble({ kind: "frame", path: error.path, expected: error.expected });
      }
      return new Trouble(asked.signal.aborted ? "outdated" : "lost");
    }
  }
}
