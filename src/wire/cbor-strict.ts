// CBOR (RFC 8949) as signed things use it: an encoder that always makes the same bytes (RFC 8949 4.2.1,
// core deterministic encoding) and a decoder that takes little: definite lengths, shortest forms, no
// duplicate map keys, no floating point, bounded size and depth. Map order is free when decoding, because
// signatures cover the bytes and most other encoders do not sort.
import { GantryError } from "../sys/errors.js";

/** Integers are numbers where they are safe and bigints where they are not. */
export type CborValue =
  | number
  | bigint
  | string
  | Uint8Array
  | boolean
  | null
  | readonly CborValue[]
  | CborMap
  | CborTag;
export type CborKey = number | bigint | string;
export type CborMap = ReadonlyMap<CborKey, CborValue>;

export class CborTag {
  readonly tag: number;
  readonly value: CborValue;
  constructor(tag: number, value: CborValue) {
    this.tag = tag;
    this.value = value;
  }
}

/** Largest item that is decoded unless the caller says otherwise, bytes. */
export const CBOR_STRICT_MAX = 16 * 1024;
/** Deepest nesting; the outermost item is at depth 1. */
export const CBOR_STRICT_DEPTH = 16;

const UINT64_MAX = 2n ** 64n - 1n;

// ---- encoder

/** @throws GantryError CBOR_INVALID for what has no encoding here: fractions, integers beyond 64 bits. */
export function encodeCbor(value: CborValue): Uint8Array {
  return Uint8Array.from(Buffer.concat(encodeParts(value)));
}

function encodeParts(value: CborValue): Uint8Array[] {
  if (value === null) return [Uint8Array.of(0xf6)];
  if (typeof value === "boolean") return [Uint8Array.of(value ? 0xf5 : 0xf4)];
  if (typeof value === "number" || typeof value === "bigint") return [encodeInteger(value)];
  if (typeof value === "string") return encodeText(value);
  if (value instanceof Uint8Array) return [encodeHead(2, BigInt(value.length)), value];
  if (value instanceof CborTag) return [encodeHead(6, BigInt(value.tag)), ...encodeParts(value.value)];
  if (value instanceof Map) return encodeMap(value as CborMap);
  const items = value as readonly CborValue[];
  return [encodeHead(4, BigInt(items.length)), ...items.flatMap(encodeParts)];
}

function encodeText(text: string): Uint8Array[] {
  if (/\p{Surrogate}/u.test(text)) throw invalid("text with a lone surrogate has no UTF-8 form");
  const bytes = new TextEncoder().encode(text);
  return [encodeHead(3, BigInt(bytes.length)), bytes];
}

function encodeInteger(value: number | bigint): Uint8Array {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw invalid(`${value} is not a whole number`);
  const whole = BigInt(value);
  return whole >= 0n ? encodeHead(0, whole) : encodeHead(1, -1n - whole);
}

/** Major type and argument in the shortest form (RFC 8949 3). */
function encodeHead(major: number, argument: bigint): Uint8Array {
  if (argument < 0n || argument > UINT64_MAX) throw invalid(`${argument} does not fit into 64 bits`);
  const top = major << 5;
  if (argument < 24n) return Uint8Array.of(top | Number(argument));
  const width = argument <= 0xffn ? 0 : argument <= 0xffffn ? 1 : argument <= 0xffff_ffffn ? 2 : 3;
  const bytes = new Uint8Array(1 + (1 << width));
  bytes[0] = top | (24 + width);
  for (let index = bytes.length - 1, rest = argument; index > 0; index--, rest >>= 8n)
    bytes[index] = Number(rest & 0xffn);
  return bytes;
}

/** Keys go in the bytewise lexicographic order of their encodings (RFC 8949 4.2.1). */
function encodeMap(map: CborMap): Uint8Array[] {
  const entries = [...map].map(([key, value]) => ({ key: Buffer.concat(encodeParts(key)), value }));
  entries.sort((a, b) => Buffer.compare(a.key, b.key));
  entries.forEach((entry, index) => {
    const before = entries[index - 1];
    if (before !== undefined && Buffer.compare(before.key, entry.key) === 0) throw invalid("a map key stands twice");
  });
  return [encodeHead(5, BigInt(entries.length)), ...entries.flatMap(({ key, value }) => [key, ...encodeParts(value)])];
}

// ---- decoder

