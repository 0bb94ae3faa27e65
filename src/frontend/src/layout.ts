/** Where each cell of the worker grid goes. Pure: room and row lengths in, rectangles out. */

export interface Cell {
  readonly row: number;
  readonly index: number;
}

export interface Room {
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  /** The painted part of a cell (CSS pixels). */
  readonly cell: Room;
  readonly height: number;
  /** Room for the label above a process, 0 for none. */
  readonly labelWidth: number;
  /** The part of the canvas that a process has, its label included. */
  block(row: number): Room & { readonly x: number; readonly y: number };
  position(cell: Cell): { readonly x: number; readonly y: number };
  at(x: number, y: number): Cell | null;
  /** The next cell in a direction; the same if there is none. */
  step(cell: Cell, across: number, down: number): Cell;
}

const LARGEST_PITCH = 30;
/** A letter of three by five pixels just fits, and colour alone must not carry the state. */
const SMALLEST_PITCH = 6;
/** Under this, cells are higher than wide: letters are. */
const SQUARE_FROM_PITCH = 11;
const TALLER = 1;
const LABEL_HEIGHT = 16;
const SMALL_LABEL_HEIGHT = 13;
/** "1234567" at the size of a label. */
const LABEL_WIDTH = 46;
const GAP = 14;
const SMALL_GAP = 6;
/** Around all, for the frame of a draining process. */
const MARGIN = 2;
/** A process of many short lines reads badly: each line must save so many pixels. */
const LINE_COST = 4;
/** Processes of fewer threads stand side by side without a label: prefork has one worker in each. */
const LABEL_FROM = 4;

interface Plan {
  readonly across: number;
  readonly down: number;
  readonly perLine: number;
  readonly columns: number;
  readonly labelHeight: number;
  readonly gap: number;
  readonly block: Room;
  readonly height: number;
}

/**
 * Lay out processes (their numbers of workers): the largest cells that fit the room, without labels if none fit else;
 * the smallest may overflow below.
 */
export function layOut(lengths: readonly number[], room: Room): Layout {
  const longest = lengths.reduce((most, length) => Math.max(most, length), 1);
  const width = room.width - 2 * MARGIN;
  const height = room.height - 2 * MARGIN;
  const labelled = longest >= LABEL_FROM;
  const planOf = (pitch: number, labels: boolean) => bestPlan(pitch, longest, lengths.length, width, labels);
  let plan = planOf(LARGEST_PITCH, labelled);
  for (let pitch = LARGEST_PITCH - 1; plan.height > height && pitch >= SMALLEST_PITCH; pitch--) {
    plan = planOf(pitch, labelled);
  }
  const bare = plan.height > height ? planOf(SMALLEST_PITCH, false) : plan;
  return placed(bare.height <= height ? bare : plan, lengths);
}

function bestPlan(across: number, longest: number, blocks: number, width: number, labelled: boolean): Plan {
  const small = across < SQUARE_FROM_PITCH;
  const down = small ? across + TALLER : across;
  const gap = longest >= LABEL_FROM ? (small ? SMALL_GAP : GAP) : 0;
  const labelHeight = labelled ? (small ? SMALL_LABEL_HEIGHT : LABEL_HEIGHT) : 0;
  const fitting = Math.max(1, Math.floor(width / across));
  let best: Plan | null = null;
  let leastCost = Number.POSITIVE_INFINITY;
  for (let lines = Math.ceil(longest / fitting); lines <= longest; lines++) {
    const perLine = Math.ceil(longest / lines);
    const block = {
      width: Math.max(perLine * across, labelled ? LABEL_WIDTH : 0) + gap,
      height: lines * down + labelHeight + gap,
    };
    const columns = Math.max(1, Math.floor((width + gap) / block.width));
    const height = Math.max(0, Math.ceil(blocks / columns) * block.height - gap);
    const cost = height + lines * LINE_COST;
    if (cost < leastCost) {
      leastCost = cost;
      best = { across, down, perLine, columns, labelHeight, gap, block, height };
    }
    if (perLine === 1 || perLine * across < LABEL_WIDTH) break;
  }
  if (best === null) throw new RangeError("a process without workers has no plan");
  return best;
}

function placed(plan: Plan, lengths: readonly number[]): Layout {
  const { across, down, perLine, columns, labelHeight, gap, block } = plan;
  const painted = (pitch: number) => pitch - (pitch >= 18 ? 3 : pitch >= 14 ? 2 : 1);
  const origin = (row: number) => ({
    x: MARGIN + (row % columns) * block.width,
    y: MARGIN + Math.floor(row / columns) * block.height,
  });
  const position = ({ row, index }: Cell) => {
    const { x, y } = origin(row);
    return { x: x + (index % perLine) * across, y: y + labelHeight + Math.floor(index / perLine) * down };
  };
  const at = (x: number, y: number) => {
    const column = Math.floor((x - MARGIN) / block.width);
    const row = Math.floor((y - MARGIN) / block.height) * columns + column;
    const start = origin(row);
    const right = Math.floor((x - start.x) / across);
    const line = Math.floor((y - start.y - labelHeight) / down);
    const index = line * perLine + right;
    const inside = column >= 0 && column < columns && row >= 0 && right < perLine && line >= 0;
    return inside && index < (lengths[row] ?? 0) ? { row, index } : null;
  };
  return {
    cell: { width: painted(across), height: painted(down) },
    height: plan.height + 2 * MARGIN,
    labelWidth: labelHeight > 0 ? block.width - gap / 2 : 0,
    block: (row) => ({
      ...origin(row),
      width: Math.min(perLine, lengths[row] ?? 0) * across,
      height: labelHeight + Math.ceil((lengths[row] ?? 0) / perLine) * down,
    }),
    position,
    at,
    step: (cell, right, below) => stepped(cell, right, below, { perLine, columns, lengths }),
  };
}

/** Steps go within a process, and from its edge into the next one. */
function stepped(
  cell: Cell,
  right: number,
  below: number,
  { perLine, columns, lengths }: { perLine: number; columns: number; lengths: readonly number[] },
): Cell {
  const length = lengths[cell.row] ?? 0;
  const line = Math.floor(cell.index / perLine);
  const column = cell.index % perLine;
  const next = (rows: number) => {
    let row = cell.row + rows;
    while (rows !== 0 && lengths[row] === 0) row += rows;
    return row;
  };
  const into = (row: number, index: number) => {
    const there = lengths[row];
    return there === undefined || there === 0 ? cell : { row, index: Math.min(Math.max(0, index), there - 1) };
  };
  if (right !== 0) {
    const inside = column + right >= 0 && column + right < perLine && cell.index + right < length;
    if (inside) return { row: cell.row, index: cell.index + right };
    return into(next(right), line * perLine + (right > 0 ? 0 : perLine - 1));
  }
  const index = cell.index + below * perLine;
  if (index >= 0 && index < length) return { row: cell.row, index };
  const row = next(below * columns);
  const last = Math.floor(((lengths[row] ?? 1) - 1) / perLine);
  return into(row, (below > 0 ? 0 : last) * perLine + column);
}
