/** Every word the page says, and how it writes numbers. */
import type { Expected } from "./check";
import type { WindowName } from "./address";
import type { FilterError } from "./filter";
import type { Group, GroupKey } from "./groups";
import type { Band, Mark, MarkKind, Point } from "./history";
import type { Connection, Loss, Problem } from "./live";
import type { Trouble } from "./recorded";
import type { Recording } from "./recorder/recording";
import { lettersOnly, type Request, type Slot, type Story } from "./requests";
import type { ProcessRow } from "./rows";
import type { Hole } from "./travel";
import type { Cause, Verdict } from "./verdict";
import { STATUSES, type Alert, type Sample, type Status } from "./wire";

export const PRODUCT = "mod_wsgi dashboard";
export const NOT_AVAILABLE = "not available";

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const zoned = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "short",
});

const dated = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

export const count = (value: number): string => integer.format(value);
export const timeOfDay = (ms: number): string => clock.format(ms);

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
/** The time of day, with the day if that is not today (epoch seconds). */
export function instant(at: number): string {
  const [date, today] = [day.format(at * 1000), day.format(Date.now())];
  return `${date === today ? "" : `${date} `}${timeOfDay(at * 1000)}`;
}

/** "1 worker", "2 workers". */
function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Three digits at most in front of the unit, one decimal where it says something. */
function short(value: number): string {
  return value < 100 ? value.toFixed(1) : count(value);
}

export function seconds(value: number): string {
  return value < 10 ? `${value.toFixed(1)} s` : duration(value);
}

function duration(value: number): string {
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86_400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86_400)} d ${Math.floor((value % 86_400) / 3600)} h`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let rest = value;
  let unit = 0;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? count(rest) : short(rest)} ${units[unit] ?? ""}`;
}

export const STATE_NAMES: Readonly<Record<Status, string>> = {
  _: "waiting for a connection",
  S: "starting up",
  R: "reading the request",
  W: "sending the reply",
  K: "keep-alive",
  D: "DNS lookup",
  C: "closing the connection",
  L: "logging",
  G: "gracefully finishing",
  I: "idle cleanup of worker",
  ".": "open slot, no worker",
};

export const LEGEND_NAMES: Readonly<Record<Status, string>> = {
  _: "waiting",
  S: "starting",
  R: "reading",
  W: "sending",
  K: "keep-alive",
  D: "DNS",
  C: "closing",
  L: "logging",
  G: "finishing",
  I: "cleanup",
  ".": "open",
};

export const LABELS = {
  workers: "Workers",
  legend: "What the letters mean",
  grid: "Worker grid, with “Workers as text” for the same. Arrow keys go from worker to worker, Enter pins one",
  map: "Map of slots and time. The up and down keys go from slot to slot, Enter pins one",
  asText: "Workers as text",
  panel: "How workers are shown",
  asGrid: "Now",
  asMap: "Over time",
  timeline: "Busy workers, requests and bytes over time",
  window: "Window",
  inFlight: "In flight",
  notices: "Notices",
  alerts: "Alerts",
  showBegin: "Show when it began",
  findStuck: "Find them",
  own: "this dashboard",
  draining: "draining",
  hint: "Point at a worker for its story; click to pin it and follow it.",
  gone: "That slot is gone.",
  waiting: "Waiting for the first sample.",
  filter: "Filter",
  filterHint: "text vhost:www age>5s",
  group: "Group by",
  ungrouped: "No grouping",
  sockets: "Held by WebSockets",
  pause: "Pause",
  live: "Live",
  end: "End",
  back: "One sample back",
  forth: "One sample on",
  earlier: "Previous event",
  later: "Next event",
  play: "Play",
  stopPlay: "Stop playing",
  speed: "Speed",
  copy: "Copy",
  copied: "Copied",
  keys: "Keys",
  doctor: "Check the set-up",
  unpin: "Unpin",
  pin: "Pin this slot",
  close: "Close",
  copyThis: "The browser lets no page copy that was not loaded over https. Here is the text:",
  shortcuts: "Single keys work as listed",
  missing: "A part of this page could not be loaded. Is the server of another version by now? Load the page again.",
} as const;

export const COLUMN_NAMES = {
  age: "Age",
  state: "State",
  request: "Request",
  vhost: "Virtual host",
  client: "Client",
  pid: "PID, slot",
} as const;

