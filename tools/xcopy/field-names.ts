// What stands at a byte of a parameter list, by the standard's names: sense data point at bytes. The places of most
// segments are asked of the codec's own tables, so that the two cannot disagree.
import { Fields } from "../../src/wire/bytes.js";
import { cscdId } from "../../src/wire/xcopy/copy-devices.js";
import { type CopyForm, headerBytes } from "../../src/wire/xcopy/copy-list.js";
import { CSCD_BYTES, type Cscd } from "../../src/wire/xcopy/cscd.js";
import { type Layout, readLayout } from "../../src/wire/xcopy/layout.js";
import { LAYOUTS, type LayoutKind } from "../../src/wire/xcopy/segment-layouts.js";
import { encodeSegment, type Segment } from "../../src/wire/xcopy/segments.js";
import type { CopyPlan } from "./plan.js";

/** First byte, last byte, name; and the bits high…low of a part of one byte. */
type Row = readonly [first: number, last: number, name: string, high?: number, low?: number];

const SHARED: readonly Row[] = [
  [1, 1, "STR", 5, 5],
  [1, 1, "LIST ID USAGE", 4, 3],
  [1, 1, "PRIORITY", 2, 0],
];
const HEADERS: Readonly<Record<CopyForm, readonly Row[]>> = {
  LID1: [
    [0, 0, "LIST IDENTIFIER"],
    ...SHARED,
    [2, 3, "CSCD DESCRIPTOR LIST LENGTH"],
    [8, 11, "SEGMENT DESCRIPTOR LIST LENGTH"],
    [12, 15, "INLINE DATA LENGTH"],
  ],
  LID4: [
    [0, 0, "PARAMETER LIST FORMAT"],
    ...SHARED,
    [2, 3, "HEADER CSCD DESCRIPTOR LIST LENGTH"],
    [15, 15, "G_SENSE", 1, 1],
    [15, 15, "IMMED", 0, 0],
    [16, 16, "HEADER CSCD DESCRIPTOR TYPE CODE"],
    [20, 23, "LIST IDENTIFIER"],
    [42, 43, "CSCD DESCRIPTOR LIST LENGTH"],
    [44, 45, "SEGMENT DESCRIPTOR LIST LENGTH"],
    [46, 47, "INLINE DATA LENGTH"],
  ],
};
const CSCD: readonly Row[] = [
  [0, 0, "DESCRIPTOR TYPE CODE"],
  [1, 1, "LU ID TYPE", 7, 6],
  [1, 1, "NUL", 5, 5],
  [1, 1, "PERIPHERAL DEVICE TYPE", 4, 0],
  [2, 3, "RELATIVE INITIATOR PORT IDENTIFIER"],
];
const CSCD_TAIL: readonly Row[] = [
  [28, 28, "PAD", 2, 2],
  [28, 28, "FIXED", 0, 0],
  [29, 31, "BLOCK LENGTH"],
];
const DESIGNATION: readonly Row[] = [
  ...CSCD,
  [4, 4, "CODE SET"],
  [5, 5, "ASSOCIATION", 5, 4],
  [5, 5, "DESIGNATOR TYPE", 3, 0],
  [7, 7, "DESIGNATOR LENGTH"],
  [8, 27, "DESIGNATOR"],
  ...CSCD_TAIL,
];
const ROD: readonly Row[] = [
  ...CSCD,
  [4, 5, "ROD PRODUCER CSCD DESCRIPTOR ID"],
  [8, 11, "ROD TYPE"],
  [12, 15, "REQUESTED ROD TOKEN LIFETIME"],
  [16, 19, "REQUESTED ROD TOKEN INACTIVITY TIMEOUT"],
  [22, 22, "R_TOKEN", 0, 0],
  [23, 23, "DEL_TKN", 0, 0],
  [24, 27, "ROD TOKEN OFFSET"],
  ...CSCD_TAIL,
];
const SEGMENT: readonly Row[] = [
  [0, 0, "DESCRIPTOR TYPE CODE"],
  [2, 3, "DESCRIPTOR LENGTH"],
];
/** The segments whose length is their own. */
const LONG: Readonly<Record<Exclude<Segment["kind"], LayoutKind>, readonly Row[]>> = {
  "embedded-stream": [
    [1, 1, "CAT", 0, 0],
    [6, 7, "DESTINATION CSCD DESCRIPTOR ID"],
    [9, 11, "STREAM DEVICE TRANSFER LENGTH"],
    [12, 13, "EMBEDDED DATA NUMBER OF BYTES"],
  ],
  "source-nexus": [
    [6, 7, "DESTINATION CSCD DESCRIPTOR ID"],
    [8, 15, "RESERVATION KEY"],
    [16, 23, "SERVICE ACTION RESERVATION KEY"],
    [25, 25, "UNREG", 1, 1],
    [25, 25, "APTPL", 0, 0],
    [26, 27, "RELATIVE TARGET PORT IDENTIFIER"],
    [28, 31, "TRANSPORTID PARAMETER DATA LENGTH"],
    [32, 0xffff, "TRANSPORTID"],
  ],
  "rod-ranges": [
    [4, 5, "SOURCE CSCD DESCRIPTOR ID"],
    [6, 7, "DESTINATION CSCD DESCRIPTOR ID"],
    [13, 13, "RANGE DESCRIPTOR TYPE"],
    [14, 15, "RANGE DESCRIPTORS LENGTH"],
    [16, 0xffff, "RANGE DESCRIPTORS"],
  ],
};
/** The codec's names are short; those left out are their own words in capitals. */
const NAMES: Readonly<Record<string, string>> = {
  source: "SOURCE CSCD DESCRIPTOR ID",
  destination: "DESTINATION CSCD DESCRIPTOR ID",
  transfer: "STREAM DEVICE TRANSFER LENGTH",
  sourceTransfer: "SOURCE STREAM DEVICE TRANSFER LENGTH",
  destinationTransfer: "DESTINATION STREAM DEVICE TRANSFER LENGTH",
  blocks: "BLOCK DEVICE NUMBER OF BLOCKS",
  lba: "BLOCK DEVICE LOGICAL BLOCK ADDRESS",
  sourceLba: "SOURCE BLOCK DEVICE LOGICAL BLOCK ADDRESS",
  destinationLba: "DESTINATION BLOCK DEVICE LOGICAL BLOCK ADDRESS",
  destinationCount: "DC",
  inlineOffset: "INLINE DATA OFFSET",
  byteOffset: "BLOCK DEVICE BYTE OFFSET",
  sourceOffset: "SOURCE BLOCK DEVICE BYTE OFFSET",
  destinationOffset: "DESTINATION BLOCK DEVICE BYTE OFFSET",
  testUnitReady: "TUR",
  immediate: "IMMED",
  objectId: "LOGICAL OBJECT IDENTIFIER",
  key: "RESERVATION KEY",
  actionKey: "SERVICE ACTION RESERVATION KEY",
};

