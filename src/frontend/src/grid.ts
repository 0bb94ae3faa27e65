/** Paints the worker grid, and of it only the cells that changed. */
import { glyph } from "./glyphs";
import { layOut, type Cell, type Layout, type Room } from "./layout";
import { palette, type Palette } from "./palette";
import { slotId, type Slot } from "./requests";
import type { ProcessRow } from "./rows";
import { processLabels } from "./strings";
import type { Status } from "./wire";

export interface GridPicture extends Room {
  readonly rows: readonly ProcessRow[];
  readonly selected: Slot | null;
  /** Ids of the slots that stay as they are while the others fade; null if none fade. */
  readonly kept: ReadonlySet<number> | null;
  readonly scheme: number;
}

const ROUNDED_FROM = 12;
/** Drawn letters are legible from so many device pixels on; under it they are set pixel by pixel. */
const LETTER_FROM = 9;
const FADED = 0.25;

/** How a cell is painted: its letter, faded or not, marked or not. */
type Look = string;

export class GridPainter {
  readonly #context: CanvasRenderingContext2D;
  #rows: readonly ProcessRow[] = [];
  #layout: Layout = layOut([], { width: 1, height: 1 });
  #palette: Palette | null = null;
  #painted: Look[][] = [];
  #frame = "";
  #sprites = new Map<Status, ImageBitmap>();

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser has no 2d canvas");
    this.#context = context;
  }

  /** Draw what differs from the last drawing; everything if the frame around the cells is another one. */
  draw(picture: GridPicture): void {
    const { rows, selected, kept } = picture;
    const heads = rows.map((row) => `${processLabels(row)[0] ?? ""}/${row.states.length}`);
    const frame = [picture.width, picture.height, window.devicePixelRatio, picture.scheme, ...heads].join();
    this.#rows = rows;
    if (frame !== this.#frame) {
      this.#frame = frame;
      this.#begin(picture);
    }
    for (const [row, { process_num, states }] of rows.entries()) {
      const painted = (this.#painted[row] ??= []);
      const marked = selected?.process_num === process_num ? selected.index : -1;
      for (let index = 0; index < states.length; index++) {
        const faded = kept !== null && !kept.has(slotId({ process_num, index }));
        const look = `${states[index] ?? ""}${faded ? "-" : ""}${index === marked ? "!" : ""}`;
        if (painted[index] === look) continue;
        painted[index] = look;
        this.#paintCell({ row, index }, states[index] as Status, faded, index === marked);
      }
    }
  }

  /** The slot under a point of the canvas (CSS pixels). */
  slotAt(x: number, y: number): Slot | null {
    const cell = this.#layout.at(x, y);
    return cell === null ? null : this.#slot(cell);
  }

  /** The slot beside another one; the first of all beside none. */
  step(from: Slot | null, across: number, down: number): Slot | null {
    const row = this.#rows.findIndex((candidate) => candidate.process_num === from?.process_num);
    if (from === null || row < 0) return this.#slot({ row: 0, index: 0 });
    return this.#slot(this.#layout.step({ row, index: from.index }, across, down));
  }

  #slot({ row, index }: Cell): Slot | null {
    const process = this.#rows[row];
    return process === undefined ? null : { process_num: process.process_num, index };
  }

  #begin({ rows, width, height }: GridPicture): void {
    const lengths = rows.map((row) => row.states.length);
    const ratio = window.devicePixelRatio;
    this.#layout = layOut(lengths, { width, height });
    this.#palette = palette(this.canvas);
    this.#painted = [];
    this.#sprites.clear();
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.#layout.height * ratio);
    this.canvas.style.height = `${this.#layout.height}px`;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#paintFrames(rows, this.#palette);
  }

  /** Labels, where there is room for them, and a frame around what drains. */
  #paintFrames(rows: readonly ProcessRow[], { warn, muted, font }: Palette): void {
    const context = this.#context;
    const room = this.#layout.labelWidth;
    context.font = `${this.#layout.cell.height < ROUNDED_FROM ? 10 : 11}px ${font}`;
    context.textBaseline = "top";
    context.setLineDash([3, 2]);
    for (const [index, row] of rows.entries()) {
      const { x, y, width, height } = this.#layout.block(index);
      const draining = row.old || row.quiescing;
      context.strokeStyle = context.fillStyle = draining ? warn : muted;
      const labels = processLabels(row);
      const fits = (words: string) => context.measureText(words).width <= room;
      const label = room === 0 ? "" : (labels.find(fits) ?? labels.at(-1) ?? "");
      context.fillText(label, x, y + 1);
      const frame = Math.max(width, context.measureText(label).width);
      if (draining) context.strokeRect(x - 1.5, y - 1.5, frame + 2, height + 2);
    }
    context.setLineDash([]);
  }

  #paintCell(cell: Cell, status: Status, faded: boolean, marked: boolean): void {
    const context = this.#context;
    const { x, y } = this.#layout.position(cell);
    const { width, height } = this.#layout.cell;
    context.clearRect(x - 0.5, y - 0.5, width + 1, height + 1);
    context.globalAlpha = faded ? FADED : 1;
    context.drawImage(this.#sprite(status), x, y, width, height);
    context.globalAlpha = 1;
    if (!marked) return;
    context.strokeStyle = this.#palette?.ink ?? "";
    context.lineWidth = 2;
    context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    context.lineWidth = 1;
  }

  /** A painted cell to copy: 6,400 letters are too many to set. A bitmap, since of a canvas a copy is made each time. */
  #sprite(status: Status): ImageBitmap {
    const known = this.#sprites.get(status);
    if (known !== undefined) return known;
    const ratio = window.devicePixelRatio;
    const { width, height } = this.#layout.cell;
    const canvas = new OffscreenCanvas(Math.round(width * ratio), Math.round(height * ratio));
    const context = canvas.getContext("2d");
    const ink = this.#palette?.states[status];
    if (context !== null && ink !== undefined) {
      context.fillStyle = ink.fill;
      context.beginPath();
      context.roundRect(0, 0, canvas.width, canvas.height, (width >= ROUNDED_FROM ? 3 : 1) * ratio);
      context.fill();
      context.fillStyle = ink.letter;
      if (height * ratio < LETTER_FROM) glyph(context, status, canvas.width, canvas.height);
      else this.#setLetter(context, status, canvas);
    }
    const sprite = canvas.transferToImageBitmap();
    this.#sprites.set(status, sprite);
    return sprite;
  }

  #setLetter(context: OffscreenCanvasRenderingContext2D, status: Status, { width, height }: Room): void {
    const size = Math.round(Math.min(height * 0.6, width * 0.75, height < 20 ? height * 0.75 : height));
    context.font = `600 ${Math.max(8, size)}px ${this.#palette?.font ?? "sans-serif"}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(status, width / 2, height / 2 + 0.5);
  }
}
