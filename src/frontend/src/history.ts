/** What the page remembers of the samples it got: the numbers of each, the letters of each slot, and restarts. */
import type { Status } from "./wire";

/** The numbers of one sample. */
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
}

/** Something that happened to the whole server. `at` is in epoch seconds. */
export interface Mark {
  readonly kind: "restart" | "graceful";
  readonly at: number;
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
