import { describe, expect, test } from "vitest";

import { HERE_MS, Hub, type FromTab, type ToTab } from "../src/hub";
import { Tab, type Connect, type WorkerEvents } from "../src/tab";
import { World } from "./outside";
import { deltaOf, keyOf, sampleOf } from "./samples";

const ADDRESSES = { socket: "ws://site/ws", snapshot: "http://site/api/v1/snapshot" };
const HERE = { kind: "here", addresses: ADDRESSES };

/** A tab, and a worker that the test plays. `world` is the tab's own: what it shows, and the feed it falls back to. */
class Side {
  readonly world = new World();
  readonly said: FromTab[] = [];
  connects = 0;
  closes = 0;
  refuses = false;
  #worker: WorkerEvents | null = null;
  readonly #connect: Connect = (events) => {
    if (this.refuses) throw new DOMException("no shared workers here", "SecurityError");
    this.connects += 1;
    this.#worker = events;
    return { say: (message) => this.said.push(structuredClone(message)), close: () => (this.closes += 1) };
  };
  readonly tab = new Tab(this.world, ADDRESSES, this.#connect, () => this.world.feed, this.world.listener);

  hears(message: ToTab): void {
    this.#worker?.message(message);
  }

  frame(frame: unknown): void {
    this.hears({ kind: "message", text: JSON.stringify(frame), v1: true });
  }

  fails(): void {
    this.#worker?.failed();
  }

  get ticks(): number[] {
    return this.world.frames.map((frame) => frame.tick);
  }
}

/** A tab whose worker has answered. */
function shared(): Side {
  const side = new Side();
  side.tab.resume();
  side.hears({ kind: "connection", connection: { kind: "live" } });
  return side;
}

describe("sharing", () => {
  test("what the worker says is what the page hears", () => {
    const side = shared();
    side.frame(keyOf(1));
    side.frame(deltaOf(2));
    side.hears({ kind: "message", text: JSON.stringify(sampleOf([], { tick: 3 })), v1: false });
    side.hears({ kind: "problem", problem: { kind: "refused", status: 403, text: "no" } });
    expect(side.world.state).toEqual({ kind: "live" });
    expect(side.ticks).toEqual([1, 2, 3]);
    expect(side.world.problems).toEqual([{ kind: "refused", status: 403, text: "no" }]);
    expect(side.world.sockets).toHaveLength(0);
  });

  test("while it is seen, it says that it is here", async () => {
    const side = shared();
    for (let round = 0; round < 3; round++) {
      await side.world.pass(HERE_MS);
      side.hears({ kind: "here" });
    }
    expect(side.said).toEqual([HERE, HERE, HERE, HERE]);
    side.tab.pause();
    await side.world.pass(100_000);
    expect(side.said.slice(4)).toEqual([{ kind: "gone" }]);
    expect(side.world.state).toEqual({ kind: "hidden" });
    expect(side.world.timers).toBe(0);
  });

  test("hidden, it hears nothing more", () => {
    const side = shared();
    side.tab.pause();
    side.frame(keyOf(1));
    side.hears({ kind: "connection", connection: { kind: "live" } });
    expect(side.ticks).toEqual([]);
    expect(side.world.state).toEqual({ kind: "hidden" });
  });

  test("in the middle of a chain it waits for the key, and complains of nothing", () => {
    const side = shared();
    side.frame(deltaOf(7));
    side.frame(keyOf(8));
    side.frame(deltaOf(9));
    expect(side.ticks).toEqual([8, 9]);
    expect(side.said).toEqual([HERE, { kind: "key" }]);
    expect(side.world.problems).toEqual([]);
  });

  test("what it held before it was hidden, no delta continues", () => {
    const side = shared();
    side.frame(keyOf(1));
    side.tab.pause();
    side.tab.resume();
    side.frame(deltaOf(2));
    expect(side.ticks).toEqual([1]);
  });

  test("stopped, it leaves the worker; seen again, it connects anew", () => {
    const side = shared();
    side.tab.stop();
    expect([side.said.at(-1), side.closes, side.world.state]).toEqual([{ kind: "gone" }, 1, { kind: "stopped" }]);
    side.tab.resume();
    expect(side.connects).toBe(2);
  });
});

describe("a feed of its own", () => {
  test("where the browser has no shared workers", () => {
    const side = new Side();
    side.refuses = true;
    side.tab.resume();
    side.world.tick();
    expect(side.ticks).toEqual([1]);
    side.tab.pause();
    expect(side.world.socket.closedWith).toBe(1000);
    expect(side.world.state).toEqual({ kind: "hidden" });
  });

  test("when the worker's script can't be loaded", () => {
    const side = new Side();
    side.tab.resume();
    side.fails();
    side.world.tick();
    expect(side.ticks).toEqual([1]);
    expect(side.closes).toBe(1);
  });

  test("when the worker never answers", async () => {
    const side = new Side();
    side.tab.resume();
    await side.world.pass(HERE_MS);
    expect(side.world.sockets).toHaveLength(1);
    expect(side.said.at(-1)).toEqual({ kind: "gone" });
  });

  test("when the worker went silent; what it says after that counts no more", async () => {
    const side = shared();
    side.frame(keyOf(1));
    await side.world.pass(2 * HERE_MS);
    side.frame(deltaOf(2));
    side.world.frame(keyOf(5));
    expect(side.ticks).toEqual([1, 5]);
  });

  test("until it is hidden: seen again, it asks for the worker again", () => {
    const side = new Side();
    side.tab.resume();
    side.fails();
    side.tab.pause();
    side.tab.resume();
    expect(side.connects).toBe(2);
    expect(side.world.sockets).toHaveLength(1);
  });

  test("a worker that fails behind a hidden page opens nothing", () => {
    const side = shared();
    side.tab.pause();
    side.fails();
    expect(side.world.sockets).toHaveLength(0);
    side.tab.resume();
    expect(side.connects).toBe(2);
  });
});

test("tabs and hub together: one that joins late is whole with the next key", async () => {
  const server = new World();
  const hub = new Hub(server);
  const join = () => {
    const world = new World();
    const connect: Connect = (events) => {
      const port = { postMessage: (message: ToTab) => events.message(message) };
      return { say: (message) => hub.heard(port, message), close: () => undefined };
    };
    const tab = new Tab(world, ADDRESSES, connect, () => world.feed, world.listener);
    tab.resume();
    return { world, tab };
  };
  const first = join();
  server.frame(keyOf(1));
  const late = join();
  server.frame(deltaOf(2));
  await server.pass(1000);
  server.frame(keyOf(3));
  server.frame(deltaOf(4));
  expect(first.world.frames.map((frame) => frame.tick)).toEqual([1, 2, 3, 4]);
  expect(late.world.frames.map((frame) => frame.tick)).toEqual([3, 4]);
  expect(server.socket.heard).toEqual(['{"key":true}']);
  first.tab.pause();
  late.tab.stop();
  expect(server.socket.closedWith).toBe(1000);
});
