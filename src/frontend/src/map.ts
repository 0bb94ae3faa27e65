/** Paints slots over time: a row for each slot, its state as a colour and, where there is room, as a letter. */
import { GUTTER } from "./axis";
import { Easel, FOOT, type Surface } from "./easel";
import { INFERRED, type Column } from "./history";
import { columnAt, FADED, Film, idleQuarters, lay, letterOf, lineAt, lineOf, QUARTERS } from "./reduce";
import { Reducer, runs, sameList, samePlaces, sameSlots, telling, type Block, type Lines, type Run } from "./reduce";
import { STATUSES, type Status } from "./wire";

export interface ProcessBlock extends Block {
  readonly label: string;
  /** Of an old generation. */
  readonly marked: boolean;
}

export interface MapPicture extends Surface {
  /** Oldest first; there may be holes between them. They come and go at the ends, and none changes. */
  readonly columns: readonly Column[];
  /** The slots that are shown (their places in Column.letters), from top to bottom. */
  readonly rows: readonly number[];
  readonly blocks: readonly ProcessBlock[];
  readonly cursorAt: number | null;
  readonly frozenAt: number | null;
  /** Older letters were inferred. */
  readonly firstSeenAt: number | null;
  /** A slot. */
  readonly selected: number | null;
  /** Slots. */
  readonly dimmed: ReadonlySet<number> | null;
}

/** A smaller row, or a shorter run, has no room for its letter (CSS pixels). */
const LETTER_FROM = 11;
const LABEL_PITCH = 13;
const BRACKET = 2;
/** How much of its colour a state keeps where it was not seen, and where it is not wanted. */
const INFERRED_SHARE = 0.55;
const FADED_SHARE = 0.25;

const NOTHING = { letters: new Uint8Array(), since: null };

/** What has no letter: a worker that waits, and one that there is not. */
const SILENT: ReadonlySet<Status> = new Set(["_", "."]);

export class MapPainter {
  readonly #easel: Easel;
  #picture: MapPicture | null = null;
  #lines: Lines = lay([], [], null, { height: 0, ratio: 1 });
  /** What the lines were made of. */
  #laidFrom: readonly unknown[] = [];
  #reducer = new Reducer(this.#lines);
  #image: ImageData | null = null;
  #film = new Film(new Uint32Array(), 0);
  #colors = new Uint32Array();

  constructor(canvas: HTMLCanvasElement) {
    this.#easel = new Easel(canvas);
  }

