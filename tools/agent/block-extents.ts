// Extents in logical blocks of a device, as growing typed arrays: a file of a million extents is three
// arrays. Neighbours that go on both in the file and on the device become one.
import type { Extents } from "../../src/list.js";
import { GantryError } from "../../src/sys/errors.js";

/** Where a run of a file's bytes lies, in bytes. */
export interface ByteRun {
  readonly logical: bigint;
  readonly physical: bigint;
  readonly length: bigint;
}

/** Largest extent that is made: 2^31 - 1 blocks, so that it fits a uint32 with room for sums. */
export const EXTENT_BLOCKS_MAX = 0x7fff_ffffn;

export class BlockExtents {
  #fileOffset = new BigUint64Array(4);
  #lba = new BigUint64Array(4);
  #blocks = new Uint32Array(4);
  #count = 0;
  #total = 0n;
  readonly #blockBytes: bigint;

  constructor(readonly blockBytes: number) {
    this.#blockBytes = BigInt(blockBytes);
  }

  get count(): number {
    return this.#count;
  }

  /** Blocks of all extents. */
  get totalBlocks(): bigint {
    return this.#total;
  }

  /**
   * Adds the part of a run that lies before `size` (rounded up to a block), as blocks of the device.
   * Runs must come in file order. Throws AGENT_ALIGNMENT when an edge does not fall on a block.
   */
  add(run: ByteRun, size: bigint, deviceOffset: bigint): void {
    const block = this.#blockBytes;
    const end = ((size + block - 1n) / block) * block;
    const past = run.logical + run.length - end;
    const length = past > 0n ? run.length - past : run.length;
    if (length <= 0n) return;
    const place = run.physical + deviceOffset;
    if (place < 0n || run.logical % block !== 0n || place % block !== 0n || length % block !== 0n) {
      throw new GantryError(
        "AGENT_ALIGNMENT",
        `${length} bytes at byte ${place} of the device are not whole blocks of ${this.blockBytes} bytes.`,
        { details: { fileOffset: run.logical, place, length, blockBytes: this.blockBytes } },
      );
    }
    this.#push(run.logical, place / block, length / block);
  }

  #push(fileOffset: bigint, lba: bigint, blocks: bigint): void {
    this.#total += blocks;
    let [offset, first, left] = this.#takeBackLast(fileOffset, lba, blocks);
    while (left > 0n) {
      const n = left < EXTENT_BLOCKS_MAX ? left : EXTENT_BLOCKS_MAX;
      if (this.#count === this.#blocks.length) this.#grow();
      this.#fileOffset[this.#count] = offset;
      this.#lba[this.#count] = first;
      this.#blocks[this.#count++] = Number(n);
      offset += n * this.#blockBytes;
      first += n;
      left -= n;
    }
  }

  /** Joins with the last extent if the new one goes on where that ends; checks the order. */
  #takeBackLast(fileOffset: bigint, lba: bigint, blocks: bigint): [bigint, bigint, bigint] {
    if (this.#count === 0) return [fileOffset, lba, blocks];
    const last = this.#count - 1;
    const offset = this.#fileOffset[last] ?? 0n;
    const first = this.#lba[last] ?? 0n;
    const n = BigInt(this.#blocks[last] ?? 0);
    const end = offset + n * this.#blockBytes;
    if (fileOffset < end) {
      throw new GantryError("AGENT_EXTENT", `Extents overlap at byte ${fileOffset} of the file.`);
    }
    if (fileOffset !== end || lba !== first + n) return [fileOffset, lba, blocks];
    this.#count = last;
    return [offset, first, n + blocks];
  }

  #grow(): void {
    const room = this.#blocks.length * 2;
    const grown = (old: BigUint64Array): BigUint64Array<ArrayBuffer> => {
      const array = new BigUint64Array(room);
      array.set(old);
      return array;
    };
    this.#fileOffset = grown(this.#fileOffset);
    this.#lba = grown(this.#lba);
    const blocks = new Uint32Array(room);
    blocks.set(this.#blocks);
    this.#blocks = blocks;
  }

  /** A copy of extents [from, to). */
  slice(from: number, to: number): Extents {
    return {
      fileOffset: this.#fileOffset.slice(from, to),
      lba: this.#lba.slice(from, to),
      blocks: this.#blocks.slice(from, to),
    };
  }
}
