/** Where each cell of the worker grid goes. Pure: a width and row lengths in, rectangles out. */

export interface Cell {
  readonly row: number;
  readonly index: number;
}

export interface Layout {
  /** Distance from one cell to the next, and the part of it that is painted (CSS pixels). */
  readonly pitch: number;
  readonly size: number;
  readonly height: number;
  /** Room for the label above a process, 0 for none. */
  readonly labelWidth: number;
  origin(row: number): { readonly x: number; readonly y: number };
  position(cell: Cell): { readonly x: number; readonly y: number };
  at(x: number, y: number): Cell | null;
}

const LARGEST_PITCH = 30;
/** The letter in a smaller cell is no longer legible, and colour alone must not carry the state. */
const SMALLEST_PITCH = 11;
/** What a first screen has room for; a narrow screen scrolls anyway. */
const WANTED_HEIGHT = 210;
const NARROW_WIDTH = 600;
const WANTED_HEIGHT_NARROW = 340;
const LABEL_HEIGHT = 17;
const LABEL_WIDTH = 62;
const BLOCK_GAP = 14;
/** A process of many short lines reads badly: each line must save so many pixels. */
const LINE_COST = 8;
/** Processes of fewer threads stand side by side without a label: prefork has one worker in each. */
const LABEL_FROM = 4;

interface Plan {
  readonly pitch: number;
  readonly perLine: number;
  readonly columns: number;
  readonly blockWidth: number;
  readonly blockHeight: number;
  readonly height: number;
}

/** Lay out processes (their numbers of workers) in `width`: the largest cells that stay within the wanted height. */
export function layOut(lengths: readonly number[], width: number): Layout {
  const longest = Math.max(1, ...lengths);
  const labelled = longest >= LABEL_FROM;
  const wanted = width < NARROW_WIDTH ? WANTED_HEIGHT_NARROW : WANTED_HEIGHT;
  let plan = bestPlan(LARGEST_PITCH, longest, lengths.length, width, labelled);
  for (let pitch = LARGEST_PITCH - 1; plan.height > wanted && pitch >= SMALLEST_PITCH; pitch--) {
    plan = bestPlan(pitch, longest, lengths.length, width, labelled);
  }
  return placed(plan, lengths, labelled);
}

function bestPlan(pitch: number, longest: number, blocks: number, width: number, labelled: boolean): Plan {
  const gap = labelled ? BLOCK_GAP : 0;
  const fitting = Math.max(1, Math.floor(width / pitch));
  let best: Plan | null = null;
  let leastCost = Number.POSITIVE_INFINITY;
  for (let lines = Math.ceil(longest / fitting); lines <= longest; lines++) {
    const perLine = Math.ceil(longest / lines);
    const blockWidth = Math.max(perLine * pitch, labelled ? LABEL_WIDTH : 0);
    const columns = Math.max(1, Math.floor((width + gap) / (blockWidth + gap)));
    const blockHeight = lines * pitch + (labelled ? LABEL_HEIGHT : 0);
    const height = Math.ceil(blocks / columns) * (blockHeight + gap) - gap;
    const cost = height + lines * LINE_COST;
    if (cost < leastCost) {
      leastCost = cost;
      best = { pitch, perLine, columns, blockWidth: blockWidth + gap, blockHeight: blockHeight + gap, height };
    }
    if (perLine === 1 || perLine * pitch < LABEL_WIDTH) break;
  }
  if (best === null) throw new RangeError("a process without workers has no plan");
  return best;
}

function placed(plan: Plan, lengths: readonly number[], labelled: boolean): Layout {
  const { pitch, perLine, columns, blockWidth, blockHeight } = plan;
  const labelHeight = labelled ? LABEL_HEIGHT : 0;
  const origin = (row: number) => ({
    x: (row % columns) * blockWidth,
    y: Math.floor(row / columns) * blockHeight,
  });
  return {
    pitch,
    size: pitch - (pitch >= 18 ? 3 : pitch >= 14 ? 2 : 1),
    height: Math.max(0, plan.height),
    labelWidth: labelled ? blockWidth - BLOCK_GAP / 2 : 0,
    origin,
    position({ row, index }) {
      const { x, y } = origin(row);
      return { x: x + (index % perLine) * pitch, y: y + labelHeight + Math.floor(index / perLine) * pitch };
    },
    at(x, y) {
      const column = Math.floor(x / blockWidth);
      const row = Math.floor(y / blockHeight) * columns + column;
      const start = origin(row);
      const across = Math.floor((x - start.x) / pitch);
      const down = Math.floor((y - start.y - labelHeight) / pitch);
      const index = down * perLine + across;
      const inside = x >= 0 && y >= 0 && column < columns && across < perLine && down >= 0;
      return inside && index < (lengths[row] ?? 0) ? { row, index } : null;
    },
  };
}
