// Records of the journal with a checksum in front. The store keeps writes whole, but does not notice bits that turned
// on the disk or in memory; a job that goes on by a record which is not as it was written would move wrong blocks.
import { crc32 } from "node:zlib";
import { GantryError } from "../sys/errors.js";

const SEAL_BYTES = 4;
/** Where the checksum starts: without it, memory that is all ones would have a right one. */
const START = 0x47_6e_74_79;

export function seal(bytes: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(SEAL_BYTES + bytes.length);
  new DataView(sealed.buffer).setUint32(0, crc32(bytes, START));
  sealed.set(bytes, SEAL_BYTES);
  return sealed;
}

/** A copy of what was sealed. Throws STORE_CORRUPT when it is not as it was. */
export function unseal(sealed: Uint8Array, what: string): Uint8Array {
  const bytes = sealed.slice(SEAL_BYTES);
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  if (sealed.length > SEAL_BYTES && view.getUint32(0) === crc32(bytes, START)) return bytes;
  throw new GantryError(
    "STORE_CORRUPT",
    `${what} in the state directory is damaged or was written by another version; restore the directory or start with an empty one.`,
  );
}