interface Input {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * One item that fills the bytes exactly. Byte strings are copies. `most` is the largest size taken, bytes.
 * @throws GantryError CBOR_INVALID with what is wrong and at which byte; nothing else.
 */
export function decodeCbor(bytes: Uint8Array, most: number = CBOR_STRICT_MAX): CborValue {
  if (bytes.length > most) throw invalid(`${bytes.length} bytes are more than ${most}`);
  const input: Input = { bytes, at: 0 };
  const value = decodeItem(input, 1);
  if (input.at !== bytes.length) throw invalid(`${bytes.length - input.at} bytes follow the item`, input.at);
  return value;
}

function decodeItem(input: Input, depth: number): CborValue {
  const start = input.at;
  if (depth > CBOR_STRICT_DEPTH) throw invalid(`nesting is deeper than ${CBOR_STRICT_DEPTH}`, start);
  const first = take(input, 1)[0] ?? 0;
  const major = first >> 5;
  const info = first & 31;
  if (major === 7) return decodeSimple(info, start);
  const argument = decodeArgument(input, info, start);
  switch (major) {
    case 0:
      return narrow(argument);
    case 1:
      return narrow(-1n - argument);
    case 2:
      return Uint8Array.from(take(input, length(input, argument, 1, start)));
    case 3:
      return decodeText(take(input, length(input, argument, 1, start)), start);
    case 4:
      return decodeArray(input, length(input, argument, 1, start), depth);
    case 5:
      return decodeMap(input, length(input, argument, 2, start), depth);
    default:
      return decodeTag(input, argument, depth, start);
  }
}

function decodeSimple(info: number, start: number): CborValue {
  if (info === 20) return false;
  if (info === 21) return true;
  if (info === 22) return null;
  if (info === 25 || info === 26 || info === 27) throw invalid("floating point is not taken", start);
  throw invalid("only false, true and null are taken as simple values", start);
}

function decodeArgument(input: Input, info: number, start: number): bigint {
  if (info < 24) return BigInt(info);
  if (info > 27)
    throw invalid(info === 31 ? "indefinite length is not taken" : "reserved additional information", start);
  const width = info - 24;
  let argument = 0n;
  for (const byte of take(input, 1 << width)) argument = (argument << 8n) | BigInt(byte);
  const least = width === 0 ? 24n : 1n << BigInt(4 << width);
  if (argument < least) throw invalid("a number is not in its shortest form", start);
  return argument;
}

/** An announced length is checked against what is left before anything is made of that size. */
function length(input: Input, argument: bigint, bytesEach: number, start: number): number {
  const left = input.bytes.length - input.at;
  if (argument > BigInt(Math.floor(left / bytesEach)))
    throw invalid(`${argument} items are announced, ${left} bytes are left`, start);
  return Number(argument);
}

function decodeText(bytes: Uint8Array, start: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalid("text is not UTF-8", start);
  }
}

function decodeArray(input: Input, count: number, depth: number): CborValue[] {
  const items: CborValue[] = [];
  for (let index = 0; index < count; index++) items.push(decodeItem(input, depth + 1));
  return items;
}

function decodeMap(input: Input, count: number, depth: number): CborMap {
  const map = new Map<CborKey, CborValue>();
  for (let index = 0; index < count; index++) {
    const start = input.at;
    const key = decodeItem(input, depth + 1);
    if (typeof key !== "number" && typeof key !== "bigint" && typeof key !== "string") {
      throw invalid("a map key is neither an integer nor text", start);
    }
    if (map.has(key)) throw invalid("a map key stands twice", start);
    map.set(key, decodeItem(input, depth + 1));
  }
  return map;
}

function decodeTag(input: Input, argument: bigint, depth: number, start: number): CborTag {
  if (argument > 0xffff_ffffn) throw invalid(`tag ${argument} is not known`, start);
  return new CborTag(Number(argument), decodeItem(input, depth + 1));
}

function take(input: Input, count: number): Uint8Array {
  if (count > input.bytes.length - input.at) throw invalid("it ends inside an item", input.bytes.length);
  input.at += count;
  return input.bytes.subarray(input.at - count, input.at);
}

const narrow = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

function invalid(what: string, at?: number): GantryError {
  return new GantryError(
    "CBOR_INVALID",
    `This is not strict CBOR: ${what}${at === undefined ? "" : `, at byte ${at}`}.`,
    {
      details: at === undefined ? {} : { offset: at },
    },
  );
}
