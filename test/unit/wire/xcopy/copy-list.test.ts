// EXTENDED COPY parameter lists: headers and CSCD descriptors byte by byte (SPC-4 6.4.2, 6.4.5, 6.5), their limits, and
// what the numbers in a segment stand for.
import test from "ava";
import fc from "fast-check";
import { copyDevice, cscdId, inlineData } from "../../../../src/wire/xcopy/copy-devices.js";
import {
  type CopyForm,
  type CopyLimits,
  type CopyList,
  decodeCopyList,
  encodeCopyList,
} from "../../../../src/wire/xcopy/copy-list.js";
import { type Cscd, decodeCscd, encodeCscd } from "../../../../src/wire/xcopy/cscd.js";
import { designatorOf, designatorText } from "../../../../src/wire/xcopy/designator.js";
import { CopyRefusal } from "../../../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../../../src/wire/xcopy/segments.js";
import { ALL_DESCRIPTORS, copyLists, cscds, disk, hex, LIMITS, rod, tape } from "../../../lib/xcopy.js";

const CSCDS: readonly (readonly [string, string, Cscd])[] = [
  ["a disk by its NAA name", "e4 00 0000 01 03 00 10 600112233445566778899aabbccddeef 00000000 00 000200", disk()],
  [
    "a tape drive with fixed blocks, padded, over initiator port 2",
    "e4 01 0002 01 03 00 08 5001122334455667 000000000000000000000000 05 010000",
    { ...tape(true), initiatorPort: 2, pad: true },
  ],
  [
    "a null device by an EUI-64 name",
    "e4 20 0000 01 02 00 08 0011223344556677 000000000000000000000000 00 001000",
    {
      ...disk(),
      nul: true,
      blockBytes: 4096,
      designator: { ...disk().designator, type: 2, value: hex("0011223344556677") },
    },
  ],
  [
    "a target device by a SCSI name",
    `e4 00 0000 03 28 00 0c ${Buffer.from("iqn.2024-01.").toString("hex")} 0000000000000000 04 000200`,
    {
      ...{ ...disk(), pad: true },
      designator: { codeSet: 3, association: 2, type: 8, value: Uint8Array.from(Buffer.from("iqn.2024-01.")) },
    },
  ],
  [
    "a ROD whose token is returned",
    "fe 00 0003 ffff 0000 00800000 00000e10 0000012c 0000 01 00 00000000 00 000200",
    rod({ initiatorPort: 3, lifetimeSeconds: 3600, inactivitySeconds: 300, returnToken: true }),
  ],
  [
    "a ROD by a token in the inline data, which is deleted",
    "fe 00 0000 f800 0000 00000000 00000000 00000000 0000 00 01 00000100 00 000200",
    rod({ producer: 0xf800, rodType: 0, deleteToken: true, tokenOffset: 256 }),
  ],
];

for (const [what, text, cscd] of CSCDS) {
  test(`the CSCD descriptor of ${what} has the bytes of SPC-4 6.4.5`, (t) => {
    t.deepEqual(encodeCscd(cscd), hex(text));
    t.deepEqual(decodeCscd(hex(text), ALL_DESCRIPTORS, 16), cscd);
  });
}

