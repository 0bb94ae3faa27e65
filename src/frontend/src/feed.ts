/**
 * The connection: WebSocket first, short polling when a WebSocket cannot be had. It owns retries and their timing,
 * and nothing of the page: clock, socket and fetch come from outside.
 */
import { attempt, Decoder, type Decoded } from "./decoder";
import type { Listener, Live, Loss, Polling } from "./live";
import { Alarm, type Outside, type Socket } from "./outside";
import { refusal } from "./refusal";
import { SUBPROTOCOL } from "./wire";

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
/** When to try a socket again beside polling, unless the server says when. */
const RETRY_MS = { full: 30_000, "no-upgrade": 60_000 } as const;
const ANSWER_MS = 10_000;
/** An honest server does not send anybody away for longer. */
const LONGEST_RETRY_MS = 600_000;
const ASK_FOR_KEY = '{"key":true}';
const ASK_FOR_KEY_MS = 1_000;

interface Link {
  live: boolean;
  /** Null while nothing came, and for the plain format. */
  decoder: Decoder | null;
  /** A key frame is wanted and did not come yet. */
  wanting: boolean;
  socket: Socket | null;
}

export class Feed implements Live {
  readonly #watchdog: Alarm;
  readonly #retry: Alarm;
  readonly #nextPoll: Alarm;
  readonly #answer: Alarm;
  readonly #asking: Alarm;
  #running = false;
  #link: Link | null = null;
  #request: AbortController | null = null;
  #polling: Polling | null = null;
  #etag: string | null = null;
  #intervalMs = 1000;
  #accepting = true;
  #frameAt: number | null = null;
  #socketDue = 0;
  #keyAskedAt = Number.NEGATIVE_INFINITY;
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
    this.#asking = new Alarm(outside);
  }

  resume(): void {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  pause(): void {
    this.#halt("hidden");
  }

  stop(): void {
    this.#halt("stopped");
  }

  /** Ask for a key frame, for who holds none; the one that is under way serves all who want one by then. */
  wantKey(): void {
    const link = this.#link;
    if (link === null || link.decoder === null || link.wanting) return;
    link.wanting = true;
    const wait = this.#keyAskedAt + ASK_FOR_KEY_MS - this.outside.now();
    // No longer than that, even if the clock was set back.
    this.#asking.set(Math.min(ASK_FOR_KEY_MS, Math.max(0, wait)), () => {
      this.#keyAskedAt = this.outside.now();
      link.socket?.send(ASK_FOR_KEY);
    });
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
    if (this.#polling === null) this.listener.connection({ kind: "connecting" });
    const link: Link = { live: false, decoder: null, wanting: false, socket: null };
    this.#link = link;
    const events = {
      message: (data: unknown, protocol: string) => {
        if (this.#link === link) this.#received(link, data, protocol);
      },
      closed: (code: number, reason: string) => {
        if (this.#link === link) this.#closed(link, code, reason);
      },
    };
    link.socket = this.outside.open(events, this.#offer());
    this.#watch(link);
  }

  /**
   * Browsers give up a socket whose server selects none of the subprotocols on offer, as one does that is older than
   * they. So where plain requests are answered, the last try offers none.
   */
  #offer(): readonly string[] {
    const last = this.#polling === null && this.#answers && this.#failures >= SOCKET_TRIES - 1;
    return last ? [] : [SUBPROTOCOL];
  }

  #drop(): void {
    this.#watchdog.clear();
    this.#asking.clear();
    const link = this.#link;
    this.#link = null;
    link?.socket?.close(NORMAL_CLOSURE);
  }

  #watch(link: Link): void {
    const patience = Math.max(SILENCE_MS, SILENT_INTERVALS * this.#intervalMs);
    this.#watchdog.set(patience, () => {
      this.#drop();
      this.#lost(link, link.live ? "stale" : "refused");
    });
  }

  #received(link: Link, data: unknown, protocol: string): void {
    if (!link.live) {
      link.live = true;
      link.decoder = protocol === SUBPROTOCOL ? new Decoder() : null;
      this.#backoff = this.#failures = 0;
      this.#answers = false;
      this.#leavePolling();
      this.listener.connection({ kind: "live" });
    }
    const decoded = this.#accept(data, link.decoder);
    if (link.decoder?.whole) {
      link.wanting = false;
      this.#asking.clear();
    }
    if (decoded === "broken") this.wantKey();
    // A chain that does not heal is as good as silence.
    else if (decoded !== "unknown") this.#watch(link);
  }

  #closed(link: Link, code: number, reason: string): void {
    this.#watchdog.clear();
    this.#asking.clear();
    this.#link = null;
    if (code === TRY_AGAIN_LATER) this.#poll({ why: "full", reason });
    else this.#lost(link, code === GOING_AWAY ? "restart" : link.live ? "lost" : "refused");
  }

  #lost(link: Link, why: Loss): void {
    // A try beside polling failed: polling goes on.
    if (this.#polling !== null) return this.#postpone(RETRY_MS[this.#polling.why]);
    if (!link.live) this.#failures += 1;
    if (this.#failures >= SOCKET_TRIES && this.#answers) this.#poll({ why: "no-upgrade" });
    else if (this.#failures >= SOCKET_TRIES - 1) void this.#probe(why);
    else this.#reconnect(why);
  }

  /** Asked before the last socket try, not after it: a server that came back in between is not without upgrade. */
  async #probe(why: Loss): Promise<void> {
    const answered = await this.#question();
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
    this.#postpone(RETRY_MS[polling.why]);
    this.listener.connection({ kind: "polling", ...polling });
    if (!already) void this.#pollOnce();
  }

  async #pollOnce(): Promise<void> {
    const answered = await this.#question();
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

  /** Later by chance: of many pages that were sent away at once, not all shall come back at once. */
  #postpone(ms: number): void {
    this.#socketDue = this.outside.now() + ms * (1 + RETRY_JITTER * this.outside.random());
  }

  #socketIsDue(): boolean {
    return this.outside.now() >= this.#socketDue && (this.#accepting || this.#polling?.why !== "full");
  }

  /** Whether the dashboard itself answered; null if the answer is no longer wanted. */
  async #question(): Promise<boolean | null> {
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
    const retryAfter = response.headers.get("Retry-After") ?? "";
    if (this.#polling?.why === "full" && /^\d+$/.test(retryAfter)) {
      this.#postpone(Math.min(LONGEST_RETRY_MS, Number(retryAfter) * 1000));
    }
    if (response.status === 304) return true;
    const json = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    if (response.ok || (response.status === 503 && json)) {
      this.#etag = response.headers.get("ETag");
      return this.#accept(body, null) !== null;
    }
    this.listener.problem({ kind: "refused", status: response.status, text: refusal(response, body) });
    return false;
  }

  /** Hand a frame on; null if it is a bad one. */
  #accept(data: unknown, decoder: Decoder | null): Decoded | null {
    const decoded = attempt(data, decoder, (problem) => this.listener.problem(problem));
    if (decoded === null || decoded === "broken" || decoded === "unknown") return decoded;
    this.#frameAt = this.outside.now();
    this.#intervalMs = decoded.interval * 1000;
    this.#accepting = decoded.viewers.accepting;
    this.listener.frame(decoded, { text: String(data), v1: decoder !== null });
    return decoded;
  }
}
