/**
 * Going through time, as the views and keys ask for it: the whole page to an instant, sample by sample, from event to
 * event, and as a film. Here is what there is to see of it; `journey.ts` does it once it has come, and until then, or
 * where nothing is recorded, there is what the page remembers.
 */
import { computed, signal } from "@preact/signals";

import type { Span } from "./axis";
import type { MarkKind } from "./history";
import type { Trouble } from "./recorded";
import type { Recording } from "./recorder/recording";
import * as state from "./state";

export const SPEEDS = [1, 2, 5, 10, 30, 60] as const;

/** What the server says of its recording; null while it is not known. */
export const recording = signal<Recording | null>(null);
/** Why there is no answer to what was asked last. */
export const trouble = signal<Trouble | null>(null);
/** The instant that is being fetched (epoch seconds). */
export const loading = signal<number | null>(null);
/** The speed at which it is played. */
export const speed = signal<number | null>(null);

/** A time of which there is no sample, with the shown one before it. */
export interface Hole extends Span {
  /** Whether it goes on beyond what is known. */
  readonly open: boolean;
  readonly why: MarkKind | null;
  readonly text: string;
}
export const hole = signal<Hole | null>(null);
export const replaying = computed(() => recording.value?.state === "replay");
/** Whether there is a recording to go through. */
export const available = computed(() => state.recordedFrom.value !== null);
/** How wide the charts are (CSS pixels): more points than these are of no use. */
export const pixels = signal(1000);

/** Who can go beyond what the page remembers. */
export interface Driver {
  seek(at: number): void;
  live(): void;
  step(samples: number): void;
  jump(direction: 1 | -1): void;
  play(times: number): void;
  pausePlay(): void;
  refreshMarks(): Promise<void>;
}

let driver: Driver | null = null;

export function drive(by: Driver): void {
  driver = by;
}

/** Show the page as it was at an instant (epoch seconds). */
export const seek = (at: number): void => (driver === null ? state.pause(at) : driver.seek(at));

/** Show the newest, and go on with it; of a replay its end. */
export const live = (): void => (driver === null ? state.follow() : driver.live());

/** Go a number of samples back or forth; beyond the newest the page goes on. */
export const step = (samples: number): void => (driver === null ? state.step(samples) : driver.step(samples));

/** Go to the next event, or to the one before (-1). */
export const jump = (direction: 1 | -1): void => driver?.jump(direction);

/** Play on from the shown sample, so many times as fast as it was. */
export const play = (times = 1): void => driver?.play(times);
export const pausePlay = (): void => driver?.pausePlay();

/** Ask what is marked now, as after a new bookmark. */
export const refreshMarks = async (): Promise<void> => driver?.refreshMarks();

export function togglePause(): void {
  if (!state.paused.peek()) state.pause();
  else if (!replaying.peek()) live();
  else if (speed.peek() === null) play();
  else pausePlay();
}
