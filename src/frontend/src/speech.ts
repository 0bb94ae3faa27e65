/** What is said aloud by screen readers: what the reader asked for at once, the verdict at most every 10 s. */
import { effect, signal } from "@preact/signals";

import { says } from "./state";
import * as strings from "./strings";

const QUIET_MS = 10_000;

export const spoken = signal("");

export function say(words: string): void {
  spoken.value = words;
}

/** Say the verdict when its level changes, and no sooner than 10 s after the last time; gives what ends it. */
export function announce(setTimer: (run: () => void, ms: number) => void): () => void {
  let quiet = false;
  let level = "";
  let ended = false;
  const speak = () => {
    const current = says.peek();
    if (quiet || ended || current === null || current.level === level) return;
    level = current.level;
    say(strings.verdict(current));
    quiet = true;
    setTimer(() => {
      quiet = false;
      speak();
    }, QUIET_MS);
  };
  const end = effect(() => {
    void says.value;
    speak();
  });
  return () => {
    ended = true;
    end();
  };
}
