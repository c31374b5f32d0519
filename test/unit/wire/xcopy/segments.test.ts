// Segment descriptors: every byte by the tables of SPC-4 6.4.6, written by hand, and what wrong ones get.
import test from "ava";
import fc from "fast-check";
import { CopyRefusal } from "../../../../src/wire/xcopy/refusal.js";
import {
  decodeSegment,
  encodeSegment,
  SEGMENT_CODES,
  type Segment,
  segmentCode,
} from "../../../../src/wire/xcopy/segments.js";
import { ALL_DESCRIPTORS, hex, segments } from "../../../lib/xcopy.js";

const both = { source: 0x0102, destination: 0x0304 };
const LBA = 0x1112131415161718n;
const LBA2 = 0x2122232425262728n;

/** What a table says, and its bytes. */
const VECTORS: readonly (readonly [string, Segment])[] = [
  [
    "00 01 0014 0102 0304 00 0a0b0c 0000 0d0e 1112131415161718",
    { kind: "block-stream", hold: false, cat: true, ...both, transfer: 0x0a0b0c, blocks: 0x0d0e, lba: LBA },
  ],
  [
    "0b 00 0014 0102 0304 00 0a0b0c 0000 0d0e 1112131415161718",
    { kind: "block-stream", hold: true, cat: false, ...both, transfer: 0x0a0b0c, blocks: 0x0d0e, lba: LBA },
  ],
  [
    "01 01 0014 0102 0304 00 0a0b0c 0000 0d0e 1112131415161718",
    { kind: "stream-block", hold: false, cat: true, ...both, transfer: 0x0a0b0c, blocks: 0x0d0e, lba: LBA },
  ],
  [
    "0c 00 0014 0102 0304 00 0a0b0c 0000 0d0e 1112131415161718",
    { kind: "stream-block", hold: true, cat: false, ...both, transfer: 0x0a0b0c, blocks: 0x0d0e, lba: LBA },
  ],
  [
    "02 02 0018 0102 0304 0000 0a0b 1112131415161718 2122232425262728",
    {
      ...{ kind: "block-block", hold: false, cat: false, destinationCount: true, ...both },
      ...{ blocks: 0x0a0b, sourceLba: LBA, destinationLba: LBA2 },
    },
  ],
  [
    "0d 01 0018 0102 0304 0000 0a0b 1112131415161718 2122232425262728",
    {
      ...{ kind: "block-block", hold: true, cat: true, destinationCount: false, ...both },
      ...{ blocks: 0x0a0b, sourceLba: LBA, destinationLba: LBA2 },
    },
  ],
  [
    "03 01 0010 0102 0304 00 0a0b0c 00 0d0e0f 31323334",
    {
      ...{ kind: "stream-stream", hold: false, cat: true, ...both },
      ...{ sourceTransfer: 0x0a0b0c, destinationTransfer: 0x0d0e0f, byteCount: 0x31323334 },
    },
  ],
  [
    "0e 00 0010 0102 0304 00 0a0b0c 00 0d0e0f f1323334",
    {
      ...{ kind: "stream-stream", hold: true, cat: false, ...both },
      ...{ sourceTransfer: 0x0a0b0c, destinationTransfer: 0x0d0e0f, byteCount: 0xf1323334 },
    },
  ],
  [
    "04 01 0010 0000 0304 00 0a0b0c 00001000 31323334",
    {
      kind: "inline-stream",
      cat: true,
      destination: 0x0304,
      transfer: 0x0a0b0c,
      inlineOffset: 4096,
      byteCount: 0x31323334,
    },
  ],
  [
    "05 01 0014 0000 0304 00 0a0b0c 0005 0000 6162636465 000000",
    { kind: "embedded-stream", cat: true, destination: 0x0304, transfer: 0x0a0b0c, data: hex("6162636465") },
  ],
  [
    "06 01 000c 0102 0000 00 0a0b0c 31323334",
    { kind: "stream-discard", hold: false, cat: true, source: 0x0102, transfer: 0x0a0b0c, byteCount: 0x31323334 },
  ],
  [
    "0f 00 000c 0102 0000 00 0a0b0c 31323334",
    { kind: "stream-discard", hold: true, cat: false, source: 0x0102, transfer: 0x0a0b0c, byteCount: 0x31323334 },
  ],
  ["07 00 0008 0102 0000 01 000000", { kind: "verify", source: 0x0102, testUnitReady: true }],
  [
    "08 01 0018 0102 0304 00 0a0b0c 31323334 1112131415161718 0000 0d0e",
    {
      ...{ kind: "offset-stream", cat: true, ...both, transfer: 0x0a0b0c },
      ...{ byteCount: 0x31323334, lba: LBA, byteOffset: 0x0d0e },
    },
  ],
  [
    "09 01 0018 0102 0304 00 0a0b0c 31323334 1112131415161718 0000 0d0e",
    {
      ...{ kind: "stream-offset", cat: true, ...both, transfer: 0x0a0b0c },
      ...{ byteCount: 0x31323334, lba: LBA, byteOffset: 0x0d0e },
    },
  ],
  [
    "0a 01 001c 0102 0304 31323334 1112131415161718 2122232425262728 0a0b 0c0d",
    {
      ...{ kind: "offset-offset", cat: true, ...both, byteCount: 0x31323334 },
      ...{ sourceLba: LBA, destinationLba: LBA2, sourceOffset: 0x0a0b, destinationOffset: 0x0c0d },
    },
  ],
  ["10 00 0008 0000 0304 01 0a0b0c", { kind: "filemarks", destination: 0x0304, immediate: true, count: 0x0a0b0c }],
  ["11 00 0008 0000 0304 03 fffffe", { kind: "space", destination: 0x0304, code: 3, count: 0xfffffe }],
  ["12 00 0008 0000 0304 31323334", { kind: "locate", destination: 0x0304, objectId: 0x31323334 }],
  ["13 00 0008 0102 0304 31323334", { kind: "tape-image", ...both, filemarks: 0x31323334 }],
  [
    "14 00 0018 0000 0304 1112131415161718 2122232425262728 00000000",
    { kind: "register-key", destination: 0x0304, key: LBA, actionKey: LBA2 },
  ],
  [
    `15 00 0034 0000 0304 1112131415161718 2122232425262728 00 02 0a0b 00000018
     06 000000 5000c500a1b2c3d4 ${"00".repeat(12)}`,
    {
      ...{ kind: "source-nexus", destination: 0x0304, key: LBA, actionKey: LBA2 },
      ...{ unregister: true, aptpl: false, port: 0x0a0b },
      transportId: { protocol: "sas", address: "5000c500a1b2c3d4" },
    },
  ],
  [
    "16 00 0018 0102 0304 1112131415161718 2122232425262728 31323334",
    { kind: "block-image", ...both, sourceLba: LBA, destinationLba: LBA2, blocks: 0x31323334 },
  ],
  [
    `be 00 002c ffff 0304 0000000000 01 0020
     1112131415161718 31323334 00000000 2122232425262728 41424344 00000000`,
    {
      ...{ kind: "rod-ranges", source: 0xffff, destination: 0x0304 },
      ranges: [
        { lba: LBA, blocks: 0x31323334 },
        { lba: LBA2, blocks: 0x41424344 },
      ],
    },
  ],
  [
    "bf 00 0010 ffff 0304 1112131415161718 31323334",
    { kind: "rod-range", source: 0xffff, destination: 0x0304, lba: LBA, blocks: 0x31323334 },
  ],
];

