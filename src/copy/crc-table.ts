// CRC32C of tape blocks by their number in the archive: four bytes each, however many there are.

export class CrcTable {
  readonly #base: number;
  #values = new Uint32Array(1024);
  #count: number;

  /** @param base no block before this one will be set: that of a later cartridge may have a high number. */
  constructor(base = 0) {
    this.#base = base;
    this.#count = base;
  }

  /** One more than the highest block number that was set. */
  get count(): number {
    return this.#count;
  }

  set(first: number, crcs: Uint32Array): void {
    const end = first - this.#base + crcs.length;
    if (end > this.#values.length) {
      const larger = new Uint32Array(Math.max(end, this.#values.length * 2));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(crcs, first - this.#base);
    this.#count = Math.max(this.#count, first + crcs.length);
  }

  /** A copy of [first, first + count). */
  slice(first: number, count: number): Uint32Array {
    return this.#values.slice(first - this.#base, first - this.#base + count);
  }

  at(block: number): number | undefined {
    return block < this.#count ? this.#values[block - this.#base] : undefined;
  }
}
