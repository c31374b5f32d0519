// The blocks of a ROD: ranges of a disk in the order in which they were told, which is the order of the bytes that a token
// stands for (SBC-3 4.28.2). Kept in arrays of numbers, since a token may have a thousand of them.
import type { BlockRange } from "../wire/xcopy/ranges.js";
import { RANGE_BYTES } from "../wire/xcopy/ranges.js";
import { ASC, refused } from "../wire/xcopy/refusal.js";

export interface Extent {
  readonly lba: bigint;
  readonly blocks: bigint;
}

/** A piece of a ROD, as a gather part of an extent has it: `bytes` from `skip` bytes behind the beginning of a block. */
export interface RodPiece {
  readonly lba: bigint;
  readonly skip: number;
  readonly bytes: bigint;
}

/**
 * That a disk has these blocks.
 * @param place of the first range in the parameter list
 * @throws CopyRefusal LOGICAL BLOCK ADDRESS OUT OF RANGE
 */
export function checkRanges(ranges: readonly BlockRange[], capacity: bigint, place: number): void {
  const index = ranges.findIndex(({ lba, blocks }) => BigInt(blocks) > capacity - lba);
  if (index >= 0)
    throw refused(
      ASC.LBA_OUT_OF_RANGE,
      `the disk has ${capacity} blocks, and a range ends behind them`,
      place + index * RANGE_BYTES,
    );
}

export class RodRanges {
  readonly count: number;
  /** Of all ranges together. */
  readonly blocks: bigint;
  readonly #lba: BigUint64Array;
  /** Block of the ROD that each range begins at; one more at the end. */
  readonly #first: BigUint64Array;
  /** Places in the arrays in the order of their LBA. */
  readonly #order: Uint16Array;

  /** @param ranges of which no two overlap (the decoder sees to that) */
  constructor(ranges: readonly BlockRange[]) {
    const some = ranges.filter(({ blocks }) => blocks > 0);
    this.count = some.length;
    this.#lba = BigUint64Array.from(some, ({ lba }) => lba);
    this.#first = new BigUint64Array(some.length + 1);
    some.forEach(({ blocks }, index) => {
      this.#first[index + 1] = at(this.#first, index) + BigInt(blocks);
    });
    this.blocks = at(this.#first, some.length);
    const places = some.map((range, index) => ({ lba: range.lba, index }));
    this.#order = Uint16Array.from(
      places.sort((a, b) => (a.lba < b.lba ? -1 : 1)),
      ({ index }) => index,
    );
  }

  /** Whether a block of these extents is one of the ROD. */
  touchedBy(extents: readonly Extent[]): boolean {
    return extents.some(({ lba, blocks }) => {
      if (blocks === 0n) return false;
      // The first range that does not end before the extent.
      const place = firstWhere(this.count, (one) => this.#endOf(this.#order[one] ?? 0) > lba);
      return place < this.count && at(this.#lba, this.#order[place] ?? 0) < lba + blocks;
    });
  }

  /** As many of these bytes of the ROD as it has. */
  pieces(offset: bigint, bytes: bigint, blockBytes: number): readonly RodPiece[] {
    const size = BigInt(blockBytes);
    const found: RodPiece[] = [];
    let [from, left] = [offset, bytes];
    let index = firstWhere(this.count, (one) => at(this.#first, one + 1) * size > offset);
    for (; left > 0n && index < this.count; index++) {
      const inside = from - at(this.#first, index) * size;
      const rest = at(this.#first, index + 1) * size - from;
      const taken = left < rest ? left : rest;
      found.push({ lba: at(this.#lba, index) + inside / size, skip: Number(inside % size), bytes: taken });
      from += taken;
      left -= taken;
    }
    return found;
  }

  #endOf(index: number): bigint {
    return at(this.#lba, index) + at(this.#first, index + 1) - at(this.#first, index);
  }
}

const at = (array: BigUint64Array, index: number): bigint => array[index] ?? 0n;

/** The least number below `count` for which this is true, where it is so for all that follow; `count`: for none. */
function firstWhere(count: number, is: (index: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