test("segment descriptors have the bytes of SPC-4 6.4.6 and come back from them", (t) => {
  for (const [text, segment] of VECTORS) {
    const bytes = hex(text);
    t.deepEqual(encodeSegment(segment), bytes, segment.kind);
    t.deepEqual(decodeSegment(bytes, ALL_DESCRIPTORS, 0), { segment, length: bytes.length });
    // What follows is the next descriptor's.
    t.is(decodeSegment(Uint8Array.from([...bytes, 1, 2, 3, 4]), ALL_DESCRIPTORS, 0).length, bytes.length);
  }
});

test("there is a vector for every code of SPC-4 table 146", (t) => {
  const codes = [...Array(0x17).keys(), 0xbe, 0xbf];
  t.deepEqual(SEGMENT_CODES, codes);
  const known = VECTORS.map(([, segment]) => segmentCode(segment)).sort((a, b) => a - b);
  t.deepEqual(known, codes);
});

test("bits that are reserved do not change a segment", (t) => {
  const [text, segment] = VECTORS.find(([, { kind }]) => kind === "block-block") ?? ["", undefined];
  const bytes = hex(text);
  bytes[1] = (bytes[1] ?? 0) | 0xf8;
  bytes.set([0xff, 0xff], 8);
  t.deepEqual(decodeSegment(bytes, ALL_DESCRIPTORS, 0).segment, segment);
});

