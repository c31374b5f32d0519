import test from "ava";
import * as cdb from "../../../src/wire/cdb.js";
import { toHex } from "../../../src/wire/hex.js";

// Written by hand from the tables of the standards, not from the code.
const COMMANDS: readonly [string, Uint8Array, string][] = [
  ["TEST UNIT READY", cdb.testUnitReady(), "000000000000"],
  ["REQUEST SENSE", cdb.requestSense(), "03000000fc00"],
  ["REQUEST SENSE, descriptor format", cdb.requestSense(18, true), "030100001200"],
  ["INQUIRY", cdb.inquiry(96), "120000006000"],
  ["INQUIRY of VPD page 83h with 1024 bytes", cdb.inquiry(1024, 0x83), "120183040000"],
  ["INQUIRY of VPD page 00h", cdb.inquiry(255, 0), "12010000ff00"],
  ["REPORT LUNS", cdb.reportLuns(4096), "a00000000000000010000000"],
  ["MODE SENSE (6) of all pages", cdb.modeSense6(0x3f, 255), "1a003f00ff00"],
  [
    "MODE SENSE (6), changeable values of a subpage without descriptors",
    cdb.modeSense6(0x10, 32, { subpage: 1, control: 1, disableBlockDescriptors: true }),
    "1a0850012000",
  ],
  ["MODE SELECT (6)", cdb.modeSelect6(12), "151000000c00"],
  ["MODE SELECT (6), saved", cdb.modeSelect6(28, true), "151100001c00"],
  ["LOG SENSE of TapeAlert", cdb.logSense(0x2e), "4d006e00000000200000"],
  ["PREVENT", cdb.preventAllowMediumRemoval(true), "1e0000000100"],
  ["ALLOW", cdb.preventAllowMediumRemoval(false), "1e0000000000"],
  ["READ CAPACITY (10)", cdb.readCapacity10(), "25000000000000000000"],
  ["READ CAPACITY (16)", cdb.readCapacity16(), "9e100000000000000000000000200000"],
  ["READ BLOCK LIMITS", cdb.readBlockLimits(), "050000000000"],
  ["READ POSITION, short", cdb.readPosition(cdb.POSITION.SHORT), "34000000000000000000"],
  ["READ POSITION, long", cdb.readPosition(cdb.POSITION.LONG), "34060000000000000000"],
  ["READ POSITION, extended", cdb.readPosition(cdb.POSITION.EXTENDED, 32), "34080000000000002000"],
  ["READ (6) of one block", cdb.read6(0x40000), "080004000000"],
  ["REWIND", cdb.rewind(), "010000000000"],
  ["REWIND, immediate", cdb.rewind(true), "010100000000"],
  ["LOCATE (10)", cdb.locate10(0x01020304), "2b000001020304000000"],
  ["LOCATE (10) in another partition", cdb.locate10(5n, { partition: 2, immediate: true }), "2b030000000005000200"],
  ["LOCATE (16)", cdb.locate16(0x0102030405060708n), "92000000010203040506070800000000"],
  ["LOCATE (16) to a file", cdb.locate16(7, { to: cdb.LOCATE_TO.FILE }), "92080000000000000000000700000000"],
  [
    "LOCATE (16) to the end of data of a partition",
    cdb.locate16(0, { to: cdb.LOCATE_TO.END_OF_DATA, partition: 1 }),
    "921a0001000000000000000000000000",
  ],
  ["SPACE (6) over 3 filemarks", cdb.space6(cdb.SPACE.FILEMARKS, 3), "110100000300"],
  ["SPACE (6) one block back", cdb.space6(cdb.SPACE.BLOCKS, -1), "1100ffffff00"],
  ["SPACE (6), furthest back", cdb.space6(cdb.SPACE.BLOCKS, -(2 ** 23)), "110080000000"],
  ["SPACE (6) to the end of data", cdb.space6(cdb.SPACE.END_OF_DATA, 0), "110300000000"],
  ["SPACE (16) back", cdb.space16(cdb.SPACE.FILEMARKS, -2n), "91010000fffffffffffffffe00000000"],
  ["WRITE FILEMARKS", cdb.writeFilemarks(2), "100000000200"],
  ["WRITE FILEMARKS, immediate", cdb.writeFilemarks(1, true), "100100000100"],
  ["LOAD", cdb.loadUnload(true), "1b0000000100"],
  ["UNLOAD, immediate", cdb.loadUnload(false, { immediate: true }), "1b0100000000"],
  ["LOAD, hold and retension", cdb.loadUnload(true, { hold: true, retension: true }), "1b0000000b00"],
  ["MOVE MEDIUM", cdb.moveMedium(1, 0x1000, 0x100), "a50000011000010000000000"],
  ["MOVE MEDIUM, turned over", cdb.moveMedium(0, 1, 2, true), "a50000000001000200000100"],
  ["READ ELEMENT STATUS", cdb.readElementStatus(), "b8100000ffff000400000000"],
  [
    "READ ELEMENT STATUS of 2 drives with identification, from what is known",
    cdb.readElementStatus(
      { type: "drive", firstAddress: 0x100, count: 2, volumeTags: false, currentData: true, deviceIds: true },
      1024,
    ),
    "b80401000002030004000000",
  ],
  ["INITIALIZE ELEMENT STATUS", cdb.initializeElementStatus(), "070000000000"],
];
for (const [what, bytes, expected] of COMMANDS) {
  test(`${what} is ${expected}`, (t) => {
    t.is(toHex(bytes), expected);
  });
}

const UNFIT: readonly [string, () => unknown, RegExp][] = [
  ["an allocation length of 65536 in INQUIRY", () => cdb.inquiry(65536), /allocation length.*65535/],
  ["an allocation length of 256 in MODE SENSE (6)", () => cdb.modeSense6(1, 256), /allocation length/],
  ["page 40h in MODE SENSE", () => cdb.modeSense6(0x40, 4), /page code/],
  ["page control 4", () => cdb.modeSense6(1, 4, { control: 4 }), /page control/],
  ["a negative allocation length", () => cdb.requestSense(-1), /allocation length/],
  ["half a byte", () => cdb.requestSense(1.5), /whole number/],
  ["2²³ blocks in SPACE (6)", () => cdb.space6(0, 2 ** 23), /count/],
  ["2³² in LOCATE (10)", () => cdb.locate10(2n ** 32n), /logical object/],
  ["2⁶⁴ in LOCATE (16)", () => cdb.locate16(2n ** 64n), /logical identifier/],
  ["2⁶³ in SPACE (16)", () => cdb.space16(0, 2n ** 63n), /count/],
  ["2²⁴ filemarks", () => cdb.writeFilemarks(2 ** 24), /filemark count/],
  ["element 65536", () => cdb.moveMedium(0, 65536, 0), /source address/],
  ["less than 16 bytes for REPORT LUNS", () => cdb.reportLuns(8), /allocation length/],
  ["not a number", () => cdb.read6(Number.NaN), /whole number/],
];
for (const [what, build, message] of UNFIT) {
  test(`refused: ${what}`, (t) => {
    t.throws(build, { code: "SCSI_FIELD_RANGE", message });
  });
}
