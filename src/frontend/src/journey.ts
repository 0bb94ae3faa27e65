/**
 * Goes through the recording for `travel.ts`, and comes after the page's first picture. What the page remembers itself
 * is shown from there; the rest is asked for, and the old moment stays until it is there.
 */
import { batch } from "@preact/signals";

import { lastOf, type Span } from "./axis";
import type { Clock } from "./outside";
import { Trouble, type Recorded } from "./recorded";
import { Reel, type Board, type Scene } from "./reel";
import * as state from "./state";
import { available, drive, hole, loading, replaying, speed, trouble, type Hole } from "./travel";
import type { Sample } from "./wire";

/** No more than ten samples a second are painted. */
const FRAME_MS = 100;
/** What follows is fetched while there is no more left than this takes to play. */
const AHEAD_MS = 4_000;
/** Marks are asked for anew by what the viewer does, but not at each key. */
const MARKS_MS = 5_000;
/** A moment is no gap as long as its sample is not older than so many intervals. */
const LATE = 3;
/** Of an Apache or a dashboard that starts the first sample is shown, if it is not later than this (seconds). */
const FIRST_SECONDS = 120;
/** Just before. */
const LESS = 0.001;

let recorded: Recorded | null = null;
let reel: Reel | null = null;
let clock: Clock | null = null;
let scene: Scene | null = null;
/** Counts what the viewer asked for: what was asked before is of no use any more. */
let turn = 0;
let aim: number | null = null;
let markedMs = Number.NEGATIVE_INFINITY;

/** Take the wheel. */
export function begin(by: Recorded, with_: Clock): void {
  [recorded, reel, clock] = [by, new Reel(by), with_];
  drive({ seek, live, step, jump: (direction) => void jump(direction), play, pausePlay, refreshMarks });
}

const newestAt = (): number => state.newest.peek()?.at ?? 0;
const isReplay = (): boolean => replaying.peek();

function board(): Board {
  const sample = state.sample.peek();
  const slots = sample?.snapshot.processes.reduce((sum, { workers }) => sum + workers.length, 0) ?? 0;
  return { slots, interval: sample?.interval ?? 1, from: state.recordedFrom.peek() ?? 0 };
}

/** Show the page as it was at an instant (epoch seconds). */
function seek(at: number): void {
  pausePlay();
  void haveMarks();
  void goTo(at);
}

/** Show the newest, and go on with it; of a replay its end. */
function live(): void {
  pausePlay();
  settle();
  if (isReplay()) state.pause();
  else state.follow();
}

/** End what is under way: the page is where it is. */
function settle(): void {
  turn += 1;
  batch(() => {
    aim = loading.value = null;
    hole.value = null;
    trouble.value = null;
  });
}

/** Nothing is asked for, or played, while nobody looks. */
export function rest(): void {
  pausePlay();
  turn += 1;
  loading.value = null;
  recorded?.stop();
}

/** Whether the page has the sample that was newest at an instant, or there is no other. It may not have got all. */
function isRemembered(at: number): boolean {
  const memory = state.remembered();
  const found = memory.whole(memory.placeAt(at));
  return !available.peek() || (found !== null && found.at <= at && !isLate(found, at));
}

const isLate = (sample: Sample, at: number): boolean => at - sample.at > LATE * sample.interval;

async function goTo(at: number, side: "before" | "after" = "before"): Promise<void> {
  settle();
  const mine = turn;
  aim = at;
  const own = isRemembered(at);
  if (!own && (scene === null || at >= scene.until || (scene.memory.whole(0)?.at ?? at) > at)) {
    const found = await sceneAt(at);
    if (mine !== turn || found === null) return;
    scene = found;
  }
  const from = own ? null : scene;
  const memory = from?.memory ?? state.remembered();
  const shown = memory.whole(memory.placeAt(at));
  if (shown === null) return;
  const next = side === "after" && shown.at < at ? await following(shown.at) : null;
  if (mine !== turn) return;
  if (next === null || next === "end" || next.at - at > FIRST_SECONDS) standAt(shown, from, at);
  else standAt(next, inScene(next) ? scene : null, next.at);
}

