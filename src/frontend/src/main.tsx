/** Ties the page together: the browser's worker, socket and visibility on one side, signals and views on the other. */
import { effect } from "@preact/signals";
import { render } from "preact";
import workerScript from "virtual:worker";

import { Feed } from "./feed";
import type { FromTab, ToTab } from "./hub";
import { browser, clock } from "./outside";
import { complain, connected, connection, now, receive, says, scheme } from "./state";
import * as strings from "./strings";
import { Tab, type Connect } from "./tab";
import { App } from "./views/App";
import type { Frame } from "./wire";

const base = new URL(".", document.baseURI);
const socketUrl = new URL("ws", base);
socketUrl.protocol = base.protocol === "https:" ? "wss:" : "ws:";
const addresses = { socket: socketUrl.href, snapshot: new URL("api/v1/snapshot", base).href };

const connect: Connect = (events) => {
  // Named, so that of two dashboards on one origin each has its own.
  const worker = new SharedWorker(workerScript, { type: "module", name: addresses.socket });
  worker.onerror = () => events.failed();
  worker.port.onmessage = ({ data }: MessageEvent<ToTab>) => events.message(data);
  return {
    say: (message: FromTab) => worker.port.postMessage(message),
    close: () => worker.port.close(),
  };
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

const listener = { connection: connected, frame: show, problem: complain };
const live = new Tab(clock, addresses, connect, () => new Feed(browser(addresses), listener), listener);

function follow(): void {
  if (document.hidden) live.pause();
  else live.resume();
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
render(<App place={base.host + base.pathname} />, root);

document.addEventListener("visibilitychange", follow);
window.addEventListener("pagehide", () => live.stop());
window.addEventListener("pageshow", follow);
follow();
