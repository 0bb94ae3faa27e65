import { expect, test } from "vitest";

import { processRows } from "../src/rows";
import { AT, counted, held, lettered, process, worker } from "./samples";

test("empty places are left out; old generations, and what stops, are marked", () => {
  const sample = counted([
    process(7, [worker(), held(1)]),
    process(0, [worker({ status: "." })], { process_num: 1 }),
    process(9, [worker({ status: "G" })], { process_num: 2, generation: 3, quiescing: true }),
  ]);
  expect(processRows(sample, () => null)).toEqual([
    { process_num: 0, pid: 7, generation: 0, old: false, quiescing: false, age: null, states: "_W" },
    { process_num: 2, pid: 9, generation: 3, old: true, quiescing: true, age: null, states: "G" },
  ]);
});

test.each([
  ["seen to start", { at: AT - 90, earlier: false }, { seconds: 90, atLeast: false }],
  ["there at first", { at: AT - 90, earlier: true }, { seconds: 90, atLeast: true }],
  ["started after the sample was taken", { at: AT + 5, earlier: false }, { seconds: 0, atLeast: false }],
])("the age of a process: %s", (_name, birth, age) => {
  expect(processRows(counted(lettered("_")), () => birth)[0]?.age).toEqual(age);
});

test("a process that is another object has its own letters", () => {
  const states = ["_W", "_W", "KK"].map((letters) => processRows(counted(lettered(letters)), () => null)[0]?.states);
  expect(states).toEqual(["_W", "_W", "KK"]);
});
