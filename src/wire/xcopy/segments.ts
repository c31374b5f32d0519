// Segment descriptors (SPC-4 6.4.6), in and out: those with a table in segment-layouts.ts, and three whose length is
// their own. Only what a descriptor says by itself is checked here; what needs the device types of its CSCDs, or the data
// left over from the segment before, is for whoever copies.
import { isGantryError } from "../../sys/errors.js";
import { Fields, putUint } from "../bytes.js";
import { decodeTransportId, encodeTransportId, type TransportId } from "../transport-id.js";
import { flag, joined, readLayout, uint, uint64, type ValuesOf, writeLayout } from "./layout.js";
import { type BlockRange, decodeRanges, encodeRanges, overlapping, RANGE_BYTES } from "./ranges.js";
import { ASC, refused } from "./refusal.js";
import { LAYOUTS, type LayoutRow, type LayoutSegment } from "./segment-layouts.js";

const HEAD = 4;
/** Where a device is named by the logical unit that the command came to (SPC-4 table 148). */
export const THIS_UNIT = 0xffff;

/** 6.4.6.7, table 154. */
const EMBEDDED = { cat: flag(1, 0), destination: uint(6, 2), transfer: uint(9, 3) };
const EMBEDDED_DATA = 16;
/** 6.4.6.18, table 165. */
const NEXUS = {
  destination: uint(6, 2),
  key: uint64(8),
  actionKey: uint64(16),
  unregister: flag(25, 1),
  aptpl: flag(25, 0),
  port: uint(26, 2),
};
const NEXUS_ID = 32;
/** 6.4.6.20, table 167. */
const RANGES = { source: uint(4, 2), destination: uint(6, 2) };
const RANGES_LIST = 16;
const FOUR_GIBI_BLOCKS = 0x01;

export const SEGMENT_CODE = { EMBEDDED: 0x05, SOURCE_NEXUS: 0x15, ROD_RANGES: 0xbe } as const;

export type Segment =
  | LayoutSegment
  | ({ readonly kind: "embedded-stream"; readonly data: Uint8Array } & ValuesOf<typeof EMBEDDED>)
  | ({ readonly kind: "source-nexus"; readonly transportId: TransportId } & ValuesOf<typeof NEXUS>)
  | ({ readonly kind: "rod-ranges"; readonly ranges: readonly BlockRange[] } & ValuesOf<typeof RANGES>);
export type SegmentKind = Segment["kind"];

interface Known {
  readonly kind: SegmentKind;
  readonly hold?: boolean;
  readonly row?: LayoutRow;
}

const BY_CODE: ReadonlyMap<number, Known> = new Map(
  (Object.entries(LAYOUTS) as [LayoutSegment["kind"], LayoutRow][])
    .flatMap(([kind, row]): [number, Known][] => {
      const { code, heldCode } = row;
      if (heldCode === undefined) return [[code, { kind, row }]];
      const held: [number, Known] = [heldCode, { kind, row, hold: true }];
      return [[code, { kind, row, hold: false }], held];
    })
    .concat([
      [SEGMENT_CODE.EMBEDDED, { kind: "embedded-stream" }],
      [SEGMENT_CODE.SOURCE_NEXUS, { kind: "source-nexus" }],
      [SEGMENT_CODE.ROD_RANGES, { kind: "rod-ranges" }],
    ]),
);

/** All codes that can be read, in ascending order. */
export const SEGMENT_CODES: readonly number[] = [...BY_CODE.keys()].sort((a, b) => a - b);

/** DESCRIPTOR TYPE CODE of a segment. */
export function segmentCode(segment: Segment): number {
  const hold = "hold" in segment ? segment.hold : undefined;
  for (const [code, known] of BY_CODE) if (known.kind === segment.kind && known.hold === hold) return code;
  throw new Error(`no code for segments of kind ${segment.kind}`);
}

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeSegment(segment: Segment): Uint8Array {
  const bytes = encodeBody(segment);
  bytes[0] = segmentCode(segment);
  putUint(bytes, 2, 2, bytes.length - HEAD, "descriptor length");
  return bytes;
}

function encodeBody(segment: Segment): Uint8Array {
  switch (segment.kind) {
    case "embedded-stream": {
      const bytes = new Uint8Array(EMBEDDED_DATA + ((segment.data.length + 3) & ~3));
      writeLayout(EMBEDDED, bytes, segment);
      putUint(bytes, 12, 2, segment.data.length, "embedded data number of bytes");
      bytes.set(segment.data, EMBEDDED_DATA);
      return bytes;
    }
    case "source-nexus": {
      const id = encodeTransportId(segment.transportId);
      const bytes = joined(new Uint8Array(NEXUS_ID), id);
      writeLayout(NEXUS, bytes, segment);
      putUint(bytes, 28, 4, id.length, "TransportID length");
      return bytes;
    }
    case "rod-ranges": {
      const bytes = joined(new Uint8Array(RANGES_LIST), encodeRanges(segment.ranges));
      writeLayout(RANGES, bytes, segment);
      bytes[13] = FOUR_GIBI_BLOCKS;
      putUint(bytes, 14, 2, bytes.length - RANGES_LIST, "range descriptors length");
      return bytes;
    }
    default: {
      const { length, layout }: LayoutRow = LAYOUTS[segment.kind];
      const bytes = new Uint8Array(HEAD + length);
      writeLayout(layout, bytes, segment as unknown as ValuesOf<typeof layout>);
      return bytes;
    }
  }
}

