/** Every word of the recorder's panel. */
import type { Loose } from "../check";
import {
  bytes,
  condition,
  count,
  dateTime,
  extreme,
  LEGEND_NAMES,
  NOT_AVAILABLE,
  requestLine,
  seconds,
  severity,
  verdict,
} from "../strings";
import type { Status } from "../wire";
import { numberOf, textOf, type Concurrency, type Kind, type RecordedEvent } from "./answers";
import type { Moment, NumberName, Pair } from "./compare";
import type { Back, Preset } from "./range";
import type { Recording } from "./recording";
import type { Judged, Row } from "./whatif";

export const LABELS = {
  title: "Recorder",
  close: "Close",
  unreachable: "The server can't be reached.",
  loading: "Asking the server …",
  from: "From",
  to: "To",
  failed: "Nothing is recorded at the moment.",
  unharmed: "The live page goes on without a recording.",
  // Events
  kinds: "Kinds of events",
  noEvents: "Nothing of these kinds was recorded.",
  bookmark: "Bookmark this moment",
  bookmarkText: "What happens at this moment",
  bookmarkHint: "deploy 4711",
  remove: "Remove",
  goOn: "goes on",
  look: "Show this moment in the page",
  // Take it along
  presets: "Stretch of time",
  wrongRange: "“From” must be before “to”.",
  incident: "Download the incident file",
  csv: "Download the numbers as CSV",
  holds:
    "An incident file holds all that was recorded in that time: samples, numbers, events and bookmarks. " +
    "Secrets in URLs were masked before they were recorded, as they are on this page. " +
    "Paths, virtual hosts and clients are in it: think of that before you give it away.",
  replay: "It opens in this same page on any machine, without Apache:",
  command: "mod_wsgi-dashboard replay FILE",
  csvHolds: "The CSV has one row for each stretch of time, with the mean, least and most of each number.",
  // What-if
  back: "Recorded time",
  workers: "MaxRequestWorkers",
  fewest: "The fewest workers for so little time",
  full: "Full",
  hours:
    "Only whole hours are counted. Requests that waited in Apache's listen queue nobody saw: they are not in it.",
  noTime: "Nothing is recorded of that time.",
  wrongWorkers: "Give a whole number, from 1 on.",
  // Compare
  compareWith: "Compare with",
  before: "Before",
  after: "After",
  change: "Change",
  what: "What",
  swap: "Swap",
  show: "Show this moment",
  instant: "Another instant",
  minutesAgo: "Earlier",
  eventsOf: "Events",
  bookmarksOf: "Bookmarks",
  states: "States",
  numbers: "Numbers",
  paths: "Requests in flight, by method and path",
} as const;

export const TABS = {
  status: "Status",
  events: "Events",
  take: "Take it along",
  whatif: "What if",
  compare: "Compare",
} as const;

export const refused = (status: number, detail: string): string =>
  detail === "" ? `The server answered HTTP ${status}.` : detail;
export const badAnswer = (path: string): string =>
  `The server's answer is not understood${path === "" ? "" : ` (${path})`}. ` +
  "Is it of another version than this page? Load the page again.";

const OFF = "Nothing is recorded (record = off). Set record = full or states to have a history.";
const RECORDED: Readonly<Record<string, string>> = {
  full: "every tick is recorded whole: the letters of all slots, their requests, clients and virtual hosts",
  states: "of every tick only the letters of all slots are recorded, no requests and no clients (record = states)",
};

/** What is recorded, in sentences; the first is the one that matters. */
export function status(what: Recording): readonly string[] {
  const lines: string[] = [];
  const detail = RECORDED[what.detail] ?? what.detail;
  if (what.state === "off") lines.push(OFF);
  else if (what.state === "failed") lines.push(what.problem ?? LABELS.failed, LABELS.unharmed);
  else if (what.state === "replay") lines.push(`This is a replay of ${what.file ?? "an incident file"}: ${detail}.`);
  else lines.push(`${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`);
  if (what.state !== "failed" && what.problem !== null) lines.push(what.problem);
  return lines;
}

/** Names and values; what is not known is left out. */
export function facts(what: Recording): readonly (readonly [string, string])[] {
  const { since, until, history_since: history } = what;
  const found: (readonly [string, string])[] = [];
  if (since !== null) found.push(["Whole samples since", dateTime(since)]);
  if (until !== null) found.push(["Newest sample", dateTime(until)]);
  if (since !== null && until !== null) found.push(["That is", seconds(Math.max(0, until - since))]);
  if (history !== null) found.push(["Numbers since", dateTime(history)]);
  if (what.bytes !== null) found.push(["On disk", size(what.bytes, what.limit)]);
  found.push(["A sample each", `${Number(what.interval.toFixed(2))} s`]);
  return found;
}

