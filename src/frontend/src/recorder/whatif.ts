/** For how long all workers would have been busy with another MaxRequestWorkers. Pure. */
import type { Concurrency, Level } from "./answers";

/** Seconds in which at least so many workers were held. */
export function secondsFrom(levels: readonly Level[], workers: number): number {
  return levels.reduce((sum, [held, seconds]) => (held >= workers ? sum + seconds : sum), 0);
}

export type Judged =
  | { readonly kind: "share"; readonly share: number; readonly seconds: number }
  /** More than the limit of that time, which was reached: requests waited where nobody counts them. */
  | { readonly kind: "unknown"; readonly limit: number }
  | { readonly kind: "nothing" };

export function judge({ levels, seconds: all, workers: limit }: Concurrency, workers: number): Judged {
  if (all <= 0) return { kind: "nothing" };
  if (limit !== null && workers > limit && secondsFrom(levels, limit) > 0) return { kind: "unknown", limit };
  const seconds = Math.min(all, secondsFrom(levels, workers));
  return { kind: "share", share: seconds / all, seconds };
}

/** The most workers that were ever held. */
export const peakOf = (levels: readonly Level[]): number =>
  levels.reduce((most, [held, seconds]) => (seconds > 0 ? Math.max(most, held) : most), 0);

/** Up to so many workers something is known: the limit where it was reached, or else one more than was ever needed. */
export function knownTo({ levels, workers: limit }: Concurrency): number {
  const peak = peakOf(levels);
  return limit !== null && peak >= limit ? Math.max(1, limit) : peak + 1;
}

export interface Row {
  readonly workers: number;
  readonly share: number;
  readonly seconds: number;
}

/** Shares of the time that an operator would put up with. */
const SHARES = [0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.001, 0] as const;

/** The fewest workers for each of some shares, as far as that can be known; fewest first. */
export function rows(answer: Concurrency): readonly Row[] {
  const found = new Map<number, Row>();
  for (const most of SHARES) {
    const workers = fewest(answer, most);
    const judged = judge(answer, workers);
    if (judged.kind !== "share" || judged.share > most) continue;
    found.set(workers, { workers, share: judged.share, seconds: judged.seconds });
  }
  return [...found.values()].sort((one, other) => one.workers - other.workers);
}

/** With so few workers the share is at most this. */
function fewest({ levels, seconds: all }: Concurrency, share: number): number {
  let rest = 0;
  for (const [held, seconds] of [...levels].sort(([one], [other]) => other - one)) {
    rest += seconds;
    // One more than those that were held this often would have done.
    if (rest > share * all) return held + 1;
  }
  return 1;
}

/** The corners of the curve of shares over workers, from one worker on to as many as something is known of. */
export function corners(answer: Concurrency): readonly (readonly [number, number])[] {
  const end = knownTo(answer);
  const steps = answer.levels.map(([held]) => held + 1).filter((workers) => workers > 1 && workers <= end);
  const places = [...new Set([1, ...steps, end])].sort((one, other) => one - other);
  return places.map((workers) => {
    const judged = judge(answer, workers);
    return [workers, judged.kind === "share" ? judged.share : 0] as const;
  });
}

/** The curve as the path of an SVG of this size: level, then down. */
export function curve(answer: Concurrency, width: number, height: number): string {
  const all = corners(answer);
  const end = all.at(-1)?.[0] ?? 1;
  const x = (workers: number) => ((width * (workers - 1)) / Math.max(1, end - 1)).toFixed(1);
  const y = (share: number) => (height * (1 - share)).toFixed(1);
  const [first] = all;
  if (first === undefined) return "";
  return `M0 ${y(first[1])}${all.slice(1).map(([workers, share]) => `H${x(workers)}V${y(share)}`).join("")}H${width}`;
}
