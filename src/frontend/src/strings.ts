/** Every word the page says, and how it writes numbers. */
import type { Expected } from "./check";
import type { ProcessRow, Request, SlotDetails, Verdict } from "./derive";
import type { Connection, Loss, Problem } from "./live";
import type { Sample, Status } from "./wire";

export const PRODUCT = "mod_wsgi dashboard";
export const NOT_AVAILABLE = "not available";

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minutes = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const count = (value: number): string => integer.format(value);
export const timeOfDay = (ms: number): string => clock.format(ms);
export const minute = (epochSeconds: number): string => minutes.format(epochSeconds * 1000);

/** "1 worker", "2 workers". */
function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Three digits at most in front of the unit, one decimal where it says something. */
function short(value: number): string {
  return value < 100 ? oneDigit.format(value) : count(value);
}

export function seconds(value: number): string {
  return value < 10 ? `${oneDigit.format(value)} s` : duration(value);
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
  grid: "Worker grid; the same as text is in “Workers as text” below",
  asText: "Workers as text",
  chart: "Last 5 minutes",
  busyWorkers: "busy workers",
  requestsPerSecond: "requests/s",
  inFlight: "In flight",
  notices: "Notices",
  generation: "Generation",
  age: "Age",
  state: "State",
  pid: "PID",
  slot: "Slot",
  client: "Client",
  vhost: "Virtual host",
  request: "Request",
  states: "States",
  websocket: "WebSocket",
  hint: "Point at a worker to see what it does.",
  gone: "That slot is gone.",
  waiting: "Waiting for the first sample.",
} as const;

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
      return words("Paused", "this tab is hidden, so its Apache worker was given back");
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
  if (what.kind === "frame") {
    const { path, expected } = what;
    return `The server sent a bad frame: ${path === "" ? "it" : path} ${EXPECTED[expected]}.`;
  }
  return what.text === "" ? `The server answered HTTP ${what.status}.` : what.text;
}

const LEVELS = { calm: "Calm", busy: "Busy", full: "Full", down: "Down" } as const;

/** A younger request holds nobody up. */
const WORTH_SAYING_SECONDS = 1;

export function verdict(says: Verdict): string {
  if (says.level === "down") return "Down: no worker is running.";
  const share = `${count(says.busy)} of ${plural(says.of, "worker")} busy`;
  const age = says.oldestSeconds ?? 0;
  const oldest = age < WORTH_SAYING_SECONDS ? "" : `, oldest request ${seconds(age)}`;
  return `${LEVELS[says.level]}: ${share}${oldest}.`;
}

export function basis(says: Verdict): string {
  return says.basis === "serving"
    ? `${plural(says.of, "worker")} running now; set max_request_workers for the true limit.`
    : `${count(says.of)} is Apache's MaxRequestWorkers.`;
}

export const title = (says: Verdict, host: string): string =>
  `${count(says.busy)}/${count(says.of)} busy · ${host}`;

/** What the dashboard itself costs the server; `workers` is null while their number is not known. */
export function holding(held: number, workers: number | null): string {
  if (held === 0) return "This dashboard holds no Apache worker";
  if (workers === null) return `This dashboard holds ${plural(held, "worker")}`;
  return `This dashboard holds ${count(held)} of ${plural(workers, "worker")}`;
}

export const outdated = (ms: number): string => `The numbers below are of ${timeOfDay(ms)}.`;

export interface TileWords {
  readonly label: string;
  readonly value: string;
  readonly more: string;
}

export function busyTile({ rates }: Sample): TileWords {
  const held = rates.websockets > 0 ? ` · ${plural(rates.websockets, "WebSocket")}` : "";
  const graceful = rates.graceful > 0 ? ` · ${count(rates.graceful)} finishing` : "";
  return { label: "Busy / idle", value: `${count(rates.busy)} / ${count(rates.idle)}`, more: (held + graceful).slice(3) };
}

export function requestsTile(sample: Sample): TileWords {
  const { requests_per_second: rate, requests_total: total } = sample.rates;
  return {
    label: "Requests",
    value: rate === null ? missing(sample) : `${short(rate)} /s`,
    more: total === null ? "" : `${count(total)} in total`,
  };
}

export function bytesTile(sample: Sample): TileWords {
  const { bytes_per_second: rate, bytes_total: total } = sample.rates;
  return {
    label: "Sent",
    value: rate === null ? missing(sample) : `${bytes(rate)}/s`,
    more: total === null ? "" : `${bytes(total)} in total`,
  };
}

/** A rate needs two samples, and ExtendedStatus. */
function missing(sample: Sample): string {
  return sample.capacity.extended_status === false ? NOT_AVAILABLE : `${NOT_AVAILABLE} yet`;
}

export function uptimeTile({ snapshot }: Sample): TileWords {
  return {
    label: "Uptime",
    value: duration(snapshot.running_time),
    more: `generation ${count(snapshot.running_generation)}`,
  };
}

export function processesTile({ rates }: Sample): TileWords {
  const parts = [];
  if (rates.quiescing > 0) parts.push(`${count(rates.quiescing)} quiescing`);
  if (rates.old_generation > 0) parts.push(`${count(rates.old_generation)} old generation`);
  return { label: "Processes", value: count(rates.processes), more: parts.join(" · ") };
}

export const EXTENDED_STATUS_OFF =
  "Apache's ExtendedStatus is Off: no requests, times or counts; add `ExtendedStatus On`.";
export const NOTHING_IN_FLIGHT = "No request in flight: every worker waits for one.";

export const age = (request: Request): string =>
  request.ageSeconds === null ? NOT_AVAILABLE : seconds(request.ageSeconds);
export const slot = ({ slot: { process_num, index } }: Request): string => `${process_num}.${index}`;
export const more = (rest: number): string => `${count(rest)} more`;
export const known = (text: string): string => (text === "" ? NOT_AVAILABLE : text);

export function processLabel(row: ProcessRow): string {
  if (row.quiescing) return `${row.pid} quiescing`;
  return row.old ? `${row.pid} gen ${row.generation}` : `${row.pid}`;
}

/** The label where there is no room for it. */
export const processMark = (row: ProcessRow): string => `${row.pid}${row.quiescing || row.old ? "*" : ""}`;

export function generationCell(row: ProcessRow): string {
  return `${row.generation}${row.old ? " (old)" : ""}${row.quiescing ? ", quiescing" : ""}`;
}

export function slotLine(details: SlotDetails): string {
  const facts = [
    `Slot ${slot(details)}`,
    `pid ${details.pid}`,
    `${details.status} ${STATE_NAMES[details.status]}`,
  ];
  if (details.ageSeconds !== null) facts.push(`for ${seconds(details.ageSeconds)}`);
  if (details.quiescing) facts.push("process is quiescing");
  if (details.websocket) facts.push(LABELS.websocket);
  facts.push(plural(details.accessCount, "request"));
  for (const text of [details.client, details.vhost, details.request]) if (text !== "") facts.push(text);
  return facts.join(" · ");
}

export const chartSummary = (busy: number, peak: number): string =>
  `Busy workers over the last 5 minutes: ${count(busy)} now, ${count(peak)} at most.`;