/** Show a sample as that of an instant, and say so if it is older. */
function standAt(sample: Sample, from: Scene | null, at: number, playing: "playing" | "standing" = "standing"): void {
  stepping.samples = 0;
  batch(() => {
    state.stand(sample, from?.memory ?? null, playing);
    hole.value = available.peek() && isLate(sample, at) ? holeAt(sample, from, at) : null;
    loading.value = trouble.value = null;
  });
}

function holeAt(sample: Sample, from: Scene | null, at: number): Hole {
  const memory = from?.memory ?? state.remembered();
  const next = memory.whole(memory.placeAt(sample.at) + 1)?.at;
  const failure = from?.failures.find((failure) => failure.at > sample.at && failure.at <= at);
  const end = next ?? state.latest.peek()?.at ?? 0;
  const marked = state.marks.peek().filter((mark) => mark.at > sample.at && mark.at <= end);
  const resumed = marked.find(({ kind }) => kind === "dashboard-start");
  // An Apache that was restarted has restarted its dashboard, too.
  const started = marked.find((mark) => mark.kind === "restart" && mark.at <= (resumed?.at ?? at)) ?? resumed;
  const off = marked.find((mark) => mark.kind === "metrics-off" && mark.at <= at);
  const why = failure !== undefined || off !== undefined ? "metrics-off" : (started?.kind ?? null);
  const to = next ?? (why === "metrics-off" ? (off?.ended ?? undefined) : (resumed ?? started)?.at);
  return { from: sample.at, to: to ?? at, open: to === undefined, why, text: failure?.error ?? off?.text ?? "" };
}

/** The recording around an instant, or before it if there was no sample; null if there is none, with a trouble said. */
async function sceneAt(at: number): Promise<Scene | null> {
  if (reel === null) return null;
  const mine = turn;
  loading.value = at;
  let wanted = at;
  let found: Scene | null = null;
  // At most: nothing but failures here, and then at the start of these.
  for (let tries = 0; tries < 3; tries++) {
    const answer = await reel.scene(wanted, newestAt(), board());
    if (mine !== turn) return null;
    if (answer instanceof Trouble) {
      batch(() => {
        trouble.value = answer;
        loading.value = null;
      });
      return null;
    }
    found = answer;
    const newest = found.memory.whole(found.memory.placeAt(wanted));
    const before = newest !== null && newest.at <= wanted ? newest.at : earlier(found, wanted);
    // What was around that sample is wanted, and not what was around a hole.
    if (before === null || (before === newest?.at && !isLate(newest, wanted))) break;
    wanted = before;
  }
  loading.value = null;
  return found;
}

/** When there may be a sample, if a scene has none up to an instant. */
function earlier({ memory, failures }: Scene, at: number): number | null {
  const [failed] = failures;
  const off = lastOf(state.marks.peek(), (mark) => mark.kind === "metrics-off" && mark.at <= at);
  const point = lastOf(memory.points, (candidate) => candidate.at <= at);
  const instants = [failed?.at, off?.at, point?.at].filter((instant) => instant !== undefined && instant - LESS < at);
  return instants.length === 0 ? null : Math.min(...(instants as number[])) - LESS;
}

/** The steps that are under way: all count from what is still shown, so that further ones are added to them. */
let stepping = { turn: -1, samples: 0 };

/** Go a number of samples back or forth; beyond the newest the page goes on. */
function step(more: number): void {
  pausePlay();
  const shown = state.sample.peek();
  if (shown === null) return;
  const samples = more + (stepping.turn === turn ? stepping.samples : 0);
  const memory = state.remembered();
  const near = !state.standsFar.peek() && memory.placeAt(shown.at) + samples >= 0;
  settle();
  if (!available.peek() || near) return stepNear(samples);
  const mine = (stepping = { turn, samples });
  const done = () => (mine.samples = 0);
  void (samples < 0 ? stepBack(shown, -samples) : stepOn(shown, samples)).finally(done);
}

