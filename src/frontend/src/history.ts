/** What the page remembers of the samples it got: the numbers of each, the letters of each slot, and restarts. */
import type { Status } from "./wire";

/** Least and most of several samples. */
export type Band = readonly [number, number];

/** What a point tells of several samples together: its busy workers are the most of them, its rates the mean. */
export interface Spread {
  /** How long they are together: they end at the point's `at`. */
  readonly seconds: number;
  readonly requests: Band | null;
  readonly bytes: Band | null;
}

/** The numbers of one sample, or of several together. */
export interface Point {
  /** Epoch seconds. */
  readonly at: number;
  /** Nothing is known of the time just before: the line breaks here. */
  readonly gap: boolean;
  readonly busy: number;
  /** The most that can be busy: MaxRequestWorkers, or else the workers that run. */
  readonly of: number;
  readonly states: Readonly<Record<Status, number>>;
  readonly requestsPerSecond: number | null;
  readonly bytesPerSecond: number | null;
  /** For how long the oldest request has been held, WebSockets aside; null if there is none of known age. */
  readonly oldestSeconds: number | null;
  readonly spread?: Spread;
}

export type MarkKind = "restart" | "graceful" | "saturation" | "metrics-off" | "dashboard-start" | "bookmark";

/** Something that happened to the whole server. `at` is in epoch seconds. */
export interface Mark {
  readonly kind: MarkKind;
  readonly at: number;
  /** When it was over; null while it lasts; absent if it is a moment. */
  readonly ended?: number | null;
  /** What the recording says of it: a bookmark's text, an error. */
  readonly text?: string;
  /** Of a graceful restart: the generation that began. */
  readonly generation?: number;
}

/** A letter is its place in STATUSES; these are the other values of a slot in a column. */
export const NOT_KNOWN = 255;
/** Added to a letter: not seen, but the scoreboard says later that it was so by then. */
export const INFERRED = 16;

/** The letters of all slots over a stretch of time that ends with a sample. */
export interface Column {
  /** Epoch seconds: the letters stand for `from` < t <= `at`. */
  readonly from: number;
  readonly at: number;
  /** One code a slot, in the order of the scoreboard. */
  readonly letters: Uint8Array;
  /**
   * Where nothing was seen between `from` and `at`: the instant (epoch seconds) from which on each slot is known to
   * have been as it was found, because its request started then, or its last one ended. Before it, NOT_KNOWN.
   */
  readonly since: Float64Array | null;
}

/** What a recording tells of a time before the samples that are kept whole. */
export interface Past {
  /** Oldest first. */
  readonly points: readonly Point[];
  readonly columns: readonly Column[];
}
