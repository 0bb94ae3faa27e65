import { describe, expect, test } from "vitest";

import { connection as words, problem as complaint } from "../src/strings";
import { json, never, unreachable, World } from "./outside";
import { deltaOf, failureOf, keyOf, sampleOf, VIEWERS } from "./samples";

const fullHouse = { viewers: { ...VIEWERS, accepting: false } };
const ASK = '{"key":true}';

function started(): World {
  const world = new World();
  world.feed.resume();
  return world;
}

function wait(world: World): number {
  return world.state?.kind === "reconnecting" ? world.state.due - world.time : Number.NaN;
}

/** A world whose proxy answers plain requests and never upgrades: three sockets have failed. */
async function withoutUpgrade(): Promise<World> {
  const world = started();
  world.answer = json(sampleOf([]));
  for (let tries = 0; tries < 3; tries++) {
    await world.lose(1006);
    await world.pass(1000);
  }
  return world;
}

describe("live", () => {
  test("it is live with the first frame, not with the open socket", () => {
    const world = started();
    expect(world.state).toEqual({ kind: "connecting" });
    world.tick();
    expect(world.state).toEqual({ kind: "live" });
    expect(world.frames).toHaveLength(1);
  });

  test("an error sample is a frame like any other", () => {
    const world = started();
    world.socket.events.message(JSON.stringify(failureOf("no scoreboard")), "");
    expect(world.state).toEqual({ kind: "live" });
    expect(world.frames).toMatchObject([{ error: "no scoreboard" }]);
  });

  test("a bad frame is named and the socket stays", () => {
    const world = started();
    world.tick({ tick: "one" });
    expect(world.problems.map(complaint)).toEqual(["The server sent a bad frame: tick is not an integer."]);
    expect(world.socket.closedWith).toBeNull();
    world.tick();
    expect(world.frames).toHaveLength(1);
  });
});

describe("mod-wsgi-dashboard.v1", () => {
  /** Live, with a key frame of tick 1. */
  function chained(): World {
    const world = started();
    world.frame(keyOf(1));
    return world;
  }

  test("it is offered, and its frames are samples", () => {
    const world = chained();
    world.frame(deltaOf(2, { slots: { slot: [1], status: "W" } }));
    expect(world.socket.offered).toEqual(["mod-wsgi-dashboard.v1"]);
    expect(world.state).toEqual({ kind: "live" });
    expect(world.frames).toMatchObject([{ tick: 1 }, { tick: 2, snapshot: { processes: [{ workers: [{}, { status: "W" }] }] } }]);
    expect(world.messages.map((message) => message.v1)).toEqual([true, true]);
  });

  test("a broken chain: nothing new is shown, and a key frame is asked for once", async () => {
    const world = chained();
    for (const tick of [3, 4, 5]) {
      world.frame(deltaOf(tick));
      await world.pass(1000);
    }
    expect(world.frames).toHaveLength(1);
    expect(world.socket.heard).toEqual([ASK]);
    world.frame(keyOf(6));
    world.frame(deltaOf(7));
    expect(world.frames.map((frame) => frame.tick)).toEqual([1, 6, 7]);
    expect(world.problems).toEqual([]);
  });

  test("it asks at most once a second, and not if a key came by itself", async () => {
    const world = chained();
    world.feed.wantKey();
    world.feed.wantKey();
    await world.pass(0);
    world.frame(keyOf(2));
    world.feed.wantKey();
    await world.pass(999);
    expect(world.socket.heard).toHaveLength(1);
    await world.pass(1);
    expect(world.socket.heard).toHaveLength(2);
    world.frame(keyOf(3));
    world.feed.wantKey();
    world.frame(keyOf(4));
    await world.pass(2000);
    expect(world.socket.heard).toHaveLength(2);
  });

  test("a chain that does not heal is as good as silence", async () => {
    const world = chained();
    for (let tick = 3; tick < 8; tick++) {
      world.frame(deltaOf(tick));
      await world.pass(1000);
    }
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "stale" });
  });

  test("a bad frame is named, and breaks the chain", async () => {
    const world = chained();
    world.frame(deltaOf(2, { slots: { slot: [9], status: "W" } }));
    expect(world.problems.map(complaint)).toEqual(["The server sent a bad frame: slots.slot[0] does not fit the rest."]);
    world.frame(deltaOf(3));
    await world.pass(0);
    expect(world.socket.heard).toEqual([ASK]);
  });

  test("no delta continues what another socket brought", async () => {
    const world = chained();
    await world.lose(1006);
    await world.pass(300);
    world.frame(deltaOf(2));
    expect(world.frames).toHaveLength(1);
  });

  test("frames of an unknown kind are passed over", () => {
    const world = chained();
    world.frame({ frame: "bookmark", text: "deployed" });
    world.frame(deltaOf(2));
    expect(world.frames.map((frame) => frame.tick)).toEqual([1, 2]);
    expect(world.problems).toEqual([]);
  });

  test("a browser refuses a server that selects none: where plain requests are answered, the last try offers none", async () => {
    const world = started();
    world.answer = json(sampleOf([]));
    await world.lose(1006);
    await world.pass(300);
    await world.lose(1006);
    await world.pass(600);
    expect(world.sockets.map((socket) => socket.offered.length)).toEqual([1, 1, 0]);
    world.tick();
    expect(world.state).toEqual({ kind: "live" });
    await world.lose(1006);
    await world.pass(300);
    expect(world.socket.offered).toHaveLength(1);
  });
});

