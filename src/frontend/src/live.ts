/** What a page can say about its connection, wherever that is kept: in the page itself, or in a worker for all tabs. */
import type { Expected } from "./check";
import type { Frame } from "./wire";

export type Polling = { readonly why: "full"; readonly reason: string } | { readonly why: "no-upgrade" };
export type Loss = "restart" | "lost" | "stale" | "refused";

export type Connection =
  | { readonly kind: "connecting" | "live" | "hidden" | "stopped" }
  | ({ readonly kind: "polling" } & Polling)
  | {
      readonly kind: "reconnecting";
      readonly why: Loss;
      /** When the next try is due, and when the last frame came (ms since the epoch). */
      readonly due: number;
      readonly since: number | null;
    };

export type Problem =
  | { readonly kind: "frame"; readonly path: string; readonly expected: Expected }
  | { readonly kind: "refused"; readonly status: number; readonly text: string };

/** What a frame was decoded from, for who decodes it again: a sample of the plain format, or a frame of v1. */
export interface Message {
  readonly text: string;
  readonly v1: boolean;
}

export interface Listener {
  connection(connection: Connection): void;
  frame(frame: Frame, message: Message): void;
  problem(problem: Problem): void;
}

/** A connection that a page can have, and let go while nobody looks. */
export interface Live {
  /** Start, or go on after a pause; nothing happens while it runs. */
  resume(): void;
  /** Give the Apache worker back at once; a hidden page needs none. */
  pause(): void;
  stop(): void;
}
