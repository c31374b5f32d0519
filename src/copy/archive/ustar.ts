// Blocks of a POSIX.1-2017 pax archive (XCU pax, "ustar Interchange Format" and "pax Header Block"): how they
// are written. Everything here is bytes in, bytes out.

/** Bytes of a header block; data is padded to a multiple of it. */
export const BLOCK = 512;

/** Typeflag of the ustar header block. */
export const TypeFlag = {
  FILE: "0",
  HARDLINK: "1",
  SYMLINK: "2",
  DIRECTORY: "5",
  /** Extended header of the member that follows. */
  EXTENDED: "x",
  /** Extended header of all members that follow. */
  GLOBAL: "g",
} as const;

export interface UstarFields {
  /** At most 100 bytes; what is longer is cut, and belongs into an extended header. */
  readonly name: string;
  readonly typeflag: string;
  readonly size?: bigint;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970; what the field cannot hold becomes the nearest that it can. */
  readonly mtime?: bigint;
  readonly linkName?: string;
  readonly uname?: string;
  readonly gname?: string;
}

export const NAME_MAX = 100;
/** uname and gname are NUL-terminated within 32 bytes. */
export const OWNER_MAX = 31;
/** Largest numbers of seven and of eleven octal digits. */
export const ID_MAX = 0o7777777;
export const SIZE_MAX = 0o77777777777n;

/** Bytes that make a multiple of 512 of n. */
export function padding(n: bigint): bigint {
  return -n & 511n;
}

/** One header block. */
export function ustarBlock(fields: UstarFields): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  text(block, 0, NAME_MAX, fields.name);
  octal(block, 100, 8, BigInt(fields.mode ?? 0o644));
  octal(block, 108, 8, BigInt(fields.uid ?? 0));
  octal(block, 116, 8, BigInt(fields.gid ?? 0));
  octal(block, 124, 12, fields.size ?? 0n);
  octal(block, 136, 12, clamp(fields.mtime ?? 0n, SIZE_MAX));
  block.fill(" ", 148, 156);
  block.write(fields.typeflag, 156, 1, "latin1");
  text(block, 157, NAME_MAX, fields.linkName ?? "");
  block.write("ustar\0" + "00", 257, "latin1");
  text(block, 265, OWNER_MAX, fields.uname ?? "");
  text(block, 297, OWNER_MAX, fields.gname ?? "");
  octal(block, 329, 8, 0n);
  octal(block, 337, 8, 0n);
  octal(block, 148, 7, BigInt(checksum(block)));
  return block;
}

/** Sum of the bytes of a header block, with the checksum field taken as blanks. */
export function checksum(block: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
  return sum;
}

/** One record "length keyword=value\n"; the length counts itself, in decimal. */
export function paxRecord(keyword: string, value: string): Uint8Array {
  const rest = Buffer.byteLength(keyword) + Buffer.byteLength(value) + 3;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.from(`${length} ${keyword}=${value}\n`);
}

/** An extended header (typeflag x or g) with its records, padded: nothing when there are none. */
export function paxHeader(typeflag: string, name: string, records: readonly Uint8Array[]): Uint8Array {
  if (records.length === 0) return new Uint8Array(0);
  const body = Buffer.concat(records);
  const pad = Buffer.alloc(Number(padding(BigInt(body.length))));
  return Buffer.concat([ustarBlock({ name, typeflag, size: BigInt(body.length) }), body, pad]);
}

/** True when a field of `max` bytes holds the text and every reader agrees on what it says. */
export function fits(value: string, max: number): boolean {
  return value.length <= max && /^[\x20-\x7e]*$/.test(value);
}

/** What a header block shows of a text that stands in an extended header: ASCII, cut. */
export function fallback(value: string, max: number): string {
  return value.replace(/[^\x20-\x7e]/gu, "_").slice(0, max);
}

function text(block: Buffer, at: number, max: number, value: string): void {
  block.write(value, at, max, "utf8");
}

/** width - 1 octal digits and a NUL; 0 for what does not fit (the truth is in the extended header). */
function octal(block: Buffer, at: number, width: number, value: bigint): void {
  const digits = value.toString(8).padStart(width - 1, "0");
  block.write(digits.length < width ? `${digits}\0` : `${"0".repeat(width - 1)}\0`, at, width, "latin1");
}

function clamp(value: bigint, max: bigint): bigint {
  if (value < 0n) return 0n;
  return value > max ? max : value;
}
