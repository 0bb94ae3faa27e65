/**
 * What is said aloud by screen readers: what the reader asked for at once, the verdict and what has become critical at
 * most every 10 s.
 */
import { effect, signal } from "@preact/signals";

import { criticalNow, latest, says } from "./state";
import * as strings from "./strings";

const QUIET_MS = 10_000;

export const spoken = signal("");

export function say(words: string): void {
  spoken.value = words;
}

/**
 * Say the verdict when its level changes, and each critical alert once, no sooner than 10 s after the last time; gives
 * what ends it.
 */
export function announce(setTimer: (run: () => void, ms: number) => void): () => void {
  let quiet = false;
  let level = "";
  let heard: ReadonlySet<string> = new Set();
  let ended = false;
  const speak = () => {
    if (quiet || ended) return;
    const alerts = criticalNow.peek().map((alert) => ({ alert, name: JSON.stringify([alert.rule, alert.path]) }));
    const words = alerts
      .filter(({ name }) => !heard.has(name))
      .map(({ alert }) => `${strings.alertLine(alert, latest.peek()?.at ?? 0)}.`);
    heard = new Set(alerts.map(({ name }) => name));
    const current = says.peek();
    if (current !== null && current.level !== level) words.push(strings.verdict(current));
    level = current?.level ?? level;
    if (words.length === 0) return;
    say(words.join(" "));
    quiet = true;
    setTimer(() => {
      quiet = false;
      speak();
    }, QUIET_MS);
  };
  const end = effect(() => {
    void [says.value, criticalNow.value];
    speak();
  });
  return () => {
    ended = true;
    end();
  };
}