const WRONG_CSCDS: Readonly<Record<string, readonly [string, number, number]>> = {
  "of a Fibre Channel port name": [`e0 ${"00".repeat(31)}`, 0x07, 0],
  "of an IPv4 address": [`e5 ${"00".repeat(31)}`, 0x07, 0],
  "that is an extension": [`ff ${"00".repeat(31)}`, 0x07, 0],
  "that is a segment descriptor": [`02 ${"00".repeat(31)}`, 0x07, 0],
  "of a media changer": [`e4 08 0000 01 03 00 08 ${"55".repeat(8)} ${"00".repeat(16)}`, 0x00, 1],
  "with a designator of 21 bytes": [`e4 00 0000 01 03 00 15 ${"55".repeat(20)} 00000000`, 0x00, 7],
  "without a designator": [`e4 00 0000 01 03 00 00 ${"00".repeat(24)}`, 0x00, 7],
  "with fixed blocks of no length": [`e4 01 0000 01 03 00 08 ${"55".repeat(8)} ${"00".repeat(12)} 01 000000`, 0x00, 28],
  "with variable blocks of a length": [
    `e4 01 0000 01 03 00 08 ${"55".repeat(8)} ${"00".repeat(12)} 00 000200`,
    0x00,
    28,
  ],
  "of a ROD with a lifetime and no token": [`fe 00 0000 ffff 0000 00800000 00000001 ${"00".repeat(16)}`, 0x00, 12],
  "of a ROD with a timeout and no token": [
    `fe 00 0000 ffff 0000 00800000 00000000 00000001 ${"00".repeat(12)}`,
    0x00,
    16,
  ],
  "of a ROD to be made whose token is deleted": [
    `fe 00 0000 ffff 0000 00800000 ${"00".repeat(11)} 01 ${"00".repeat(8)}`,
    0,
    23,
  ],
  "of a ROD to be made with a token": [`fe 00 0000 ffff 0000 00800000 ${"00".repeat(12)} 00000004 00000000`, 0x00, 24],
};

for (const [what, [text, ascq, byte]] of Object.entries(WRONG_CSCDS)) {
  test(`a CSCD descriptor ${what} is refused at its place`, (t) => {
    const error = t.throws(() => decodeCscd(hex(text), ALL_DESCRIPTORS, 48), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc: 0x26, ascq });
    t.is(error?.fault.pointer?.byte, 48 + byte);
  });
}

test("a designator that has no room in a descriptor is not written", (t) => {
  const long = disk(new Uint8Array(21));
  t.throws(() => encodeCscd(long), { code: "SCSI_FIELD_RANGE" });
});

test("LU ID TYPE is ignored where a designator names the unit (SPC-4 6.4.5.6)", (t) => {
  const bytes = encodeCscd(disk());
  bytes[1] = 0xc0;
  t.deepEqual(decodeCscd(bytes, ALL_DESCRIPTORS, 0), disk());
});

test("designators have words", (t) => {
  for (const words of [
    "naa.600112233445566778899aabbccddeef",
    "eui.0011223344556677",
    "t10.GANTRY  disk 1",
    "iqn.2024-01.org:a",
  ]) {
    const designator = designatorOf(words);
    t.is(designator && designatorText(designator), words);
  }
  for (const words of ["", "naa.", "naa.6", "naa.xx", "t10.\n", "disk", "iqn.a b"])
    t.is(designatorOf(words), undefined, words);
});

const FILEMARK: Segment = { kind: "filemarks", destination: 1, immediate: false, count: 1 };
const SMALL: CopyList = {
  ...{ form: "LID1", listId: 0x0a, listIdUsage: 0, priority: 1, striped: false, goodSense: false, immediate: false },
  ...{ cscds: [disk(), tape(false)], segments: [FILEMARK], inline: hex("616263") },
};
const BODY =
  "e4 00 0000 01 03 00 10 600112233445566778899aabbccddeef 00000000 00 000200" +
  "e4 01 0000 01 03 00 08 5001122334455667 000000000000000000000000 00 000000" +
  "10 00 0008 0000 0001 00 000001 616263";
const LISTS: Readonly<Record<CopyForm, readonly [string, CopyList]>> = {
  LID1: [`0a 01 0040 00000000 0000000c 00000003 ${BODY}`, SMALL],
  LID4: [
    `01 36 0020 ${"00".repeat(11)} 02 ff 000000 0a0b0c0d ${"00".repeat(18)} 0040 000c 0003 ${BODY}`,
    { ...SMALL, form: "LID4", listId: 0x0a0b0c0d, listIdUsage: 2, priority: 6, striped: true, goodSense: true },
  ],
};

