// Tables of fields: one table of a descriptor's fields, as the standard prints it, reads and writes it, so that the two
// cannot disagree.
import { Fields, putUint, wholeIn } from "../bytes.js";

export interface Field<T> {
  read(fields: Fields): T;
  write(bytes: Uint8Array, value: T, name: string): void;
}

export type Layout = Readonly<Record<string, Field<number> | Field<bigint> | Field<boolean> | Field<Uint8Array>>>;

export type ValuesOf<L> = { readonly [K in keyof L]: L[K] extends Field<infer T> ? T : never };

/** An unsigned number of 1 to 4 bytes. */
export const uint = (at: number, width: 1 | 2 | 3 | 4): Field<number> => ({
  read: (fields) => readUint(fields, at, width),
  write: (bytes, value, name) => {
    putUint(bytes, at, width, value, name);
  },
});

export const uint64 = (at: number): Field<bigint> => ({
  read: (fields) => fields.u64(at),
  write: (bytes, value, name) => {
    putUint(bytes, at, 8, value, name);
  },
});

export const flag = (at: number, bit: number): Field<boolean> => ({
  read: (fields) => fields.bit(at, bit),
  write: (bytes, value) => {
    if (value) bytes[at] = (bytes[at] ?? 0) | (1 << bit);
  },
});

/** Bits high…low of one byte. */
export const bits = (at: number, high: number, low: number): Field<number> => ({
  read: (fields) => fields.bits(at, high, low),
  write: (bytes, value, name) => {
    const most = (1 << (high - low + 1)) - 1;
    bytes[at] = (bytes[at] ?? 0) | (Number(wholeIn(value, 0n, BigInt(most), name)) << low);
  },
});

/** Bytes as they are; what is written may be shorter and is followed by zeros. */
export const blob = (at: number, length: number): Field<Uint8Array> => ({
  read: (fields) => fields.bytes(at, length),
  write: (bytes, value, name) => {
    wholeIn(value.length, 0n, BigInt(length), `length of ${name}`);
    bytes.set(value, at);
  },
});

/** @throws GantryError SCSI_DATA_TRUNCATED */
export function readLayout<L extends Layout>(layout: L, fields: Fields): ValuesOf<L> {
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(layout)) values[name] = field.read(fields);
  return values as ValuesOf<L>;
}

/** @throws GantryError SCSI_FIELD_RANGE with the field's name */
export function writeLayout<L extends Layout>(layout: L, bytes: Uint8Array, values: ValuesOf<L>): void {
  for (const [name, field] of Object.entries(layout))
    (field as Field<unknown>).write(bytes, values[name as keyof L], wordsOf(name));
}

function readUint(fields: Fields, at: number, width: 1 | 2 | 3 | 4): number {
  if (width === 1) return fields.u8(at);
  if (width === 2) return fields.u16(at);
  return width === 3 ? fields.u24(at) : fields.u32(at);
}

/** "maxSegmentBytes" → "max segment bytes". */
const wordsOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** What stands behind a length of four bytes (AVAILABLE DATA); what comes behind that is left out. */
export function available(data: Uint8Array, what: string): Fields {
  const whole = new Fields(data, what);
  return whole.part(0, 4 + whole.u32(0), what);
}

/** Sets AVAILABLE DATA: what follows these four bytes. */
export function countAvailable(bytes: Uint8Array): Uint8Array {
  putUint(bytes, 0, 4, bytes.length - 4, "available data");
  return bytes;
}

export const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
