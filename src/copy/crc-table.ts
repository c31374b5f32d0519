// CRC32C of tape blocks by their number in the archive: four bytes each, however many there are.

export class CrcTable {
  #values = new Uint32Array(1024);
  #count = 0;

  /** One more than the highest block number that was set. */
  get count(): number {
    return this.#count;
  }

  set(first: number, crcs: Uint32Array): void {
    const end = first + crcs.length;
    if (end > this.#values.length) {
      const larger = new Uint32Array(Math.max(end, this.#values.length * 2));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(crcs, first);
    this.#count = Math.max(this.#count, end);
  }

  /** A copy of [first, first + count). */
  slice(first: number, count: number): Uint32Array {
    return this.#values.slice(first, first + count);
  }

  at(block: number): number | undefined {
    return block < this.#count ? this.#values[block] : undefined;
  }
}