function stepNear(samples: number): void {
  state.step(samples);
  if (isReplay() && !state.paused.peek()) state.pause();
}

async function stepBack(shown: Sample, samples: number): Promise<void> {
  const mine = turn;
  let left = samples;
  let target = shown;
  let here: Scene | null = state.standsFar.peek() ? scene : null;
  while (left > 0) {
    const memory = here?.memory ?? state.remembered();
    const place = memory.placeAt(target.at);
    const taken = Math.min(left, place);
    left -= taken;
    target = memory.whole(place - taken) ?? target;
    if (left === 0) break;
    const older = await sceneAt(target.at - LESS);
    if (mine !== turn) return;
    const newest = older?.memory.whole(older.memory.placeAt(target.at - LESS));
    if (older === null || newest == null || newest.at >= target.at) break;
    here = scene = older;
    target = newest;
    left -= 1;
  }
  if (target !== shown) standAt(target, here, target.at);
}

async function stepOn(shown: Sample, samples: number): Promise<void> {
  const mine = turn;
  let target: Sample = shown;
  for (let left = samples; left > 0; left--) {
    const next = await following(target.at);
    if (mine !== turn) return;
    if (next === "end") return live();
    if (next === null) break;
    target = next;
  }
  if (target !== shown) standAt(target, inScene(target) ? scene : null, target.at);
}

const inScene = (sample: Sample): boolean => {
  const place = scene?.memory.placeAt(sample.at) ?? -1;
  return scene?.memory.whole(place) === sample;
};

/** The sample after an instant; "end" if there is none, null if it could not be had. */
async function following(at: number): Promise<Sample | "end" | null> {
  for (let tries = 0; tries < 3; tries++) {
    const own = state.remembered();
    if ((own.whole(0)?.at ?? Number.POSITIVE_INFINITY) <= at) return own.whole(own.placeAt(at) + 1) ?? "end";
    const next = scene?.after(at) ?? null;
    if (next !== null) return next;
    if (scene === null || scene.until >= newestAt()) return own.whole(0) ?? "end";
    const mine = turn;
    loading.value = scene.until;
    const more = await grow(scene);
    if (mine !== turn) return null;
    loading.value = null;
    if (more instanceof Trouble) {
      trouble.value = more;
      return null;
    }
    if (!more && !(await crossHole(scene.until))) return own.whole(0) ?? "end";
  }
  return null;
}

let growing: { readonly what: Scene; readonly answer: Promise<boolean | Trouble> } | null = null;

/** Have what follows a scene; who asks while it is under way waits for the same. */
function grow(what: Scene): Promise<boolean | Trouble> {
  if (growing?.what === what) return growing.answer;
  const answer = reel?.goOn(what, newestAt(), board()) ?? Promise.resolve(false);
  growing = { what, answer };
  const done = () => (growing = growing?.answer === answer ? null : growing);
  void answer.then(done);
  return answer;
}

/** Make the scene that of the first samples after a time in which nothing was recorded. */
async function crossHole(from: number): Promise<boolean> {
  if (recorded === null || reel === null || scene === null) return false;
  const mine = turn;
  let span: Span = { from, to: newestAt() };
  const shown = scene;
  for (let tries = 0; tries < 3; tries++) {
    const points = await recorded.history(span, 4000);
    if (points instanceof Trouble || mine !== turn || points[0] === undefined) return false;
    const [{ at, spread }] = points as [(typeof points)[0]];
    const seconds = spread?.seconds ?? 1;
    span = { from: Math.max(from, at - seconds), to: at };
    if (seconds <= 60) break;
  }
  const answer = await reel.scene(span.to, newestAt(), board());
  if (answer instanceof Trouble || mine !== turn) return false;
  // From here on it is gone through: what was before the hole stays in it.
  const newest = shown.memory.points.at(-1)?.at ?? 0;
  return shown.goOn(answer.memory.samples().filter(({ at }) => at > newest), answer.until);
}

