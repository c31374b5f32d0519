// The parameter list of EXTENDED COPY: LID1 (SPC-4 6.5, table 172) and LID4 (6.4.2, table 126): a header, CSCD
// descriptors, segment descriptors, inline data. What is refused before the first segment is refused here (5.17.7.3), by
// the limits that the copy manager tells in VPD page 8Fh.
import { Fields, putUint } from "../bytes.js";
import { CSCD_BYTES, type Cscd, decodeCscd, encodeCscd } from "./cscd.js";
import { bits, flag, joined, readLayout, uint, type ValuesOf, writeLayout } from "./layout.js";
import { ASC, refused } from "./refusal.js";
import { decodeSegment, encodeSegment, type Segment } from "./segments.js";

export type CopyForm = "LID1" | "LID4";

/** SPC-4 tables 128 and 129. */
export const LIST_ID_USAGE = { HOLD: 0, DISCARD: 2, NONE: 3 } as const;

const SHARED = { striped: flag(1, 5), listIdUsage: bits(1, 4, 3), priority: bits(1, 2, 0) };
const HEADERS = {
  LID1: {
    bytes: 16,
    layout: { ...SHARED, listId: uint(0, 1) },
    lengths: { cscds: uint(2, 2), segments: uint(8, 4), inline: uint(12, 4) },
    places: { listId: 0, cscds: 2, segments: 8, inline: 12 },
  },
  LID4: {
    bytes: 48,
    layout: { ...SHARED, listId: uint(20, 4) },
    lengths: { cscds: uint(42, 2), segments: uint(44, 2), inline: uint(46, 2) },
    places: { listId: 20, cscds: 42, segments: 44, inline: 46 },
  },
} as const;
/** Of LID4 alone. */
const REPLY = { goodSense: flag(15, 1), immediate: flag(15, 0) };
const LIST_FORMAT = 0x01;
const HEADER_TYPE = 0xff;

export interface CopyList extends ValuesOf<typeof SHARED>, ValuesOf<typeof REPLY> {
  readonly form: CopyForm;
  /** Names the copy on its nexus; 0 with LIST_ID_USAGE.NONE. */
  readonly listId: number;
  readonly cscds: readonly Cscd[];
  readonly segments: readonly Segment[];
  readonly inline: Uint8Array;
}

export interface CopyLimits {
  readonly maxCscds: number;
  readonly maxSegments: number;
  /** Of CSCD and segment descriptors together. */
  readonly maxListBytes: number;
  readonly maxInlineBytes: number;
  /** SNLID: a list may have no identifier. */
  readonly withoutListId: boolean;
  /** Descriptor type codes, of CSCDs and of segments. */
  readonly descriptors: ReadonlySet<number>;
}

/** Where the CSCD descriptors begin. */
export const headerBytes = (form: CopyForm): number => HEADERS[form].bytes;

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeCopyList(list: CopyList): Uint8Array {
  const { bytes, layout, lengths } = HEADERS[list.form];
  const header = new Uint8Array(bytes);
  const cscds = joined(...list.cscds.map(encodeCscd));
  const segments = joined(...list.segments.map(encodeSegment));
  writeLayout(layout, header, list);
  writeLayout(lengths, header, { cscds: cscds.length, segments: segments.length, inline: list.inline.length });
  if (list.form === "LID4") {
    writeLayout(REPLY, header, list);
    header[0] = LIST_FORMAT;
    putUint(header, 2, 2, CSCD_BYTES, "header CSCD descriptor list length");
    header[16] = HEADER_TYPE;
  }
  return joined(header, cscds, segments, list.inline);
}

/**
 * A list that has come whole: as many bytes as PARAMETER LIST LENGTH says, more than none (no bytes are no error and no
 * copy, SPC-4 6.4.1). Bytes behind the inline data belong to nothing and are passed over.
 * @throws CopyRefusal
 */
export function decodeCopyList(bytes: Uint8Array, form: CopyForm, limits: CopyLimits): CopyList {
  const head = HEADERS[form];
  const fields = new Fields(bytes, "EXTENDED COPY parameter list");
  if (bytes.length < head.bytes) throw refused(ASC.LIST_LENGTH, `${bytes.length} bytes hold no header of ${form}`);
  const header = readHeader(fields, form, limits);
  const lengths = readLayout(head.lengths, fields);
  checkLengths(lengths, bytes.length - head.bytes, form, limits);
  const segmentsAt = head.bytes + lengths.cscds;
  const inlineAt = segmentsAt + lengths.segments;
  const cscds: Cscd[] = [];
  for (let at = head.bytes; at < segmentsAt; at += CSCD_BYTES)
    cscds.push(decodeCscd(bytes.subarray(at, at + CSCD_BYTES), limits.descriptors, at));
  const segments = readSegments(bytes.subarray(0, inlineAt), segmentsAt, limits);
  const list = { form, ...header, cscds, segments, inline: bytes.slice(inlineAt, inlineAt + lengths.inline) };
  checkUsage(list, segmentsAt);
  return list;
}