for (const form of ["LID1", "LID4"] as const) {
  const [text, list] = LISTS[form];
  test(`a list of ${form} has the bytes of SPC-4 and comes back from them`, (t) => {
    t.deepEqual(encodeCopyList(list), hex(text));
    t.deepEqual(decodeCopyList(hex(text), form, LIMITS), list);
  });

  test(`a list of ${form} that is cut off anywhere is refused, and what comes behind one is passed over`, (t) => {
    const bytes = hex(text);
    for (let length = 1; length < bytes.length; length++) {
      const error = t.throws(() => decodeCopyList(bytes.subarray(0, length), form, LIMITS), {
        instanceOf: CopyRefusal,
      });
      t.like(error?.fault, { key: 5, asc: 0x1a, ascq: 0x00 });
    }
    t.deepEqual(decodeCopyList(Uint8Array.from([...bytes, 1, 2, 3]), form, LIMITS), list);
  });

  test(`the limits of the copy manager hold for ${form}`, (t) => {
    const exact = { ...LIMITS, maxCscds: 2, maxSegments: 1, maxListBytes: 76, maxInlineBytes: 3 };
    t.deepEqual(decodeCopyList(hex(text), form, exact), list);
    const refusals: readonly (readonly [Partial<CopyLimits>, number, number])[] = [
      [{ maxCscds: 1 }, 0x26, 0x06],
      [{ maxSegments: 0 }, 0x26, 0x08],
      [{ maxListBytes: 75 }, 0x1a, 0x00],
      [{ maxInlineBytes: 2 }, 0x26, 0x0b],
    ];
    for (const [limit, asc, ascq] of refusals) {
      const error = t.throws(() => decodeCopyList(hex(text), form, { ...exact, ...limit }), {
        instanceOf: CopyRefusal,
      });
      t.like(error?.fault, { key: 5, asc, ascq });
    }
  });
}

/** Bytes of the LID4 list that are changed, and what comes of it: sense code and field pointer. */
const CHANGES: Readonly<
  Record<string, readonly [CopyForm, Readonly<Record<number, number>>, number, number, number?, number?]>
> = {
  "a format that is not 01h": ["LID4", { 0: 2 }, 0x26, 0x00, 0],
  "a header without room for its CSCD descriptor": ["LID4", { 3: 0x40 }, 0x26, 0x00, 2],
  "a header whose descriptor has another type": ["LID4", { 16: 0xe4 }, 0x26, 0x00, 16],
  "LIST ID USAGE 01b": ["LID4", { 1: 0x08 }, 0x26, 0x00, 1, 4],
  "an identifier though it says that there is none": ["LID4", { 1: 0x18 }, 0x26, 0x00, 20],
  "IMMED and G_SENSE": ["LID4", { 15: 3 }, 0x24, 0x00],
  "IMMED and no identifier": ["LID4", { 1: 0x18, 15: 1, 20: 0, 21: 0, 22: 0, 23: 0 }, 0x24, 0x00],
  "an identifier in LID1 though it says that there is none": ["LID1", { 1: 0x18 }, 0x26, 0x00, 0],
  "CSCD descriptors of no multiple of 32 bytes": ["LID1", { 3: 0x41 }, 0x26, 0x00, 2],
  "a CSCD descriptor that is not known, the second": ["LID1", { 48: 0xe0 }, 0x26, 0x07, 48],
  "a segment that is not known": ["LID1", { 80: 0x17 }, 0x26, 0x09, 80],
};

for (const [what, [form, changes, asc, ascq, byte, bit]] of Object.entries(CHANGES)) {
  test(`a list with ${what} is refused at its place`, (t) => {
    const bytes = hex(LISTS[form][0]);
    for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value;
    const error = t.throws(() => decodeCopyList(bytes, form, LIMITS), { instanceOf: CopyRefusal });
    t.like(error?.fault, { key: 5, asc, ascq });
    t.is(error?.fault.pointer?.byte, byte);
    t.is(error?.fault.pointer?.bit, bit);
    t.is(error?.code, "COPY_REFUSED");
  });
}

const NAMELESS: CopyList = { ...SMALL, listId: 0, listIdUsage: 3 };

