// RECEIVE COPY OPERATING PARAMETERS (SPC-4 6.22, table 244): the limits of a copy manager as SPC-3 tells them. VPD page
// 8Fh (third-party-page.ts) has to say the same.
import { wholeIn } from "../bytes.js";
import { available, countAvailable, flag, joined, readLayout, uint, type ValuesOf, writeLayout } from "./layout.js";

const HEAD = 44;
const LAYOUT = {
  /** SNLID. */
  withoutListId: flag(4, 0),
  maxCscds: uint(8, 2),
  maxSegments: uint(10, 2),
  maxListBytes: uint(12, 4),
  /** 0: no limit. */
  maxSegmentBytes: uint(16, 4),
  maxInlineBytes: uint(20, 4),
  heldBytes: uint(24, 4),
  maxStreamTransferBytes: uint(28, 4),
  /** 0 unless SNLID is 1. */
  totalCopies: uint(34, 2),
  maxCopies: uint(36, 1),
  /** Powers of two. */
  segmentGranularity: uint(37, 1),
  inlineGranularity: uint(38, 1),
  heldGranularity: uint(39, 1),
};

export interface OperatingParameters extends ValuesOf<typeof LAYOUT> {
  /** Descriptor type codes, of CSCDs and of segments, in ascending order. */
  readonly descriptors: readonly number[];
}

export function encodeOperatingParameters(parameters: OperatingParameters): Uint8Array {
  const { descriptors } = parameters;
  wholeIn(descriptors.length, 0n, 255n, "implemented descriptor list length");
  const bytes = joined(new Uint8Array(HEAD), Uint8Array.from(descriptors));
  writeLayout(LAYOUT, bytes, parameters);
  bytes[43] = descriptors.length;
  return countAvailable(bytes);
}

/** @throws GantryError SCSI_DATA_TRUNCATED */
export function decodeOperatingParameters(data: Uint8Array): OperatingParameters {
  const fields = available(data, "RECEIVE COPY OPERATING PARAMETERS data");
  return { ...readLayout(LAYOUT, fields), descriptors: [...fields.bytes(HEAD, fields.u8(43))] };
}
