/** Asks the recorder's API; every way in which that can fail is a sentence. */
import { signal } from "@preact/signals";

import { FrameError } from "../check";
import { refusal } from "../refusal";
import * as words from "./strings";

export type Answer<T> = { readonly value: T } | { readonly problem: string };

/** Ask, and read what is answered; null if the question was given up. */
export async function ask<T>(
  path: string,
  read: (body: string) => T,
  init: RequestInit = {},
): Promise<Answer<T> | null> {
  try {
    const response = await fetch(`api/v1/${path}`, { cache: "no-store", ...init });
    const body = await response.text();
    if (!response.ok) return { problem: words.refused(response.status, refusal(response, body)) };
    return { value: read(body) };
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    if (error instanceof FrameError) return { problem: words.badAnswer(error.path) };
    if (error instanceof TypeError) return { problem: words.LABELS.unreachable };
    throw error;
  }
}

export interface Loaded<T> {
  readonly value: T | null;
  readonly problem: string | null;
  readonly loading: boolean;
}

/** The newest answer to one kind of question. A new question gives up the one before it. */
export class Question<T> {
  readonly state = signal<Loaded<T>>({ value: null, problem: null, loading: false });
  #request: AbortController | null = null;

  constructor(private readonly read: (body: string) => T) {}

  /** What was answered before stays until the new answer is there. */
  async ask(path: string): Promise<void> {
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    this.state.value = { ...this.state.peek(), problem: null, loading: true };
    const answer = await ask(path, this.read, { signal: request.signal });
    if (answer === null || this.#request !== request) return;
    this.state.value =
      "value" in answer
        ? { value: answer.value, problem: null, loading: false }
        : { value: null, problem: answer.problem, loading: false };
  }

  forget(): void {
    this.fail(null);
  }

  /** Have no answer, for this reason. */
  fail(problem: string | null): void {
    this.#request?.abort();
    this.#request = null;
    this.state.value = { value: null, problem, loading: false };
  }
}
