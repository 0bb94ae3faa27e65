/** Ties the page together: the browser's own clock, socket and visibility on one side, signals and views on the other. */
import { effect } from "@preact/signals";
import { render } from "preact";

import { Feed, type Outside } from "./feed";
import { complain, connected, connection, now, receive, says, scheme } from "./state";
import * as strings from "./strings";
import { App } from "./views/App";
import type { Frame } from "./wire";

const socketUrl = new URL("ws", document.baseURI);
socketUrl.protocol = socketUrl.protocol === "https:" ? "wss:" : "ws:";
const snapshotUrl = new URL("api/v1/snapshot", document.baseURI);
const place = location.host + new URL(".", document.baseURI).pathname;

const outside: Outside = {
  now: () => Date.now(),
  random: () => Math.random(),
  setTimer: (run, ms) => window.setTimeout(run, ms),
  clearTimer: (timer) => window.clearTimeout(timer),
  open(events) {
    const socket = new WebSocket(socketUrl);
    socket.onmessage = (event) => events.message(event.data);
    socket.onclose = (event) => events.closed(event.code, event.reason);
    return (code) => socket.close(code);
  },
  fetch: (headers, signal) => fetch(snapshotUrl, { headers, signal, cache: "no-store" }),
};

let next: Frame | null = null;

/** One animation frame a tick; of two ticks in one frame the newer wins. */
function show(frame: Frame): void {
  if (next === null) {
    requestAnimationFrame(() => {
      if (next !== null) receive(next);
      next = null;
    });
  }
  next = frame;
}

const feed = new Feed(outside, { connection: connected, frame: show, problem: complain });

function follow(): void {
  if (document.hidden) feed.pause();
  else feed.resume();
}

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  matchMedia(query).addEventListener("change", () => (scheme.value += 1));
}

effect(() => {
  if (connection.value.kind !== "reconnecting") return;
  const timer = window.setInterval(() => (now.value = Date.now()), 1000);
  return () => window.clearInterval(timer);
});
effect(() => {
  if (says.value !== null) document.title = strings.title(says.value, location.host);
});

const root = document.getElementById("app");
if (root === null) throw new Error("the page has no #app");
render(<App place={place} />, root);

document.addEventListener("visibilitychange", follow);
window.addEventListener("pagehide", () => feed.stop());
window.addEventListener("pageshow", follow);
follow();
