/** Which processes are about to end, since when, and which requests keep them from it. Pure; words are elsewhere. */
import { drains, living, type Request } from "./requests";
import type { Process, Sample } from "./wire";

/** A graceful restart: the instant (epoch seconds) from which on all processes that ran were old. */
export interface Turn {
  readonly at: number;
  /** The generation that began then; null if that is not known. */
  readonly generation: number | null;
}

/** Since when a process drains (epoch seconds), and whether it may have begun before that. */
export interface Since {
  readonly at: number;
  readonly atLeast: boolean;
}

export interface Drain {
  readonly process_num: number;
  readonly pid: number;
  readonly generation: number;
  /** It is of an old generation; else it stops for another reason. */
  readonly old: boolean;
  readonly since: Since;
  /** What it still waits for; the first has been held longest. */
  readonly holders: readonly Request[];
}

/** As many processes of old generations as no scoreboard ever had at once. */
const MOST_SEEN = 20_000;

/**
 * When processes were first seen to drain. A sample from the past adds to it as well as a new one does: what was seen
 * once was so.
 */
export class Sightings {
  readonly #first = new Map<string, number>();

  take(sample: Sample): void {
    if (this.#first.size > MOST_SEEN) this.#first.clear();
    for (const process of living(sample)) {
      if (!drains(process, sample)) continue;
      const key = keyOf(process);
      this.#first.set(key, Math.min(sample.at, this.#first.get(key) ?? sample.at));
    }
  }

  of(process: Process): number | null {
    return this.#first.get(keyOf(process)) ?? null;
  }
}

const keyOf = ({ process_num, pid, generation }: Process): string => `${process_num}/${pid}/${generation}`;

/** Processes that drain; first the one whose oldest request has been held longest. `requests` are the sample's. */
export function draining(
  sample: Sample,
  requests: readonly Request[],
  turns: readonly Turn[],
  sightings: Sightings,
): readonly Drain[] {
  const leaving = living(sample).filter((process) => drains(process, sample));
  if (leaving.length === 0) return [];
  const held = new Map<number, Request[]>();
  for (const request of requests) {
    const { process_num } = request.slot;
    if (request.draining) held.set(process_num, [...(held.get(process_num) ?? []), request]);
  }
  const found = leaving.map((process): Drain => {
    const { process_num, pid, generation } = process;
    const holders = (held.get(process_num) ?? []).sort((one, other) => startOf(one) - startOf(other));
    const old = generation !== sample.snapshot.running_generation;
    return { process_num, pid, generation, old, since: sinceOf(process, sample, turns, sightings), holders };
  });
  return found.sort((one, other) => rankOf(one) - rankOf(other) || one.since.at - other.since.at);
}

/** What the scoreboard tells no start of comes last. */
const startOf = ({ startedAt }: Request): number => startedAt ?? Number.MAX_VALUE;
/** Nothing at all comes after that; the difference of two such is NaN, which is as good as 0. */
const rankOf = ({ holders: [oldest] }: Drain): number =>
  oldest === undefined ? Number.POSITIVE_INFINITY : startOf(oldest);

function sinceOf(process: Process, sample: Sample, turns: readonly Turn[], sightings: Sightings): Since {
  const { running_generation, restart_time } = sample.snapshot;
  const seen = { at: sightings.of(process) ?? sample.at, atLeast: true };
  if (process.generation === running_generation) return seen;
  const past = turns.filter(({ at }) => at <= sample.at && at >= restart_time);
  const known = past.filter(({ generation }) => generation === process.generation + 1).at(-1);
  if (known !== undefined) return { at: known.at, atLeast: false };
  // The newest turn made the generation before the running one old; older ones were so before it.
  const newest = past.at(-1);
  const before = newest === undefined || (newest.generation !== null && newest.generation !== running_generation);
  if (before || newest.at > seen.at) return seen;
  return { at: newest.at, atLeast: process.generation !== running_generation - 1 };
}
