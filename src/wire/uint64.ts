// Arrays of 64-bit numbers without a bigint for each element: ten million of those cost seconds. A number is two
// halves of 32 bits, which JavaScript's numbers hold exactly.
import { endianness } from "node:os";

/** Place of the halves of an element among those of halvesOf(). */
export const LOW = endianness() === "LE" ? 0 : 1;
export const HIGH = 1 - LOW;
/** What one of the high half stands for. */
export const HIGH_UNIT = 2 ** 32;

/** The same memory; element i has its halves at 2 * i + LOW and 2 * i + HIGH. */
export function halvesOf(array: BigUint64Array): Uint32Array {
  return new Uint32Array(array.buffer, array.byteOffset, array.length * 2);
}

/** An element as a number: exact below 2^53, else rounded as Number(bigint) does. */
export function numberAt(halves: Uint32Array, index: number): number {
  return (halves[2 * index + HIGH] ?? 0) * HIGH_UNIT + (halves[2 * index + LOW] ?? 0);
}
