// REPORT LUNS data (SPC-4 6.33) and the eight bytes of a logical unit number (SAM-5 4.7).
import { Fields } from "./bytes.js";
import { toHex } from "./hex.js";

export interface ReportedLun {
  /** All eight bytes. */
  readonly hex: string;
  /** The number, for the two simple forms: peripheral on bus 0, and flat space; undefined for others. */
  readonly lun?: number;
}

/** @throws GantryError SCSI_DATA_TRUNCATED (also when not all fitted: ask with more room), SCSI_DATA_INVALID */
export function decodeLuns(data: Uint8Array): readonly ReportedLun[] {
  const head = new Fields(data, "REPORT LUNS data");
  const length = head.u32(0);
  if (length % 8 !== 0) throw head.invalid(`a list of ${length} bytes is not made of eights`);
  const fields = head.part(8, length, head.what);
  const luns: ReportedLun[] = [];
  for (let at = 0; at < length; at += 8) {
    const lun = simpleLun(fields, at);
    luns.push({ hex: toHex(fields.bytes(at, 8)), ...(lun !== undefined && { lun }) });
  }
  return luns;
}

function simpleLun(fields: Fields, at: number): number | undefined {
  if (fields.u16(at + 2) !== 0 || fields.u32(at + 4) !== 0) return undefined;
  const method = fields.bits(at, 7, 6);
  if (method === 0 && fields.u8(at) === 0) return fields.u8(at + 1);
  return method === 1 ? fields.u16(at) & 0x3fff : undefined;
}
