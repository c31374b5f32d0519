// Big-endian fields of a device's answer. Every read checks its own length: a short answer is an error with
// the field's place in it, never a zero that looks like a value.
import { GantryError } from "../sys/errors.js";

export class Fields {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** What the bytes are, for messages: "READ CAPACITY (16) data". */
  readonly what: string;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.what = what;
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** @throws GantryError SCSI_DATA_TRUNCATED unless the bytes [at, at + count) are there. All methods do. */
  need(at: number, count: number): void {
    if (at >= 0 && count >= 0 && at <= this.length && count <= this.length - at) return;
    throw new GantryError(
      "SCSI_DATA_TRUNCATED",
      `${this.what} ends after ${this.length} bytes, but bytes ${at} to ${at + count - 1} are needed.`,
      { details: { length: this.length, offset: at, count } },
    );
  }

  u8(at: number): number {
    this.need(at, 1);
    return this.#view.getUint8(at);
  }

  u16(at: number): number {
    this.need(at, 2);
    return this.#view.getUint16(at);
  }

  u24(at: number): number {
    this.need(at, 3);
    return (this.#view.getUint8(at) << 16) | this.#view.getUint16(at + 1);
  }

  u32(at: number): number {
    this.need(at, 4);
    return this.#view.getUint32(at);
  }

  u64(at: number): bigint {
    this.need(at, 8);
    return this.#view.getBigUint64(at);
  }

  bit(at: number, bit: number): boolean {
    return (this.u8(at) & (1 << bit)) !== 0;
  }

  /** Bits high…low of one byte, as a number. */
  bits(at: number, high: number, low: number): number {
    return (this.u8(at) >> low) & ((1 << (high - low + 1)) - 1);
  }

  /** A copy. */
  bytes(at: number, count: number): Uint8Array {
    this.need(at, count);
    return this.#bytes.slice(at, at + count);
  }

  /** Left-aligned ASCII (SPC-4 4.3.1): without what pads it at the end; what is no printable ASCII becomes "?". */
  ascii(at: number, count: number): string {
    const raw = Buffer.from(this.bytes(at, count)).toString("latin1");
    return raw.replace(/[\0 ]+$/, "").replace(/[^ -~]/g, "?");
  }

  /** The same bytes from `at` on, for `count` bytes, under another name. */
  part(at: number, count: number, what: string): Fields {
    this.need(at, count);
    return new Fields(this.#bytes.subarray(at, at + count), what);
  }

  invalid(problem: string): GantryError {
    return new GantryError("SCSI_DATA_INVALID", `${this.what}: ${problem}.`);
  }
}

/** Puts an unsigned number into `width` bytes. @throws GantryError SCSI_FIELD_RANGE with the field's name */
export function putUint(bytes: Uint8Array, at: number, width: number, value: number | bigint, name: string): void {
  const most = (1n << BigInt(8 * width)) - 1n;
  let rest = wholeIn(value, 0n, most, name);
  for (let index = width - 1; index >= 0; index--, rest >>= 8n) bytes[at + index] = Number(rest & 0xffn);
}

/** The same for a signed number in two's complement. */
export function putInt(bytes: Uint8Array, at: number, width: number, value: number | bigint, name: string): void {
  const half = 1n << BigInt(8 * width - 1);
  const whole = wholeIn(value, -half, half - 1n, name);
  putUint(bytes, at, width, BigInt.asUintN(8 * width, whole), name);
}

/** @throws GantryError SCSI_FIELD_RANGE unless least ≤ value ≤ most and value is whole */
export function wholeIn(value: number | bigint, least: bigint, most: bigint, name: string): bigint {
  if (typeof value === "bigint" || Number.isInteger(value)) {
    const whole = BigInt(value);
    if (whole >= least && whole <= most) return whole;
  }
  throw new GantryError(
    "SCSI_FIELD_RANGE",
    `${name} has to be a whole number from ${least} to ${most}, not ${value}.`,
    {
      details: { field: name },
    },
  );
}