function size(used: number, limit: number | null): string {
  if (limit === null || limit <= 0) return bytes(used);
  return `${bytes(used)} of ${bytes(limit)} (${percent(used / limit)})`;
}

export const kept =
  "Whole samples are kept for 7 days; when the room is used up before that, the oldest go first. " +
  "Numbers are kept of each second for a day, of 10 s for 7 days, of a minute for 90 days.";

/** Few digits, but never 0 % for what is more than nothing. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0) return "0 %";
  if (value < 0.1) return "< 0.1 %";
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;
}

export const KIND_NAMES: Readonly<Record<Kind, string>> = {
  "apache-start": "Apache start",
  graceful: "Graceful restart",
  drained: "Old process gone",
  "process-end": "Process ended",
  saturation: "Full",
  "metrics-off": "No metrics",
  alert: "Alert",
  "dashboard-start": "Dashboard start",
  clock: "Clock set",
  bookmark: "Bookmark",
};

const named = (word: string, data: Loose, key: string): string => {
  const value = numberOf(data, key);
  return value === null ? "" : `${word} ${value}`;
};
const joined = (...parts: readonly string[]): string => parts.filter((part) => part !== "").join(", ");
const workers = (value: number): string => `${count(value)} ${value === 1 ? "worker" : "workers"}`;

const WHAT: { readonly [kind in Kind]: (data: Loose) => string } = {
  "apache-start": () => "the first that is seen of an Apache that was started or restarted",
  graceful: (data) => {
    const [draining, before] = [numberOf(data, "draining"), numberOf(data, "before")];
    return joined(
      named("generation", data, "generation") + (before === null ? "" : ` after ${before}`),
      draining === null ? "" : draining === 1 ? "1 old process drains" : `${count(draining)} old processes drain`,
    );
  },
  drained: (data) => {
    const [time, request, client] = [numberOf(data, "seconds"), textOf(data, "request"), textOf(data, "client")];
    return joined(
      named("pid", data, "pid"),
      named("generation", data, "generation"),
      time === null ? "" : `drained for ${seconds(time)}`,
      request === null ? "" : `last held by ${joined(named("slot", data, "slot"), requestLine(request))}`,
      client === null || client === "" ? "" : `client ${client}`,
    );
  },
  "process-end": (data) => {
    const held = numberOf(data, "held");
    const successor = numberOf(data, "successor");
    return joined(
      named("pid", data, "pid"),
      named("generation", data, "generation"),
      successor === null ? "" : `pid ${successor} took its place`,
      held === null || held === 0 ? "" : `${workers(held)} did something when it was last seen`,
    );
  },
  saturation: (data) => {
    const [all, peak] = [numberOf(data, "workers"), numberOf(data, "peak")];
    return joined(
      all === null ? "" : `all of ${workers(all)} busy`,
      peak !== null && peak !== all ? `${count(peak)} at most` : "",
    );
  },
  "metrics-off": (data) => textOf(data, "error") ?? "",
  alert: (data) => {
    const kind = textOf(data, "kind") ?? "";
    const [threshold, held] = [numberOf(data, "threshold"), numberOf(data, "count")];
    const what = condition({ kind, threshold, path: textOf(data, "path"), count: held });
    const how = severity(textOf(data, "severity") ?? "");
    return joined(
      `${textOf(data, "rule") ?? ""}: ${what}${extreme(kind, numberOf(data, "peak"))}`,
      how.toLowerCase(),
    );
  },
  "dashboard-start": (data) => {
    const gap = numberOf(data, "gap");
    return joined(
      gap === null ? "nothing was recorded before" : `nothing was recorded for ${seconds(Math.max(0, gap))} before`,
      textOf(data, "version") === null ? "" : `version ${textOf(data, "version") ?? ""}`,
    );
  },
  clock: (data) => {
    const by = numberOf(data, "seconds");
    return by === null ? "" : `${by < 0 ? "back" : "forward"} by ${seconds(Math.abs(by))}`;
  },
  bookmark: (data) => textOf(data, "text") ?? "",
};

/** The name of a kind; a newer server may have others. */
export const kindName = (kind: string): string => (Object.hasOwn(KIND_NAMES, kind) ? KIND_NAMES[kind as Kind] : kind);
export const what = ({ kind, data }: RecordedEvent): string =>
  Object.hasOwn(WHAT, kind) ? WHAT[kind as Kind](data) : "";

/** These last; the others are moments, or say themselves how long they took. */
const LASTING: ReadonlySet<string> = new Set<Kind>(["saturation", "metrics-off", "alert"]);

