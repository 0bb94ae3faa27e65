/** The columns in which `mod-wsgi-dashboard.v1` tells processes, tables and changed slots. */
import {
  FrameError,
  guard,
  inner,
  int,
  list,
  MAX_ITEMS,
  member,
  nullable,
  object,
  optional,
  record,
  text,
  type Check,
  type Loose,
} from "./check";
import { status, type Process, type Worker } from "./wire";

type Strings = "client" | "request" | "vhost";
export type Tables = Readonly<Record<Strings, readonly string[]>>;
type Column<T> = readonly T[] | undefined;

const STRINGS = ["client", "request", "vhost"] as const;
export const NO_TABLES: Tables = { client: [], request: [], vhost: [] };

const count = guard("integer", (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0);
const reference: Check<string | number> = (value) => (typeof value === "string" ? value : count(value));
const references = list(reference);
const anything = list((value) => value);
const columns = record({
  process_num: list(count),
  pid: list(int),
  generation: list(int),
  quiescing: list(int),
  workers: list(count),
});

/** The tables with the strings of a frame put in. */
export function takeIn(tables: Tables, value: unknown): Tables {
  const added = object(value);
  const result: Record<Strings, readonly string[]> = { ...tables };
  for (const name of STRINGS) {
    const table = optional(name, references, added);
    if (table !== undefined) result[name] = inner(name, () => putIn(tables[name], table), table);
  }
  return result;
}

function putIn(table: readonly string[], added: readonly (string | number)[]): readonly string[] {
  const start = int(added[0]) - 1;
  const strings = added.slice(1).map((string, place) => inner(place + 1, text, string));
  const end = start + strings.length;
  // A hole has no strings; and no honest table outgrows the longest scoreboard.
  if (start < 0 || start > table.length || end > MAX_ITEMS) throw new FrameError("", "fitting");
  return [...table.slice(0, start), ...strings, ...table.slice(end)];
}

/** The processes of a frame: with the workers that were held, or else with blank ones. */
export function readProcesses(
  value: unknown,
  held: readonly Process[] | null,
  threadLimit: number,
): readonly Process[] {
  const heads = columns(value);
  const { workers: counts } = heads;
  const rows = counts.length;
  if (Object.values(heads).some((column) => column.length !== rows)) throw new FrameError("", "fitting");
  // A delta never changes where slots are.
  const fits = held === null || (held.length === rows && held.every((one, row) => one.workers.length === counts[row]));
  if (!fits) throw new FrameError("workers", "fitting");
  if (counts.reduce((sum, own) => sum + own, 0) > MAX_ITEMS) throw new FrameError("workers", "short");
  return counts.map((own, row) => {
    const before = held?.[row];
    const process_num = heads.process_num[row] ?? 0;
    const generation = heads.generation[row] ?? 0;
    const workers = before?.workers ?? blank(own, process_num * threadLimit, generation);
    const now = { process_num, pid: heads.pid[row] ?? 0, generation, quiescing: heads.quiescing[row] !== 0, workers };
    return before !== undefined && sameHead(before, now) ? before : now;
  });
}

function sameHead(one: Process, other: Process): boolean {
  return (
    one.process_num === other.process_num &&
    one.pid === other.pid &&
    one.generation === other.generation &&
    one.quiescing === other.quiescing
  );
}

function blank(slots: number, firstThread: number, generation: number): Worker[] {
  return Array.from({ length: slots }, (_, place) => ({
    thread_num: firstThread + place,
    generation,
    status: ".",
    access_count: 0,
    bytes_served: 0,
    start_time: 0,
    stop_time: 0,
    last_used: 0,
    client: "",
    request: "",
    vhost: "",
  }));
}

/** The processes with the changed slots of a frame put in; what did not change is the same object. */
export function changeSlots(
  processes: readonly Process[],
  value: unknown,
  tables: Tables,
  at: number,
): readonly Process[] {
  const rows = new Rows(object(value), tables, at);
  const total = processes.reduce((sum, process) => sum + process.workers.length, 0);
  const numbers = rows.numbers(total);
  let row = 0;
  let first = 0;
  return processes.map((process) => {
    const start = first;
    first += process.workers.length;
    if ((numbers[row] ?? total) >= first) return process;
    const workers = [...process.workers];
    for (let number = numbers[row]; number !== undefined && number < first; number = numbers[row]) {
      const was = process.workers[number - start];
      if (was !== undefined) workers[number - start] = rows.apply(row, was);
      row += 1;
    }
    return { ...process, workers };
  });
}

/** Changed slots, a row each. A column that is absent is default in all rows. */
class Rows {
  readonly #count: number;
  readonly #gaps: Column<number>;
  readonly #status: string;
  readonly #accesses: Column<number>;
  readonly #bytes: Column<number>;
  readonly #starts: Column<number | null>;
  readonly #stops: Column<number | null>;
  readonly #lasts: ReadonlyMap<number, number | null>;
  readonly #threads: ReadonlyMap<number, number>;
  readonly #generations: ReadonlyMap<number, number>;
  readonly #strings: Readonly<Record<Strings, Column<string | number>>>;

  constructor(
    private readonly slots: Loose,
    private readonly tables: Tables,
    private readonly at: number,
  ) {
    this.#status = member("status", text, slots);
    this.#count = this.#status.length;
    this.#gaps = this.#column("slot", count);
    this.#accesses = this.#column("access_count", int);
    this.#bytes = this.#column("bytes_served", int);
    this.#starts = this.#column("start_time", nullable(int));
    this.#stops = this.#column("stop_time", nullable(int));
    this.#lasts = this.#sparse("last_used", nullable(int));
    this.#threads = this.#sparse("thread_num", int);
    this.#generations = this.#sparse("generation", int);
    const strings = (name: Strings) => this.#column(name, reference);
    this.#strings = { client: strings("client"), request: strings("request"), vhost: strings("vhost") };
  }

  /** The numbers of the slots, of which there are so many. */
  numbers(total: number): readonly number[] {
    if (this.#gaps === undefined) {
      if (this.#count !== total) throw new FrameError("status", "fitting");
      return Array.from({ length: total }, (_, number) => number);
    }
    let number = 0;
    return this.#gaps.map((gap, row) => {
      number += gap;
      if (number >= total || (row > 0 && gap === 0)) throw new FrameError(`slot[${row}]`, "fitting");
      return number;
    });
  }

  /** The slot of a row, as it is now. */
  apply(row: number, was: Worker): Worker {
    const startedAgo = this.#starts?.[row] ?? null;
    const start = startedAgo === null ? 0 : this.at - startedAgo;
    const stoppedAfter = this.#stops?.[row] ?? null;
    const stop = stoppedAfter === null ? 0 : start + stoppedAfter;
    const usedAgo = this.#lasts.get(row);
    const last = usedAgo === undefined ? Math.max(start, stop) : usedAgo === null ? 0 : this.at - usedAgo;
    return {
      thread_num: this.#threads.get(row) ?? was.thread_num,
      generation: this.#generations.get(row) ?? was.generation,
      status: inner("status", status, this.#status[row]),
      access_count: inner("access_count", int, was.access_count + (this.#accesses?.[row] ?? 0)),
      bytes_served: inner("bytes_served", int, was.bytes_served + (this.#bytes?.[row] ?? 0)),
      start_time: start / 1000,
      stop_time: stop / 1000,
      last_used: last / 1000,
      client: this.#string("client", row, was),
      request: this.#string("request", row, was),
      vhost: this.#string("vhost", row, was),
    };
  }

  #string(name: Strings, row: number, was: Worker): string {
    const given = this.#strings[name]?.[row] ?? 0;
    if (given === 0) return was[name];
    const string = typeof given === "string" ? given : this.tables[name][given - 1];
    if (string === undefined) throw new FrameError(`${name}[${row}]`, "fitting");
    return string;
  }

  #column<T>(name: string, check: Check<T>): Column<T> {
    const column = optional(name, list(check), this.slots);
    if (column !== undefined && column.length !== this.#count) throw new FrameError(name, "fitting");
    return column;
  }

  #sparse<T>(name: string, check: Check<T>): ReadonlyMap<number, T> {
    const pairs = optional(name, anything, this.slots) ?? [];
    const values = new Map<number, T>();
    for (let place = 0; place < pairs.length; place += 2) {
      const row = inner(name, (value) => inner(place, count, value), pairs[place]);
      if (row >= this.#count || place + 1 === pairs.length) throw new FrameError(`${name}[${place}]`, "fitting");
      values.set(row, inner(name, (value) => inner(place + 1, check, value), pairs[place + 1]));
    }
    return values;
  }
}