type Header = Omit<CopyList, "form" | "cscds" | "segments" | "inline">;

function readHeader(fields: Fields, form: CopyForm, limits: CopyLimits): Header {
  const { layout, places } = HEADERS[form];
  const header = { goodSense: false, immediate: false, ...readLayout(layout, fields) };
  const wrong = (problem: string, at: number, bit?: number) => refused(ASC.LIST_FIELD, problem, at, bit);
  if (form === "LID4") {
    if (fields.u8(0) !== LIST_FORMAT) throw wrong("PARAMETER LIST FORMAT has to be 01h", 0);
    if (fields.u16(2) !== CSCD_BYTES) throw wrong("HEADER CSCD DESCRIPTOR LIST LENGTH has to be 0020h", 2);
    if (fields.u8(16) !== HEADER_TYPE) throw wrong("HEADER CSCD DESCRIPTOR TYPE CODE has to be FFh", 16);
    Object.assign(header, readLayout(REPLY, fields));
  }
  const { listIdUsage, listId, immediate, goodSense } = header;
  if (listIdUsage === 1) throw wrong("LIST ID USAGE 01b is reserved", 1, 4);
  if (listIdUsage === LIST_ID_USAGE.NONE && !limits.withoutListId)
    throw wrong("lists without an identifier are not supported", 1, 4);
  if (listIdUsage === LIST_ID_USAGE.NONE && listId !== 0)
    throw wrong("LIST ID USAGE says that there is no identifier, and there is one", places.listId);
  // SPC-4 6.4.2 wants INVALID FIELD IN CDB for these two, though they are in the list.
  if (immediate && (goodSense || listIdUsage === LIST_ID_USAGE.NONE))
    throw refused(ASC.CDB_FIELD, "IMMED goes neither with G_SENSE nor without a list identifier");
  return header;
}

/** @param room bytes behind the header */
function checkLengths(
  { cscds, segments, inline }: { cscds: number; segments: number; inline: number },
  room: number,
  form: CopyForm,
  limits: CopyLimits,
): void {
  const { places } = HEADERS[form];
  if (cscds + segments > limits.maxListBytes)
    throw refused(
      ASC.LIST_LENGTH,
      `descriptors take ${cscds + segments} bytes, and ${limits.maxListBytes} is the most`,
    );
  if (cscds % CSCD_BYTES !== 0)
    throw refused(ASC.LIST_FIELD, `CSCD descriptors have ${CSCD_BYTES} bytes each`, places.cscds);
  if (cscds / CSCD_BYTES > limits.maxCscds)
    throw refused(ASC.TOO_MANY_CSCDS, `${limits.maxCscds} CSCD descriptors is the most`, places.cscds);
  if (inline > limits.maxInlineBytes)
    throw refused(ASC.INLINE_EXCEEDED, `${limits.maxInlineBytes} bytes of inline data is the most`, places.inline);
  if (cscds + segments + inline > room)
    throw refused(ASC.LIST_LENGTH, `the header tells of ${cscds + segments + inline} bytes behind it, ${room} came`);
}

/** @param bytes the list up to its inline data */
function readSegments(bytes: Uint8Array, from: number, limits: CopyLimits): readonly Segment[] {
  const found: Segment[] = [];
  for (let at = from; at < bytes.length; ) {
    // They are counted before this one is looked at: a list of too many is refused for that.
    if (found.length === limits.maxSegments)
      throw refused(ASC.TOO_MANY_SEGMENTS, `${limits.maxSegments} segment descriptors is the most`, at);
    const { segment, length } = decodeSegment(bytes.subarray(at), limits.descriptors, at);
    found.push(segment);
    at += length;
  }
  return found;
}

/** SPC-4 tables 128 and 129, and 6.4.5.9: what cannot be asked for by an identifier cannot be held or returned. */
function checkUsage(list: CopyList, segmentsAt: number): void {
  if (list.listIdUsage !== LIST_ID_USAGE.NONE) return;
  const rod = list.cscds.findIndex((cscd) => cscd.form === "rod" && cscd.returnToken);
  if (rod >= 0)
    throw refused(
      ASC.LIST_FIELD,
      "a token is asked for without a list identifier",
      headerBytes(list.form) + rod * CSCD_BYTES + 22,
      0,
    );
  let at = segmentsAt;
  for (const segment of list.segments) {
    if ("hold" in segment && segment.hold)
      throw refused(ASC.LIST_FIELD, "data is to be held without a list identifier", at);
    at += encodeSegment(segment).length;
  }
}
