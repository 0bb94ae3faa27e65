/**
 * What a view is made of, as the part of the page's address behind the "#", so that it can be shared. A browser sends
 * it to no server, and so neither Apache's log nor its scoreboard ever has somebody's filter.
 */
import type { GroupKey, Sort } from "./groups";
import type { Slot } from "./requests";

/** Seconds; all is what there is. */
export const WINDOWS = {
  ...{ "1m": 60, "5m": 300, "15m": 900, "1h": 3600 },
  ...{ "6h": 21_600, "1d": 86_400, all: Number.POSITIVE_INFINITY },
} as const;
export type WindowName = keyof typeof WINDOWS;
export type Panel = "grid" | "map";

export interface Choices {
  readonly window: WindowName;
  readonly panel: Panel;
  readonly filter: string;
  readonly sort: Sort;
  readonly group: GroupKey | null;
  readonly pinned: Slot | null;
}

export const DEFAULTS: Choices = {
  window: "5m",
  panel: "grid",
  filter: "",
  sort: { key: "age", down: true },
  group: null,
  pinned: null,
};

const SORTS: readonly Sort["key"][] = ["age", "state", "pid", "client", "vhost", "request"];
export const GROUPS: readonly GroupKey[] = ["path", "vhost", "client", "state"];
export const WINDOW_NAMES = Object.keys(WINDOWS) as readonly WindowName[];
/** No filter that somebody typed is longer, or has a line feed in it: the box would show another text than it holds. */
const LONGEST_FILTER = 500;
const CONTROLS = /\p{Cc}+/gu;

const oneOf = <T extends string>(values: readonly T[], text: string | null): T | undefined =>
  values.find((value) => value === text);

/** Read what `write` wrote; what is not understood is as if it were not there. */
export function read(hash: string): Choices {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const sort = given.get("sort") ?? "";
  const key = oneOf(SORTS, sort.replace(/^-/, ""));
  const [, process, index] = /^(\d{1,6})\.(\d{1,6})$/.exec(given.get("slot") ?? "") ?? [];
  return {
    window: oneOf(WINDOW_NAMES, given.get("window")) ?? DEFAULTS.window,
    panel: given.get("panel") === "map" ? "map" : "grid",
    filter: (given.get("filter") ?? "").replace(CONTROLS, " ").slice(0, LONGEST_FILTER),
    sort: key === undefined ? DEFAULTS.sort : { key, down: sort.startsWith("-") },
    group: oneOf(GROUPS, given.get("group")) ?? null,
    pinned: process === undefined ? null : { process_num: Number(process), index: Number(index) },
  };
}

/** The instant that an address shows (epoch seconds); null for now. */
export function instantIn(hash: string): number | null {
  const text = new URLSearchParams(hash.replace(/^#/, "")).get("at") ?? "";
  return /^\d{1,11}(\.\d{1,6})?$/.test(text) ? Number(text) : null;
}

/** "#..." with the instant, if it is not now, and what is not as it is by default; "" if all is. */
export function write({ window, panel, filter, sort, group, pinned }: Choices, at: number | null = null): string {
  const told = new URLSearchParams();
  if (at !== null) told.set("at", String(Math.round(at * 1000) / 1000));
  if (window !== DEFAULTS.window) told.set("window", window);
  if (panel !== DEFAULTS.panel) told.set("panel", panel);
  if (filter !== "") told.set("filter", filter);
  if (sort.key !== DEFAULTS.sort.key || sort.down !== DEFAULTS.sort.down) {
    told.set("sort", `${sort.down ? "-" : ""}${sort.key}`);
  }
  if (group !== null) told.set("group", group);
  if (pinned !== null) told.set("slot", `${pinned.process_num}.${pinned.index}`);
  const text = told.toString();
  return text === "" ? "" : `#${text}`;
}
