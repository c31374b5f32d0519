// Core deterministic encoding (RFC 8949 4.2.1): shortest integers, lengths and floats, map keys in bytewise
// order of their encoding, definite lengths. The one encoder of control messages: equal values give equal
// bytes, so that digests and signatures can be taken of them.
import { GantryError } from "../sys/errors.js";

/** RFC 8746 2.1: little-endian typed arrays that we send. */
export const TAG_UINT32_LE = 70;
export const TAG_UINT64_LE = 71;

const UINT64_MAX = (1n << 64n) - 1n;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Deepest nesting that is encoded; far above any message, so that a cycle is found before the stack ends. */
const ENCODE_DEPTH = 64;

const utf8 = new TextEncoder();

/**
 * Encodes null, booleans, numbers, bigints from -2^64 to 2^64-1, text, Uint8Array (byte string), Uint32Array and
 * BigUint64Array (typed arrays), arrays and plain objects. A property that is undefined is left out. Integers go
 * out as integers whether they are numbers or bigints. Anything else (Date, Map, function, lone surrogates,
 * undefined in an array) throws MESSAGE_UNENCODABLE.
 */
export function encodeDeterministic(value: unknown): Uint8Array {
  const writer = new Writer();
  writeValue(writer, value, 0);
  return writer.take();
}

class Writer {
  #buffer = Buffer.allocUnsafe(512);
  #at = 0;

  /** Makes room for n bytes and returns where they go. May replace the buffer: call it before naming #buffer. */
  #room(n: number): number {
    const at = this.#at;
    if (n > this.#buffer.length - at) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + n));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#at = at + n;
    return at;
  }

  head(major: number, argument: number | bigint): void {
    const type = major << 5;
    if (typeof argument === "bigint" || argument > 0xffffffff) {
      const at = this.#room(9);
      this.#buffer[at] = type | 27;
      this.#buffer.writeBigUInt64BE(BigInt(argument), at + 1);
    } else if (argument < 24) {
      const at = this.#room(1);
      this.#buffer[at] = type | argument;
    } else if (argument < 0x100) {
      const at = this.#room(2);
      this.#buffer[at] = type | 24;
      this.#buffer[at + 1] = argument;
    } else if (argument < 0x10000) {
      const at = this.#room(3);
      this.#buffer[at] = type | 25;
      this.#buffer.writeUInt16BE(argument, at + 1);
    } else {
      const at = this.#room(5);
      this.#buffer[at] = type | 26;
      this.#buffer.writeUInt32BE(argument, at + 1);
    }
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#room(bytes.length); // may replace the buffer
    this.#buffer.set(bytes, at);
  }

  text(text: string): void {
    const bytes = utf8.encode(text);
    this.head(3, bytes.length);
    this.bytes(bytes);
  }

  /** Shortest of half, single and double precision that keeps the value. */
  float(value: number): void {
    const half = halfBits(value);
    if (half !== undefined) {
      const at = this.#room(3);
      this.#buffer[at] = 0xf9;
      this.#buffer.writeUInt16BE(half, at + 1);
    } else if (Object.is(Math.fround(value), value)) {
      const at = this.#room(5);
      this.#buffer[at] = 0xfa;
      this.#buffer.writeFloatBE(value, at + 1);
    } else {
      const at = this.#room(9);
      this.#buffer[at] = 0xfb;
      this.#buffer.writeDoubleBE(value, at + 1);
    }
  }

  simple(byte: number): void {
    const at = this.#room(1);
    this.#buffer[at] = byte;
  }

  /** What was written, in memory of its own. */
  take(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }
}

function writeValue(writer: Writer, value: unknown, depth: number): void {
  if (depth > ENCODE_DEPTH) throw unencodable("a value nested too deeply, or one that contains itself");
  if (typeof value === "number") writeNumber(writer, value);
  else if (typeof value === "bigint") writeBigInt(writer, value);
  else if (typeof value === "string") writeText(writer, value);
  else if (typeof value === "boolean") writer.simple(value ? 0xf5 : 0xf4);
  else if (typeof value === "object") writeObject(writer, value, depth);
  else throw unencodable(`a value of type ${typeof value}`);
}

function writeText(writer: Writer, value: string): void {
  if (LONE_SURROGATE.test(value)) throw unencodable("text that is not well-formed Unicode");
  writer.text(value);
}

function writeNumber(writer: Writer, value: number): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) writer.float(value);
  else if (value >= 0) writer.head(0, value);
  else writer.head(1, -1 - value);
}

function writeBigInt(writer: Writer, value: bigint): void {
  const negative = value < 0n;
  const argument = negative ? -1n - value : value;
  if (argument > UINT64_MAX) throw unencodable("an integer of more than 64 bits");
  writer.head(negative ? 1 : 0, argument > 0xffffffffn ? argument : Number(argument));
}

function writeObject(writer: Writer, value: object | null, depth: number): void {
  if (value === null) writer.simple(0xf6);
  else if (value instanceof Uint8Array) {
    writer.head(2, value.length);
    writer.bytes(value);
  } else if (value instanceof Uint32Array) writeTyped(writer, TAG_UINT32_LE, value);
  else if (value instanceof BigUint64Array) writeTyped(writer, TAG_UINT64_LE, value);
  else if (Array.isArray(value)) {
    writer.head(4, value.length);
    for (const item of value) writeValue(writer, item, depth + 1);
  } else writeMap(writer, value, depth);
}

function writeTyped(writer: Writer, tag: number, array: Uint32Array | BigUint64Array): void {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  writer.head(6, tag);
  writer.head(2, bytes.length);
  writer.bytes(HOST_IS_LITTLE_ENDIAN ? bytes : swapped(bytes, array.BYTES_PER_ELEMENT));
}

function writeMap(writer: Writer, value: object, depth: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw unencodable(`an object of class ${value.constructor.name}`);
  }
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => compareKeys(a, b));
  writer.head(5, entries.length);
  for (const [key, field] of entries) {
    writeText(writer, key);
    writeValue(writer, field, depth + 1);
  }
}

/** Bytewise order of the encoded keys: as the length comes first in the encoding, the shorter key does too. */
function compareKeys(a: string, b: string): number {
  const left = utf8.encode(a);
  const right = utf8.encode(b);
  return left.length - right.length || Buffer.compare(left, right);
}

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function swapped(bytes: Uint8Array, width: number): Uint8Array {
  const copy = Buffer.from(bytes);
  return width === 4 ? copy.swap32() : copy.swap64();
}

/** Half-precision bits (IEEE 754 binary16) of the value, or undefined when half precision would change it. */
function halfBits(value: number): number | undefined {
  if (Number.isNaN(value)) return 0x7e00;
  if (!Object.is(Math.fround(value), value)) return undefined;
  const scratch = new DataView(new ArrayBuffer(4));
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 127;
  const fraction = bits & 0x7fffff;
  if (exponent === 128) return sign | 0x7c00;
  if (exponent === -127 && fraction === 0) return sign;
  if (exponent >= -14 && exponent <= 15) {
    return (fraction & 0x1fff) === 0 ? sign | ((exponent + 15) << 10) | (fraction >>> 13) : undefined;
  }
  if (exponent < -24 || exponent > 15) return undefined;
  // Subnormal: the leading one becomes explicit and moves right by as much as the exponent is too small.
  const shift = 13 + (-14 - exponent);
  const full = fraction | 0x800000;
  return (full & ((1 << shift) - 1)) === 0 ? sign | (full >>> shift) : undefined;
}

function unencodable(what: string): GantryError {
  return new GantryError("MESSAGE_UNENCODABLE", `Cannot encode ${what} as CBOR.`);
}