describe("reconnecting", () => {
  test("1001: the server restarts, so try again after 0.3 s", async () => {
    const world = started();
    world.tick();
    await world.lose(1001);
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "restart", due: 300 });
    await world.pass(299);
    expect(world.sockets).toHaveLength(1);
    await world.pass(1);
    expect(world.sockets).toHaveLength(2);
  });

  test("the delay doubles up to 15 s and starts again once a frame came", async () => {
    const world = started();
    const delays: number[] = [];
    for (let tries = 0; tries < 8; tries++) {
      await world.lose(1006);
      delays.push(wait(world));
      await world.pass(wait(world));
    }
    expect(delays).toEqual([300, 600, 1200, 2400, 4800, 9600, 15_000, 15_000]);
    world.tick();
    await world.lose(1006);
    expect(wait(world)).toBe(300);
  });

  test("jitter only shortens the delay", async () => {
    const world = started();
    world.luck = 0.5;
    await world.lose(1001);
    expect(world.state).toMatchObject({ due: 300 * 0.85 });
  });

  test("no frame for 5 s: the socket is closed, and the page says since when", async () => {
    const world = started();
    await world.pass(1000);
    world.tick();
    await world.pass(4999);
    expect(world.state).toEqual({ kind: "live" });
    await world.pass(1);
    expect(world.socket.closedWith).toBe(1000);
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "stale", since: 1000 });
  });

  test("with a long interval, patience is three intervals", async () => {
    const world = started();
    world.tick({ interval: 10 });
    await world.pass(29_999);
    expect(world.state).toEqual({ kind: "live" });
    await world.pass(1);
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "stale" });
  });

  test("a socket that was given up is not heard any more", async () => {
    const world = started();
    await world.pass(5300);
    const [old] = world.sockets;
    old?.events.message(JSON.stringify(sampleOf([])), "");
    old?.events.closed(1000, "");
    expect(world.frames).toHaveLength(0);
    expect(world.state).toEqual({ kind: "connecting" });
  });
});

