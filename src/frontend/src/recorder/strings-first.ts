/** The words of the recorder on the first screen; those of its panel are in `strings.ts` and come with it. */
import type { Drain } from "../draining";
import type { Request } from "../requests";
import { count, requestLine, seconds, slot } from "../strings";
import type { RecordingState } from "./recording";

export const BUTTON: Readonly<Record<RecordingState, string>> = {
  recording: "Recording",
  off: "Not recording",
  failed: "Not recording",
  replay: "Replay",
};

export const WORDS = {
  /** Before the server has said what it does. */
  asking: "Recorder",
  open: "events, export, what-if and comparison",
  failed: "the recorder has failed",
  drains: "What drains",
  details: "Details",
} as const;

/** "pid 6763, slot 0.4, GET /export" */
export const holder = (drain: Drain, request: Request): string =>
  `pid ${drain.pid}, slot ${slot(request.slot)}, ${requestLine(request.request)}`;

/** How long the request has been held, with the comma before it; nothing where the scoreboard does not say. */
export const heldFor = ({ startedAt, websocket }: Request, at: number): string => {
  const what = websocket ? " (a WebSocket)" : "";
  return startedAt === null ? what : `${what}, ${seconds(Math.max(0, at - startedAt))}`;
};

export const BLOCKED = "Blocked by";

/** What is said of a process that no request holds. */
export const ending = (drain: Drain): string => `pid ${drain.pid} is about to end`;

export function drainsFor({ old, generation, since }: Drain, at: number): string {
  const time = `${since.atLeast ? "at least " : ""}${seconds(Math.max(0, at - since.at))}`;
  return old ? `generation ${generation} drains for ${time}` : `it stops, for ${time}`;
}

export const others = (rest: number): string => `${count(rest)} more`;