export const GROUP_NAMES: Readonly<Record<GroupKey, string>> = {
  path: "Method and path",
  vhost: "Virtual host",
  client: "Client",
  state: "State",
};

export const WINDOW_WORDS: Readonly<Record<WindowName, string>> = {
  "1m": "1 m",
  "5m": "5 m",
  "15m": "15 m",
  "1h": "1 h",
  "6h": "6 h",
  "1d": "1 d",
  all: "All",
};

const LOSSES: Readonly<Record<Loss, string>> = {
  restart: "the server restarts",
  lost: "the connection was lost",
  stale: "no sample came",
  refused: "no WebSocket could be opened",
};

export interface ConnectionWords {
  readonly short: string;
  readonly why: string;
  readonly countdown: string;
}

export function connection(state: Connection, now: number): ConnectionWords {
  const words = (short: string, why = "", countdown = "") => ({ short, why, countdown });
  switch (state.kind) {
    case "connecting":
      return words("Connecting");
    case "live":
      return words("Live");
    case "hidden":
      return words("Hidden", "this tab is hidden, so its Apache worker was given back");
    case "stopped":
      return words("Stopped");
    case "polling":
      return words("Polling", state.why === "full" ? full(state.reason) : NO_UPGRADE);
    case "reconnecting": {
      const stale = state.since === null ? "" : `; stale since ${timeOfDay(state.since)}`;
      const left = Math.max(0, Math.ceil((state.due - now) / 1000));
      return words("Reconnecting", LOSSES[state.why] + stale, `in ${count(left)} s`);
    }
  }
}

const NO_UPGRADE =
  "the proxy does not upgrade WebSockets: add upgrade=websocket to the ProxyPass line (Apache 2.4.47 or newer)";

function full(reason: string): string {
  return reason === "" ? "all viewer places are taken" : reason;
}

const EXPECTED: Readonly<Record<Expected, string>> = {
  json: "is not JSON",
  present: "is missing",
  object: "is not an object",
  list: "is not a list",
  short: "is too long",
  fitting: "does not fit the rest",
  integer: "is not an integer",
  number: "is not a number",
  interval: "is not a time between 0 and 3600 s",
  boolean: "is neither true nor false",
  text: "is not text",
  status: "is not a status letter",
};

export function problem(what: Problem): string {
  if (what.kind === "frame") return `The server sent a bad frame: ${misfit(what)}.`;
  return what.text === "" ? `The server answered HTTP ${what.status}.` : what.text;
}

const misfit = ({ path, expected }: Extract<Problem, { readonly kind: "frame" }>): string =>
  `${path === "" ? "it" : path} ${EXPECTED[expected]}`;

const LEVELS = { calm: "Calm", slow: "Slow", filling: "Filling up", busy: "Busy", full: "Full", down: "Down" } as const;

/** A younger request holds nobody up. */
const WORTH_SAYING_SECONDS = 1;
/** Of the busy workers. */
const WORTH_SAYING_SHARE = 0.2;

/** The page's one sentence. */
export function verdict(says: Verdict): string {
  if (says.level === "down") return "Down: no worker is running.";
  const parts = [`${LEVELS[says.level]}: ${share(says)}`];
  const { most, websockets } = says;
  if (websockets > 0 && websockets >= WORTH_SAYING_SHARE * says.busy) {
    parts.push(`${count(websockets)} held by ${websockets === 1 ? "a WebSocket" : "WebSockets"}`);
  }
  if (most !== null && most.count > 1 && says.level !== "calm") {
    parts.push(`${count(most.count)} of them on ${most.name}`);
  }
  const age = says.oldestSeconds ?? 0;
  if (age >= WORTH_SAYING_SECONDS) parts.push(`oldest ${seconds(age)}`);
  return `${parts.join("; ")}.`;
}

function share({ busy, of, full, fullIn }: Verdict): string {
  const busyOf = `${count(busy)} of ${plural(of, "worker")} busy`;
  if (full !== null) return `${busyOf} for ${full.atLeast ? "at least " : ""}${seconds(full.seconds)}`;
  return fullIn === null ? busyOf : `${busyOf}, full in about ${duration(fullIn)} at this pace`;
}

/** The directive to look at, and why; null while there is nothing to look at. */
export function advice(says: Verdict): { readonly directive: string; readonly why: string } | null {
  if (says.cause === null) return null;
  const [directive, why] = ADVICE[says.cause];
  return { directive, why: says.cause === "draining" ? `${draining(says)} ${why}` : why };
}

