/** Ties the page together: the browser's worker, socket, address and keys, and the page's signals and views. */
import { effect, signal } from "@preact/signals";
import { render } from "preact";
import workerScript from "virtual:worker";

import "./style.css";
import { instantIn, read, write } from "./address";
import { Favicon } from "./favicon";
import { Feed } from "./feed";
import type { FromTab, ToTab } from "./hub";
import { act } from "./keys";
import { haveLater, later, missing } from "./later";
import type { Opening } from "./opening";
import { Alarm, browser, clock } from "./outside";
import { announce, say } from "./speech";
import * as state from "./state";
import * as strings from "./strings";
import { Tab, type Connect } from "./tab";
import * as travel from "./travel";
import { App } from "./views/App";
import type { Connection } from "./live";
import type { Frame } from "./wire";

/** Ages of less than ten seconds show tenths: twice a second looks alive, and costs a layout each time ... */
const AGE_MS = 500;
const SETTLED_MS = 400;
/** ... so not where the next sample is about to come. */
const DUE_MS = 200;

const base = new URL(".", document.baseURI);
const socketUrl = new URL("ws", base);
socketUrl.protocol = base.protocol === "https:" ? "wss:" : "ws:";
const addresses = { socket: socketUrl.href, snapshot: new URL("api/v1/snapshot", base).href };
const place = base.host + base.pathname;

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

/** Comes by itself, after what the first picture needs. */
let opening: Opening | null = null;
const recorded = (path: string, signal: AbortSignal) =>
  fetch(new URL(`api/v1/${path}`, base), { signal, cache: "no-store" });
/** The instant of the address, until the page shows it. */
const linkedAt = signal(instantIn(location.hash));
let opened = false;
let away = false;

function connected(connection: Connection): void {
  if (connection.kind !== "live" && connection.kind !== "polling") away = opened;
  state.connected(connection);
}

let next: Frame | null = null;
let receivedAt = 0;

/** One animation frame a tick; of two ticks in one frame the newer wins. */
function show(frame: Frame): void {
  if (next === null) {
    requestAnimationFrame(() => {
      if (next !== null) state.receive(next);
      next = null;
      receivedAt = performance.now();
      if (later.peek() === null && !missing.peek()) clock.setTimer(() => void haveLater(), 0);
      if (away) opening?.reopen();
      away = false;
    });
  }
  next = frame;
}

const listener = { connection: connected, frame: show, problem: state.complain };
const live = new Tab(clock, addresses, connect, () => new Feed(browser(addresses), listener), listener);

function watch(): void {
  if (document.hidden) {
    live.pause();
    opening?.rest();
    return;
  }
  if (!travel.replaying.peek()) live.resume();
  if (!opened) void open();
  opened = true;
}

async function open(): Promise<void> {
  try {
    const { Opening } = await import("./opening");
    opening ??= new Opening(recorded, clock);
    // Hidden meanwhile: there is time for it once somebody looks.
    opened = !document.hidden;
    if (!opened) return;
    await opening.open(linkedAt.peek());
  } catch {
    // Another version of the server has other files: the page has what it remembers.
  }
  linkedAt.value = null;
}

async function copy(): Promise<void> {
  const screen = state.screen(place);
  // It is there: a browser lets a page copy for a moment only after what its viewer did.
  const { report } = later.peek() ?? (await haveLater()) ?? {};
  if (screen === null || report === undefined) return;
  const text = report(screen);
  try {
    await navigator.clipboard.writeText(text);
    say(strings.LABELS.copied);
    state.copied.value = true;
    clock.setTimer(() => (state.copied.value = false), 2000);
  } catch {
    // Not on https, or the browser's user forbids it.
    state.uncopied.value = text;
  }
}

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  matchMedia(query).addEventListener("change", () => (state.scheme.value += 1));
}

effect(() => {
  if (state.connection.value.kind !== "reconnecting") return;
  const timer = window.setInterval(() => (state.now.value = Date.now()), 1000);
  return () => window.clearInterval(timer);
});
const still = matchMedia("(prefers-reduced-motion: reduce)");
effect(() => {
  const sample = state.sample.value;
  // Ages stand still while the page does, and where no sample says that the requests are still there.
  if (sample === null || state.paused.value || state.outdatedSince.value !== null || still.matches) return;
  const timer = window.setInterval(() => {
    const passed = performance.now() - receivedAt;
    const due = Math.abs(passed - sample.interval * 1000) < DUE_MS;
    if (!document.hidden && !due) state.moment.value = sample.at + passed / 1000;
  }, AGE_MS);
  return () => window.clearInterval(timer);
});
const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
const favicon = icon === null ? null : new Favicon(icon);
effect(() => {
  const load = state.load.value;
  const alarm = state.criticalNow.value.length > 0;
  const title = strings.title(load, location.host, alarm);
  // Each title that is set is shown anew by the browser, the same one too.
  if (document.title !== title) document.title = title;
  if (load !== null || alarm) favicon?.draw(load !== null && load.of > 0 ? load.busy / load.of : 0, alarm);
});

effect(() => {
  // Before the first sample, too.
  if (state.helping.value) void haveLater();
});

state.choose(read(location.hash));
const settled = new Alarm(clock);
function tell(): void {
  const hash = write(state.choices.peek(), state.frozenAt.peek() ?? linkedAt.peek());
  // The page's base is not its address: a bare "#..." would be resolved against the mount.
  if (hash !== location.hash) history.replaceState(null, "", location.pathname + location.search + hash);
}
effect(() => {
  void state.choices.value;
  tell();
});
effect(() => {
  const at = state.frozenAt.value ?? linkedAt.value;
  // Browsers allow some three changes a second: held arrow keys, and a film, make more.
  settled.set(at === null ? 0 : SETTLED_MS, tell);
});
window.addEventListener("hashchange", () => {
  // First: what is chosen is written into the address at once.
  const at = instantIn(location.hash);
  state.choose(read(location.hash));
  if (at === null && state.paused.peek()) travel.live();
  if (at !== null) travel.seek(at);
});
// A replay has one sample to show live, its last: no connection is needed for that.
effect(() => {
  if (travel.replaying.value && state.newest.value !== null) live.pause();
});

const doing = {
  copy: () => void copy(),
  filter: () => document.getElementById("filter")?.focus(),
};
window.addEventListener("keydown", (event) => {
  if (act(event, doing)) event.preventDefault();
});

const root = document.getElementById("app");
if (root === null) throw new Error("the page has no #app");
render(<App place={place} ownPath={socketUrl.pathname} copy={doing.copy} />, root);
announce((run, ms) => clock.setTimer(run, ms));

document.addEventListener("visibilitychange", watch);
window.addEventListener("pagehide", () => live.stop());
window.addEventListener("pageshow", watch);
watch();
