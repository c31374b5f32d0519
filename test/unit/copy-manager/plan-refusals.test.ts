// What is wrong with a segment aborts the copy there (SPC-4 5.17.7.4), with the place of the field that is at fault, and
// before anything of the segment is moved.
import test from "ava";
import { SENSE_KEY } from "../../../src/wire/names.js";
import { ASC, type CopyAsc } from "../../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import * as x from "../../lib/copy-plans.js";

const BIG = (1 << 20) + 1;
const END = x.BLOCKS;
const keys = { key: 0n, actionKey: 1n };
const transportId = { protocol: "sas", address: "5000c500a1b2c3d4" } as const;
const marks = (destination: number): Segment => ({ kind: "filemarks", destination, immediate: false, count: 1 });

/** What is wrong, the code, the place in the descriptor (undefined: there is none), the segment. */
const WRONG: readonly (readonly [string, CopyAsc, number | undefined, Segment])[] = [
  ["no such descriptor, as source", ASC.UNREACHABLE, 4, x.blockBlock(x.NOWHERE, x.D512)],
  ["no such descriptor, as destination", ASC.UNREACHABLE, 6, x.blockBlock(x.D512, x.NOWHERE)],
  ["a disk that is told to be a tape", ASC.WRONG_DEVICE_TYPE, 4, x.streamBlock(x.WRONG_TYPE, x.D512)],
  ["the same as destination", ASC.WRONG_DEVICE_TYPE, 6, x.blockStream(x.D512, x.WRONG_TYPE)],
  ["a disk that is told to be a CD", ASC.WRONG_DEVICE_TYPE, 4, x.blockBlock(x.CD, x.D512)],
  ["the same, for TEST UNIT READY", ASC.WRONG_DEVICE_TYPE, 4, { kind: "verify", source: x.CD, testUnitReady: true }],
  ["a tape as source where blocks are read", ASC.WRONG_OPERATION, 4, x.blockBlock(x.VARIABLE, x.D512)],
  ["a disk as destination of a stream", ASC.WRONG_OPERATION, 6, x.blockStream(x.D512, x.OTHER512)],
  ["a disk as source of a stream", ASC.WRONG_OPERATION, 4, x.discard(x.D512)],
  ["a tape as destination of blocks", ASC.WRONG_OPERATION, 6, x.offsetOffset(x.D512, x.FIXED)],
  ["filemarks for a disk", ASC.WRONG_OPERATION, 6, marks(x.D512)],
  ["SPACE for a disk", ASC.WRONG_OPERATION, 6, { kind: "space", destination: x.D512, code: 1, count: 1 }],
  ["LOCATE for a disk", ASC.WRONG_OPERATION, 6, { kind: "locate", destination: x.D512, objectId: 1 }],
  ["the null device as source", ASC.WRONG_OPERATION, 4, x.blockBlock(x.NULL_DISK, x.D512)],
  ["the null tape as source", ASC.WRONG_OPERATION, 4, x.discard(x.NULL_TAPE)],
  ["the null tape as a disk", ASC.WRONG_OPERATION, 6, x.blockBlock(x.D512, x.NULL_TAPE)],
  ["the null disk as a tape", ASC.WRONG_OPERATION, 6, x.inlineStream(x.NULL_DISK)],
  ["counted blocks of the null disk", ASC.WRONG_OPERATION, 6, x.streamBlock(x.VARIABLE, x.NULL_DISK)],
  [
    "TEST UNIT READY for the null device",
    ASC.WRONG_OPERATION,
    4,
    { kind: "verify", source: x.NULL_DISK, testUnitReady: true },
  ],
  ["a key for the null device", ASC.WRONG_OPERATION, 6, { kind: "register-key", destination: x.NULL_DISK, ...keys }],
  [
    "a registration for the null device",
    ASC.WRONG_OPERATION,
    6,
    {
      ...{ kind: "source-nexus", destination: x.NULL_DISK, ...keys, unregister: false, aptpl: false, port: 0 },
      transportId,
    },
  ],
  ["SPACE for the null tape", ASC.WRONG_OPERATION, 6, { kind: "space", destination: x.NULL_TAPE, code: 1, count: 1 }],
  ["a tape to itself", ASC.WRONG_OPERATION, 6, x.streamStream(x.VARIABLE, x.VARIABLE)],
  [
    "an image of a tape on itself",
    ASC.WRONG_OPERATION,
    6,
    { kind: "tape-image", source: x.FIXED, destination: x.FIXED, filemarks: 0 },
  ],
  [
    "an image on the null tape",
    ASC.WRONG_OPERATION,
    6,
    { kind: "tape-image", source: x.FIXED, destination: x.NULL_TAPE, filemarks: 0 },
  ],
  ["a ROD", ASC.SEGMENT_TYPE, 0, { kind: "rod-range", source: 0xffff, destination: 0, lba: 0n, blocks: 1 }],
  ["no transfer length, to a tape", ASC.LIST_FIELD, 9, x.blockStream(x.D512, x.VARIABLE, { transfer: 0 })],
  ["the same where blocks are fixed", ASC.LIST_FIELD, 9, x.blockStream(x.D512, x.FIXED, { transfer: 0 })],
  ["no transfer length, from a tape", ASC.LIST_FIELD, 9, x.streamBlock(x.VARIABLE, x.D512, { transfer: 0 })],
  ["no source transfer length", ASC.LIST_FIELD, 9, x.streamStream(x.VARIABLE, x.FIXED, { sourceTransfer: 0 })],
  [
    "no destination transfer length",
    ASC.LIST_FIELD,
    13,
    x.streamStream(x.FIXED, x.VARIABLE, { destinationTransfer: 0 }),
  ],
  ["inline data without a transfer length", ASC.LIST_FIELD, 9, x.inlineStream(x.VARIABLE, { transfer: 0 })],
  ["a block larger than the drive's", ASC.LIST_FIELD, 9, x.blockStream(x.D512, x.VARIABLE, { transfer: BIG })],
  ["the same as source", ASC.LIST_FIELD, 9, x.discard(x.VARIABLE, { transfer: BIG })],
  [
    "the same as destination of a stream",
    ASC.LIST_FIELD,
    13,
    x.streamStream(x.FIXED, x.VARIABLE, { destinationTransfer: BIG }),
  ],
  ["a block larger than the engine's", ASC.LIST_FIELD, 9, x.discard(x.LARGE, { transfer: (8 << 20) + 1 })],
  ["blocks past the source", ASC.LBA_OUT_OF_RANGE, 16, x.blockStream(x.D512, x.VARIABLE, { lba: END - 15n })],
  ["blocks past the destination", ASC.LBA_OUT_OF_RANGE, 16, x.streamBlock(x.VARIABLE, x.D512, { lba: END - 15n })],
  ["the source of blocks to blocks", ASC.LBA_OUT_OF_RANGE, 12, x.blockBlock(0, 1, { sourceLba: END - 15n })],
  ["its destination", ASC.LBA_OUT_OF_RANGE, 20, x.blockBlock(1, 0, { destinationLba: END - 1n })],
  ["a place far behind the disk", ASC.LBA_OUT_OF_RANGE, 12, x.blockBlock(0, 1, { sourceLba: (1n << 64n) - 1n })],
  ["bytes past the source", ASC.LBA_OUT_OF_RANGE, 16, x.offsetStream(x.D512, x.VARIABLE, { lba: END - 1n })],
  ["bytes past the destination", ASC.LBA_OUT_OF_RANGE, 16, x.streamOffset(x.VARIABLE, x.D512, { lba: END - 1n })],
  ["the source of bytes to bytes", ASC.LBA_OUT_OF_RANGE, 12, x.offsetOffset(0, 2, { sourceLba: END - 1n })],
  ["its destination's", ASC.LBA_OUT_OF_RANGE, 20, x.offsetOffset(0, 2, { destinationLba: END - 3n })],
  ["the source of an image", ASC.LBA_OUT_OF_RANGE, 8, x.blockImage(0, 2, { sourceLba: END - 1n, blocks: 2 })],
  ["its end, where it begins there", ASC.LBA_OUT_OF_RANGE, 8, x.blockImage(0, 2, { sourceLba: END })],
  ["the destination of an image", ASC.LBA_OUT_OF_RANGE, 16, x.blockImage(0, 2, { destinationLba: 1n })],
  ["an offset in no block", ASC.LIST_FIELD, 26, x.offsetStream(x.D512, x.VARIABLE, { byteOffset: 512 })],
  ["the same as destination", ASC.LIST_FIELD, 26, x.streamOffset(x.VARIABLE, x.D512, { byteOffset: 512 })],
  ["an offset in no block of the source", ASC.LIST_FIELD, 28, x.offsetOffset(0, 1, { sourceOffset: 512 })],
  ["an offset in no block of the destination", ASC.LIST_FIELD, 30, x.offsetOffset(1, 0, { destinationOffset: 512 })],
  ["more inline data than there is", ASC.INLINE_EXCEEDED, 16, x.inlineStream(x.VARIABLE, { byteCount: 65 })],
  ["blocks that do not fill a block", ASC.INEXACT_SEGMENT, undefined, x.blockBlock(x.D512, x.D4096, { blocks: 9 })],
  ["a block of a tape that is not used up", ASC.INEXACT_SEGMENT, undefined, x.discard(x.VARIABLE, { byteCount: 5000 })],
  ["the same, to a disk", ASC.INEXACT_SEGMENT, undefined, x.streamBlock(x.VARIABLE, x.D512, { blocks: 3 })],
];

