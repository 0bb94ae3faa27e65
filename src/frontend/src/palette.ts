/** The colours and the font that a canvas is painted with, from the custom properties of the style sheet. */
import { STATUSES, type Status } from "./wire";

/** The names of the states in the style sheet. */
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

export interface Ink {
  readonly fill: string;
  readonly letter: string;
}

export interface Palette {
  readonly states: Readonly<Record<Status, Ink>>;
  readonly ink: string;
  readonly muted: string;
  readonly warn: string;
  readonly font: string;
}

export function palette(element: Element): Palette {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const inks = STATUSES.map((status) => {
    const key = STATE_KEYS[status];
    return [status, { fill: color(`--state-${key}`), letter: color(`--on-${key}`) }] as const;
  });
  return {
    states: Object.fromEntries(inks) as Record<Status, Ink>,
    ink: color("--ink"),
    muted: color("--muted"),
    warn: color("--warn"),
    font: style.fontFamily,
  };
}
