import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { KEYS } from "../src/strings-later";
import { AT, counted, lettered } from "./samples";

class FakeElement {
  constructor(private readonly kind: string) {}

  closest(selectors: string): this | null {
    return selectors.split(", ").includes(this.kind) ? this : null;
  }
}
class FakeButton extends FakeElement {}

let stored: Map<string, string>;

beforeEach(() => {
  vi.resetModules();
  stored = new Map();
  vi.stubGlobal("Element", FakeElement);
  vi.stubGlobal("HTMLButtonElement", FakeButton);
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => stored.get(name) ?? null,
    setItem: (name: string, value: string) => stored.set(name, value),
  });
});
afterEach(() => vi.unstubAllGlobals());

/** A page that got 100 samples, and its keys. */
async function opened() {
  const [state, keys] = [await import("../src/state"), await import("../src/keys")];
  for (let second = 0; second < 100; second++) state.receive(counted(lettered("W_"), { at: AT + second }));
  const done: string[] = [];
  const doing = { copy: () => void done.push("copy"), filter: () => void done.push("filter") };
  const press = (key: string, changes: Partial<Record<keyof KeyboardEvent, unknown>> = {}) =>
    keys.act({ key, target: new FakeElement("body"), ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...changes } as KeyboardEvent, doing);
  const shown = () => (state.sample.value?.at ?? 0) - AT;
  const seconds = () => state.span.value.to - state.span.value.from;
  return { state, keys, press, done, shown, seconds };
}

describe("keys", () => {
  test("the space bar stops the page, and lets it go on", async () => {
    const { state, press } = await opened();
    expect([press(" "), state.paused.value]).toEqual([true, true]);
    expect([press(" "), state.paused.value]).toEqual([true, false]);
  });

  test("arrows go through samples, with Shift by ten", async () => {
    const { press, shown } = await opened();
    const arrows = [["ArrowLeft", false], ["ArrowLeft", true], ["ArrowRight", false], ["ArrowRight", true]] as const;
    expect(arrows.map(([key, shiftKey]) => press(key, { shiftKey }) && shown())).toEqual([98, 88, 89, 99]);
  });

  test("digits choose a window; + and - zoom; brackets move", async () => {
    const { state, press, seconds } = await opened();
    const windows = [..."1234567"].map((key) => press(key) && state.choices.value.window);
    expect(windows).toEqual(["1m", "5m", "15m", "1h", "6h", "1d", "all"]);
    press("1");
    expect(["+", "=", "-"].map((key) => press(key) && Math.round(seconds()))).toEqual([40, 27, 40]);
    press("[");
    expect([state.elsewhere.value, state.span.value.to - AT]).toEqual([true, 89]);
    press("]");
    expect(state.elsewhere.value).toBe(false);
  });

  test("m turns the panel, g goes through the groups and back to none", async () => {
    const { state, press } = await opened();
    expect(["m", "m"].map((key) => press(key) && state.choices.value.panel)).toEqual(["map", "grid"]);
    expect([..."ggggg"].map((key) => press(key) && state.choices.value.group)).toEqual(["path", "vhost", "client", "state", null]);
  });

  test("/ goes to the filter, c copies, ? helps", async () => {
    const { state, press, done } = await opened();
    expect([press("/"), press("c"), press("?")]).toEqual([true, true, true]);
    expect([done, state.helping.value]).toEqual([["filter", "copy"], true]);
  });

  test("those that help lists do something", async () => {
    const { press } = await opened();
    const NAMES: Readonly<Record<string, string>> = { Space: " ", "←": "ArrowLeft", "→": "ArrowRight", "−": "-" };
    for (const key of KEYS.flatMap(([names]) => names.split(" ")).filter((name) => name !== "Esc")) {
      expect([key, press(NAMES[key] ?? key)]).toEqual([key, true]);
    }
  });

  test.each(["", "x", "8", "12", "Enter", "Tab", "toString", "constructor", "__proto__"])("%j does nothing", async (key) => {
    const { state, press } = await opened();
    const before = state.choices.value;
    expect([press(key), state.choices.value, state.paused.value]).toEqual([false, before, false]);
  });

  test.each(["ctrlKey", "metaKey", "altKey"] as const)("nothing with %s", async (modifier) => {
    const { press, done } = await opened();
    expect([press("c", { [modifier]: true }), press("Escape", { [modifier]: true }), done]).toEqual([false, false, []]);
  });

  test("what the grid took is taken", async () => {
    const { press, done } = await opened();
    expect([press("c", { defaultPrevented: true }), done]).toEqual([false, []]);
  });

  test.each(["input", "select", "textarea", "summary", "dialog"])("%s keeps its own", async (kind) => {
    const { press } = await opened();
    expect([press("m", { target: new FakeElement(kind) }), press("m", { target: null })]).toEqual([false, true]);
  });

  test("a button keeps the space bar, and no more", async () => {
    const { press } = await opened();
    const target = new FakeButton("button");
    expect([press(" ", { target }), press("m", { target })]).toEqual([false, true]);
  });
});

describe("switched off", () => {
  test("no key acts, but Escape", async () => {
    const { state, keys, press } = await opened();
    keys.enable(false);
    expect([keys.enabled(), press("m")]).toEqual([false, false]);
    state.pause();
    expect(press("Escape")).toBe(true);
    keys.enable(true);
    expect([keys.enabled(), press("m")]).toEqual([true, true]);
  });

  test("where storage is forbidden, keys act", async () => {
    const { keys, press } = await opened();
    vi.stubGlobal("localStorage", undefined);
    keys.enable(false);
    expect([keys.enabled(), press("m")]).toEqual([true, true]);
  });
});

describe("Escape", () => {
  test("unpins, clears the filter, goes on: one thing at a time, also from the filter's box", async () => {
    const { state, press } = await opened();
    state.pause();
    state.choose({ filter: "W", pinned: { process_num: 0, index: 0 } });
    const seen = () => [state.choices.value.pinned !== null, state.choices.value.filter, state.paused.value];
    expect(seen()).toEqual([true, "W", true]);
    expect([press("Escape"), ...seen()]).toEqual([true, false, "W", true]);
    expect([press("Escape", { target: new FakeElement("input") }), ...seen()]).toEqual([true, false, "", true]);
    expect([press("Escape"), ...seen()]).toEqual([true, false, "", false]);
    expect(press("Escape")).toBe(false);
  });

  test("is a dialog's while one is open", async () => {
    const { state, press } = await opened();
    state.pause();
    state.helping.value = true;
    expect(press("Escape")).toBe(false);
    state.helping.value = false;
    state.uncopied.value = "text";
    expect([press("Escape"), state.paused.value]).toEqual([false, true]);
  });
});
