// CBOR of the control plane: the one place that knows cbor-x and its traps.
//  - Sizes, depth, lengths, duplicate keys, tags and UTF-8 are judged by scan() before cbor-x decodes.
//  - Byte strings and typed arrays are copies; nothing points into the message buffer.
//  - The type of an integer does not depend on how the sender wrote it: a number when it is safe
//    (|n| < 2^53), else a bigint. Field readers (fields.ts) give validators the one they ask for.
//  - cbor-x encodes integers from 2^32 as floats and knows no deterministic form, so encoding is our own.
import { Decoder } from "cbor-x";
import { GantryError } from "../sys/errors.js";
import { encodeDeterministic } from "./cbor-encode.js";
import { type CborLimits, scan } from "./cbor-scan.js";

export { encodeDeterministic } from "./cbor-encode.js";
export type { CborLimits } from "./cbor-scan.js";

const decoder = new Decoder({ useRecords: false, mapsAsObjects: true, copyBuffers: true });

/** Limits of one MQTT message. */
export const MESSAGE_LIMITS: CborLimits = { maxBytes: 1 << 20, maxDepth: 16 };

/**
 * Encodes a message; see encodeDeterministic for what can be encoded. Throws MESSAGE_UNENCODABLE, and
 * MESSAGE_TOO_LARGE when the encoding has more than maxBytes bytes.
 */
export function encode(value: unknown, maxBytes = MESSAGE_LIMITS.maxBytes): Uint8Array {
  const bytes = encodeDeterministic(value);
  if (bytes.length > maxBytes) {
    throw new GantryError(
      "MESSAGE_TOO_LARGE",
      `The message would have ${bytes.length} bytes; the limit is ${maxBytes}.`,
      {
        details: { bytes: bytes.length, limit: maxBytes },
      },
    );
  }
  return bytes;
}

/**
 * Decodes one message: maps become plain objects, byte strings Uint8Array, typed arrays Uint8Array, Uint32Array or
 * BigUint64Array. Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED and nothing else.
 */
export function decode(bytes: Uint8Array, limits: CborLimits = MESSAGE_LIMITS): unknown {
  const { wideIntegers } = scan(bytes, limits);
  // A plain view of our own: cbor-x leaves a property on what it decodes, and copies come out as plain
  // Uint8Arrays instead of Buffers.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let value: unknown;
  try {
    value = decoder.decode(view);
  } catch (cause) {
    throw new GantryError("MESSAGE_MALFORMED", "The message cannot be decoded as CBOR.", { cause });
  }
  return wideIntegers ? narrowed(value) : value;
}

/** Replaces bigints that are safe integers by numbers, in place. */
function narrowed(value: unknown): unknown {
  if (typeof value === "bigint") {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = narrowed(value[i]);
  } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    const map = value as Record<string, unknown>;
    for (const key of Object.keys(map)) map[key] = narrowed(map[key]);
  }
  return value;
}