const ADVICE: Readonly<Record<Cause, readonly [string, string]>> = {
  reading: ["RequestReadTimeout", "Many workers wait for clients to send their request."],
  keepalive: [
    "KeepAliveTimeout",
    "Many workers wait for the next request of a connection; the event MPM needs none for that.",
  ],
  dns: ["HostnameLookups", "Many workers wait for DNS."],
  logging: ["BufferedLogs", "Many workers wait for the log to be written."],
  websockets: ["MaxRequestWorkers", "Each WebSocket holds a worker for as long as it lives."],
  path: [
    "request-timeout",
    "One path holds the workers: find out what it waits for. This option of WSGIDaemonProcess ends what is too long.",
  ],
  draining: ["ServerLimit", "Old processes keep their places, beside the new ones, until their last request ends."],
  slow: [
    "request-timeout",
    "Several paths are slow: look for what they share, such as a database. This option of WSGIDaemonProcess ends them.",
  ],
  workers: ["MaxRequestWorkers", "No single path stands out: it is the load. Look at free memory before you raise it."],
};

function draining({ draining: what }: Verdict): string {
  if (what === null) return "";
  const processes = what.processes === 1 ? "1 old process drains" : `${count(what.processes)} old processes drain`;
  const { oldest } = what;
  if (oldest === null) return `${processes}.`;
  return `${processes}; pid ${oldest.pid} is held by ${requestLine(oldest.request)}.`;
}

/** What a rule watches. A newer server may have other kinds: these have their own names. */
export function condition(what: Pick<Alert, "kind" | "threshold" | "path" | "count">): string {
  const { kind, threshold, path, count: held } = what;
  switch (kind) {
    case "busy":
      if (threshold === null || threshold >= 1) return "all workers busy";
      return `${part(threshold)} of the workers or more busy`;
    case "oldest":
      return threshold === null ? "an old request" : `a request older than ${seconds(threshold)}`;
    case "stuck": {
      // An alert outlives its condition by a while: none may be stuck any more.
      const workers = held === null || held === 0 ? "workers" : plural(held, "worker");
      return `${workers} stuck${path === null ? "" : ` on ${known(path)}`}`;
    }
    case "error":
      return "scoreboard not readable";
    case "restart":
      return "Apache restarted";
    default:
      return kind;
  }
}

/** How far it went, with the comma before it; "" where nothing is measured. */
export function extreme(kind: string, peak: number | null): string {
  if (peak === null) return "";
  if (kind === "busy") return `, peak ${part(peak)}`;
  return kind === "oldest" || kind === "stuck" ? `, longest ${seconds(peak)}` : "";
}

/** A share of the workers: all of them is 100 %, and nothing else is. */
const part = (share: number): string => `${Math.floor(1000 * share + 1e-6) / 10} %`;

/** "saturated: all workers busy for 2 min 10 s, peak 100 %" */
export function alert(what: Alert, at: number): string {
  const time = duration(Math.max(0, at - what.since));
  const since = what.kind === "restart" ? ` ${time} ago` : ` for ${time}`;
  return `${what.rule}: ${condition(what)}${since}${extreme(what.kind, what.peak)}`;
}

const SEVERITIES: ReadonlyMap<string, string> = new Map([
  ["critical", "Critical"],
  ["warning", "Warning"],
]);
export const severity = (name: string): string => SEVERITIES.get(name) ?? name;
export const began = ({ kind, since }: Alert): string => `${kind === "restart" ? "at" : "since"} ${instant(since)}`;
export const alertLine = (what: Alert, at: number): string =>
  `${severity(what.severity)}: ${alert(what, at)}, ${began(what)}`;

export function basis(says: Verdict): string {
  return says.basis === "serving"
    ? "of those that run; set max_request_workers for the true limit."
    : "of Apache's MaxRequestWorkers.";
}

interface Load {
  readonly busy: number;
  readonly of: number;
}

/** `load` is null where it is not known. */
export const title = (load: Load | null, host: string, alarm = false): string =>
  `${alarm ? "⚠ " : ""}${load === null ? PRODUCT : `${percent(load)} busy`} · ${host}`;

const percent = ({ busy, of }: Load): string =>
  of > 0 ? `${Math.round((100 * busy) / of)} %` : "0 %";

