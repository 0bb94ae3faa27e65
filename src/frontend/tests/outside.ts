/** A world without a browser: a clock that is moved by hand, sockets and answers that the test gives. */
import { Feed } from "../src/feed";
import type { Connection, Listener, Message, Problem } from "../src/live";
import type { Outside, Socket, SocketEvents } from "../src/outside";
import { SUBPROTOCOL, type Frame } from "../src/wire";
import { sampleOf } from "./samples";

interface Timer {
  readonly id: number;
  readonly due: number;
  readonly run: () => void;
}

export interface FakeSocket {
  readonly events: SocketEvents;
  readonly openedAt: number;
  readonly offered: readonly string[];
  readonly heard: string[];
  closedWith: number | null;
}

type Answer = () => Response;

export const json = (body: unknown, init: ResponseInit = {}): Answer => {
  const headers = { "Content-Type": "application/json; charset=utf-8", ...init.headers };
  return () => new Response(JSON.stringify(body), { ...init, headers });
};
export const unreachable: Answer = () => {
  throw new TypeError("fetch failed");
};

export class World implements Outside {
  time = 0;
  luck = 0;
  answer: Answer = unreachable;
  readonly sockets: FakeSocket[] = [];
  readonly asked: { readonly at: number; readonly headers: Record<string, string> }[] = [];
  readonly said: Connection[] = [];
  readonly frames: Frame[] = [];
  readonly messages: Message[] = [];
  readonly problems: Problem[] = [];
  readonly listener: Listener = {
    connection: (connection) => this.said.push(connection),
    frame: (frame, message) => {
      this.frames.push(frame);
      this.messages.push(message);
    },
    problem: (problem) => this.problems.push(problem),
  };
  readonly feed = new Feed(this, this.listener);
  #timers: Timer[] = [];
  #ids = 0;

  now = () => this.time;
  random = () => this.luck;

  setTimer(run: () => void, ms: number): number {
    this.#ids += 1;
    this.#timers.push({ id: this.#ids, due: this.time + ms, run });
    return this.#ids;
  }

  clearTimer(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  }

  open(events: SocketEvents, offered: readonly string[]): Socket {
    const socket: FakeSocket = { events, openedAt: this.time, offered, heard: [], closedWith: null };
    this.sockets.push(socket);
    return {
      send: (text) => socket.heard.push(text),
      close: (code) => {
        socket.closedWith = code;
      },
    };
  }

  async fetch(headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    this.asked.push({ at: this.time, headers });
    if (this.answer === never) {
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
      });
    }
    return this.answer();
  }

  /** Lets time pass, timer by timer, and lets every promise that became ready run. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const next = this.#timers.filter((timer) => timer.due <= end).sort((one, other) => one.due - other.due)[0];
      if (next === undefined) break;
      this.time = next.due;
      this.clearTimer(next.id);
      next.run();
      await settle();
    }
    this.time = end;
  }

  get timers(): number {
    return this.#timers.length;
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (last === undefined) throw new Error("no socket was opened");
    return last;
  }

  get state(): Connection | undefined {
    return this.said.at(-1);
  }

  /** A sample of the plain format comes. */
  tick(changes: Record<string, unknown> = {}): void {
    this.socket.events.message(JSON.stringify(sampleOf([], changes)), "");
  }

  /** A frame of v1 comes. */
  frame(frame: unknown): void {
    this.socket.events.message(JSON.stringify(frame), SUBPROTOCOL);
  }

  /** Closes the newest socket from the server's side. */
  async lose(code: number, reason = ""): Promise<void> {
    this.socket.events.closed(code, reason);
    await settle();
  }
}

export const never: Answer = () => {
  throw new Error("an answer that never comes is not called");
};

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
