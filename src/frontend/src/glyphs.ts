/** The status letters in three by five pixels, for cells in which no font is legible any more. */
import type { Status } from "./wire";

const WIDTH = 3;
const HEIGHT = 5;

/** Rows from the top, three bits each, the leftmost first. */
const GLYPHS: Readonly<Record<Status, readonly number[]>> = {
  _: [0, 0, 0, 0, 7],
  S: [3, 4, 2, 1, 6],
  R: [6, 5, 6, 5, 5],
  W: [5, 5, 5, 7, 5],
  K: [5, 5, 6, 5, 5],
  D: [6, 5, 5, 5, 6],
  C: [3, 4, 4, 4, 3],
  L: [4, 4, 4, 4, 7],
  G: [3, 4, 5, 5, 3],
  I: [7, 2, 2, 2, 7],
  ".": [0, 0, 0, 0, 2],
};

/** Set a letter into the middle of a box of device pixels, in the context's colour. */
export function glyph(
  context: OffscreenCanvasRenderingContext2D,
  status: Status,
  width: number,
  height: number,
): void {
  const left = Math.floor((width - WIDTH) / 2);
  const top = Math.floor((height - HEIGHT) / 2);
  for (const [y, bits] of GLYPHS[status].entries()) {
    for (let x = 0; x < WIDTH; x++) {
      if (bits & (1 << (WIDTH - 1 - x))) context.fillRect(left + x, top + y, 1, 1);
    }
  }
}