/** What the dashboard itself costs the server; `workers` is null while their number is not known. */
export function holding(held: number, workers: number | null): string {
  if (held === 0) return "This dashboard holds no Apache worker";
  if (workers === null) return `This dashboard holds ${plural(held, "worker")}`;
  return `This dashboard holds ${count(held)} of ${plural(workers, "worker")}`;
}

export const outdated = (ms: number): string =>
  `No newer sample than of ${instant(ms / 1000)}: the numbers below are as old.`;

/** Local times, with their zone. */
export const dateTime = (epochSeconds: number): string => dated.format(epochSeconds * 1000);
export const clockTime = (epochSeconds: number): string => zoned.format(epochSeconds * 1000);
/** Of another day its date says how far away it is. */
export function pausedAt(epochSeconds: number, behind: number): string {
  const at = instant(epochSeconds);
  return `Paused at ${at}${behind < 1 || at.includes(" ") ? "" : `, ${seconds(behind)} behind`}`;
}
export const playingAt = (epochSeconds: number, speed: number): string => `${instant(epochSeconds)}, ${times(speed)}`;

export interface TileWords {
  readonly label: string;
  readonly value: string;
  readonly more: string;
  /** What the number means, and where it comes from. */
  readonly means: string;
}

export function busyTile({ rates }: Sample, says: Verdict): TileWords {
  const parts = [];
  if (says.fullIn !== null) parts.push(`full in about ${duration(says.fullIn)}`);
  if (rates.websockets > 0) parts.push(plural(rates.websockets, "WebSocket"));
  if (rates.graceful > 0) parts.push(`${count(rates.graceful)} finishing`);
  return {
    label: "Busy workers",
    value: `${count(says.busy)} / ${count(says.of)}`,
    more: parts.join(" · ") || `${count(rates.idle)} wait for a request`,
    means: `By the scoreboard's letters, ${basis(says)}`,
  };
}

export function requestsTile(sample: Sample): TileWords {
  const { requests_per_second: rate, accesses: total } = sample.rates;
  return {
    label: "Requests",
    value: rate === null ? missing(sample) : `${short(rate)} /s`,
    more: total === null ? "" : `${count(total)} since the start`,
    means: "Requests that ended, a second: the growth of the slots' access counts between two samples.",
  };
}

export function bytesTile(sample: Sample): TileWords {
  const { bytes_per_second: rate, bytes_served: total } = sample.rates;
  return {
    label: "Sent",
    value: rate === null ? missing(sample) : `${bytes(rate)}/s`,
    more: total === null ? "" : `${bytes(total)} since the start`,
    means: "Bytes of requests that ended, a second, by the slots' counts: a download counts when it ends.",
  };
}

export function oldestTile(sample: Sample, says: Verdict, slow: number): TileWords {
  const { oldestSeconds: oldest } = says;
  const unknown = sample.capacity.extended_status === false || lettersOnly(sample);
  return {
    label: "Oldest request",
    value: unknown ? NOT_AVAILABLE : oldest === null ? NONE : seconds(oldest),
    more: slow > 0 ? `${count(slow)} held for 10 s or more` : says.websockets > 0 ? "WebSockets aside" : "",
    means: "The request that has been held longest, WebSockets aside, by the start times of the slots.",
  };
}

/** The four tiles, in their order. */
export const tiles = (sample: Sample, says: Verdict, slow: number): readonly TileWords[] => [
  busyTile(sample, says),
  requestsTile(sample),
  bytesTile(sample),
  oldestTile(sample, says, slow),
];

export const NONE = "none";

/** A rate needs two samples, and ExtendedStatus. */
function missing(sample: Sample): string {
  return sample.capacity.extended_status === false ? NOT_AVAILABLE : `${NOT_AVAILABLE} yet`;
}

export function serverLine({ snapshot, rates }: Sample): string {
  const parts = [`up ${duration(snapshot.running_time)}`, `generation ${count(snapshot.running_generation)}`];
  parts.push(plural(rates.processes, "process", "processes"));
  return parts.join(" · ");
}

export const EXTENDED_STATUS_OFF =
  "Apache's ExtendedStatus is Off: no requests, times or counts; add `ExtendedStatus On`.";
export const NOT_RECORDED = "Requests are not recorded (record = states).";
export const NO_TRAFFIC = "No request has come since Apache started.";
export const NO_TRACE = "No request in flight, and none has left a trace: none came yet, or ExtendedStatus is Off.";
export const NOTHING_IN_FLIGHT = "No request in flight: every worker waits for one.";
export const nothingMatches = (all: number): string =>
  `None of ${plural(all, "request")} in flight matches the filter.`;