test("without an identifier nothing can be held and no token returned", (t) => {
  t.deepEqual(decodeCopyList(encodeCopyList(NAMELESS), "LID1", LIMITS), NAMELESS);
  const held: Segment = { kind: "stream-discard", hold: true, cat: false, source: 1, transfer: 512, byteCount: 512 };
  const refusal = (list: CopyList, limits = LIMITS) =>
    t.throws(() => decodeCopyList(encodeCopyList(list), "LID1", limits), { instanceOf: CopyRefusal })?.fault;
  t.like(refusal({ ...NAMELESS, segments: [FILEMARK, held] }), { asc: 0x26, ascq: 0, pointer: { byte: 16 + 64 + 12 } });
  const token = rod({ returnToken: true });
  t.like(refusal({ ...NAMELESS, cscds: [disk(), token] }), {
    asc: 0x26,
    ascq: 0,
    pointer: { byte: 16 + 32 + 22, bit: 0 },
  });
  t.like(refusal(NAMELESS, { ...LIMITS, withoutListId: false }), { asc: 0x26, ascq: 0, pointer: { byte: 1, bit: 4 } });
});

test("CSCD descriptor IDs stand for descriptors, null units and the unit that has the command", (t) => {
  const nul = { ...tape(false), nul: true };
  const list: CopyList = { ...SMALL, cscds: [disk(), nul] };
  const in4: CopyList = { ...list, form: "LID4" };
  t.deepEqual(copyDevice(list, 0, "source", 0), { is: "descriptor", cscd: disk(), place: 16 });
  t.deepEqual(copyDevice(in4, 1, "source", 0), { is: "descriptor", cscd: disk(), place: 48 });
  t.deepEqual([cscdId(list, 0), cscdId(in4, 0)], [0, 1]);
  t.deepEqual(copyDevice(list, 1, "destination", 0), { is: "null", deviceType: 1 });
  t.deepEqual(copyDevice(list, 0xc000, "source", 0), { is: "null", deviceType: 0 });
  t.deepEqual(copyDevice(list, 0xc001, "source", 0), { is: "null", deviceType: 1 });
  t.deepEqual(copyDevice(list, 0xffff, "source", 0), { is: "this-unit" });
  const wrong = (of: CopyList, id: number, role: "source" | "destination") =>
    t.throws(() => copyDevice(of, id, role, 7), { instanceOf: CopyRefusal })?.fault;
  t.deepEqual(wrong(list, 2, "destination"), {
    ...{ key: 0x0a, asc: 0x08, ascq: 0x04, segment: 7 },
    pointer: { byte: 6, inSegment: true },
  });
  for (const id of [0x0800, 0xc002, 0xf800]) t.like(wrong(list, id, "source"), { key: 0x0a, asc: 0x08, ascq: 0x04 });
  t.like(wrong(in4, 0, "source"), {
    key: 0x0a,
    asc: 0x26,
    ascq: 0x00,
    segment: 7,
    pointer: { byte: 4, inSegment: true },
  });
});

test("inline data is what the segment says, and more than there is aborts the copy", (t) => {
  const list: CopyList = { ...SMALL, inline: hex("000102030405060708") };
  const segment = { kind: "inline-stream", cat: false, destination: 1, transfer: 4 } as const;
  t.deepEqual([...inlineData(list, { ...segment, inlineOffset: 4, byteCount: 5 }, 0)], [4, 5, 6, 7, 8]);
  t.is(inlineData(list, { ...segment, inlineOffset: 8, byteCount: 0 }, 0).length, 0);
  for (const [inlineOffset, byteCount] of [
    [4, 6],
    [12, 0],
    [4, 0xffff_fffd],
  ] as const) {
    const error = t.throws(() => inlineData(list, { ...segment, inlineOffset, byteCount }, 3), {
      instanceOf: CopyRefusal,
    });
    t.like(error?.fault, { key: 0x0a, asc: 0x26, ascq: 0x0b, segment: 3 });
  }
});

test("every CSCD descriptor and every list comes back from its bytes", (t) => {
  const descriptors = fc.property(cscds, (cscd) => {
    t.deepEqual(decodeCscd(encodeCscd(cscd), ALL_DESCRIPTORS, 0), cscd);
  });
  const lists = fc.property(copyLists, (list) => {
    t.deepEqual(decodeCopyList(encodeCopyList(list), list.form, LIMITS), list);
  });
  t.notThrows(() => {
    fc.assert(descriptors, { numRuns: 500 });
    fc.assert(lists, { numRuns: 300 });
  });
});