describe("polling, because all places are taken (1013)", () => {
  async function full(): Promise<World> {
    const world = started();
    world.answer = json(sampleOf([], fullHouse), { headers: { ETag: '"1"' } });
    await world.lose(1013, "2 of 2 places are taken");
    return world;
  }

  test("it says the server's reason and asks at once, then every 5 s", async () => {
    const world = await full();
    expect(world.state).toEqual({ kind: "polling", why: "full", reason: "2 of 2 places are taken" });
    await world.pass(10_000);
    expect(world.asked.map((question) => question.at)).toEqual([0, 5000, 10_000]);
    expect(world.frames).toHaveLength(3);
  });

  test("the ETag is sent back, and a 304 is an answer without a frame", async () => {
    const world = await full();
    world.answer = () => new Response(null, { status: 304 });
    await world.pass(5000);
    expect(world.asked.map((question) => question.headers)).toEqual([{}, { "If-None-Match": '"1"' }]);
    expect(world.frames).toHaveLength(1);
    expect(world.state).toMatchObject({ kind: "polling" });
  });

  test("an interval above 5 s is the period", async () => {
    const world = await full();
    world.answer = json(sampleOf([], { interval: 20, ...fullHouse }));
    await world.pass(50_000);
    expect(world.asked.map((question) => question.at)).toEqual([0, 5000, 25_000, 45_000]);
  });

  test("while the server would not let one more in, no socket is tried", async () => {
    const world = await full();
    await world.pass(300_000);
    expect(world.sockets).toHaveLength(1);
  });

  test("a free place is tried, at most every 30 s; polling goes on beside it", async () => {
    const world = await full();
    world.answer = json(sampleOf([]));
    await world.pass(29_999);
    expect(world.sockets).toHaveLength(1);
    await world.pass(1);
    expect(world.sockets).toHaveLength(2);
    await world.lose(1013, "still full");
    expect(world.state).toEqual({ kind: "polling", why: "full", reason: "still full" });
    await world.pass(29_999);
    expect(world.sockets).toHaveLength(2);
    await world.pass(1);
    expect(world.sockets).toHaveLength(3);
  });

  test("the server says when to try again: so long after it last said so", async () => {
    const world = await full();
    world.answer = json(sampleOf([], fullHouse), { headers: { "Retry-After": "12" } });
    await world.pass(40_000);
    world.answer = json(sampleOf([]));
    await world.pass(11_999);
    expect(world.sockets).toHaveLength(1);
    await world.pass(3_001);
    expect(world.sockets.map((socket) => socket.openedAt)).toEqual([0, 55_000]);
  });

  test.each(["-5", "1e3", "Fri, 31 Dec 1999 23:59:59 GMT", ""])("Retry-After: %j is none", async (value) => {
    const world = await full();
    world.answer = json(sampleOf([]), { headers: { "Retry-After": value } });
    await world.pass(30_000);
    expect(world.sockets.map((socket) => socket.openedAt)).toEqual([0, 30_000]);
  });

  test("jitter lengthens the wait", async () => {
    const world = started();
    world.luck = 0.5;
    world.answer = json(sampleOf([]));
    await world.lose(1013);
    await world.pass(34_499);
    expect(world.sockets).toHaveLength(1);
    await world.pass(6_000);
    expect(world.sockets).toHaveLength(2);
  });

  test("with the first frame on a socket, polling ends", async () => {
    const world = await full();
    world.answer = json(sampleOf([]));
    await world.pass(30_000);
    world.tick();
    expect(world.state).toEqual({ kind: "live" });
    const asked = world.asked.length;
    await world.pass(4000);
    expect(world.asked).toHaveLength(asked);
  });

  test("without an answer it goes back to sockets", async () => {
    const world = await full();
    world.answer = unreachable;
    await world.pass(5000);
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "lost" });
  });

  test("an answer that does not come is given up after 10 s", async () => {
    const world = await full();
    world.answer = never;
    await world.pass(14_999);
    expect(world.state).toMatchObject({ kind: "polling" });
    await world.pass(1);
    expect(world.state).toMatchObject({ kind: "reconnecting" });
  });

  test("a 503 with an error sample is an answer", async () => {
    const world = await full();
    world.answer = json(failureOf("no scoreboard"), { status: 503 });
    await world.pass(5000);
    expect(world.frames.at(-1)).toMatchObject({ error: "no scoreboard" });
    expect(world.state).toMatchObject({ kind: "polling" });
  });
});

