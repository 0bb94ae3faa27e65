/**
 * What the first picture does without: one chunk, which comes right after it, so that it is there once it is wanted.
 */
import { signal } from "@preact/signals";

type Later = typeof import("./views/later");

/** Null until it has come. */
export const later = signal<Later | null>(null);
/** A part of the page can't be had: the server may be of another version by now, which has other files. */
export const missing = signal(false);

export async function haveLater(): Promise<Later | null> {
  try {
    later.value ??= await import("./views/later");
  } catch {
    missing.value = true;
  }
  return later.peek();
}
