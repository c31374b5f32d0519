// Designation descriptors as bytes (SPC-4 7.8.6.1): by these a copy finds its devices, so they are compared byte for byte
// and never as text. inquiry.ts has the same in words.
import { Fields, putUint } from "../bytes.js";
import { fromHex, toHex } from "../hex.js";
import { bits, joined, readLayout, writeLayout } from "./layout.js";

export interface BinaryDesignator {
  /** 1 binary, 2 ASCII, 3 UTF-8. */
  readonly codeSet: number;
  /** 0 logical unit, 1 target port, 2 target device. */
  readonly association: number;
  /** 1 T10 vendor, 2 EUI-64, 3 NAA, 8 SCSI name string. */
  readonly type: number;
  readonly value: Uint8Array;
}

export const DESIGNATOR = { T10_VENDOR: 1, EUI_64: 2, NAA: 3, SCSI_NAME: 8 } as const;
const HEAD = 4;
/** A CSCD descriptor has room for so many (SPC-4 6.4.5.6). */
export const CSCD_DESIGNATOR_MAX = 20;

const LAYOUT = { codeSet: bits(0, 3, 0), association: bits(1, 5, 4), type: bits(1, 3, 0) };

/** The four bytes in front of a designator and the designator. @throws GantryError SCSI_FIELD_RANGE */
export function encodeDesignator(designator: BinaryDesignator): Uint8Array {
  const bytes = joined(new Uint8Array(HEAD), designator.value);
  writeLayout(LAYOUT, bytes, designator);
  putUint(bytes, 3, 1, designator.value.length, "designator length");
  return bytes;
}

/** The designator at a place. @throws GantryError SCSI_DATA_TRUNCATED */
export function decodeDesignator(fields: Fields, at: number): BinaryDesignator {
  const one = fields.part(at, HEAD + fields.u8(at + 3), "designator");
  return { ...readLayout(LAYOUT, one), value: one.bytes(HEAD, one.length - HEAD) };
}

/** VPD page 83h, in the device's order. @throws GantryError SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID */
export function decodeDesignators(page: Uint8Array): readonly BinaryDesignator[] {
  const head = new Fields(page, "VPD page 83h");
  if (head.u8(1) !== 0x83) throw head.invalid(`the device sent page ${head.u8(1).toString(16)}h instead`);
  const fields = head.part(HEAD, head.u16(2), "VPD page 83h");
  const found: BinaryDesignator[] = [];
  for (let at = 0; at < fields.length; at += HEAD + fields.u8(at + 3)) found.push(decodeDesignator(fields, at));
  return found;
}

export const sameDesignator = (a: BinaryDesignator, b: BinaryDesignator): boolean =>
  a.codeSet === b.codeSet &&
  a.association === b.association &&
  a.type === b.type &&
  Buffer.compare(a.value, b.value) === 0;

/** "naa.…", "eui.…" in hexadecimal, "t10.VENDOR  text", or a SCSI name such as "iqn.…"; of a logical unit. */
export function designatorText({ type, value }: BinaryDesignator): string {
  if (type === DESIGNATOR.NAA) return `naa.${toHex(value)}`;
  if (type === DESIGNATOR.EUI_64) return `eui.${toHex(value)}`;
  const text = Buffer.from(value).toString("latin1").replace(/\0+$/, "");
  if (!/^[ -~]+$/.test(text)) return `designator ${toHex(value)}`;
  return type === DESIGNATOR.T10_VENDOR ? `t10.${text}` : text;
}

/** The other way round; undefined: these are no such words, or no hexadecimal behind "naa." and "eui.". */
export function designatorOf(words: string): BinaryDesignator | undefined {
  const named = /^(naa|eui|t10)\.(.+)$/.exec(words);
  const [, prefix, rest] = named ?? [];
  if (rest === undefined) return /^iqn\.[!-~]+$/.test(words) ? textual(DESIGNATOR.SCSI_NAME, 3, words) : undefined;
  if (prefix === "t10") return /^[ -~]+$/.test(rest) ? textual(DESIGNATOR.T10_VENDOR, 2, rest) : undefined;
  if (!/^([0-9a-fA-F]{2})+$/.test(rest)) return undefined;
  const type = prefix === "naa" ? DESIGNATOR.NAA : DESIGNATOR.EUI_64;
  return { codeSet: 1, association: 0, type, value: fromHex(rest) };
}

const textual = (type: number, codeSet: number, text: string): BinaryDesignator => ({
  codeSet,
  association: 0,
  type,
  value: Uint8Array.from(Buffer.from(text, "latin1")),
});
