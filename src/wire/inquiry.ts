// INQUIRY data (SPC-4 6.4.2) and the vital product data pages 00h, 80h, 83h and B0h (SPC-4 7.8, SBC-3 6.6,
// SSC-4). All decoders throw GantryError SCSI_DATA_TRUNCATED or SCSI_DATA_INVALID.
import { Fields } from "./bytes.js";
import { toHex } from "./hex.js";

export const VPD = { SUPPORTED: 0x00, SERIAL: 0x80, IDENTIFICATION: 0x83, BLOCK_LIMITS: 0xb0 } as const;

export interface Inquiry {
  /** 0: a device is there; 1: could be, is not; 3: cannot be. */
  readonly qualifier: number;
  /** Peripheral device type: 0 disk, 1 tape, 8 changer; see names.ts. */
  readonly deviceType: number;
  readonly removable: boolean;
  /** 5 SPC-3, 6 SPC-4, 7 SPC-5. */
  readonly version: number;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** Target port group support: bit 0 implicit, bit 1 explicit. */
  readonly targetPortGroups: number;
  /** 3PC: third-party copy commands. */
  readonly thirdPartyCopy: boolean;
  readonly protection: boolean;
  readonly commandQueuing: boolean;
}

/** Standard data; at least 36 bytes have to be there. */
export function decodeInquiry(data: Uint8Array): Inquiry {
  const fields = new Fields(data, "INQUIRY data");
  fields.need(0, 36);
  return {
    qualifier: fields.bits(0, 7, 5),
    deviceType: fields.bits(0, 4, 0),
    removable: fields.bit(1, 7),
    version: fields.u8(2),
    vendor: fields.ascii(8, 8),
    product: fields.ascii(16, 16),
    revision: fields.ascii(32, 4),
    targetPortGroups: fields.bits(5, 5, 4),
    thirdPartyCopy: fields.bit(5, 3),
    protection: fields.bit(5, 0),
    commandQueuing: fields.bit(7, 1),
  };
}

/** Page 00h: codes of the pages that there are. */
export function decodeSupportedPages(data: Uint8Array): readonly number[] {
  return [...payload(data, VPD.SUPPORTED).all()];
}

/** Page 80h; "" when the device has no serial number (it then fills with spaces). */
export function decodeSerialNumber(data: Uint8Array): string {
  const { fields } = payload(data, VPD.SERIAL);
  return fields.ascii(0, fields.length).trim();
}

export type DesignatorType =
  | "vendor"
  | "t10-vendor"
  | "eui-64"
  | "naa"
  | "relative-port"
  | "port-group"
  | "lu-group"
  | "md5"
  | "scsi-name"
  | "protocol-port"
  | "uuid"
  | "reserved";

export interface Designator {
  readonly type: DesignatorType;
  readonly association: "logical-unit" | "port" | "target" | "reserved";
  /** Text where the code set says text, else hexadecimal. */
  readonly value: string;
}

/** SPC-4 7.8.6.1, DESIGNATOR TYPE. */
const DESIGNATOR_TYPES: readonly DesignatorType[] = [
  "vendor",
  "t10-vendor",
  "eui-64",
  "naa",
  "relative-port",
  "port-group",
  "lu-group",
  "md5",
  "scsi-name",
  "protocol-port",
  "uuid",
];
const ASSOCIATIONS = ["logical-unit", "port", "target", "reserved"] as const;

/** Page 83h, in the device's order. */
export function decodeIdentification(data: Uint8Array): readonly Designator[] {
  const { fields } = payload(data, VPD.IDENTIFICATION);
  const found: Designator[] = [];
  for (let at = 0; at < fields.length; ) {
    const length = fields.u8(at + 3);
    const codeSet = fields.bits(at, 3, 0);
    const isText = codeSet === 2 || codeSet === 3;
    found.push({
      type: DESIGNATOR_TYPES[fields.bits(at + 1, 3, 0)] ?? "reserved",
      association: ASSOCIATIONS[fields.bits(at + 1, 5, 4)] ?? "reserved",
      value: isText ? text(fields.bytes(at + 4, length)) : toHex(fields.bytes(at + 4, length)),
    });
    at += 4 + length;
  }
  return found;
}

/** The name that is the same over all paths: NAA, else EUI-64, else SCSI name, UUID, T10 vendor; undefined: none. */
export function logicalUnitName(designators: readonly Designator[]): string | undefined {
  const own = designators.filter(({ association, value }) => association === "logical-unit" && value !== "");
  for (const type of ["naa", "eui-64", "scsi-name", "uuid", "t10-vendor"] as const) {
    const found = own.find((designator) => designator.type === type);
    if (found !== undefined) return type === "naa" || type === "eui-64" ? `${type}.${found.value}` : found.value;
  }
  return undefined;
}

export interface BlockLimits {
  /** All in logical blocks; 0: the device does not say. */
  readonly maxTransferBlocks: number;
  readonly optimalTransferBlocks: number;
  readonly optimalGranularityBlocks: number;
  readonly maxCompareAndWriteBlocks: number;
  /** The rest is 0 on a page of SBC-2, which ends before. */
  readonly maxUnmapBlocks: number;
  readonly maxUnmapDescriptors: number;
  readonly unmapGranularityBlocks: number;
  /** undefined: not valid (UGAVALID). */
  readonly unmapAlignmentBlocks?: number;
  readonly maxWriteSameBlocks: bigint;
  /** WRITE SAME of no blocks is refused. */
  readonly writeSameNonZero: boolean;
}

/** Page B0h of a disk (SBC-3 6.6.4). */
export function decodeBlockLimits(data: Uint8Array): BlockLimits {
  const { fields } = payload(data, VPD.BLOCK_LIMITS);
  const isLong = fields.length >= 0x3c;
  fields.need(0, 12);
  return {
    writeSameNonZero: fields.bit(0, 0),
    maxCompareAndWriteBlocks: fields.u8(1),
    optimalGranularityBlocks: fields.u16(2),
    maxTransferBlocks: fields.u32(4),
    optimalTransferBlocks: fields.u32(8),
    maxUnmapBlocks: isLong ? fields.u32(16) : 0,
    maxUnmapDescriptors: isLong ? fields.u32(20) : 0,
    unmapGranularityBlocks: isLong ? fields.u32(24) : 0,
    ...(isLong && fields.bit(28, 7) && { unmapAlignmentBlocks: fields.u32(28) & 0x7fff_ffff }),
    maxWriteSameBlocks: isLong ? fields.u64(32) : 0n,
  };
}

/** Page B0h of a tape drive (SSC-4, sequential-access device capabilities): whether it takes WORM media. */
export function decodeTapeCapabilities(data: Uint8Array): { readonly worm: boolean } {
  return { worm: payload(data, VPD.BLOCK_LIMITS).fields.bit(0, 0) };
}

/** What follows the four bytes of a page's head; it has to be the page that was asked for, and whole. */
function payload(data: Uint8Array, page: number): { fields: Fields; all: () => Uint8Array } {
  const name = `VPD page ${page.toString(16).padStart(2, "0")}h`;
  const head = new Fields(data, name);
  if (head.u8(1) !== page) throw head.invalid(`the device sent page ${head.u8(1).toString(16)}h instead`);
  const fields = head.part(4, head.u16(2), name);
  return { fields, all: () => fields.bytes(0, fields.length) };
}

const text = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString("utf8")
    .replace(/[\0 ]+$/, "")
    .replace(/\p{Cc}/gu, "?");