const FILTER_ERRORS: Readonly<Record<FilterError["kind"], (text: string) => string>> = {
  key: (text) => `${text} is no key: use vhost, client, path, method, state, pid, slot, age or is`,
  state: (text) => `${text} names no state: use a letter (${STATUSES.join(" ")}) or a name such as reading`,
  age: (text) => `${text} is no age: write age>5s, age<2m or age>=1h`,
  is: (text) => `${text} is unknown: use is:slow, is:draining or is:websocket`,
};

export const filterError = ({ kind, text }: FilterError): string => `${FILTER_ERRORS[kind](text)}.`;

export const age = (request: Request, at: number): string =>
  request.startedAt === null ? "–" : seconds(Math.max(0, at - request.startedAt));
export const slot = ({ process_num, index }: Slot): string => `${process_num}.${index}`;
export const pidAndSlot = (request: Request): string => `${request.pid} · ${slot(request.slot)}`;
export const more = (rest: number): string => `${count(rest)} more; filter or group to see them.`;
export const known = (text: string): string => (text === "" ? NOT_AVAILABLE : text);
/** A request line without its protocol, which tells little and takes room. */
export const requestLine = (request: string): string => known(request.replace(/ HTTP\/[\d.]+$/, ""));
export const shownOf = (shown: number, all: number): string =>
  shown === all ? count(all) : `${count(shown)} of ${count(all)}`;

/** "31 ×" */
export const times = (value: number): string => `${count(value)} ×`;
export const oldestOf = (group: Group, at: number): string =>
  group.oldestAt === null ? "–" : `oldest ${seconds(Math.max(0, at - group.oldestAt))}`;

/** Labels of a process in the grid, the longest first. */
export function processLabels(row: ProcessRow): readonly string[] {
  if (row.quiescing || row.old) {
    return [`${row.pid} · generation ${row.generation} · draining`, `${row.pid} draining`, `${row.pid}*`];
  }
  const minutes = row.age === null || row.age.seconds < 60 ? "" : ` · ${upFor(row.age, true)}`;
  return [`${row.pid} · generation ${row.generation}${minutes}`, `${row.pid}${minutes}`, `${row.pid}`];
}

function upFor({ seconds: value, atLeast }: NonNullable<ProcessRow["age"]>, coarse: boolean): string {
  const whole = coarse && value < 3600 ? `${Math.floor(value / 60)} min` : duration(value);
  return atLeast ? `> ${whole}` : whole;
}

export const processAge = (row: ProcessRow): string => (row.age === null ? NOT_AVAILABLE : upFor(row.age, false));

export function generationCell(row: ProcessRow): string {
  return `${row.generation}${row.old ? " (old)" : ""}${row.quiescing ? ", quiescing" : ""}`;
}

export interface StoryWords {
  readonly state: string;
  readonly request: string;
  readonly facts: readonly string[];
}

/** Since when the page has seen a slot in its state (epoch seconds), and whether it may have been so before. */
export interface Seen {
  readonly at: number;
  readonly earlier: boolean;
}

/** A slot's story: what it does since when, for whom, and what it did before. */
export function story(details: Story, at: number, seen: Seen | null): StoryWords {
  const facts = [`slot ${slot(details.slot)}`, `pid ${details.pid}`, `generation ${details.generation}`];
  if (details.quiescing || details.draining) facts.push("draining: the process ends with its last request");
  if (details.client !== "") facts.push(`client ${details.client}`);
  if (details.vhost !== "") facts.push(details.vhost);
  const { accessCount, bytesServed } = details;
  if (accessCount !== null && bytesServed !== null) {
    facts.push(`${plural(accessCount, "request")} served`, bytes(bytesServed));
    facts.push(details.websocket ? "held by a WebSocket" : "no WebSocket");
  }
  const last = details.running || details.request === "" ? "" : "last: ";
  return {
    state: `${STATE_NAMES[details.status]}${sinceWords(details, at, seen)}`,
    request: `${last}${known(details.request)}`,
    facts,
  };
}

function sinceWords({ since }: Story, at: number, seen: Seen | null): string {
  const from = since ?? seen?.at;
  if (from === undefined) return "";
  const unsure = since === null && seen?.earlier === true ? "at least " : "";
  return ` for ${unsure}${seconds(Math.max(0, at - from))}, since ${timeOfDay(from * 1000)}`;
}

