// What the numbers in a segment stand for: CSCD descriptor IDs (SPC-4 table 148), places in the inline data. These are
// looked up when the segment's turn comes, so what is wrong aborts the copy there (5.17.7.4).

import { type CopyList, headerBytes } from "./copy-list.js";
import { CSCD_BYTES, type Cscd } from "./cscd.js";
import { ASC, aborted } from "./refusal.js";
import { type Segment, THIS_UNIT } from "./segments.js";

/** The first CSCD descriptor of a list is at byte 16 + 32 × id, so that it has id 1 in LID4, whose header is longer. */
const FIRST_PLACE = 16;
const LAST_ID = 0x07ff;
const NULL_UNITS: ReadonlyMap<number, number> = new Map([
  [0xc000, 0x00],
  [0xc001, 0x01],
]);
/** Only in ROD PRODUCER CSCD DESCRIPTOR ID: the unit that made the token. */
export const TOKEN_MAKER = 0xf800;

export type CopyDevice =
  | { readonly is: "descriptor"; readonly cscd: Cscd /** First byte in the list. */; readonly place: number }
  /** Nothing may be sent to it. */
  | { readonly is: "null"; readonly deviceType: number }
  /** The logical unit that the command came to. */
  | { readonly is: "this-unit" };

/** The CSCD descriptor ID of a descriptor, by its place in `cscds`. */
export const cscdId = (list: Pick<CopyList, "form">, index: number): number =>
  (headerBytes(list.form) - FIRST_PLACE) / CSCD_BYTES + index;

/**
 * @param role which field of the segment the id is from
 * @param segment its number
 * @throws CopyRefusal COPY ABORTED
 */
export function copyDevice(list: CopyList, id: number, role: "source" | "destination", segment: number): CopyDevice {
  const pointer = { byte: role === "source" ? 4 : 6, inSegment: true };
  if (id === THIS_UNIT) return { is: "this-unit" };
  const deviceType = NULL_UNITS.get(id);
  if (deviceType !== undefined) return { is: "null", deviceType };
  const index = id - cscdId(list, 0);
  // The place of id 0 in LID4 is the header's, whose code there is that of an extension (SPC-4 6.4.5.2).
  if (index < 0) throw aborted(ASC.LIST_FIELD, "CSCD descriptor ID 0 is the header of the list", segment, pointer);
  const cscd = id <= LAST_ID ? list.cscds[index] : undefined;
  if (cscd === undefined)
    throw aborted(ASC.UNREACHABLE, `there is no CSCD descriptor ${id.toString(16)}h`, segment, pointer);
  const place = FIRST_PLACE + id * CSCD_BYTES;
  return cscd.nul ? { is: "null", deviceType: cscd.deviceType } : { is: "descriptor", cscd, place };
}

/** The inline data of a segment. @throws CopyRefusal COPY ABORTED (SPC-4 6.4.6.6) */
export function inlineData(
  list: CopyList,
  { inlineOffset, byteCount }: Extract<Segment, { kind: "inline-stream" }>,
  segment: number,
): Uint8Array {
  const { length } = list.inline;
  if (inlineOffset <= length && byteCount <= length - inlineOffset)
    return list.inline.subarray(inlineOffset, inlineOffset + byteCount);
  throw aborted(ASC.INLINE_EXCEEDED, `only ${length} bytes of inline data came`, segment, {
    byte: 16,
    inSegment: true,
  });
}
