// INQUIRY data and vital product data pages in words (SPC-4 6.4 and 7.8, SBC-3 6.5, SSC-4 8.5).
import type { Row } from "../sys/text.js";
import { Fields } from "../wire/bytes.js";
import { hexForPeople } from "../wire/hex.js";
import {
  decodeBlockLimits,
  decodeIdentification,
  decodeInquiry,
  decodeSerialNumber,
  decodeSupportedPages,
  decodeTapeCapabilities,
} from "../wire/inquiry.js";
import { deviceTypeName, TAPE_ALERTS } from "../wire/names.js";

const QUALIFIERS: Readonly<Record<number, string>> = {
  0: "a device is there",
  1: "a device could be there, and is not",
  3: "there cannot be a device",
};
/** SPC-4 6.4.2, VERSION. */
const VERSIONS: Readonly<Record<number, string>> = {
  0: "no standard",
  2: "SCSI-2",
  3: "SPC",
  4: "SPC-2",
  5: "SPC-3",
  6: "SPC-4",
  7: "SPC-5",
};
const PORT_GROUPS = ["none", "implicit", "explicit", "implicit and explicit"];

export function inquiryWords(data: Uint8Array): Row {
  const { qualifier, deviceType, version, targetPortGroups, ...rest } = decodeInquiry(data);
  return {
    type: deviceTypeName(deviceType),
    qualifier: QUALIFIERS[qualifier] ?? `${qualifier}`,
    standard: VERSIONS[version] ?? `version ${hex(version)}`,
    ...rest,
    targetPortGroups: PORT_GROUPS[targetPortGroups] ?? "",
  };
}

type Decode = (data: Uint8Array, type: number) => unknown;
const TAPE = 1;

/** Name on disks and others, and what is in it; a page without a decoder is shown as it is. */
const PAGES: ReadonlyMap<number, readonly [string, Decode?]> = new Map<number, readonly [string, Decode?]>([
  [0x00, ["supported VPD pages", (data) => ({ pages: decodeSupportedPages(data).map(hex) })]],
  [0x80, ["unit serial number", (data) => ({ serial: decodeSerialNumber(data) })]],
  [0x83, ["device identification", (data) => decodeIdentification(data)]],
  [0x85, ["management network addresses"]],
  [0x86, ["extended INQUIRY data", (data) => extended(new Fields(data, "VPD page 86h"))]],
  [0x87, ["mode page policy"]],
  [0x88, ["SCSI ports"]],
  [0x8f, ["third-party copy"]],
  [0xb0, ["block limits", (data, type) => (type === TAPE ? decodeTapeCapabilities(data) : decodeBlockLimits(data))]],
  [0xb1, ["block device characteristics", (data, type) => characteristics(data, type)]],
  [0xb2, ["logical block provisioning", (data, type) => provisioning(data, type)]],
  [0xb3, ["referrals"]],
  [0xb4, ["automation device element address"]],
]);

/** SSC-4 8.5: the same numbers on tape drives. */
const TAPE_PAGES: Readonly<Record<number, string>> = {
  176: "sequential-access device capabilities",
  177: "manufacturer-assigned serial number",
  178: "TapeAlert supported flags",
  179: "automation device serial number",
};

export function vpdName(page: number, deviceType: number): string {
  const name = (deviceType === TAPE ? TAPE_PAGES[page] : undefined) ?? PAGES.get(page)?.[0];
  return `${hex(page)} ${name ?? (page >= 0xc0 ? "vendor specific" : "VPD page")}`;
}

/** Those that are worth a look by themselves, in this order. */
export const VPD_SHOWN: readonly number[] = [0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2];

/** Never throws: what cannot be decoded is shown in hexadecimal, with why. */
export function vpdWords(page: number, data: Uint8Array, deviceType: number): unknown {
  const decode = PAGES.get(page)?.[1];
  if (decode === undefined) return { bytes: hexForPeople(data, 256) };
  try {
    return decode(data, deviceType);
  } catch (error) {
    return { bytes: hexForPeople(data, 256), problem: error instanceof Error ? error.message : String(error) };
  }
}

/** SPC-4 7.8.7. */
function extended(fields: Fields): Row {
  return {
    headOfQueue: fields.bit(5, 0),
    ordered: fields.bit(5, 1),
    simple: fields.bit(5, 2),
    volatileCache: fields.bit(6, 0),
    luIndependentClears: fields.bit(7, 3),
    writeUncorrectable: fields.bit(6, 3) || fields.bit(6, 2),
    extendedSelfTestMinutes: fields.u16(10),
    maxSenseBytes: fields.u8(13),
  };
}

const FORM_FACTORS = ["not said", "5.25 inch", "3.5 inch", "2.5 inch", "1.8 inch", "less than 1.8 inch"];

/** SBC-3 6.5.3; SSC-4 8.5.3. */
function characteristics(data: Uint8Array, type: number): Row {
  const fields = new Fields(data, "VPD page B1h");
  if (type === TAPE) return { serial: fields.ascii(4, fields.u16(2)).trim() };
  const rate = fields.u16(4);
  return {
    rotation: rate === 0 ? "not said" : rate === 1 ? "does not rotate" : `${rate} per minute`,
    formFactor: FORM_FACTORS[fields.bits(7, 3, 0)] ?? "",
  };
}

/** SBC-3 6.5.4; SSC-4 8.5.4. */
function provisioning(data: Uint8Array, type: number): Row {
  const fields = new Fields(data, "VPD page B2h");
  if (type === TAPE) return { flags: flagsOf(fields.bytes(4, 8)).map((flag) => `${flag} ${TAPE_ALERTS[flag] ?? ""}`) };
  return {
    unmap: fields.bit(5, 7),
    writeSame16Unmaps: fields.bit(5, 6),
    readsZeros: fields.bits(5, 4, 2) !== 0,
    type: ["not said", "resource provisioned", "thin"][fields.bits(6, 2, 0)] ?? "",
  };
}

/** TapeAlert flags in a field of 64 bits: flag 1 is bit 7 of the first byte (SSC-4 8.2.2). */
export function flagsOf(bytes: Uint8Array): readonly number[] {
  return [...bytes].flatMap((byte, index) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (0x80 >> bit)) !== 0).map((bit) => index * 8 + bit + 1),
  );
}

const hex = (value: number): string => `${value.toString(16).toUpperCase().padStart(2, "0")}h`;
