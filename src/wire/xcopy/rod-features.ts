// ROD device type specific features descriptors (SPC-4 7.8.17.8.2 to 7.8.17.8.4): how large a ROD of blocks, of a stream,
// or of a copy manager alone may be, and best is. Bytes; 0: not told; all ones: no limit.
import { type Fields, putUint } from "../bytes.js";
import { bits, joined, readLayout, uint, uint64, type ValuesOf, writeLayout } from "./layout.js";

const BYTES = 48;
const HEAD = 4;

/** Granularity, "to" and "from" are of blocks alone (table 653), and reserved in tables 654 and 655. */
const FEATURE = {
  deviceType: bits(0, 4, 0),
  granularityBlocks: uint(6, 2),
  maxBytes: uint64(8),
  optimalBytes: uint64(16),
  optimalToToken: uint64(24),
  optimalFromToken: uint64(32),
};

export type RodFeature = ValuesOf<typeof FEATURE>;

export function encodeFeatures(features: readonly RodFeature[]): Uint8Array {
  return joined(
    ...features.map((feature) => {
      const bytes = new Uint8Array(BYTES);
      writeLayout(FEATURE, bytes, feature);
      putUint(bytes, 2, 2, BYTES - HEAD, "descriptor length");
      return bytes;
    }),
  );
}

/** Descriptors of a format other than 000b are passed over. */
export function decodeFeatures(list: Fields): readonly RodFeature[] {
  const found: RodFeature[] = [];
  for (let at = 0; at < list.length; ) {
    const length = HEAD + list.u16(at + 2);
    const one = list.part(at, length, "ROD device type specific features descriptor");
    if (one.bits(0, 7, 5) === 0) found.push(readLayout(FEATURE, one));
    at += length;
  }
  return found;
}
