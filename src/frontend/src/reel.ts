/** The recorded samples around an instant, in stretches: fetched once each, put together in a Memory, gone through. */
import { Memory, MOST_COLUMNS, MOST_WORKERS } from "./memory";
import { Trouble, type Recorded } from "./recorded";
import type { Failure, Frame, Sample } from "./wire";

/** What is needed to judge a moment: the verdict's "for", sparklines, and since when slots have been as they are. */
const BEFORE_SECONDS = 900;
/** Letters of that time: a byte each. A scoreboard of 6,400 slots has a minute. */
const MOST_LETTERS = 400_000;
const LONGEST_SECONDS = 60;
const SHORTEST_SECONDS = 5;
const LEAST_SAMPLES = 10;
/** Of stretches that are kept each is at most some 60,000 changed workers, 15 MB; most are far smaller. */
const MOST_STRETCHES = 4;
/** Two of these are in what is gone through, and a rest: what is left behind makes room. */
const MOST_IN_SCENE = 2.5 * MOST_WORKERS;

/** What a server's boards are like. */
export interface Board {
  readonly slots: number;
  /** Seconds. */
  readonly interval: number;
  /** From when on there is a recording (epoch seconds). */
  readonly from: number;
}

/** How long a stretch is (seconds): a minute, or what a memory has room for if every worker changes in each sample. */
export function stretchSeconds({ slots, interval }: Omit<Board, "from">): number {
  const room = Math.floor((MOST_WORKERS / Math.max(1, slots)) * interval);
  return Math.ceil(Math.max(SHORTEST_SECONDS, LEAST_SAMPLES * interval, Math.min(LONGEST_SECONDS, room)));
}

/** A stretch of the recording in a memory that can be gone through, and on. */
export class Scene {
  #until: number;
  readonly #from: number;

  constructor(
    readonly memory: Memory,
    readonly failures: Failure[],
    until: number,
  ) {
    this.#until = until;
    this.#from = memory.whole(0)?.at ?? until;
  }

  /** The sample after an instant; null if this scene can't tell. */
  after(at: number): Sample | null {
    if (at < this.#from) return null;
    const place = this.memory.placeAt(at);
    const found = this.memory.whole(place);
    return found !== null && found.at > at ? found : this.memory.whole(place + 1);
  }

  /** Up to when everything is in it (epoch seconds). */
  get until(): number {
    return this.#until;
  }

  /** Take what follows; gives whether it is anything. */
  goOn(frames: readonly Frame[], until: number): boolean {
    const newest = this.memory.points.at(-1)?.at ?? 0;
    const next = frames.filter(({ at }) => at > newest);
    for (const frame of next) {
      if ("error" in frame) this.failures.push(frame);
      else this.memory.take(frame);
    }
    this.#until = until;
    return next.some((frame) => !("error" in frame));
  }
}

export class Reel {
  readonly #stretches = new Map<number, readonly Frame[]>();
  #seconds = 0;
  #underWay: { readonly number: number; readonly answer: Promise<readonly Frame[] | Trouble> } | null = null;

  constructor(private readonly recorded: Recorded) {}

  /** What was recorded around an instant. `newest` is the end of the recording: beyond it more is to come. */
  async scene(at: number, newest: number, board: Board): Promise<Scene | Trouble> {
    const seconds = this.#settle(board);
    const before = { from: Math.max(board.from, at - BEFORE_SECONDS), to: at };
    const columns = Math.min(MOST_COLUMNS, BEFORE_SECONDS / board.interval, MOST_LETTERS / Math.max(1, board.slots));
    const [frames, points, letters] = await Promise.all([
      this.#stretch(Math.floor(at / seconds), newest),
      this.recorded.history(before, BEFORE_SECONDS),
      this.recorded.letters({ from: at - columns * board.interval, to: at }, columns, board.interval),
    ]);
    if (frames instanceof Trouble) return frames;
    if (points instanceof Trouble && points.why === "outdated") return points;
    const samples = frames.filter((frame) => !("error" in frame)) as Sample[];
    const past = {
      points: points instanceof Trouble ? [] : points,
      columns: letters instanceof Trouble ? [] : letters,
    };
    const memory = new Memory(past, MOST_IN_SCENE);
    for (const sample of samples) memory.take(sample);
    const failures = frames.filter((frame) => "error" in frame) as Failure[];
    return new Scene(memory, failures, Math.min(newest, (Math.floor(at / seconds) + 1) * seconds));
  }

  /** Have what follows a scene; true if that is anything. */
  async goOn(scene: Scene, newest: number, board: Board): Promise<boolean | Trouble> {
    const seconds = this.#settle(board);
    const number = Math.floor(scene.until / seconds);
    const frames = await this.#stretch(number, newest);
    if (frames instanceof Trouble) return frames;
    return scene.goOn(frames, Math.min(newest, (number + 1) * seconds));
  }

  /** Have what would follow a scene at hand. */
  async fetch(scene: Scene, newest: number, board: Board): Promise<void> {
    await this.#stretch(Math.floor(scene.until / this.#settle(board)), newest);
  }

  #settle(board: Board): number {
    const seconds = stretchSeconds(board);
    if (seconds !== this.#seconds) this.#stretches.clear();
    this.#seconds = seconds;
    return seconds;
  }

  /** Who asks for a stretch while it is under way waits for the same. */
  #stretch(number: number, newest: number): Promise<readonly Frame[] | Trouble> {
    const known = this.#stretches.get(number);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#underWay?.number !== number) {
      const answer = this.#ask(number, newest).finally(() => {
        if (this.#underWay?.answer === answer) this.#underWay = null;
      });
      this.#underWay = { number, answer };
    }
    return this.#underWay.answer;
  }

  async #ask(number: number, newest: number): Promise<readonly Frame[] | Trouble> {
    const [from, to] = [number * this.#seconds, (number + 1) * this.#seconds];
    const answer = await this.recorded.frames({ from, to });
    if (answer instanceof Trouble) return answer;
    // It begins with a key: of what is before the stretch only the newest is wanted.
    const frames = answer.slice(Math.max(0, answer.filter(({ at }) => at <= from).length - 1));
    if (to > newest) return frames;
    this.#stretches.set(number, frames);
    const [oldest] = this.#stretches.keys();
    if (this.#stretches.size > MOST_STRETCHES && oldest !== undefined) this.#stretches.delete(oldest);
    return frames;
  }
}
