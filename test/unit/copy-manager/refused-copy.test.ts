// What is told of a command that began no copy: whose it was, which, and its list identifier as far as one came.
import test from "ava";
import type { CopySession } from "../../../src/copy-manager/manager-options.js";
import { refusedCopy } from "../../../src/copy-manager/refused-copy.js";
import type { SeenPath } from "../../../src/copy-manager/resolver.js";
import { type CopyCommandKind, encodeCopyCommand } from "../../../src/wire/xcopy/commands.js";

const session: CopySession = {
  text: "nexus",
  initiator: "iqn.a",
  paths: () => new Map([[3, { device: "disk0" } as SeenPath]]),
};
const ANSWER = { status: 2, sense: Uint8Array.of(0x70), problem: "It is wrong." };

function told(kind: CopyCommandKind, data: Uint8Array, lun = 3) {
  const cdb = encodeCopyCommand({ kind, listId: 77, length: data.length });
  return refusedCopy({ id: 1n, nexus: 1, lun, unit: 1, cdb, data, room: 0 }, session, ANSWER);
}

test("each command that copies is told with its name and list identifier", (t) => {
  const list = new Uint8Array(48);
  list[0] = 9;
  list.set([1, 2, 3, 4], 20);
  const place = { initiator: "iqn.a", lun: 3, device: "disk0", ...ANSWER };
  t.deepEqual(told("copy-lid1", list), { ...place, command: "EXTENDED COPY(LID1)", listId: 9 });
  t.deepEqual(told("copy-lid4", list), { ...place, command: "EXTENDED COPY(LID4)", listId: 0x01020304 });
  t.deepEqual(told("copy-lid4", list.subarray(0, 23)), { ...place, command: "EXTENDED COPY(LID4)" });
  t.deepEqual(told("copy-lid1", new Uint8Array(0)), { ...place, command: "EXTENDED COPY(LID1)" });
  t.deepEqual(told("populate-token", list), { ...place, command: "POPULATE TOKEN", listId: 77 });
  t.deepEqual(told("write-using-token", list), { ...place, command: "WRITE USING TOKEN", listId: 77 });
});

test("what asks about copies or ends them is none, and nobody is told of a unit that is gone", (t) => {
  for (const kind of ["abort", "status-lid1", "all-tokens"] as const) t.is(told(kind, new Uint8Array(0)), undefined);
  t.is(told("copy-lid1", new Uint8Array(1), 4), undefined);
});
