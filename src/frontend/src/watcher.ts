/**
 * What happens to Apache and to the dashboard, told by one frame after another: twin of core/events.py, for the marks
 * that nobody has to ask for. Pure: time comes with the frames.
 */
import type { Mark, MarkKind } from "./history";
import type { Failure, Frame, Sample } from "./wire";

/** Twice what the recording gives at once. */
const MOST_MARKS = 2000;
/** The clock by which Apache tells when it started moves by less between two samples. */
const RESTART_SECONDS = 2;
/** A pool that is full but for a moment now and then is full. */
const SETTLE_SECONDS = 5;
/** Nobody knows what was between two full samples that are farther apart. */
const LONGEST_GAP_SECONDS = 120;

/** The recording is written after a sample is sent: of the newest it may not tell yet. */
const LATE_SECONDS = 5;

const isOpen = (mark: Mark, kind: MarkKind): boolean => mark.kind === kind && mark.ended === null;

export class Watcher {
  #marks: readonly Mark[] = [];
  #last: Frame | null = null;
  #sample: Sample | null = null;
  #fullAt = Number.NEGATIVE_INFINITY;

  /** Oldest first. Another array once there is something else in it. */
  get marks(): readonly Mark[] {
    return this.#marks;
  }

  take(frame: Frame): void {
    // The clock was set back: what was later is not.
    if (this.#last !== null && frame.at < this.#last.at) this.#forgetFrom(frame.at);
    // Each run of the dashboard counts its own ticks.
    if (this.#last !== null && frame.tick < this.#last.tick) this.#start(frame.at, this.#last.at);
    this.#last = frame;
    if ("error" in frame) return this.#fail(frame);
    this.#end("metrics-off", frame.at);
    this.#compare(this.#sample, frame);
    this.#sample = frame;
    this.#fill(frame);
  }

  /**
   * Have what the recording tells up to an instant (epoch seconds) in place of what was seen, which goes on after it;
   * what still lasted then is watched on.
   */
  adopt(recorded: readonly Mark[], until: number): void {
    const continued = new Set<Mark>();
    const older = recorded.map((mark) => {
      if (mark.ended !== null) return mark;
      const seen = this.#marks.filter(({ kind, ended }) => kind === mark.kind && (ended ?? until) >= mark.at);
      for (const each of seen) continued.add(each);
      if (seen.length === 0 && mark.kind === "saturation") this.#fullAt = Math.max(this.#fullAt, until);
      return { ...mark, ended: seen.length === 0 ? null : (seen.at(-1)?.ended ?? null) };
    });
    const isTold = ({ kind, at }: Mark) =>
      recorded.some((mark) => mark.kind === kind && Math.abs(mark.at - at) < LATE_SECONDS);
    const newer = this.#marks.filter(
      (mark) => !continued.has(mark) && (mark.at > until || (mark.at > until - LATE_SECONDS && !isTold(mark))),
    );
    this.#marks = [...older, ...newer].sort((one, other) => one.at - other.at);
  }

  #forgetFrom(at: number): void {
    this.#marks = this.#marks.filter((mark) => mark.at < at);
    this.#fullAt = Math.min(this.#fullAt, at);
  }

  #add(mark: Mark): void {
    this.#marks = [...this.#marks.slice(1 - MOST_MARKS), mark];
  }

  #end(kind: MarkKind, ended: number): void {
    if (!this.#marks.some((mark) => isOpen(mark, kind))) return;
    this.#marks = this.#marks.map((mark) => (isOpen(mark, kind) ? { ...mark, ended: Math.max(mark.at, ended) } : mark));
  }

  #start(at: number, lastAt: number): void {
    this.#end("metrics-off", lastAt);
    this.#end("saturation", this.#fullAt);
    this.#add({ kind: "dashboard-start", at });
  }

  #fail({ at, error }: Failure): void {
    this.#settle(at);
    if (this.#marks.some((mark) => isOpen(mark, "metrics-off") && mark.text === error)) return;
    this.#end("metrics-off", at);
    this.#add({ kind: "metrics-off", at, ended: null, text: error });
  }

  #compare(before: Sample | null, { at, snapshot: now }: Sample): void {
    if (before === null) return;
    const { restart_time, running_generation: generation } = before.snapshot;
    if (now.restart_time - restart_time > RESTART_SECONDS) this.#add({ kind: "restart", at: now.restart_time });
    else if (now.running_generation !== generation) {
      this.#add({ kind: "graceful", at, generation: now.running_generation });
    }
  }

  #fill({ at, rates, capacity }: Sample): void {
    const of = capacity.max_request_workers ?? capacity.serving;
    if (of <= 0 || rates.busy < of) return this.#settle(at);
    if (at - this.#fullAt > LONGEST_GAP_SECONDS) this.#end("saturation", this.#fullAt);
    if (!this.#marks.some((mark) => isOpen(mark, "saturation"))) this.#add({ kind: "saturation", at, ended: null });
    this.#fullAt = at;
  }

  #settle(at: number): void {
    if (at - this.#fullAt >= SETTLE_SECONDS) this.#end("saturation", this.#fullAt);
  }
}