/** Bytes, sense code, and the byte of the descriptor that is at fault. */
const WRONG: Readonly<Record<string, readonly [string, number, number, number | undefined]>> = {
  "of a code that is reserved": ["17 00 0008 0000 0000 00000000", 0x26, 0x09, 0],
  "that is a CSCD descriptor": [`e4 00 001c ${"00".repeat(28)}`, 0x26, 0x09, 0],
  "whose length is not that of its table": ["10 00 0009 0000 0304 01 0a0b0c 00", 0x26, 0x00, 2],
  "that is longer than the list": ["10 00 000c 0000 0304 01 0a0b0c", 0x26, 0x00, 2],
  "cut off in its head": ["10 00 00", 0x1a, 0x00, undefined],
  "with inline data at a place that is no multiple of 4": [
    "04 01 0010 0000 0304 00 0a0b0c 00001002 31323334",
    0x26,
    0,
    12,
  ],
  "that has fewer bytes embedded than it writes": ["05 00 0010 0000 0304 00 000200 0005 0000 61626364", 0x26, 0x00, 12],
  "with embedded data of no multiple of 4": ["05 00 000d 0000 0304 00 000200 0001 0000 61", 0x26, 0x00, 2],
  "without room for embedded data": ["05 00 0008 0000 0304 00 000200", 0x26, 0x00, 2],
  "whose TransportID is longer than it": [
    `15 00 0034 0000 0304 ${"00".repeat(20)} 0000001c 06 000000 5000c500a1b2c3d4 ${"00".repeat(12)}`,
    ...([0x26, 0x00, 28] as const),
  ],
  "whose TransportID is none": [`15 00 0034 0000 0304 ${"00".repeat(20)} 00000018 0f ${"00".repeat(23)}`, 0x26, 0, 32],
  "that names a ROD's producer by a descriptor": ["bf 00 0010 0000 0304 1112131415161718 31323334", 0x26, 0x00, 4],
  "with ranges of a type that is not known": [
    `be 00 001c ffff 0304 0000000000 02 0010 ${"00".repeat(16)}`,
    ...([0x26, 0x00, 13] as const),
  ],
  "with half a range": [`be 00 0014 ffff 0304 0000000000 01 0008 ${"00".repeat(8)}`, 0x26, 0x00, 14],
  "without a range": ["be 00 000c ffff 0304 0000000000 01 0000", 0x26, 0x00, 14],
  "with a block in two ranges": [
    "be 00 002c ffff 0304 0000000000 01 0020 0000000000000010 00000002 00000000 000000000000000f 00000002 00000000",
    ...([0x26, 0x00, 32] as const),
  ],
};

for (const [what, [text, asc, ascq, byte]] of Object.entries(WRONG)) {
  test(`a segment descriptor ${what} is refused at its place`, (t) => {
    const error = t.throws(() => decodeSegment(hex(text), ALL_DESCRIPTORS, 1000), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc, ascq });
    t.is(error?.fault.pointer?.byte, byte === undefined ? undefined : 1000 + byte);
  });
}

test("a segment that the copy manager does not support is refused though the codec knows it", (t) => {
  const [text] = VECTORS[0] ?? [""];
  const error = t.throws(() => decodeSegment(hex(text), new Set([0x02]), 48), { instanceOf: CopyRefusal });
  t.like(error?.fault, { asc: 0x26, ascq: 0x09, pointer: { byte: 48 } });
});

test("every segment comes back from its bytes", (t) => {
  const property = fc.property(segments, (segment) => {
    const bytes = encodeSegment(segment);
    t.deepEqual(decodeSegment(bytes, ALL_DESCRIPTORS, 0), { segment, length: bytes.length });
  });
  t.notThrows(() => {
    fc.assert(property, { numRuns: 1000 });
  });
});

test("what does not fit its field is not written", (t) => {
  const write = (segment: Segment) => () => encodeSegment(segment);
  const code = { code: "SCSI_FIELD_RANGE" } as const;
  t.throws(write({ kind: "filemarks", destination: 0x10000, immediate: false, count: 1 }), code);
  t.throws(write({ kind: "space", destination: 1, code: 8, count: 1 }), code);
  t.throws(write({ kind: "locate", destination: 1, objectId: 2 ** 32 }), code);
});