/** The numbers at the cursor; of several samples together the most busy workers, and how far rates went. */
export function reading(point: Point): string {
  const { at, busy, of, requestsPerSecond: requests, bytesPerSecond: sent, spread } = point;
  const several = spread !== undefined && spread.seconds > 1;
  const time = several ? `${instant(at - spread.seconds)} – ${timeOfDay(at * 1000)}` : instant(at);
  const parts = [time, `${several ? "at most " : ""}${count(busy)} of ${count(of)} busy`];
  const range = (band: Band | null | undefined, write: (value: number) => string) =>
    several && band != null && band[0] < band[1] ? ` (${write(band[0])} to ${write(band[1])})` : "";
  if (requests !== null) parts.push(`${short(requests)} requests/s${range(spread?.requests, short)}`);
  if (sent !== null) parts.push(`${bytes(sent)}/s${range(spread?.bytes, bytes)}`);
  return parts.join(" · ");
}

export const LANES = [
  { title: "busy workers", write: (value: number) => count(value) },
  { title: "requests/s", write: (value: number) => count(value) },
  { title: "bytes/s", write: (value: number) => bytes(value) },
] as const;

export const remembers = (epochSeconds: number): string =>
  `This page remembers since ${timeOfDay(epochSeconds * 1000)}, when it was opened.`;
export const recordedSince = (epochSeconds: number): string => `Recorded since ${instant(epochSeconds)}.`;

/** Why there is no more than the page remembers. */
export function unrecorded(recording: Recording | null, trouble: Trouble | null): string {
  if (trouble !== null) return troubled(trouble);
  if (recording?.state === "off") return recording.problem ?? "The server does not record: its setting record is off.";
  return recording?.problem ?? "";
}

export function troubled({ why }: Trouble): string {
  if (why === "outdated") return "";
  if (why === "lost") return "The recording can't be had: the server gave no answer.";
  return why.kind === "frame" ? `The server's answer about its recording is none: ${misfit(why)}.` : problem(why);
}

export const replay = (recording: Recording): string => {
  const { file, since, until } = recording;
  const range = since === null || until === null ? "" : `, from ${instant(since)} to ${instant(until)}`;
  return `Replay of ${file ?? "a recording"}${range}`;
};

export const loading = (at: number): string => `Fetching ${instant(at)} ...`;

const MARKS: Readonly<Record<MarkKind, string>> = {
  restart: "restart",
  graceful: "graceful restart",
  saturation: "full",
  "metrics-off": "scoreboard not readable",
  "dashboard-start": "the dashboard was started",
  bookmark: "bookmark",
};

/** What a mark on the timeline says. */
export function mark({ kind, at, ended, text = "" }: Mark): string {
  const until = ended == null ? (ended === null ? ", still" : "") : ended - at < 1 ? "" : ` for ${seconds(ended - at)}`;
  return `${MARKS[kind]}${until}${text === "" ? "" : `: ${text}`} at ${instant(at)}`;
}

const REASONS: Readonly<Partial<Record<MarkKind, string>>> = {
  restart: "Apache was restarted",
  "dashboard-start": "the dashboard was restarted",
};

/** Of a moment without a sample: what is true of it. */
export function hole({ from, to, open, why, text }: Hole): string {
  const range = open ? `after ${instant(from)}` : `from ${instant(from)} to ${instant(to)}`;
  const off = why === "metrics-off";
  const what = off ? `Apache's scoreboard could not be read ${range}` : `Nothing was recorded ${range}`;
  const because = text !== "" || why === null ? text : (REASONS[why] ?? "");
  return `${what}${because === "" ? "" : `: ${because.replace(/\.$/, "")}`}. This is the sample before.`;
}

/** The newest marks tell the most. */
const MOST_TOLD = 10;

export function chartSummary(points: readonly Point[], marks: readonly Mark[]): string {
  const last = points.at(-1);
  if (last === undefined) return LABELS.waiting;
  const peak = points.reduce((most, point) => Math.max(most, point.busy), 0);
  const full = points.filter((point) => point.busy >= point.of).length;
  const parts = [
    `busy workers: ${count(last.busy)} now, ${count(peak)} at most`,
    `full in ${count(full)} of ${plural(points.length, "sample")}`,
    ...marks.slice(-MOST_TOLD).map(mark),
  ];
  return `${LABELS.timeline}: ${parts.join("; ")}.`;
}
