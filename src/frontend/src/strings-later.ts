/** The words of what comes after the first picture. */
import type { Drain } from "./draining";
import type { Group, GroupKey } from "./groups";
import { count, NOT_AVAILABLE, STATE_NAMES } from "./strings";
import { STATUSES } from "./wire";

/** Keys and what they do, for help; `keys.ts` acts on them. */
export const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Filter requests"],
  ["Space", "Pause the page at this sample; go back to live"],
  ["← →", "One sample back, one on (with Shift: ten)"],
  [", .", "Previous event, next event"],
  ["p", "Play from this sample on; stop"],
  ["1 2 3 4 5 6 7", "Window: 1, 5, 15 minutes, 1, 6 hours, a day, all"],
  ["+ −", "Zoom in, zoom out"],
  ["[ ]", "Earlier, later"],
  ["m", "Workers now, or over time"],
  ["g", "Group requests: by path, virtual host, client, state"],
  ["c", "Copy what is on screen as text"],
  ["Esc", "Close, unpin, clear the filter, go back to live"],
  ["?", "This list"],
];

export const FILTER_HELP: readonly (readonly [string, string])[] = [
  ["report", "in the request, client or virtual host"],
  ["-report", "not in them"],
  ["path:/report/*", "also method:POST  vhost:www  client:192.0.2."],
  ["state:R,W", "by letter or name"],
  ["age>5s", "also age<2m"],
  ["is:slow", "also is:draining  is:websocket"],
  ["pid:4711", "also slot:3.10"],
];

export const LABELS_OF_ROWS = { pid: "PID", generation: "Generation", processAge: "Age", states: "States" } as const;

export function groupName({ name, filter }: Group, key: GroupKey): string {
  if (name === "") return NOT_AVAILABLE;
  const status = STATUSES.find((letter) => letter === name);
  return key === "state" && status !== undefined ? `${name} ${STATE_NAMES[status]}` : name || filter;
}

export const DRAINS = {
  /** Behind the name of the directive. */
  why: "must have room for old and new processes: the old keep their places until their last request ends.",
  longest: "By the request that has been held longest.",
} as const;

/** What else is known of those that hold a process. */
export function moreHeld({ holders }: Drain): string {
  const [first, ...rest] = holders;
  const parts = first === undefined || first.client === "" ? [] : [`client ${first.client}`];
  if (rest.length > 0) parts.push(`${count(rest.length)} more ${rest.length === 1 ? "request" : "requests"}`);
  return parts.join(", ");
}
