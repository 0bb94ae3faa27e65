/** A server with a recording of samples that a test made, and a clock that the test turns. */
import type { Clock } from "../src/outside";
import type { Ask } from "../src/recorded";
import { STATUSES, type Sample } from "../src/wire";
import { counted, lettered } from "./samples";

interface Told {
  readonly at: number;
  readonly kind: string;
  readonly ended?: number | null;
  readonly data?: object;
}

/** The recorded samples, a second each, of one process; what is a string is why there was none. */
export interface Tape {
  readonly samples: ReadonlyMap<number, Sample | string>;
  readonly events?: readonly Told[];
  readonly state?: "recording" | "off" | "failed" | "replay";
  readonly problem?: string;
}

/** Seconds from one instant up to another, and what their letters are. */
export function taped(from: number, to: number, letters: (at: number) => string): Map<number, Sample | string> {
  const samples = new Map<number, Sample | string>();
  for (let at = from; at < to; at++) samples.set(at, counted(lettered(letters(at)), { at }));
  return samples;
}

const lettersOf = (sample: Sample): string =>
  sample.snapshot.processes.flatMap(({ workers }) => workers.map(({ status }) => status)).join("");

function key(at: number, sample: Sample | string): object {
  const failure = typeof sample === "string";
  const { viewers, notices, interval, capacity, rates, snapshot } = failure ? counted([]) : sample;
  const head = { tick: at, at_ms: at * 1000, interval, viewers, notices };
  if (failure) return { frame: "error", ...head, error: sample };
  const { processes, ...board } = snapshot;
  const column = <T>(of: (process: (typeof processes)[number]) => T) => processes.map(of);
  const [letters] = [lettersOf(sample)];
  return {
    ...{ frame: "key", ...head, capacity, rates, ...board },
    processes: {
      process_num: column(({ process_num }) => process_num),
      pid: column(({ pid }) => pid),
      generation: column(({ generation }) => generation),
      quiescing: column(() => 0),
      workers: column(({ workers }) => workers.length),
    },
    slots: { slot: [...letters].map((_, place) => Number(place > 0)), status: letters },
  };
}

const SERIES = "busy workers requests_per_second bytes_per_second oldest_seconds".split(" ");

function history(samples: readonly Sample[]): object {
  const value = (sample: Sample, name: string) =>
    name === "busy" ? sample.rates.busy : name === "workers" ? sample.capacity.serving : null;
  const column = (name: string) => samples.map((sample) => value(sample, name));
  const series = SERIES.map((name) => [name, { mean: column(name), min: column(name), max: column(name) }]);
  return { step: 1, interval: 1, at: samples.map(({ at }) => at), series: Object.fromEntries(series) };
}

export function serve(tape: Tape): { readonly ask: Ask; readonly asked: string[] } {
  const asked: string[] = [];
  const all = () => [...tape.samples].sort(([one], [other]) => one - other);
  const within = (query: URLSearchParams) => {
    const [from, to] = [Number(query.get("from")), Number(query.get("to"))];
    return all().filter(([at]) => at >= from && at <= to);
  };
  const good = (entries: readonly (readonly [number, Sample | string])[]) =>
    entries.flatMap(([, sample]) => (typeof sample === "string" ? [] : [sample]));
  const answers: Readonly<Record<string, (query: URLSearchParams) => object | string>> = {
    recording: () => {
      const ats = all().map(([at]) => at);
      const [since = null, until = null] = [ats[0], ats.at(-1)];
      const told = { state: tape.state ?? "recording", detail: "full", problem: tape.problem ?? null, interval: 1 };
      return { ...told, since, until, history_since: since, now: (until ?? 0) + 0.5, file: "incident.gz" };
    },
    history: (query) => history(good(within(query))),
    states: (query) => {
      const samples = good(within(query));
      return { at: samples.map(({ at }) => at), letters: samples.map(lettersOf) };
    },
    frames: (query) => {
      if (tape.samples.size === 0) throw new Error("no answer");
      const older = all().filter(([at]) => at <= Number(query.get("from"))).at(-1);
      const entries = [...(older === undefined ? [] : [older]), ...within(query).filter(([at]) => at !== older?.[0])];
      return entries.map(([at, sample]) => JSON.stringify(key(at, sample))).join("\n");
    },
    events: () => ({ events: (tape.events ?? []).map((event) => ({ ended: null, data: {}, ...event })) }),
  };
  const ask: Ask = async (path) => {
    asked.push(path);
    const [kind = "", query = ""] = path.split("?");
    const answer = answers[kind]?.(new URLSearchParams(query)) ?? {};
    const body = typeof answer === "string" ? answer : JSON.stringify(answer);
    return new Response(body, { headers: { "Content-Type": "application/json" } });
  };
  return { ask, asked };
}

/** Every status there is, to have one that is telling at each second. */
export const letterAt = (at: number): string => STATUSES[at % (STATUSES.length - 1)] ?? "_";

/** A clock whose time passes when it is told to. */
export function clockwork(): Clock & { pass(ms: number): Promise<void> } {
  const timers = new Map<number, { readonly due: number; readonly run: () => void }>();
  let now = 0;
  let count = 0;
  return {
    now: () => now,
    setTimer(run, ms) {
      count += 1;
      timers.set(count, { due: now + ms, run });
      return count;
    },
    clearTimer: (timer) => void timers.delete(timer),
    async pass(ms) {
      const end = now + ms;
      for (;;) {
        const [next] = [...timers].sort(([, one], [, other]) => one.due - other.due);
        if (next === undefined || next[1].due > end) break;
        timers.delete(next[0]);
        now = Math.max(now, next[1].due);
        next[1].run();
        await settled();
      }
      now = end;
    },
  };
}

/** Until nothing is under way: answers here take no time, but turns of the loop. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setTimeout(resolve));
}
