/** The living processes of a sample, as the grid and its table show them. */
import { living } from "./requests";
import type { Process, Sample } from "./wire";

export interface ProcessRow {
  readonly process_num: number;
  readonly pid: number;
  readonly generation: number;
  readonly old: boolean;
  readonly quiescing: boolean;
  /** Seconds for which it has been seen, and whether it may be older. */
  readonly age: { readonly seconds: number; readonly atLeast: boolean } | null;
  readonly states: string;
}

/** When a process was first seen. */
export type Birth = (process: Process) => { readonly at: number; readonly earlier: boolean } | null;

export function processRows(sample: Sample, birth: Birth): readonly ProcessRow[] {
  return living(sample).map((process) => {
    const born = birth(process);
    return {
      process_num: process.process_num,
      pid: process.pid,
      generation: process.generation,
      old: process.generation !== sample.snapshot.running_generation,
      quiescing: process.quiescing,
      age: born === null ? null : { seconds: Math.max(0, sample.at - born.at), atLeast: born.earlier },
      states: lettersOf(process),
    };
  });
}

/** Processes that did not change from a sample to the next are the same object: their letters are put together once. */
const letters = new WeakMap<Process, string>();

function lettersOf(process: Process): string {
  let text = letters.get(process);
  if (text === undefined) {
    text = "";
    for (const worker of process.workers) text += worker.status;
    letters.set(process, text);
  }
  return text;
}
