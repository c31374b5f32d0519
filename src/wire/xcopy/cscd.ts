// Copy source and copy destination (CSCD) descriptors, SPC-4 6.4.5: which device a segment reads or writes. Two forms are
// known: by a designator (E4h) and by a ROD (FEh). Addresses of ports (E0h to EBh but E4h) lead around the gate, so they
// are refused as the standard refuses what a copy manager does not support.
import { Fields } from "../bytes.js";
import { type BinaryDesignator, CSCD_DESIGNATOR_MAX, decodeDesignator, encodeDesignator } from "./designator.js";
import { bits, blob, flag, readLayout, uint, type ValuesOf, writeLayout } from "./layout.js";
import { ASC, refused } from "./refusal.js";

export const CSCD_BYTES = 32;
export const CSCD_TYPE = { IDENTIFICATION: 0xe4, ROD: 0xfe, EXTENSION: 0xff } as const;
/** SPC-4 table 134: what has device type specific parameters. */
const BLOCK_TYPES: ReadonlySet<number> = new Set([0x00, 0x04, 0x05, 0x07, 0x0e]);
const TAPE = 0x01;
const PROCESSOR = 0x03;

/** NUL is obsolete in SPC-4 and is what a null device of SPC-3 has: nothing may be sent to it. */
const HEAD = { nul: flag(1, 5), deviceType: bits(1, 4, 0), initiatorPort: uint(2, 2) };
/** SPC-4 6.4.5.3 to 6.4.5.5: for blocks DISK BLOCK LENGTH, for streams FIXED and STREAM BLOCK LENGTH. */
const DEVICE = { pad: flag(28, 2), fixed: flag(28, 0), blockBytes: uint(29, 3) };
const ROD = {
  producer: uint(4, 2),
  rodType: uint(8, 4),
  lifetimeSeconds: uint(12, 4),
  inactivitySeconds: uint(16, 4),
  returnToken: flag(22, 0),
  deleteToken: flag(23, 0),
  tokenOffset: uint(24, 4),
};

export interface IdentificationCscd extends ValuesOf<typeof HEAD>, ValuesOf<typeof DEVICE> {
  readonly form: "identification";
  readonly designator: BinaryDesignator;
}

export interface RodCscd extends ValuesOf<typeof HEAD>, ValuesOf<typeof DEVICE>, ValuesOf<typeof ROD> {
  readonly form: "rod";
}

export type Cscd = IdentificationCscd | RodCscd;

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeCscd(cscd: Cscd): Uint8Array {
  const bytes = new Uint8Array(CSCD_BYTES);
  bytes[0] = cscd.form === "rod" ? CSCD_TYPE.ROD : CSCD_TYPE.IDENTIFICATION;
  writeLayout(HEAD, bytes, cscd);
  writeLayout(DEVICE, bytes, cscd);
  if (cscd.form === "rod") writeLayout(ROD, bytes, cscd);
  else blob(4, 4 + CSCD_DESIGNATOR_MAX).write(bytes, encodeDesignator(cscd.designator), "designator");
  return bytes;
}

/**
 * The descriptor in these 32 bytes.
 * @param supported descriptor type codes that the copy manager takes
 * @param place of these bytes in the parameter list, for the field pointer
 * @throws CopyRefusal
 */
export function decodeCscd(bytes: Uint8Array, supported: ReadonlySet<number>, place: number): Cscd {
  const fields = new Fields(bytes, "CSCD descriptor");
  const type = fields.u8(0);
  // An extension (FFh) belongs to a descriptor of 64 bytes, and none of those is taken.
  if (!supported.has(type) || (type !== CSCD_TYPE.IDENTIFICATION && type !== CSCD_TYPE.ROD))
    throw refused(ASC.CSCD_TYPE, `CSCD descriptors of type ${hex(type)} are not supported`, place);
  const head = readLayout(HEAD, fields);
  const device = readLayout(DEVICE, fields);
  if (type === CSCD_TYPE.ROD) {
    const rod = { form: "rod" as const, ...head, ...device, ...readLayout(ROD, fields) };
    checkRod(rod, place);
    return rod;
  }
  checkDevice({ ...head, ...device }, place);
  const length = fields.u8(7);
  if (length === 0 || length > CSCD_DESIGNATOR_MAX)
    throw refused(ASC.LIST_FIELD, `a designator has 1 to ${CSCD_DESIGNATOR_MAX} bytes, not ${length}`, place + 7);
  return { form: "identification", ...head, ...device, designator: decodeDesignator(fields, 4) };
}

function checkDevice(cscd: ValuesOf<typeof HEAD> & ValuesOf<typeof DEVICE>, place: number): void {
  const { deviceType, fixed, blockBytes } = cscd;
  if (deviceType !== TAPE) {
    if (BLOCK_TYPES.has(deviceType) || deviceType === PROCESSOR) return;
    throw refused(ASC.LIST_FIELD, `device type ${hex(deviceType)} is reserved in a copy`, place + 1, 4);
  }
  // SPC-4 table 138: a block length belongs to fixed blocks, and to nothing else.
  if (fixed !== blockBytes > 0)
    throw refused(ASC.LIST_FIELD, "FIXED and STREAM BLOCK LENGTH contradict each other", place + 28, fixed ? 0 : 7);
}

/** SPC-4 6.4.5.9 and table 145. What depends on the token is the copy manager's to check. */
function checkRod(rod: RodCscd, place: number): void {
  const wrong = (problem: string, at: number, bit?: number) => refused(ASC.LIST_FIELD, problem, place + at, bit);
  if (!rod.returnToken && rod.lifetimeSeconds > 0) throw wrong("a lifetime is given, but R_TOKEN is 0", 12);
  if (!rod.returnToken && rod.inactivitySeconds > 0) throw wrong("a timeout is given, but R_TOKEN is 0", 16);
  if (rod.rodType === 0) return;
  if (rod.deleteToken) throw wrong("DEL_TKN is 1 where no token is given", 23, 0);
  if (rod.tokenOffset > 0) throw wrong("a token is given, but ROD TYPE is not 0", 24);
  checkDevice(rod, place);
}

const hex = (value: number): string => `${value.toString(16).padStart(2, "0").toUpperCase()}h`;
