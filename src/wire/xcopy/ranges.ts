// Block ranges of a ROD: the four-gibi-block range descriptor of SPC-4 table 169, which is the block device range
// descriptor of SBC-3 5.14.3.
import { Fields } from "../bytes.js";
import { readLayout, uint, uint64, type ValuesOf, writeLayout } from "./layout.js";

export const RANGE_BYTES = 16;
const RANGE = { lba: uint64(0), blocks: uint(8, 4) };

export type BlockRange = ValuesOf<typeof RANGE>;

/** As many ranges as these bytes hold whole. */
export function decodeRanges(bytes: Uint8Array): readonly BlockRange[] {
  const fields = new Fields(bytes, "block ranges");
  const count = Math.floor(bytes.length / RANGE_BYTES);
  return Array.from({ length: count }, (_, index) =>
    readLayout(RANGE, fields.part(index * RANGE_BYTES, RANGE_BYTES, "block range")),
  );
}

export function encodeRanges(ranges: readonly BlockRange[]): Uint8Array {
  const bytes = new Uint8Array(RANGE_BYTES * ranges.length);
  ranges.forEach((range, index) => {
    writeLayout(RANGE, bytes.subarray(index * RANGE_BYTES, (index + 1) * RANGE_BYTES), range);
  });
  return bytes;
}

/** The place in the list of a range that has a block which another has too (SPC-4 5.17.6.3); undefined: none has. */
export function overlapping(ranges: readonly BlockRange[]): number | undefined {
  const order = ranges
    .map((range, index) => ({ ...range, index }))
    .filter(({ blocks }) => blocks > 0)
    .sort((a, b) => (a.lba < b.lba ? -1 : a.lba > b.lba ? 1 : a.index - b.index));
  for (const [place, range] of order.entries()) {
    const before = order[place - 1];
    if (before !== undefined && before.lba + BigInt(before.blocks) > range.lba)
      return Math.max(before.index, range.index);
  }
  return undefined;
}
