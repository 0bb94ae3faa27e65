/**
 * The decoder as a process, for tests/core/test_typescript.py: a JSON text a line goes in, null for a new decoder or a
 * frame's text; what the decoder makes of it comes out, or `{"refused": WHY}`.
 */
import { FrameError } from "../src/check";
import { Decoder } from "../src/decoder";

let decoder = new Decoder();
let rest = "";

function answer(line: string): unknown {
  const frame: unknown = JSON.parse(line);
  if (frame === null) {
    decoder = new Decoder();
    return null;
  }
  try {
    return decoder.decode(frame);
  } catch (error) {
    if (error instanceof FrameError) return { refused: error.message };
    throw error;
  }
}

process.stdin.setEncoding("utf8");
process.stdin.on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) process.stdout.write(`${JSON.stringify(answer(line))}\n`);
});