export const howLong = ({ kind, at, ended }: RecordedEvent): string =>
  !LASTING.has(kind) ? "" : ended === null ? LABELS.goOn : seconds(Math.max(0, ended - at));

/** An event in one line, for a list to choose from. */
export const eventLine = (event: RecordedEvent): string =>
  `${dateTime(event.at)}: ${kindName(event.kind)} ${what(event)}`.trim();
export const newestOnly = (shown: number): string => `Only the newest ${count(shown)} are shown.`;
export const bookmarkAt = (at: number): string => `The page shows ${dateTime(at)}.`;
export const removeBookmark = (event: RecordedEvent): string => `${LABELS.remove} ${what(event)}`;

export const PRESET_WORDS: Readonly<Record<Preset, string>> = {
  window: "The shown window",
  quarter: "Last 15 minutes",
  hour: "Last hour",
};

export const BACK_WORDS: Readonly<Record<Back, string>> = {
  hour: "Last hour",
  quarter_day: "Last 6 hours",
  day: "Last day",
  week: "Last week",
  all: "All",
};

/** The answer to "what if". */
export function judged(judgement: Judged, wanted: number, answer: Concurrency): string {
  if (judgement.kind === "nothing") return LABELS.noTime;
  if (judgement.kind === "unknown") {
    const why = "that was the limit, it was reached, and nobody saw how many requests waited then";
    return `Of more than ${workers(judgement.limit)} nothing can be known: ${why}.`;
  }
  const recorded = `the last ${seconds(answer.seconds)} recorded`;
  const you = `With MaxRequestWorkers = ${count(wanted)} you would`;
  if (judgement.seconds === 0) return `${you} never have been full in ${recorded}.`;
  return `${you} have been full ${percent(judgement.share)} of ${recorded} (${seconds(judgement.seconds)}).`;
}

export const recordedFrom = ({ from, to }: Concurrency): string => `From ${dateTime(from)} to ${dateTime(to)}.`;
export const limitThen = (limit: number | null): string =>
  limit === null ? "The limit of that time is not known." : `The newest limit of that time is ${workers(limit)}.`;
export const curveOf = (most: number): string => `Full, from 0 to 100 % of the time, with 1 to ${workers(most)}.`;
export const fullRow = ({ share, seconds: time }: Row): string =>
  time === 0 ? "never" : `${percent(share)} (${seconds(time)})`;

export const EARLIER: readonly (readonly [number, string])[] = [
  [60, "1 minute earlier"],
  [300, "5 minutes earlier"],
  [900, "15 minutes earlier"],
  [3600, "1 hour earlier"],
  [86_400, "1 day earlier"],
  [604_800, "1 week earlier"],
];

export const NUMBER_NAMES: Readonly<Record<NumberName, string>> = {
  busy: "Busy workers",
  of: "Workers in all",
  requests_per_second: "Requests a second",
  bytes_per_second: "Sent a second",
  oldest: "Oldest request",
  slow: "Held for 10 s or more",
  websockets: "WebSockets",
  processes: "Processes",
  draining: "Draining processes",
  generation: "Generation",
};

export function value(name: NumberName, of: number | null): string {
  if (of === null) return NOT_AVAILABLE;
  if (name === "bytes_per_second") return bytes(of);
  if (name === "oldest") return seconds(of);
  return name === "requests_per_second" ? of.toFixed(1) : count(of);
}

/** With its sign; "" where there is none, or nothing is known. */
export function change(name: NumberName, { change: by }: Pair<unknown>): string {
  if (by === null) return "";
  const words = value(name, Math.abs(by));
  return words === value(name, 0) ? "=" : `${by > 0 ? "+" : "−"}${words}`;
}

export const changeOf = ({ change: by }: Pair<unknown>): string =>
  by === null ? "" : by === 0 ? "=" : `${by > 0 ? "+" : "−"}${count(Math.abs(by))}`;
export const countOf = (of: number | null): string => (of === null ? NOT_AVAILABLE : count(of));

export const failureThen = (error: string): string => `The scoreboard could not be read then: ${error}`;
export const lateBy = (asked: number, at: number): string =>
  `Nothing was recorded from ${dateTime(at)} to ${dateTime(asked)}: this is the sample before that.`;
export const nothingBefore = (since: number): string => `Nothing was recorded before ${dateTime(since)}.`;
export const gridOf = (at: number): string => `Workers at ${dateTime(at)}, with “States” for the same in numbers`;
export const sentence = ({ says }: Moment): string => verdict(says);
export const stateName = (status: Status): string => `${status} ${LEGEND_NAMES[status]}`;
