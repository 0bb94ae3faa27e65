/**
 * One feed for all tabs of a browser, in a shared worker: each WebSocket through Apache holds an Apache worker, however
 * many tabs look at the same numbers. It owns who looks, and forgets tabs that went without a word.
 */
import { Feed } from "./feed";
import type { Connection, Listener, Message, Problem } from "./live";
import { Alarm, type Addresses, type Outside } from "./outside";

/** What a tab says. The first "here" joins; the later ones say that the tab lives. */
export type FromTab =
  | { readonly kind: "here"; readonly addresses: Addresses }
  | { readonly kind: "gone" }
  | { readonly kind: "key" };

/** What a tab hears. Each of its "here" is answered, so that it knows that the worker lives. */
export type ToTab =
  | { readonly kind: "here" }
  | { readonly kind: "connection"; readonly connection: Connection }
  | { readonly kind: "problem"; readonly problem: Problem }
  | ({ readonly kind: "message" } & Message);

export interface Port {
  postMessage(message: ToTab): void;
}

/** How often a tab says that it is here. The timers of visible tabs, which alone do, are not throttled. */
export const HERE_MS = 5_000;
const SILENT_MS = 3 * HERE_MS;

export class Hub implements Listener {
  readonly #feed: Feed;
  readonly #round: Alarm;
  /** Each visible tab, and when it was last heard. */
  readonly #tabs = new Map<Port, number>();
  #connection: Connection = { kind: "connecting" };
  #polled: Message | null = null;

  constructor(private readonly outside: Outside) {
    this.#feed = new Feed(outside, this);
    this.#round = new Alarm(outside);
  }

  heard(tab: Port, message: FromTab): void {
    if (message.kind === "gone") this.#leave(tab);
    else if (message.kind === "key") this.#feed.wantKey();
    else if (this.#tabs.has(tab)) {
      this.#tabs.set(tab, this.outside.now());
      tab.postMessage({ kind: "here" });
    } else this.#join(tab);
  }

  connection(connection: Connection): void {
    this.#connection = connection;
    if (connection.kind !== "polling") this.#polled = null;
    this.#tell({ kind: "connection", connection });
  }

  frame(_frame: unknown, message: Message): void {
    if (this.#connection.kind === "polling") this.#polled = message;
    this.#tell({ kind: "message", ...message });
  }

  problem(problem: Problem): void {
    this.#tell({ kind: "problem", problem });
  }

  #join(tab: Port): void {
    const first = this.#tabs.size === 0;
    this.#tabs.set(tab, this.outside.now());
    if (first) {
      this.#feed.resume();
      this.#watch();
      return;
    }
    tab.postMessage({ kind: "connection", connection: this.#connection });
    // The next answer may be minutes away, or say only that nothing is new.
    if (this.#polled !== null) tab.postMessage({ kind: "message", ...this.#polled });
    this.#feed.wantKey();
  }

  #leave(tab: Port): void {
    this.#tabs.delete(tab);
    if (this.#tabs.size > 0) return;
    this.#round.clear();
    this.#feed.pause();
  }

  #watch(): void {
    this.#round.set(HERE_MS, () => {
      const oldest = this.outside.now() - SILENT_MS;
      for (const [tab, heardAt] of this.#tabs) if (heardAt < oldest) this.#leave(tab);
      if (this.#tabs.size > 0) this.#watch();
    });
  }

  #tell(message: ToTab): void {
    for (const tab of this.#tabs.keys()) tab.postMessage(message);
  }
}