/** The field of a segment descriptor at a byte, and bit; undefined: none is there. */
export function segmentField({ kind }: Segment, byte: number, bit?: number): string | undefined {
  const head = rowAt(SEGMENT, byte, bit);
  if (head !== undefined) return head;
  if (!(kind in LAYOUTS)) return rowAt(LONG[kind as keyof typeof LONG], byte, bit);
  const { length, layout } = LAYOUTS[kind as LayoutKind];
  const bits = bit === undefined ? [7, 6, 5, 4, 3, 2, 1, 0] : [bit];
  for (const one of bits) {
    const name = nameAt(layout, 4 + length, byte, one);
    if (name !== undefined) return NAMES[name] ?? name.replace(/[A-Z]/g, " $&").toUpperCase();
  }
  return undefined;
}

/** Which field of a layout a bit belongs to: the one that reads as something when only that bit is set. */
function nameAt(layout: Layout, length: number, byte: number, bit: number): string | undefined {
  if (byte >= length) return undefined;
  const bytes = new Uint8Array(length);
  bytes[byte] = 1 << bit;
  const values = readLayout(layout, new Fields(bytes, "segment descriptor"));
  return Object.keys(values).find((name) => Boolean(values[name]));
}

const cscdField = ({ form }: Cscd, byte: number, bit?: number): string | undefined =>
  rowAt(form === "rod" ? ROD : DESIGNATION, byte, bit);

function rowAt(rows: readonly Row[], byte: number, bit: number | undefined): string | undefined {
  const inBits = ([, , , high = 7, low = 0]: Row): boolean => bit === undefined || (bit <= high && bit >= low);
  return rows.find((row) => byte >= row[0] && byte <= row[1] && inBits(row))?.[2];
}

export interface ListPlace {
  /** "the header", "the descriptor of d0", "segment 3", "the inline data". */
  readonly where: string;
  readonly segment?: number;
  /** From the beginning of that. */
  readonly byte: number;
  readonly field?: string;
}

/** What is at a byte of a whole parameter list. */
export function listPlace({ list, names }: CopyPlan, byte: number, bit?: number): ListPlace {
  const { form, cscds, segments } = list;
  let at = headerBytes(form);
  const named = (where: string, from: number, field: string | undefined, segment?: number): ListPlace => ({
    where,
    ...(segment !== undefined && { segment }),
    byte: byte - from,
    ...(field !== undefined && { field }),
  });
  if (byte < at) return named("the header", 0, rowAt(HEADERS[form], byte, bit));
  for (const [index, cscd] of cscds.entries()) {
    if (byte < at + CSCD_BYTES)
      return named(`the descriptor of ${names.name(cscdId(list, index))}`, at, cscdField(cscd, byte - at, bit));
    at += CSCD_BYTES;
  }
  for (const [index, segment] of segments.entries()) {
    const { length } = encodeSegment(segment);
    if (byte < at + length) return named(`segment ${index}`, at, segmentField(segment, byte - at, bit), index);
    at += length;
  }
  return named("the inline data", at, undefined);
}
