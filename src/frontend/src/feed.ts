/**
 * The connection: WebSocket first, short polling when a WebSocket cannot be had. It owns retries and their timing,
 * and nothing of the page: clock, socket and fetch come from outside.
 */
import { decode, FrameError, type Frame } from "./wire";

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
  | { readonly kind: "frame"; readonly error: FrameError }
  | { readonly kind: "refused"; readonly status: number; readonly text: string };

export interface SocketEvents {
  message(data: unknown): void;
  closed(code: number, reason: string): void;
}

export interface Outside {
  now(): number;
  random(): number;
  setTimer(run: () => void, ms: number): number;
  clearTimer(timer: number): void;
  /** Opens `ws`; gives the function that closes it. */
  open(events: SocketEvents): (code: number) => void;
  /** Asks for `api/v1/snapshot`. */
  fetch(headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
}

export interface Listener {
  connection(connection: Connection): void;
  frame(frame: Frame): void;
  problem(problem: Problem): void;
}

const NORMAL_CLOSURE = 1000;
const GOING_AWAY = 1001;
const TRY_AGAIN_LATER = 1013;

const FIRST_RETRY_MS = 300;
const LAST_RETRY_MS = 15_000;
const RETRY_JITTER = 0.3;
/** So many sockets in a row without one frame are not bad luck, if the same server answers a plain request. */
const SOCKET_TRIES = 3;
const SILENCE_MS = 5_000;
const SILENT_INTERVALS = 3;
const POLL_MS = 5_000;
const POLL_JITTER = 0.2;
const RETRY_WHEN_FULL_MS = 30_000;
const RETRY_WITHOUT_UPGRADE_MS = 60_000;
const ANSWER_MS = 10_000;
const REFUSAL_CHARACTERS = 500;

interface Link {
  live: boolean;
  close(code: number): void;
}

class Alarm {
  #timer: number | null = null;

  constructor(private readonly outside: Outside) {}

  set(ms: number, run: () => void): void {
    this.clear();
    this.#timer = this.outside.setTimer(() => {
      this.#timer = null;
      run();
    }, ms);
  }

  clear(): void {
    if (this.#timer !== null) this.outside.clearTimer(this.#timer);
    this.#timer = null;
  }
}

export class Feed {
  readonly #watchdog: Alarm;
  readonly #retry: Alarm;
  readonly #nextPoll: Alarm;
  readonly #answer: Alarm;
  #running = false;
  #link: Link | null = null;
  #request: AbortController | null = null;
  #polling: Polling | null = null;
  #etag: string | null = null;
  #intervalMs = 1000;
  #seats = true;
  #frameAt: number | null = null;
  #triedAt = 0;
  #backoff = 0;
  #failures = 0;
  /** The server answered a plain request while no socket brought a frame. */
  #answers = false;

  constructor(
    private readonly outside: Outside,
    private readonly listener: Listener,
  ) {
    this.#watchdog = new Alarm(outside);
    this.#retry = new Alarm(outside);
    this.#nextPoll = new Alarm(outside);
    this.#answer = new Alarm(outside);
  }

  /** Start, or go on after a pause; nothing happens while it runs. */
  resume(): void {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  /** Give the Apache worker back at once; a hidden page needs none. */
  pause(): void {
    this.#halt("hidden");
  }

  stop(): void {
    this.#halt("stopped");
  }

  #halt(kind: "hidden" | "stopped"): void {
    this.#running = false;
    this.#retry.clear();
    this.#leavePolling();
    this.#drop();
    this.#backoff = this.#failures = 0;
    this.#answers = false;
    this.listener.connection({ kind });
  }