describe("polling, because the proxy does not upgrade", () => {
  test("three sockets without a frame, and a server that answers: it polls and names the directive", async () => {
    const world = await withoutUpgrade();
    expect(world.sockets).toHaveLength(3);
    expect(world.state).toEqual({ kind: "polling", why: "no-upgrade" });
    expect(world.state && words(world.state, 0).why).toContain("upgrade=websocket");
  });

  test("a socket that opens and stays silent counts as well", async () => {
    const world = started();
    world.answer = json(sampleOf([]));
    await world.pass(3 * 5000 + 300 + 600);
    expect(world.state).toEqual({ kind: "polling", why: "no-upgrade" });
  });

  test("the socket is tried again after 60 s", async () => {
    const world = await withoutUpgrade();
    const tried = world.socket.openedAt;
    await world.pass(70_000);
    expect(world.sockets).toHaveLength(4);
    expect(world.socket.openedAt - tried).toBeGreaterThanOrEqual(60_000);
    await world.lose(1006);
    expect(world.state).toEqual({ kind: "polling", why: "no-upgrade" });
  });

  test("a server that is only down is not blamed on the proxy", async () => {
    const world = started();
    for (let tries = 0; tries < 3; tries++) {
      await world.lose(1006);
      await world.pass(1200);
    }
    world.answer = json(sampleOf([]));
    await world.lose(1006);
    expect(world.state).toMatchObject({ kind: "reconnecting", why: "refused" });
    await world.pass(2400);
    world.tick();
    expect(world.state).toEqual({ kind: "live" });
  });
});

describe("a refusal", () => {
  async function refused(answer: () => Response): Promise<World> {
    const world = started();
    world.answer = answer;
    await world.lose(1006);
    await world.pass(300);
    await world.lose(1006);
    return world;
  }

  test.each([
    ["plain text", () => new Response("Ask an admin", { status: 403, headers: { "Content-Type": "text/plain" } }), "Ask an admin"],
    ["a JSON error", json({ error: "host not allowed" }, { status: 403 }), "host not allowed"],
    [
      "a problem document",
      json({ title: "Forbidden", detail: "add it" }, { status: 403, headers: { "Content-Type": "application/problem+json" } }),
      "add it",
    ],
    ["JSON of another kind", json([1], { status: 403 }), "[1]"],
    ["an HTML page", () => new Response("<h1>", { status: 502, headers: { "Content-Type": "text/html" } }), "The server answered HTTP 502."],
  ])("%s", async (_name, answer, expected) => {
    const world = await refused(answer);
    expect(world.problems.map(complaint)).toEqual([expected]);
    expect(world.state).toMatchObject({ kind: "reconnecting" });
  });

  test("its text is bounded", async () => {
    const world = await refused(json({ error: "x".repeat(9000) }, { status: 403 }));
    expect(world.problems.map(complaint)).toEqual(["x".repeat(500)]);
  });
});

describe("hidden and stopped", () => {
  test("a hidden page closes its socket at once and holds no timer", async () => {
    const world = started();
    world.tick();
    world.feed.pause();
    expect(world.socket.closedWith).toBe(1000);
    expect(world.state).toEqual({ kind: "hidden" });
    expect(world.timers).toBe(0);
  });

  test("it reconnects when it is seen again, once", async () => {
    const world = started();
    world.feed.pause();
    world.feed.resume();
    world.feed.resume();
    expect(world.sockets).toHaveLength(2);
    expect(world.state).toEqual({ kind: "connecting" });
  });

  test("hidden while it polls: the answer under way is dropped, and nothing is asked any more", async () => {
    const world = await withoutUpgrade();
    world.answer = never;
    await world.pass(5000);
    world.feed.pause();
    const asked = world.asked.length;
    await world.pass(100_000);
    expect(world.asked).toHaveLength(asked);
    expect(world.timers).toBe(0);
    expect(world.state).toEqual({ kind: "hidden" });
  });

  test("hidden while it waits to reconnect: no try is made", async () => {
    const world = started();
    await world.lose(1001);
    world.feed.pause();
    await world.pass(100_000);
    expect(world.sockets).toHaveLength(1);
  });

  test("stopped is said as such", () => {
    const world = started();
    world.feed.stop();
    expect(world.socket.closedWith).toBe(1000);
    expect(world.state).toEqual({ kind: "stopped" });
  });
});
