// Rows of the copy manager in REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), beside those of a real device.
import test from "ava";
import { allCommands, oneCommand } from "../../../src/copy-manager/descriptions.js";

const row = (opcode: number, action: number | undefined, length: number, timeouts = false): number[] => [
  ...[opcode, 0, 0, action ?? 0, 0, (action === undefined ? 0 : 1) | (timeouts ? 2 : 0), 0, length],
  ...(timeouts ? [0, 10, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2] : []),
];
const report = (...rows: number[][]): Uint8Array => {
  const body = rows.flat();
  return Uint8Array.of(0, 0, body.length >> 8, body.length & 0xff, ...body);
};
/** "opcode/action", in the report's order; its length has to be true. */
function rows(data: Uint8Array): string[] {
  const found: string[] = [];
  let at = 4;
  for (; at < data.length; at += ((data[at + 5] ?? 0) & 2) === 0 ? 8 : 20)
    found.push(`${data[at]?.toString(16)}/${data[at + 3]?.toString(16)}`);
  return [...found, String(at - 4 - (((data[2] ?? 0) << 8) | (data[3] ?? 0)))];
}
const OURS = [
  "83/0",
  "83/1",
  "83/10",
  "83/11",
  "83/1c",
  "84/0",
  "84/1",
  "84/3",
  "84/4",
  "84/5",
  "84/6",
  "84/7",
  "84/8",
];

for (const timeouts of [false, true]) {
  test(`a device's own rows stay, and the copy manager's come in place of its own of these codes (RCTD ${timeouts})`, (t) => {
    const device = report(row(0x00, undefined, 6, timeouts), row(0x83, 0, 16, timeouts), row(0xa3, 0x0c, 12, timeouts));
    t.deepEqual(rows(allCommands(device, "disk", timeouts)), ["0/0", "a3/c", ...OURS, "0"]);
    const tape = OURS.filter((name) => !["83/10", "83/11", "84/7"].includes(name));
    t.deepEqual(rows(allCommands(device, "tape", timeouts)), ["0/0", "a3/c", ...tape, "0"]);
  });
}

test("an answer that was cut is taken as far as it goes", (t) => {
  const whole = report(row(0x00, undefined, 6), row(0x12, undefined, 6));
  t.deepEqual(rows(allCommands(whole.subarray(0, 15), "disk", false)), ["0/0", ...OURS, "0"]);
});

test("one command: its usage, or that it is none", (t) => {
  t.deepEqual(
    [...oneCommand(0x84, 0x05, "disk", false)],
    [0, 3, 0, 16, 0x84, 0x05, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
  );
  t.is(oneCommand(0x83, 0x10, "disk", false)[4 + 14], 0x1f, "GROUP NUMBER");
  t.deepEqual([...oneCommand(0x83, 0x10, "tape", false)], [0, 1, 0, 0]);
  const withTimeouts = oneCommand(0x83, 0x00, "tape", true);
  t.deepEqual([withTimeouts[1], withTimeouts.length, withTimeouts[21]], [0x83, 4 + 16 + 12, 10]);
});

test("a device that answers with less than a length has no rows of its own", (t) => {
  t.deepEqual(rows(allCommands(new Uint8Array(3), "disk", false)), [...OURS, "0"]);
});