/**
 * The descriptor at the beginning of these bytes, which are the rest of the list of segments.
 * @param supported descriptor type codes that the copy manager takes
 * @param place of these bytes in the parameter list, for the field pointer
 * @throws CopyRefusal
 */
export function decodeSegment(
  bytes: Uint8Array,
  supported: ReadonlySet<number>,
  place: number,
): { segment: Segment; length: number } {
  const rest = new Fields(bytes, "segment descriptor");
  if (bytes.length < HEAD) throw refused(ASC.LIST_LENGTH, "the list of segments ends within a descriptor's head");
  const code = rest.u8(0);
  const known = supported.has(code) ? BY_CODE.get(code) : undefined;
  if (known === undefined) throw refused(ASC.SEGMENT_TYPE, `segments of type ${hex(code)} are not supported`, place);
  const length = HEAD + rest.u16(2);
  if (length > bytes.length) throw refused(ASC.LIST_FIELD, "the descriptor is longer than the list", place + 2);
  const fields = rest.part(0, length, "segment descriptor");
  const wrongLength = () =>
    refused(ASC.LIST_FIELD, `a length of ${length - HEAD} is wrong for ${hex(code)}`, place + 2);
  const { kind, row, hold } = known;
  if (row !== undefined) {
    if (length !== HEAD + row.length) throw wrongLength();
    const segment = { kind, ...(hold !== undefined && { hold }), ...readLayout(row.layout, fields) } as Segment;
    checkLayout(segment, place);
    return { segment, length };
  }
  const least = kind === "source-nexus" ? NEXUS_ID : RANGES_LIST;
  if (length < least || length % 4 !== 0) throw wrongLength();
  if (kind === "embedded-stream") return { segment: decodeEmbedded(fields, place), length };
  return { segment: kind === "source-nexus" ? decodeNexus(fields, place) : decodeRod(fields, place), length };
}

function checkLayout(segment: Segment, place: number): void {
  if (segment.kind === "inline-stream" && segment.inlineOffset % 4 !== 0)
    throw refused(ASC.LIST_FIELD, "an offset into inline data is a multiple of 4", place + 12);
  if (segment.kind === "rod-range") checkProducer(segment.source, place);
}

/** SPC-4 6.4.6.20 c): a ROD is made of blocks of the unit that the command came to. */
function checkProducer(source: number, place: number): void {
  if (source !== THIS_UNIT)
    throw refused(ASC.LIST_FIELD, "a ROD is populated from the unit that has the command (FFFFh) alone", place + 4);
}

function decodeEmbedded(fields: Fields, place: number): Segment {
  const count = fields.u16(12);
  if (count > fields.length - EMBEDDED_DATA)
    throw refused(ASC.LIST_FIELD, `${count} bytes are to be written, and fewer are embedded`, place + 12);
  return { kind: "embedded-stream", ...readLayout(EMBEDDED, fields), data: fields.bytes(EMBEDDED_DATA, count) };
}

function decodeNexus(fields: Fields, place: number): Segment {
  if (fields.u32(28) !== fields.length - NEXUS_ID)
    throw refused(ASC.LIST_FIELD, "TRANSPORTID LENGTH is not that of the descriptor", place + 28);
  const bytes = fields.bytes(NEXUS_ID, fields.length - NEXUS_ID);
  try {
    const { id, length } = decodeTransportId(bytes);
    if (length === bytes.length) return { kind: "source-nexus", ...readLayout(NEXUS, fields), transportId: id };
  } catch (error) {
    if (!isGantryError(error)) throw error;
  }
  throw refused(ASC.LIST_FIELD, "the TransportID is none", place + NEXUS_ID);
}

function decodeRod(fields: Fields, place: number): Segment {
  const values = readLayout(RANGES, fields);
  checkProducer(values.source, place);
  if (fields.u8(13) !== FOUR_GIBI_BLOCKS)
    throw refused(ASC.LIST_FIELD, "ranges of this type are not known", place + 13);
  const length = fields.u16(14);
  if (length !== fields.length - RANGES_LIST || length === 0 || length % RANGE_BYTES !== 0)
    throw refused(ASC.LIST_FIELD, "RANGE DESCRIPTORS LENGTH is not that of one or more ranges", place + 14);
  const ranges = decodeRanges(fields.bytes(RANGES_LIST, length));
  const twice = overlapping(ranges);
  if (twice !== undefined)
    throw refused(ASC.LIST_FIELD, "a block is in two ranges", place + RANGES_LIST + twice * RANGE_BYTES);
  return { kind: "rod-ranges", ...values, ranges };
}

const hex = (value: number): string => `${value.toString(16).padStart(2, "0").toUpperCase()}h`;
