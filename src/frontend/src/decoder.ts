/**
 * Frames of `mod-wsgi-dashboard.v1` to samples: the viewer's side of the chain, twin of core/decoder.py. The protocol's
 * specification is in core/wire.py. Only what came is checked; what stands was checked when it came.
 */
import { FrameError, int, member, object, optional, parse, record, some, text, type Loose } from "./check";
import type { Problem } from "./live";
import { changeSlots, NO_TABLES, readProcesses, takeIn, type Tables } from "./slots";
import { alerted, decode, ofFailure, ofSample, ofScoreboard, rates, someAlerts } from "./wire";
import type { Failure, Frame, Sample } from "./wire";

/**
 * Beside frames: "broken" is a delta that does not continue what is held here, so that a key frame must be asked for;
 * "unknown" is a kind of frame that this version passes over.
 */
export type Decoded = Frame | "broken" | "unknown";

const head = record({ tick: int, at_ms: int, rates });
const newSample = alerted(record(ofSample));
const changedSample = some(ofSample);
const newScoreboard = record(ofScoreboard);
const changedScoreboard = some(ofScoreboard);
const failureHead = alerted(record({ tick: int, at_ms: int, error: text, ...ofFailure }));

/** Puts the frames of one chain together again. What did not change from a sample to the next is the same object. */
export class Decoder {
  #held: Sample | null = null;
  #tables: Tables = NO_TABLES;
  #whole = false;

  /** Whether the newest frame needed nothing that came before it. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Decode the text of one frame. Throws a FrameError that names the bad key; the chain is broken then. */
  decode(data: unknown): Decoded {
    const frame = object(parse(data));
    const kind = member("frame", text, frame);
    this.#whole = kind === "key" || kind === "error";
    if (!this.#whole && kind !== "delta") return "unknown";
    const held = kind === "delta" ? this.#held : null;
    // Whatever goes wrong from here on, nothing is left that a delta could continue.
    this.#held = null;
    if (kind === "error") return failure(frame);
    if (kind === "key") this.#tables = NO_TABLES;
    else if (held?.tick !== member("previous", int, frame)) return "broken";
    this.#held = this.#merge(held, frame);
    return this.#held;
  }

  #merge(held: Sample | null, frame: Loose): Sample {
    const { tick, at_ms, rates } = head(frame);
    const rest = held === null ? newSample(frame) : { ...held, ...changedSample(frame), ...someAlerts(frame) };
    const board = held === null ? newScoreboard(frame) : { ...held.snapshot, ...changedScoreboard(frame) };
    optional("tables", (value) => (this.#tables = takeIn(this.#tables, value)), frame);
    const before = held?.snapshot.processes ?? null;
    const read = (value: unknown) => readProcesses(value, before, board.thread_limit);
    const heads = before === null ? member("processes", read, frame) : (optional("processes", read, frame) ?? before);
    const change = (value: unknown) => changeSlots(heads, value, this.#tables, at_ms);
    const processes = optional("slots", change, frame) ?? heads;
    return { ...rest, tick, at: at_ms / 1000, snapshot: { ...board, processes }, rates };
  }
}

function failure(frame: Loose): Failure {
  const { at_ms, ...rest } = failureHead(frame);
  return { ...rest, at: at_ms / 1000 };
}

/** Decode a message of v1 or, without a decoder, of the plain format. A bad one is complained of, and gives null. */
export function attempt(data: unknown, decoder: Decoder | null, complain: (problem: Problem) => void): Decoded | null {
  try {
    return decoder === null ? decode(data) : decoder.decode(data);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    complain({ kind: "frame", path: error.path, expected: error.expected });
    return null;
  }
}
