/** All that a feed needs of the world: clock, chance, sockets and answers. A test has its own. */

export interface Clock {
  now(): number;
  setTimer(run: () => void, ms: number): number;
  clearTimer(timer: number): void;
}

export interface SocketEvents {
  /** `protocol` is the subprotocol that the server selected, "" for none. */
  message(data: unknown, protocol: string): void;
  closed(code: number, reason: string): void;
}

export interface Socket {
  send(text: string): void;
  close(code: number): void;
}

export interface Outside extends Clock {
  random(): number;
  /** Opens `ws`, and offers these subprotocols. */
  open(events: SocketEvents, protocols: readonly string[]): Socket;
  /** Asks for `api/v1/snapshot`. */
  fetch(headers: Record<string, string>, signal: AbortSignal): Promise<Response>;
}

/** Where the server is, from the page's mount; a shared worker has another base. */
export interface Addresses {
  readonly socket: string;
  readonly snapshot: string;
}

export class Alarm {
  #timer: number | null = null;

  constructor(private readonly clock: Clock) {}

  set(ms: number, run: () => void): void {
    this.clear();
    this.#timer = this.clock.setTimer(() => {
      this.#timer = null;
      run();
    }, ms);
  }

  clear(): void {
    if (this.#timer !== null) this.clock.clearTimer(this.#timer);
    this.#timer = null;
  }
}

/** The browser's clock, in a page and in a worker. */
export const clock: Clock = {
  now: () => Date.now(),
  setTimer: (run, ms) => Number(setTimeout(run, ms)),
  clearTimer: (timer) => clearTimeout(timer),
};

export function browser(addresses: Addresses): Outside {
  return {
    ...clock,
    random: () => Math.random(),
    open(events, protocols) {
      const socket = new WebSocket(addresses.socket, [...protocols]);
      socket.onmessage = (event) => events.message(event.data, socket.protocol);
      socket.onclose = (event) => events.closed(event.code, event.reason);
      return socket;
    },
    fetch: (headers, signal) => fetch(addresses.snapshot, { headers, signal, cache: "no-store" }),
  };
}