/** Go to the next event, or to the one before (-1). */
async function jump(direction: 1 | -1): Promise<void> {
  pausePlay();
  const from = aim ?? state.sample.peek()?.at ?? 0;
  await haveMarks();
  const marks = state.marks.peek();
  const [before, after] = [from - LESS, from + LESS];
  const found = direction > 0 ? marks.find(({ at }) => at > after) : lastOf(marks, ({ at }) => at < before);
  if (found === undefined) return direction > 0 ? live() : undefined;
  await goTo(found.at, found.kind === "restart" || found.kind === "dashboard-start" ? "after" : "before");
}

let marking: Promise<void> | null = null;

/** Ask for what is marked. */
function refreshMarks(): Promise<void> {
  const mine = askForMarks().finally(() => (marking = marking === mine ? null : marking));
  return (marking = mine);
}

async function askForMarks(): Promise<void> {
  const from = state.recordedFrom.peek();
  if (recorded === null || clock === null || from === null) return;
  markedMs = clock.now();
  const to = state.latest.peek()?.at ?? 0;
  const marks = await recorded.marks({ from, to: to + 1 });
  if (!(marks instanceof Trouble)) state.mark(to, marks);
}

/** The same, if it was not just done; what is under way will do. */
async function haveMarks(): Promise<void> {
  if (Math.abs((clock?.now() ?? 0) - markedMs) >= MARKS_MS) await refreshMarks();
  else await marking;
}

let timer: number | null = null;
let headAt = 0;
let headMs = 0;

/** Play on from the shown sample, so many times as fast as it was. */
function play(times = 1): void {
  const shown = state.sample.peek();
  if (shown === null || clock === null) return;
  const was = speed.peek();
  speed.value = times;
  if (was !== null) return;
  if (!state.paused.peek()) state.pause();
  settle();
  [headAt, headMs] = [shown.at, clock.now()];
  timer = clock.setTimer(() => void turnOn(), FRAME_MS);
}

function pausePlay(): void {
  if (timer !== null) clock?.clearTimer(timer);
  timer = null;
  if (speed.peek() !== null) turn += 1;
  speed.value = loading.value = null;
}

/** Show what is due. */
async function turnOn(): Promise<void> {
  const times = speed.peek();
  if (times === null || clock === null) return;
  const mine = turn;
  const now = clock.now();
  headAt += (Math.min(1000, Math.max(0, now - headMs)) / 1000) * times;
  headMs = now;
  const ended = await showDue();
  if (mine !== turn || speed.peek() === null) return;
  if (ended) return isReplay() ? pausePlay() : live();
  // What took long is not caught up: a film that waits goes on where it was.
  headMs = clock.now();
  timer = clock.setTimer(() => void turnOn(), Math.max(FRAME_MS / 2, FRAME_MS - (headMs - now)));
  prefetch(times);
}

/** True at the end of the recording. */
async function showDue(): Promise<boolean> {
  const mine = turn;
  const shown = state.sample.peek();
  if (shown === null) return true;
  let next = await following(shown.at);
  if (mine !== turn) return false;
  if (next === null) {
    pausePlay();
    return false;
  }
  // Nothing was recorded for a while: nobody waits for it.
  if (next !== "end" && next.at - shown.at > LATE * next.interval) headAt = Math.max(headAt, next.at);
  let due: Sample | null = null;
  while (next !== null && next !== "end" && next.at <= headAt) {
    due = next;
    next = await following(due.at);
    if (mine !== turn) return false;
  }
  if (due !== null) standAt(due, inScene(due) ? scene : null, due.at, "playing");
  return next === "end";
}

/** The stretch that follows is fetched before it is due. */
function prefetch(times: number): void {
  if (scene === null || !state.standsFar.peek() || scene.until >= newestAt()) return;
  if (scene.until - headAt < (AHEAD_MS / 1000) * times) void reel?.fetch(scene, newestAt(), board());
}
