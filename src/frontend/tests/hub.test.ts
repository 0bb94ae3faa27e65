import { describe, expect, test } from "vitest";

import { HERE_MS, Hub, type ToTab } from "../src/hub";
import { json, World } from "./outside";
import { deltaOf, keyOf, sampleOf, VIEWERS } from "./samples";

const HERE = { kind: "here", addresses: { socket: "ws://site/ws", snapshot: "http://site/api/v1/snapshot" } } as const;
const ASK = '{"key":true}';

class FakeTab {
  readonly heard: ToTab[] = [];

  constructor(private readonly hub: Hub) {}

  postMessage(message: ToTab): void {
    // What a port takes must be cloneable.
    this.heard.push(structuredClone(message));
  }

  here(): void {
    this.hub.heard(this, HERE);
  }

  gone(): void {
    this.hub.heard(this, { kind: "gone" });
  }

  get ticks(): number[] {
    return this.heard.flatMap((message) => {
      if (message.kind !== "message") return [];
      const { tick } = JSON.parse(message.text) as { tick: number };
      return [tick];
    });
  }
}

function opened(tabs: number): { world: World; hub: Hub; tabs: FakeTab[] } {
  const world = new World();
  const hub = new Hub(world);
  const joined = Array.from({ length: tabs }, () => new FakeTab(hub));
  for (const tab of joined) tab.here();
  return { world, hub, tabs: joined };
}

function open(world: World): number {
  return world.sockets.filter((socket) => socket.closedWith === null).length;
}

describe("one socket for all tabs", () => {
  test("it opens with the first tab, all hear what it brings, and it closes with the last", () => {
    const { world, tabs } = opened(3);
    world.frame(keyOf(1));
    for (const tab of tabs) {
      expect(tab.ticks).toEqual([1]);
      expect(tab.heard).toContainEqual({ kind: "connection", connection: { kind: "live" } });
    }
    expect(world.sockets).toHaveLength(1);
    tabs[0]?.gone();
    world.frame(deltaOf(2));
    expect(tabs.map((tab) => tab.ticks)).toEqual([[1], [1, 2], [1, 2]]);
    tabs[1]?.gone();
    expect(open(world)).toBe(1);
    tabs[2]?.gone();
    expect(open(world)).toBe(0);
    expect(world.timers).toBe(0);
  });

  test("before the first tab, and after the last, there is none", async () => {
    const { world, hub } = opened(0);
    await world.pass(100_000);
    new FakeTab(hub).gone();
    expect(world.sockets).toHaveLength(0);
  });

  test("with a tab that is seen again it opens again", () => {
    const { world, tabs } = opened(1);
    tabs[0]?.gone();
    tabs[0]?.here();
    expect(world.sockets.map((socket) => socket.closedWith)).toEqual([1000, null]);
  });

  test("frames go to tabs as they came, bad and broken ones not at all", () => {
    const { world, tabs } = opened(1);
    world.frame(keyOf(1));
    world.frame(deltaOf(2, { slots: 3 }));
    world.frame(deltaOf(3));
    expect(tabs[0]?.heard.filter((message) => message.kind !== "connection")).toEqual([
      { kind: "message", text: JSON.stringify(keyOf(1)), v1: true },
      { kind: "problem", problem: { kind: "frame", path: "slots", expected: "object" } },
    ]);
  });
});

describe("a tab that joins", () => {
  test("hears how things are, and a key frame is asked for, which goes to all", async () => {
    const { world, hub, tabs } = opened(1);
    world.frame(keyOf(1));
    const late = new FakeTab(hub);
    late.here();
    await world.pass(0);
    expect(late.heard).toEqual([{ kind: "connection", connection: { kind: "live" } }]);
    expect(world.socket.heard).toEqual([ASK]);
    world.frame(keyOf(2));
    expect([tabs[0]?.ticks, late.ticks]).toEqual([[1, 2], [2]]);
  });

  test("many of them ask once", async () => {
    const { world, hub } = opened(1);
    world.frame(keyOf(1));
    for (let count = 0; count < 20; count++) new FakeTab(hub).here();
    await world.pass(0);
    expect(world.socket.heard).toEqual([ASK]);
  });

  test("while the socket opens, none is asked for: the first frame is a key", async () => {
    const { world, hub } = opened(1);
    new FakeTab(hub).here();
    await world.pass(1000);
    expect(world.socket.heard).toEqual([]);
  });

  test("while answers are polled, it hears the newest at once", async () => {
    const { world, hub } = opened(1);
    world.answer = json(sampleOf([], { tick: 5, viewers: { ...VIEWERS, accepting: false } }));
    await world.lose(1013, "full");
    const late = new FakeTab(hub);
    late.here();
    expect(late.heard[0]).toEqual({ kind: "connection", connection: { kind: "polling", why: "full", reason: "full" } });
    expect(late.ticks).toEqual([5]);
  });
});

describe("a tab that goes without a word", () => {
  test("is forgotten, and the socket with the last", async () => {
    const { world, tabs } = opened(2);
    for (let round = 0; round < 10; round++) {
      world.frame(keyOf(round, { interval: HERE_MS / 1000 }));
      await world.pass(HERE_MS);
      if (round < 6) tabs[0]?.here();
    }
    expect(tabs.map((tab) => tab.ticks)).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      [0, 1, 2, 3],
    ]);
    await world.pass(HERE_MS);
    expect(open(world)).toBe(0);
    expect(world.timers).toBe(0);
  });

  test("joins again with its next word", async () => {
    const { world, tabs } = opened(1);
    await world.pass(100_000);
    expect(open(world)).toBe(0);
    tabs[0]?.here();
    expect(open(world)).toBe(1);
  });
});

test("each word of a tab is answered", () => {
  const { tabs } = opened(1);
  const [tab] = tabs;
  expect(tab?.heard).toEqual([{ kind: "connection", connection: { kind: "connecting" } }]);
  tab?.here();
  expect(tab?.heard[1]).toEqual({ kind: "here" });
});

test("a tab without a chain has a key asked for", async () => {
  const { world, hub, tabs } = opened(1);
  world.frame(keyOf(1));
  if (tabs[0] !== undefined) hub.heard(tabs[0], { kind: "key" });
  await world.pass(0);
  expect(world.socket.heard).toEqual([ASK]);
});
