/** What the Python encoder says must mean the same here: tests/vectors is written by `python -m tests.vectors`. */
import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { Decoder } from "../src/decoder";

interface Vector {
  readonly about: string;
  readonly steps: readonly { readonly frame: string; readonly holds: object | string }[];
}

/** The server leaves out what is empty or null. */
function whole(holds: object | string): unknown {
  if (typeof holds === "string") return holds;
  const { alerts = [] } = holds as { readonly alerts?: readonly object[] };
  const unsaid = { peak: null, threshold: null, path: null, count: null };
  return { ...holds, alerts: alerts.map((alert) => ({ ...unsaid, ...alert })) };
}

const folder = new URL("../../../tests/vectors/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

test("there are vectors", () => {
  expect(names).toContain("burst.json");
});

describe.each(names)("%s", (name) => {
  const { about, steps } = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Vector;

  test(about, () => {
    const decoder = new Decoder();
    for (const { frame, holds } of steps) expect(decoder.decode(frame)).toEqual(whole(holds));
  });
});
