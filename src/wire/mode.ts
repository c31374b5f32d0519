// Mode parameters (SPC-4 7.5): header, block descriptors and pages of MODE SENSE (6), and the parameter list
// of MODE SELECT (6); and what some pages say. Decoders throw GantryError SCSI_DATA_TRUNCATED or
// SCSI_DATA_INVALID, encoders SCSI_FIELD_RANGE.
import { Fields, putUint } from "./bytes.js";

export const MODE_PAGE = {
  CACHING: 0x08,
  DATA_COMPRESSION: 0x0f,
  DEVICE_CONFIGURATION: 0x10,
  /** Media changers (SMC-3); the same number is Medium Configuration on tape drives (SSC-4). */
  ELEMENT_ADDRESS_ASSIGNMENT: 0x1d,
  MEDIUM_CONFIGURATION: 0x1d,
  ALL: 0x3f,
} as const;

export interface ModeBlockDescriptor {
  /** Tape: density code; 00h default, 7Fh no change. */
  readonly density: number;
  /** Number of blocks; 0: all that remain. 24 bits. */
  readonly blocks: number;
  /** Tape: 0 is variable block length. 24 bits. */
  readonly blockBytes: number;
}

export interface ModeData {
  readonly mediumType: number;
  /** Meaning depends on the device type; see tapeParameter. */
  readonly deviceSpecific: number;
  readonly blockDescriptors: readonly ModeBlockDescriptor[];
  /** Whole pages with their heads, by page << 8 | subpage. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

/** MODE SENSE (6) data. What follows MODE DATA LENGTH is not looked at. */
export function decodeModeSense6(data: Uint8Array): ModeData {
  const all = new Fields(data, "MODE SENSE (6) data");
  // MODE DATA LENGTH does not count itself; a short allocation leaves less than it says.
  const fields = all.part(0, Math.min(all.u8(0) + 1, all.length), all.what);
  fields.need(0, 4);
  const descriptorBytes = fields.u8(3);
  if (descriptorBytes % 8 !== 0) throw fields.invalid(`block descriptors of ${descriptorBytes} bytes`);
  fields.need(4, descriptorBytes);
  const blockDescriptors: ModeBlockDescriptor[] = [];
  for (let at = 4; at < 4 + descriptorBytes; at += 8) {
    blockDescriptors.push({ density: fields.u8(at), blocks: fields.u24(at + 1), blockBytes: fields.u24(at + 5) });
  }
  return {
    mediumType: fields.u8(1),
    deviceSpecific: fields.u8(2),
    blockDescriptors,
    pages: decodePages(fields, 4 + descriptorBytes),
  };
}

/** SPC-4 7.5.6: page_0 format, or sub_page format where SPF is set. */
function decodePages(fields: Fields, start: number): ReadonlyMap<number, Uint8Array> {
  const pages = new Map<number, Uint8Array>();
  for (let at = start; at < fields.length; ) {
    const hasSubpage = fields.bit(at, 6);
    const length = hasSubpage ? 4 + fields.u16(at + 2) : 2 + fields.u8(at + 1);
    const name = (fields.bits(at, 5, 0) << 8) | (hasSubpage ? fields.u8(at + 1) : 0);
    pages.set(name, fields.bytes(at, length));
    at += length;
  }
  return pages;
}

export interface ModeSelection {
  readonly mediumType?: number;
  readonly deviceSpecific?: number;
  readonly blockDescriptor?: ModeBlockDescriptor;
  /** Whole pages as MODE SENSE gave them; PS is cleared, as MODE SELECT wants it. */
  readonly pages?: readonly Uint8Array[];
}

/** Parameter list of MODE SELECT (6); MODE DATA LENGTH is reserved there and stays 0. */
export function encodeModeSelect6(selection: ModeSelection): Uint8Array {
  const descriptor = selection.blockDescriptor;
  const head = new Uint8Array(descriptor === undefined ? 4 : 12);
  putUint(head, 1, 1, selection.mediumType ?? 0, "medium type");
  putUint(head, 2, 1, selection.deviceSpecific ?? 0, "device-specific parameter");
  if (descriptor !== undefined) {
    head[3] = 8;
    putUint(head, 4, 1, descriptor.density, "density code");
    putUint(head, 5, 3, descriptor.blocks, "number of blocks");
    putUint(head, 9, 3, descriptor.blockBytes, "block length");
  }
  const pages = (selection.pages ?? []).map((page) => {
    const copy = Uint8Array.from(page);
    copy[0] = (copy[0] ?? 0) & 0x7f;
    return copy;
  });
  return Uint8Array.from(Buffer.concat([head, ...pages]));
}

export interface TapeParameter {
  readonly writeProtected: boolean;
  /** 0: GOOD only when on the medium; 1: when in the buffer; 2: when what all initiators sent is. */
  readonly bufferedMode: number;
  readonly speed: number;
}

/** The device-specific parameter of a tape drive (SSC-4, mode parameter header). */
export function tapeParameter(byte: number): TapeParameter {
  return { writeProtected: (byte & 0x80) !== 0, bufferedMode: (byte >> 4) & 7, speed: byte & 15 };
}

/** As MODE SELECT wants it: WP is reserved there. */
export const encodeTapeParameter = (bufferedMode: number, speed = 0): number =>
  ((bufferedMode & 7) << 4) | (speed & 15);

/** The device-specific parameter of a disk (SBC-3 6.5.1): write protected. */
export const diskWriteProtected = (byte: number): boolean => (byte & 0x80) !== 0;

export interface Compression {
  readonly enabled: boolean;
  readonly capable: boolean;
  readonly decompression: boolean;
  readonly algorithm: number;
}

/** Page 0Fh (SSC-4, Data Compression). */
export function decodeCompression(page: Uint8Array): Compression {
  const fields = new Fields(page, "Data Compression mode page");
  return {
    enabled: fields.bit(2, 7),
    capable: fields.bit(2, 6),
    decompression: fields.bit(3, 7),
    algorithm: fields.u32(4),
  };
}

/** Page 1Dh of a tape drive (SSC-4, Medium Configuration): the cartridge can be written once only. */
export const decodeWormMedium = (page: Uint8Array): boolean =>
  new Fields(page, "Medium Configuration mode page").bit(2, 0);

/** Page 08h (SBC-3 6.5.5): whether the disk's write cache is on. */
export const decodeWriteCache = (page: Uint8Array): boolean => new Fields(page, "Caching mode page").bit(2, 2);

export interface ElementRange {
  readonly first: number;
  readonly count: number;
}

export interface ElementAddresses {
  readonly transport: ElementRange;
  readonly storage: ElementRange;
  readonly importExport: ElementRange;
  readonly drive: ElementRange;
}

/** Page 1Dh of a media changer (SMC-3, Element Address Assignment). */
export function decodeElementAddresses(page: Uint8Array): ElementAddresses {
  const fields = new Fields(page, "Element Address Assignment mode page");
  const range = (at: number): ElementRange => ({ first: fields.u16(at), count: fields.u16(at + 2) });
  return { transport: range(2), storage: range(6), importExport: range(10), drive: range(14) };
}
