/** Paints the worker grid, and only those cells that changed. Colours come from CSS, so that a scheme is CSS's affair. */
import { STATE_KEYS, type ProcessRow, type Slot } from "./derive";
import { layOut, type Cell, type Layout } from "./layout";
import { processLabel, processMark } from "./strings";
import { STATUSES, type Status } from "./wire";

interface Ink {
  readonly fill: string;
  readonly letter: string;
}

const ROUNDED_FROM_PITCH = 14;

export class GridPainter {
  readonly #context: CanvasRenderingContext2D;
  #rows: readonly ProcessRow[] = [];
  #layout: Layout = layOut([], 1);
  #painted: readonly string[] = [];
  #frame = "";
  #marked: Cell | null = null;

  constructor(private readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser has no 2d canvas");
    this.#context = context;
  }

  /** Draw what differs from the last drawing; everything if the frame around the cells is another one. */
  draw(rows: readonly ProcessRow[], selected: Slot | null, width: number, scheme: number): void {
    const ratio = window.devicePixelRatio;
    const frame = [width, ratio, scheme, ...rows.map((row) => `${processLabel(row)}/${row.states.length}`)].join();
    const marked = cellOf(rows, selected);
    const inks = palette(this.canvas);
    const letters = rows.map((row) => row.states);
    if (frame !== this.#frame) {
      this.#frame = frame;
      this.#painted = [];
      this.#resize(rows, width, ratio);
      this.#paintLabels(rows, inks.label);
    }
    this.#rows = rows;
    this.#context.font = `600 ${Math.max(8, Math.round(this.#layout.size * 0.58))}px ${inks.font}`;
    this.#context.textAlign = "center";
    this.#context.textBaseline = "middle";
    for (const [row, states] of letters.entries()) {
      const before = this.#painted[row] ?? "";
      for (let index = 0; index < states.length; index++) {
        const isMarked = same(marked, row, index);
        if (states[index] === before[index] && isMarked === same(this.#marked, row, index)) continue;
        this.#paintCell({ row, index }, inks.states.get(states[index] as Status), states[index] ?? "", isMarked);
      }
    }
    this.#painted = letters;
    this.#marked = marked;
  }

  /** The slot under a point of the canvas (CSS pixels). */
  slotAt(x: number, y: number): Slot | null {
    const cell = this.#layout.at(x, y);
    const row = cell === null ? undefined : this.#rows[cell.row];
    return cell === null || row === undefined ? null : { process_num: row.process_num, index: cell.index };
  }

  #resize(rows: readonly ProcessRow[], width: number, ratio: number): void {
    this.#layout = layOut(
      rows.map((row) => row.states.length),
      width,
    );
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.#layout.height * ratio);
    this.canvas.style.height = `${this.#layout.height}px`;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  #paintLabels(rows: readonly ProcessRow[], ink: Ink & { readonly font: string }): void {
    const room = this.#layout.labelWidth;
    if (room === 0) return;
    this.#context.font = ink.font;
    this.#context.textAlign = "left";
    this.#context.textBaseline = "top";
    for (const [index, row] of rows.entries()) {
      const { x, y } = this.#layout.origin(index);
      this.#context.fillStyle = row.old || row.quiescing ? ink.fill : ink.letter;
      const label = processLabel(row);
      this.#context.fillText(this.#context.measureText(label).width <= room ? label : processMark(row), x, y + 1);
    }
  }

  #paintCell(cell: Cell, ink: Ink | undefined, letter: string, marked: boolean): void {
    if (ink === undefined) return;
    const context = this.#context;
    const { x, y } = this.#layout.position(cell);
    const { size, pitch } = this.#layout;
    context.clearRect(x, y, pitch, pitch);
    context.fillStyle = ink.fill;
    context.beginPath();
    context.roundRect(x, y, size, size, pitch >= ROUNDED_FROM_PITCH ? 3 : 1);
    context.fill();
    context.fillStyle = ink.letter;
    context.fillText(letter, x + size / 2, y + size / 2 + 0.5);
    if (!marked) return;
    context.strokeStyle = ink.letter;
    context.lineWidth = 1.5;
    context.strokeRect(x + 2, y + 2, size - 4, size - 4);
  }
}

function palette(element: Element) {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const states = new Map<Status, Ink>();
  for (const status of STATUSES) {
    const key = STATE_KEYS[status];
    states.set(status, { fill: color(`--state-${key}`), letter: color(`--on-${key}`) });
  }
  const label = { fill: color("--warn"), letter: color("--muted"), font: `11px ${style.fontFamily}` };
  return { states, label, font: style.fontFamily };
}

function cellOf(rows: readonly ProcessRow[], slot: Slot | null): Cell | null {
  const row = rows.findIndex((candidate) => candidate.process_num === slot?.process_num);
  return slot === null || row < 0 ? null : { row, index: slot.index };
}

function same(cell: Cell | null, row: number, index: number): boolean {
  return cell?.row === row && cell.index === index;
}
