// Sense data of copies (SPC-4 5.17.7.4, 4.5.2.7) and the commands of third-party copies, byte by byte.
import test from "ava";
import fc from "fast-check";
import { decodeSense, senseSentence } from "../../../../src/wire/sense.js";
import {
  COPY_COMMANDS,
  type CopyCommand,
  decodeCopyCommand,
  encodeCopyCommand,
} from "../../../../src/wire/xcopy/commands.js";
import { decodeCopySense, descriptorCopySense, fixedCopySense } from "../../../../src/wire/xcopy/copy-sense.js";
import { ASC, aborted, type CopyFault, refused } from "../../../../src/wire/xcopy/refusal.js";
import { hex } from "../../../lib/xcopy.js";

const SENSE = hex("70 00 03 00 00 00 00 0a 00 00 00 00 11 00 00 00 00 00");
const FAILED: CopyFault = {
  ...{ key: 0x0a, asc: 0x0d, ascq: 0x01, segment: 0x0102, residual: 0x11121314n },
  pointer: { byte: 0x30 },
  source: { status: 2, sense: SENSE },
};
const BOTH: CopyFault = { ...FAILED, destination: { status: 8, sense: new Uint8Array(0) } };

test("fixed format: segment in bytes 10 and 11, forwarded status and sense behind the rest", (t) => {
  t.deepEqual(
    fixedCopySense(FAILED),
    hex(`f0 00 0a 11121314 1d 12 00 0102 0d 01 00 80 0030 02 ${Buffer.from(SENSE).toString("hex")}`),
  );
  t.deepEqual(
    fixedCopySense(BOTH),
    hex(`f0 00 0a 11121314 1e 12 25 0102 0d 01 00 80 0030 02 ${Buffer.from(SENSE).toString("hex")} 08`),
  );
});

test("descriptor format: segment in the third and fourth byte, forwarded sense in descriptors of its own", (t) => {
  const forwarded = Buffer.from(SENSE).toString("hex");
  t.deepEqual(
    descriptorCopySense(FAILED),
    hex(`72 0a 0d 01 000000 36  00 0a 80 00 0000000011121314  01 0a 00 00 0000010200000000
         02 06 0000 80 0030 00  0c 14 01 02 ${forwarded}`),
  );
  t.deepEqual(
    descriptorCopySense({ ...FAILED, source: { status: 2, sense: new Uint8Array(300) } }).subarray(40, 44),
    // 252 bytes in all: what is cut off is told (FSDT).
    Uint8Array.of(0x0c, 252 - 40 - 2, 0x81, 2),
  );
});

test("what was refused before the first segment points into the list, what aborts one into it or its descriptor", (t) => {
  const list = refused(ASC.LIST_FIELD, "a test", 0x1234, 5).fault;
  t.deepEqual(fixedCopySense(list), hex("70 00 05 00000000 0a 00000000 26 00 00 8d 1234"));
  t.deepEqual(decodeSense(fixedCopySense(list)).fieldPointer, { in: "parameter list", byte: 0x1234, bit: 5 });
  const segment = aborted(ASC.UNREACHABLE, "a test", 9, { byte: 6, inSegment: true }).fault;
  for (const bytes of [fixedCopySense(segment), descriptorCopySense(segment)]) {
    t.deepEqual(decodeSense(bytes).segmentPointer, { inSegment: true, byte: 6 });
    t.deepEqual(decodeCopySense(bytes), { segment: 9 });
  }
  // A place that two bytes do not hold is not told, and no other instead of it.
  t.is(decodeSense(fixedCopySense(refused(ASC.LIST_FIELD, "a test", 0x10000).fault)).fieldPointer, undefined);
  t.regex(senseSentence(decodeSense(fixedCopySense(segment))), /unreachable copy target/);
});

test("the message of a refusal says what, where and why", (t) => {
  const { message, details, kind } = aborted(ASC.UNREACHABLE, "there is no such device", 2, {
    byte: 4,
    inSegment: true,
  });
  t.is(
    message,
    "The copy is refused with unreachable copy target (08h/04h) in segment 2 at byte 4 of the descriptor: there is no such device.",
  );
  t.deepEqual(details, { key: 10, asc: 8, ascq: 4, byte: 4, inSegment: true, segment: 2 });
  t.is(kind, "input");
});