for (const [name, [asc, ascq], byte, segment] of WRONG)
  test(`a copy is aborted for ${name} (${segment.kind})`, (t) => {
    const before = x.blockBlock(x.D512, x.OTHER512, { destinationLba: 5000n });
    const { steps, refusal } = x.plan([before, segment, before]);
    const { source, destination, ...fault } = refusal?.fault ?? {};
    const forwarded = source ?? destination;
    // What the disk itself would say is forwarded, and the copy manager adds nothing to it.
    const said = forwarded === undefined ? undefined : [forwarded.sense[12], forwarded.sense[13]];
    t.deepEqual(said, asc === 0x21 ? [asc, ascq] : undefined);
    t.deepEqual(fault, {
      ...{ key: SENSE_KEY.COPY_ABORTED, asc: said === undefined ? asc : 0, ascq: said === undefined ? ascq : 0 },
      segment: 1,
      ...(byte !== undefined && { pointer: { byte, inSegment: true } }),
    });
    t.deepEqual(steps, x.plan([before]).steps);
  });

test("a wrong block length is at fault in the CSCD descriptor, not in the segment", (t) => {
  const { refusal } = x.plan([x.blockBlock(x.D512, x.WRONG_LENGTH)]);
  t.deepEqual(refusal?.fault.pointer, { byte: 16 + 32 * x.WRONG_LENGTH + 29 });
  t.is(refusal?.fault.asc, 0x26);
  t.is(refusal?.fault.ascq, 0x00);
});

