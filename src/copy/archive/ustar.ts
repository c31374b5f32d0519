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

/** What is the same in every header block; in its checksum the checksum's own field counts as blanks. */
const TEMPLATE = makeTemplate();
const TEMPLATE_SUM = checksum(TEMPLATE);

function makeTemplate(): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block.set(Buffer.from("ustar\0" + "00", "latin1"), 257);
  return block;
}

/** One header block. Texts must be ASCII (see fits and fallback). */
export function ustarBlock(fields: UstarFields): Uint8Array {
  const block = TEMPLATE.slice();
  let sum = TEMPLATE_SUM;
  sum += text(block, 0, NAME_MAX, fields.name);
  sum += octal(block, 100, 8, fields.mode ?? 0o644);
  sum += octal(block, 108, 8, fields.uid ?? 0);
  sum += octal(block, 116, 8, fields.gid ?? 0);
  sum += octal(block, 124, 12, Number(fields.size ?? 0n));
  sum += octal(block, 136, 12, Number(clamp(fields.mtime ?? 0n, SIZE_MAX)));
  sum += text(block, 156, 1, fields.typeflag);
  sum += text(block, 157, NAME_MAX, fields.linkName ?? "");
  sum += text(block, 265, OWNER_MAX, fields.uname ?? "");
  sum += text(block, 297, OWNER_MAX, fields.gname ?? "");
  sum += octal(block, 329, 8, 0);
  sum += octal(block, 337, 8, 0);
  octal(block, 148, 7, sum);
  block[155] = 0x20;
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

/** Writes ASCII text, cut at `max`; returns the sum of its bytes. */
function text(block: Uint8Array, at: number, max: number, value: string): number {
  let sum = 0;
  const length = Math.min(value.length, max);
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i) & 0x7f;
    block[at + i] = code;
    sum += code;
  }
  return sum;
}

/** width - 1 octal digits and a NUL; 0 for what does not fit (the truth is in the extended header). Returns the sum
 * of its bytes. Numbers have at most 33 bits, the field of 12. */
function octal(block: Uint8Array, at: number, width: number, value: number): number {
  let rest = value < 8 ** (width - 1) ? value : 0;
  let sum = 0;
  for (let i = width - 2; i >= 0; i--) {
    const digit = 0x30 + (rest % 8);
    block[at + i] = digit;
    sum += digit;
    rest = Math.floor(rest / 8);
  }
  return sum;
}

function clamp(value: bigint, max: bigint): bigint {
  if (value < 0n) return 0n;
  return value > max ? max : value;
}
