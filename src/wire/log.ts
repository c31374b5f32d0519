// LOG SENSE data (SPC-4 7.3) and the TapeAlert page. Throws GantryError SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID.
import { Fields } from "./bytes.js";
import { TAPE_ALERTS } from "./names.js";

export const LOG_PAGE = { SUPPORTED: 0x00, TAPE_ALERT: 0x2e } as const;

export interface LogPage {
  readonly page: number;
  readonly subpage: number;
  /** Values by parameter code, as bytes. */
  readonly parameters: ReadonlyMap<number, Uint8Array>;
}

/** Parameters that are cut off by a short allocation are an error: ask again with more room. */
export function decodeLogPage(data: Uint8Array): LogPage {
  const head = new Fields(data, "LOG SENSE data");
  const fields = head.part(4, head.u16(2), head.what);
  const parameters = new Map<number, Uint8Array>();
  for (let at = 0; at < fields.length; ) {
    const length = fields.u8(at + 3);
    parameters.set(fields.u16(at), fields.bytes(at + 4, length));
    at += 4 + length;
  }
  return { page: head.bits(0, 5, 0), subpage: head.bit(0, 6) ? head.u8(1) : 0, parameters };
}

export interface TapeAlert {
  /** 1–64. */
  readonly flag: number;
  readonly name: string;
}

/** Page 2Eh (SSC-4): the flags that are raised. Reading them clears them on most drives. */
export function decodeTapeAlerts(data: Uint8Array): readonly TapeAlert[] {
  const { page, parameters } = decodeLogPage(data);
  if (page !== LOG_PAGE.TAPE_ALERT) {
    throw new Fields(data, "TapeAlert log page").invalid(`the device sent page ${page.toString(16)}h instead`);
  }
  const raised = [...parameters].filter(([flag, value]) => flag >= 1 && flag <= 64 && ((value[0] ?? 0) & 1) !== 0);
  return raised.map(([flag]) => ({ flag, name: TAPE_ALERTS[flag] ?? `flag ${flag}` }));
}