  draw(picture: MapPicture): void {
    const easel = this.#easel;
    if (easel.begin(picture)) this.#colors = mixed(easel);
    this.#picture = picture;
    this.#lay(picture);
    this.#render(picture);
    const { colors } = easel;
    const bottom = this.#lines.height;
    easel.times(picture.span, [bottom, bottom + 3]);
    if (this.#lines.rowHeight >= LETTER_FROM) this.#letters();
    this.#labels(picture.blocks);
    easel.instant(picture.firstSeenAt, [0, bottom], colors.muted, 1, [1, 3]);
    easel.instant(picture.cursorAt, [0, bottom], colors.muted);
    easel.instant(picture.frozenAt, [0, bottom], colors.ink, 1.5);
    this.#outline(picture.rows, picture.selected);
  }

  /** The slot whose state is shown at a point (CSS pixels). */
  slotAt(x: number, y: number): number | null {
    const line = lineAt(this.#lines, y * this.#easel.ratio);
    const at = this.timeAt(x);
    if (line === null || at === null || this.#picture === null) return null;
    return telling(columnAt(this.#picture.columns, at) ?? NOTHING, this.#lines, line);
  }

  /** The instant at x (CSS pixels); null beside the map. */
  timeAt(x: number): number | null {
    return this.#easel.scale.at(x);
  }

  /** What was reduced is kept for as long as the same slots share lines. */
  #lay({ rows, blocks, dimmed, height }: MapPicture): void {
    const { ratio } = this.#easel;
    const from = [rows, blocks, dimmed, height, ratio];
    if (sameList(from, this.#laidFrom)) return;
    this.#laidFrom = from;
    const lines = lay(rows, blocks, dimmed, { height: Math.max(0, height - FOOT), ratio });
    const same = sameSlots(lines, this.#lines);
    if (!same) this.#reducer = new Reducer(lines);
    if (!same || !samePlaces(lines, this.#lines)) this.#lines = lines;
  }

  #left(): number {
    return Math.round(this.#easel.scale.left * this.#easel.ratio);
  }

  #render({ columns, span }: MapPicture): void {
    const width = Math.round(this.#easel.scale.right * this.#easel.ratio) - this.#left();
    const height = Math.max(1, this.#lines.bottoms.at(-1) ?? 0);
    if (this.#image?.width !== width || this.#image.height !== height) {
      this.#image = this.#easel.context.createImageData(width, height);
      this.#film = new Film(new Uint32Array(this.#image.data.buffer), width);
    }
    this.#film.draw({ columns, span, lines: this.#lines, colors: this.#colors }, this.#reducer);
    this.#easel.context.putImageData(this.#image, this.#left(), 0);
  }

  #letters(): void {
    const { context, ratio, colors } = this.#easel;
    const { count, tops, bottoms, faded, rowHeight } = this.#lines;
    context.font = `600 ${Math.min(10, Math.floor(rowHeight - 2))}px ${colors.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let line = 0; line < count; line++) {
      const middle = ((tops[line] ?? 0) + (bottoms[line] ?? 0)) / 2 / ratio + 0.5;
      context.globalAlpha = faded[line] === 1 ? FADED_SHARE : 1;
      for (const run of runs(this.#film.stretches, line)) this.#letter(run, middle);
    }
    context.globalAlpha = 1;
  }

  #letter({ from, to, code }: Run, y: number): void {
    const { context, ratio, colors, scale } = this.#easel;
    const letter = STATUSES[letterOf(code)];
    if (to - from < LETTER_FROM * ratio || letter === undefined || SILENT.has(letter)) return;
    context.fillStyle = (code & INFERRED) === 0 ? colors.states[letter].letter : colors.ink;
    context.fillText(letter, scale.left + from / ratio + LETTER_FROM / 2 + 0.5, y);
  }

  #labels(blocks: readonly ProcessBlock[]): void {
    const easel = this.#easel;
    const { ratio, context } = easel;
    const { warn, line, muted } = easel.colors;
    let free = Number.NEGATIVE_INFINITY;
    for (const { label, first, count, marked } of blocks) {
      const [top] = this.#edges(first);
      const [, bottom] = this.#edges(first + count - 1);
      context.fillStyle = marked ? warn : line;
      context.fillRect(easel.snap(GUTTER - 5), top, BRACKET, bottom - top - (bottom - top > BRACKET ? 1 / ratio : 0));
      const middle = Math.max((top + bottom) / 2, LABEL_PITCH / 2);
      if (middle < free) continue;
      easel.text(label, GUTTER - 9, middle, marked ? warn : muted, "right");
      free = middle + LABEL_PITCH;
    }
  }

  /** Top and bottom of a row. */
  #edges(row: number): readonly [number, number] {
    const { count, tops, bottoms } = this.#lines;
    const line = lineOf(row, count, this.#picture?.rows.length ?? 0);
    return [(tops[line] ?? 0) / this.#easel.ratio, (bottoms[line] ?? 0) / this.#easel.ratio];
  }

  #outline(rows: readonly number[], selected: number | null): void {
    const { context, colors, scale } = this.#easel;
    const row = selected === null ? -1 : rows.indexOf(selected);
    if (row < 0) return;
    const [edge, bottom] = this.#edges(row);
    const top = Math.max(1.5, edge);
    context.strokeStyle = colors.ink;
    context.lineWidth = 1.5;
    context.strokeRect(scale.left - 0.75, top - 0.75, scale.right - scale.left + 1.5, bottom - top + 1.5);
  }
}

/** The colours of all codes as pixels; none for those that are not in it. */
function mixed({ context, colors }: Easel): Uint32Array<ArrayBuffer> {
  const rgb = (color: string) => {
    // The browser writes any opaque colour as #rrggbb.
    context.fillStyle = color;
    return Number.parseInt(String(context.fillStyle).slice(1), 16);
  };
  const pixels = new Uint32Array(2 * FADED);
  const panel = rgb(colors.panel);
  const idle = rgb(colors.states._.fill);
  for (let code = 0; code < FADED; code++) {
    const status = STATUSES[letterOf(code)];
    if (status === undefined || status === ".") continue;
    const fill = mix(rgb(colors.states[status].fill), idle, 1 - idleQuarters(code) / QUARTERS);
    const seen = (code & INFERRED) === 0 ? 1 : INFERRED_SHARE;
    pixels[code] = pixel(mix(fill, panel, seen));
    pixels[code + FADED] = pixel(mix(fill, panel, seen * FADED_SHARE));
  }
  return pixels;
}

/** One colour over another (0xrrggbb). */
function mix(over: number, under: number, share: number): number {
  let mixed = 0;
  for (const shift of [0, 8, 16]) {
    const below = (under >> shift) & 255;
    mixed |= Math.round(below + (((over >> shift) & 255) - below) * share) << shift;
  }
  return mixed;
}

/** As a pixel of an ImageData, in the byte order that all browsers' machines have. */
const pixel = (color: number): number =>
  ((255 << 24) | ((color & 255) << 16) | (color & 0xff00) | (color >> 16)) >>> 0;
