/** Chance that is the same at each run. */
export type Below = (below: number) => number;

/** Numbers from 0 up to `below`, always the same ones (mulberry32). */
export function random(seed: number): Below {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export function one<T>(below: Below, values: readonly T[]): T {
  const value = values[below(values.length)];
  if (value === undefined) throw new RangeError("nothing to choose from");
  return value;
}
