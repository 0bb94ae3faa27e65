/**
 * A tab's side of the feed that all tabs share. It decodes for itself, and falls back to a feed of its own where the
 * worker cannot be had or has gone silent.
 */
import { attempt, Decoder } from "./decoder";
import { HERE_MS, type FromTab, type ToTab } from "./hub";
import type { Listener, Live, Message } from "./live";
import { Alarm, type Addresses, type Clock } from "./outside";

export interface WorkerEvents {
  message(message: ToTab): void;
  failed(): void;
}

export interface WorkerPort {
  say(message: FromTab): void;
  close(): void;
}

/** Connects to the worker; may throw. */
export type Connect = (events: WorkerEvents) => WorkerPort;

/** So long a worker may take to load its script, or to answer. Shorter than `HERE_MS`: the next one starts anew. */
const ANSWER_MS = 4_000;

export class Tab implements Live {
  readonly #here: Alarm;
  readonly #answer: Alarm;
  #running = false;
  #port: WorkerPort | null = null;
  #own: Live | null = null;
  #decoder = new Decoder();

  constructor(
    clock: Clock,
    private readonly addresses: Addresses,
    private readonly connect: Connect,
    private readonly makeOwn: () => Live,
    private readonly listener: Listener,
  ) {
    this.#here = new Alarm(clock);
    this.#answer = new Alarm(clock);
  }

  resume(): void {
    if (this.#running) return;
    this.#running = true;
    // Nothing may continue what was held before: the server may have started anew, and counts from 1 again.
    this.#decoder = new Decoder();
    this.listener.connection({ kind: "connecting" });
    this.#sayHere();
  }

  pause(): void {
    this.#halt("hidden");
  }

  stop(): void {
    this.#halt("stopped");
    // A page that comes back from the browser's cache may find its worker gone.
    this.#close();
  }

  #halt(kind: "hidden" | "stopped"): void {
    this.#running = false;
    this.#here.clear();
    this.#answer.clear();
    this.#port?.say({ kind: "gone" });
    this.#own?.pause();
    this.#own = null;
    this.listener.connection({ kind });
  }

  #sayHere(): void {
    try {
      this.#port ??= this.connect({
        message: (message) => this.#received(message),
        failed: () => this.#fallBack(),
      });
    } catch {
      // There are no shared workers here, or a policy or a privacy setting forbids them.
      return this.#fallBack();
    }
    this.#port.say({ kind: "here", addresses: this.addresses });
    this.#here.set(HERE_MS, () => this.#sayHere());
    this.#answer.set(ANSWER_MS, () => this.#fallBack());
  }

  /** Until the tab is hidden: whatever was wrong may be gone by the next time. */
  #fallBack(): void {
    this.#here.clear();
    this.#answer.clear();
    this.#port?.say({ kind: "gone" });
    this.#close();
    if (!this.#running || this.#own !== null) return;
    this.#own = this.makeOwn();
    this.#own.resume();
  }

  #close(): void {
    this.#port?.close();
    this.#port = null;
  }

  #received(message: ToTab): void {
    this.#answer.clear();
    if (!this.#running || this.#own !== null) return;
    if (message.kind === "connection") this.listener.connection(message.connection);
    else if (message.kind === "problem") this.listener.problem(message.problem);
    else if (message.kind === "message") this.#decode(message);
  }

  #decode(message: Message): void {
    const decoder = message.v1 ? this.#decoder : null;
    const decoded = attempt(message.text, decoder, (problem) => this.listener.problem(problem));
    if (decoded === "broken") this.#port?.say({ kind: "key" });
    else if (decoded !== null && decoded !== "unknown") this.listener.frame(decoded, message);
  }
}
