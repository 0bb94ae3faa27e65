/** The names of the states in the style sheet. */
import type { Status } from "./wire";

export const STATE_KEYS: Readonly<Record<Status, string>> = {
  _: "ready",
  S: "starting",
  R: "reading",
  W: "sending",
  K: "keepalive",
  D: "dns",
  C: "closing",
  L: "logging",
  G: "graceful",
  I: "cleanup",
  ".": "open",
};
