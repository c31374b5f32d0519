// What emulated devices say that they support, and what the gate knows: the same commands, but for those listed here.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { OPCODES, type OpcodeRow } from "../../src/admit/opcodes.js";
import { supportsCommand } from "../../src/copy-manager/limits.js";
import type { EmulatedDevice } from "../../src/native/index.js";
import { COPY_COMMANDS, type CopyCommandKind, encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { native, scratch } from "./support.js";

const place = scratch();
test.after.always(() => place.drop());

const REPORT_ALL = Uint8Array.of(0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0);
const ROOM = 0x4000;
const DESCRIPTOR = 8;

interface Supported {
  readonly opcode: number;
  readonly action: number | undefined;
}

/** REPORT SUPPORTED OPERATION CODES (SPC-4 6.34.2). */
async function supportedBy(t: ExecutionContext, device: EmulatedDevice): Promise<readonly Supported[]> {
  const lu = await native.openLu({ transport: "virtual", device });
  await lu.execute(new Uint8Array(6)); // a new nexus has a unit attention
  const answer = await lu.execute(REPORT_ALL, { dataIn: ROOM });
  t.is(answer.status, 0);
  await lu.close();
  device.close();
  const data = Buffer.from(answer.data);
  t.is(data.length, 4 + data.readUInt32BE(0), "all of it came");
  const descriptors = Array.from({ length: (data.length - 4) / DESCRIPTOR }, (_, i) =>
    data.subarray(4 + i * DESCRIPTOR),
  );
  return descriptors.map((each) => ({
    opcode: each.readUInt8(0),
    action: (each.readUInt8(5) & 1) === 1 ? each.readUInt16BE(2) : undefined,
  }));
}

const covers = (row: OpcodeRow, { opcode, action }: Supported): boolean =>
  row.opcode === opcode && (row.action === "all" || row.action === action);

const hex = (value: number): string => value.toString(16).padStart(2, "0");
const named = ({ opcode, action }: { readonly opcode: number; readonly action: number | "all" | undefined }): string =>
  action === undefined || action === "all" ? hex(opcode) : `${hex(opcode)}/${hex(action)}`;

/** The bits that a CDB has when its fields are as large as can be; commands of tokens have a GROUP NUMBER besides. */
function usage(kind: CopyCommandKind): readonly number[] {
  const row = COPY_COMMANDS[kind];
  const listId = "listId" in row ? 2 ** (8 * row.listId[1]) - 1 : 0;
  const cdb = encodeCopyCommand({ kind, listId, length: 0xffff_ffff });
  if (kind === "populate-token" || kind === "write-using-token") cdb[14] = 0x1f;
  return [...cdb];
}

/** Rows for real devices that the emulated one does not have, on purpose: what a drive in software has no use for. */
const ABSENT: Readonly<Record<"disk" | "tape", readonly string[]>> = {
  // FORMAT UNIT, RECEIVE DIAGNOSTIC RESULTS, READ BUFFER, LOG SELECT, READ and WRITE ATTRIBUTE, REPORT IDENTIFYING
  // INFORMATION, REPORT PRIORITY, REPORT TIMESTAMP, SET IDENTIFYING INFORMATION, SET TIMESTAMP.
  disk: ["04", "1c", "3c", "4c", "8c", "8d", "a3/05", "a3/0e", "a3/0f", "a4/06", "a4/0f"],
  // FORMAT MEDIUM, SET CAPACITY, READ REVERSE(6), VERIFY(6), RECOVER BUFFERED DATA, RECEIVE DIAGNOSTIC RESULTS, READ
  // BUFFER, the 16-byte commands with a partition (explicit address mode), ALLOW OVERWRITE, and the same five of SPC.
  tape: [
    ...["04", "0b", "0f", "13", "14", "1c", "3c", "80", "81", "82", "88", "8a", "8f", "93"],
    ...["a3/05", "a3/0e", "a3/0f", "a4/06", "a4/0f"],
  ],
};

for (const type of ["disk", "tape"] as const) {
  const open = (): EmulatedDevice =>
    type === "tape"
      ? native.openTape({})
      : native.openDisk({
          path: join(place.folder, "disk"),
          blockBytes: 512,
          blocks: 64n,
          thin: true,
          removable: true,
        });

  test(`every command that an emulated ${type} supports has a row in the gate's table`, async (t) => {
    const supported = await supportedBy(t, open());
    t.true(supported.length > 30);
    const rows = OPCODES.filter(({ names }) => names[type] !== undefined);
    t.deepEqual(supported.filter((one) => !rows.some((row) => covers(row, one))).map(named), []);
  });

  test(`every row for a ${type} is supported by the emulated one, or is known not to be`, async (t) => {
    const supported = await supportedBy(t, open());
    const rows = OPCODES.filter(({ names }) => names[type] !== undefined);
    const absent = rows.filter((row) => !supported.some((one) => covers(row, one))).map(named);
    t.deepEqual(absent.sort(), [...ABSENT[type]].sort());
  });

  test(`an emulated ${type} tells of each third-party copy command which bits of its CDB mean something`, async (t) => {
    const device = open();
    const lu = await native.openLu({ transport: "virtual", device });
    await lu.execute(new Uint8Array(6));
    for (const kind of Object.keys(COPY_COMMANDS) as CopyCommandKind[]) {
      const { opcode, action } = COPY_COMMANDS[kind];
      // REPORTING OPTIONS 010b: one service action (SPC-4 6.34.3).
      const cdb = Uint8Array.of(0xa3, 0x0c, 2, opcode, 0, action, 0, 0, 0, 64, 0, 0);
      const { status, data } = await lu.execute(cdb, { dataIn: 64 });
      t.is(status, 0);
      t.is((data[1] ?? 0) & 0x07, supportsCommand(type, kind) ? 0x03 : 0x01, kind);
      if (supportsCommand(type, kind)) t.deepEqual([...data.subarray(2)], [0, 16, ...usage(kind)], kind);
    }
    await lu.close();
    device.close();
  });
}