  #connect(): void {
    this.#triedAt = this.outside.now();
    if (this.#polling === null) this.listener.connection({ kind: "connecting" });
    const link: Link = { live: false, close: () => undefined };
    this.#link = link;
    link.close = this.outside.open({
      message: (data) => {
        if (this.#link === link) this.#received(link, data);
      },
      closed: (code, reason) => {
        if (this.#link === link) this.#closed(link, code, reason);
      },
    });
    this.#watch(link);
  }

  #drop(): void {
    this.#watchdog.clear();
    const link = this.#link;
    this.#link = null;
    link?.close(NORMAL_CLOSURE);
  }

  #watch(link: Link): void {
    const patience = Math.max(SILENCE_MS, SILENT_INTERVALS * this.#intervalMs);
    this.#watchdog.set(patience, () => {
      this.#drop();
      this.#lost(link, link.live ? "stale" : "refused");
    });
  }

  #received(link: Link, data: unknown): void {
    if (!link.live) {
      link.live = true;
      this.#backoff = this.#failures = 0;
      this.#answers = false;
      this.#leavePolling();
      this.listener.connection({ kind: "live" });
    }
    this.#accept(data);
    this.#watch(link);
  }

  #closed(link: Link, code: number, reason: string): void {
    this.#watchdog.clear();
    this.#link = null;
    if (code === TRY_AGAIN_LATER) this.#poll({ why: "full", reason });
    else this.#lost(link, code === GOING_AWAY ? "restart" : link.live ? "lost" : "refused");
  }

  #lost(link: Link, why: Loss): void {
    // A try beside polling failed: polling goes on.
    if (this.#polling !== null) return;
    if (!link.live) this.#failures += 1;
    if (this.#failures >= SOCKET_TRIES && this.#answers) this.#poll({ why: "no-upgrade" });
    else if (this.#failures >= SOCKET_TRIES - 1) void this.#probe(why);
    else this.#reconnect(why);
  }

  /** Asked before the last socket try, not after it: a server that came back in between is not without upgrade. */
  async #probe(why: Loss): Promise<void> {
    const answered = await this.#ask();
    if (answered === null) return;
    this.#answers = answered;
    this.#reconnect(why);
  }

  #reconnect(why: Loss): void {
    const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#backoff);
    const ms = delay * (1 - RETRY_JITTER * this.outside.random());
    this.#backoff += 1;
    this.listener.connection({ kind: "reconnecting", why, due: this.outside.now() + ms, since: this.#frameAt });
    this.#retry.set(ms, () => this.#connect());
  }

  #poll(polling: Polling): void {
    const already = this.#polling !== null;
    this.#polling = polling;
    this.listener.connection({ kind: "polling", ...polling });
    if (!already) void this.#pollOnce();
  }

  async #pollOnce(): Promise<void> {
    const answered = await this.#ask();
    if (answered === null) return;
    if (!answered) {
      this.#leavePolling();
      this.#drop();
      this.#reconnect("lost");
      return;
    }
    const period = Math.max(POLL_MS, this.#intervalMs) * (1 + POLL_JITTER * this.outside.random());
    this.#nextPoll.set(period, () => void this.#pollOnce());
    if (this.#link === null && this.#socketIsDue()) this.#connect();
  }

  #leavePolling(): void {
    this.#polling = null;
    this.#nextPoll.clear();
    this.#answer.clear();
    this.#request?.abort();
    this.#request = null;
  }

  #socketIsDue(): boolean {
    const waited = this.outside.now() - this.#triedAt;
    if (this.#polling?.why === "full") return this.#seats && waited >= RETRY_WHEN_FULL_MS;
    return waited >= RETRY_WITHOUT_UPGRADE_MS;
  }

  /** Whether the dashboard itself answered; null if the answer is no longer wanted. */
  async #ask(): Promise<boolean | null> {
    const request = new AbortController();
    this.#request = request;
    this.#answer.set(ANSWER_MS, () => request.abort());
    try {
      const response = await this.outside.fetch(
        this.#etag === null ? {} : { "If-None-Match": this.#etag },
        request.signal,
      );
      const body = await response.text();
      return this.#request === request ? this.#answered(response, body) : null;
    } catch {
      // Whatever fetch rejects with, it means that no answer came.
      return this.#request === request ? false : null;
    } finally {
      if (this.#request === request) this.#answer.clear();
    }
  }

  #answered(response: Response, body: string): boolean {
    if (response.status === 304) return true;
    const json = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    if (response.ok || (response.status === 503 && json)) {
      this.#etag = response.headers.get("ETag");
      return this.#accept(body);
    }
    this.listener.problem({ kind: "refused", status: response.status, text: refusal(response, body) });
    return false;
  }

  #accept(data: unknown): boolean {
    let frame: Frame;
    try {
      frame = decode(data);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.listener.problem({ kind: "frame", error });
      return false;
    }
    this.#frameAt = this.outside.now();
    this.#intervalMs = frame.interval * 1000;
    this.#seats = frame.viewers.connected < frame.viewers.limit;
    this.listener.frame(frame);
    return true;
  }
}

/** The server's own words, if they are words: an HTML error page is not. */
function refusal(response: Response, body: string): string {
  const type = response.headers.get("Content-Type") ?? "";
  let words = type.startsWith("text/plain") ? body : "";
  if (/^application\/(problem\+)?json/.test(type)) words = detail(body);
  return words.slice(0, REFUSAL_CHARACTERS);
}

function detail(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) {
      const problem = value as Readonly<Record<string, unknown>>;
      const words = [problem["detail"], problem["error"], problem["title"]].find((item) => typeof item === "string");
      if (typeof words === "string") return words;
    }
  } catch {
    // Not JSON after all: its text is still the best there is.
  }
  return body;
}
