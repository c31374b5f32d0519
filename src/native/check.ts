// Checks of what crosses into C, in words: each names the field, the value and what it may be. They look at
// run-time values, because callers get theirs from files and from the network.
import { invalid } from "./failure.js";

export const U16_MAX = 0xffff;
export const U32_MAX = 0xffff_ffff;
export const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** How a value reads in a sentence; long ones are cut, byte strings told by their length. */
function shown(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${value.byteLength} bytes`;
  if (typeof value === "bigint") return `${value}n`;
  const text = typeof value === "string" ? JSON.stringify(value) : textOf(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Not every object has a text: one without a prototype, or whose toString fails, has none. */
function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "an object without a text";
  }
}

/** An integer in [min, max]; `fallback` when it is not given. */
export function integer(name: string, value: unknown, min: number, max: number, fallback?: number): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
    throw invalid(`${name} is ${shown(value)}, not an integer from ${min} to ${max}.`, { field: name });
  return value;
}

/** A bigint in [0, 2^64). */
export function wide(name: string, value: unknown, fallback?: bigint): bigint {
  if (value === undefined && fallback !== undefined) return fallback;
  if (typeof value !== "bigint" || value < 0n || value > U64_MAX)
    throw invalid(`${name} is ${shown(value)}, not a bigint from 0n to 2n ** 64n - 1n.`, { field: name });
  return value;
}

export function flag(name: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw invalid(`${name} is ${shown(value)}, not true or false.`, { field: name });
  return value;
}

/** Text that C can take whole: not empty, no NUL, at most maxBytes of UTF-8. */
export function text(name: string, value: unknown, maxBytes = 4096): string {
  if (typeof value !== "string" || value === "")
    throw invalid(`${name} is ${shown(value)}, not a text with something in it.`, { field: name });
  if (value.includes("\0")) throw invalid(`${name} has a NUL character in it; leave it out.`, { field: name });
  if (Buffer.byteLength(value) > maxBytes)
    throw invalid(`${name} is longer than ${maxBytes} bytes; make it shorter.`, { field: name });
  return value;
}

export function optionalText(name: string, value: unknown, maxBytes?: number): string | null {
  return value === undefined ? null : text(name, value, maxBytes);
}

/** Bytes that nobody else can change meanwhile: a view of memory shared between threads is refused. */
export function bytes(name: string, value: unknown, min: number, max: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalid(`${name} is ${shown(value)}, not a Uint8Array.`, { field: name });
  if (!(value.buffer instanceof ArrayBuffer))
    throw invalid(`${name} lies in memory shared between threads; copy it first.`, { field: name });
  if (value.byteLength < min || value.byteLength > max)
    throw invalid(`${name} has ${value.byteLength} bytes, not ${min} to ${max}.`, { field: name });
  return value;
}

/** One of the choices. */
export function oneOf<const T>(name: string, value: unknown, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw invalid(`${name} is ${shown(value)}, not ${choices.join(" or ")}.`, { field: name });
  return found;
}