test("a transfer length is needed to write what was left before, though the segment has no data", (t) => {
  const left = x.blockStream(x.D512, x.VARIABLE, { cat: true, transfer: 5000 });
  for (const [byte, empty] of [
    [9, x.blockStream(x.D512, x.VARIABLE, { blocks: 0, transfer: 0 })],
    [9, x.offsetStream(x.D512, x.VARIABLE, { byteCount: 0, transfer: 0 })],
    [9, x.inlineStream(x.VARIABLE, { byteCount: 0, transfer: 0 })],
    [13, x.streamStream(x.FIXED, x.VARIABLE, { byteCount: 0, destinationTransfer: 0 })],
  ] as const)
    t.deepEqual(x.plan([left, empty]).refusal?.fault.pointer, { byte, inSegment: true }, empty.kind);
});

test("lengths and places that nothing is moved with are not looked at", (t) => {
  const { refusal, steps } = x.plan([
    x.blockStream(x.D512, x.VARIABLE, { blocks: 0, lba: END + 1n, transfer: BIG }),
    { kind: "verify", source: x.VARIABLE, testUnitReady: false },
  ]);
  t.is(refusal, undefined);
  t.deepEqual(steps, []);
});

test("what a refused segment would have gone on with is dropped, and the steps before it are whole", (t) => {
  const left = x.blockStream(x.D512, x.VARIABLE, { cat: true, transfer: 5000 });
  const { steps, refusal } = x.plan([left, x.blockStream(x.D512, x.VARIABLE, { transfer: 0 })]);
  t.is(refusal?.fault.segment, 1);
  t.deepEqual(
    steps.map((step) => step.kind === "data" && [step.gather, step.scatter.map(({ bytes }) => bytes)]),
    [[[{ op: "extent", device: "d512", lba: 100n, skip: 0, bytes: 5000n }], [5000n]]],
  );
});