const forwarded = fc.option(fc.record({ status: fc.nat(255), sense: fc.uint8Array({ maxLength: 80 }) }), {
  nil: undefined,
});

test("what devices said comes back from both formats", (t) => {
  const faults = fc.record({
    segment: fc.nat(0xffff),
    residual: fc.bigInt(0n, 0xffff_ffffn),
    source: forwarded,
    destination: forwarded,
  });
  const property = fc.property(faults, ({ segment, residual, source, destination }) => {
    const said = { ...(source && { source }), ...(destination && { destination }) };
    const fault: CopyFault = { key: 0x0a, asc: 0x0d, ascq: 0x01, segment, residual, ...said };
    for (const bytes of [fixedCopySense(fault), descriptorCopySense(fault)]) {
      t.true(bytes.length <= 252);
      t.deepEqual(decodeCopySense(bytes), { segment, ...said });
      t.is(decodeSense(bytes).information, residual);
    }
  });
  t.notThrows(() => {
    fc.assert(property, { numRuns: 500 });
  });
});

test("sense data of another key says nothing of a copy, and places outside it are none", (t) => {
  t.deepEqual(decodeCopySense(SENSE), {});
  t.deepEqual(decodeCopySense(hex("70 00 0a 00000000 0a 05 ff 0007 0d 01 00 000000")), { segment: 7 });
  t.deepEqual(decodeCopySense(hex("70 00 0a")), {});
});

const COMMANDS: readonly (readonly [string, CopyCommand])[] = [
  ["83 00 00000000 00000000 0a0b0c0d 0000", { kind: "copy-lid1", listId: 0, length: 0x0a0b0c0d }],
  ["83 01 00000000 00000000 0a0b0c0d 0000", { kind: "copy-lid4", listId: 0, length: 0x0a0b0c0d }],
  ["83 10 00000000 01020304 0a0b0c0d 0000", { kind: "populate-token", listId: 0x01020304, length: 0x0a0b0c0d }],
  ["83 11 00000000 01020304 0a0b0c0d 0000", { kind: "write-using-token", listId: 0x01020304, length: 0x0a0b0c0d }],
  ["83 1c 01020304 00000000 00000000 0000", { kind: "abort", listId: 0x01020304, length: 0 }],
  ["84 00 01000000 00000000 0a0b0c0d 0000", { kind: "status-lid1", listId: 1, length: 0x0a0b0c0d }],
  ["84 01 01000000 00000000 0a0b0c0d 0000", { kind: "data-lid1", listId: 1, length: 0x0a0b0c0d }],
  ["84 03 00000000 00000000 0a0b0c0d 0000", { kind: "operating-parameters", listId: 0, length: 0x0a0b0c0d }],
  ["84 04 01000000 00000000 0a0b0c0d 0000", { kind: "failure-details", listId: 1, length: 0x0a0b0c0d }],
  ["84 05 01020304 00000000 0a0b0c0d 0000", { kind: "status-lid4", listId: 0x01020304, length: 0x0a0b0c0d }],
  ["84 06 01020304 00000000 0a0b0c0d 0000", { kind: "data-lid4", listId: 0x01020304, length: 0x0a0b0c0d }],
  ["84 07 01020304 00000000 0a0b0c0d 0000", { kind: "token-information", listId: 0x01020304, length: 0x0a0b0c0d }],
  ["84 08 00000000 00000000 0a0b0c0d 0000", { kind: "all-tokens", listId: 0, length: 0x0a0b0c0d }],
];

test("the commands have the bytes of SPC-4 and SBC-3 and come back from them", (t) => {
  t.is(COMMANDS.length, Object.keys(COPY_COMMANDS).length);
  for (const [text, command] of COMMANDS) {
    t.deepEqual(encodeCopyCommand(command), hex(text), command.kind);
    t.deepEqual(decodeCopyCommand(hex(text)), command);
  }
  for (const none of ["83 02", "84 02", "85 00"]) t.is(decodeCopyCommand(hex(`${none} ${"00".repeat(14)}`)), undefined);
  t.is(decodeCopyCommand(hex("83 00 0000")), undefined);
  t.throws(() => encodeCopyCommand({ kind: "status-lid1", listId: 256, length: 0 }), { code: "SCSI_FIELD_RANGE" });
});
