// Numbers of tape blocks, added in rising order, as ranges: a cartridge of which nothing can be read costs no more than
// one block.

export class BlockRanges {
  readonly #firsts: number[] = [];
  /** One more than the last of each range. */
  readonly #ends: number[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** `first` must not be before what was added last. */
  add(first: number, count = 1): void {
    if (count <= 0) return;
    this.#count += count;
    const last = this.#ends.length - 1;
    if (this.#ends[last] === first) {
      this.#ends[last] = first + count;
      return;
    }
    this.#firsts.push(first);
    this.#ends.push(first + count);
  }

  has(block: number): boolean {
    return this.meets(block, block);
  }

  /** Is any of the blocks [first, last] among them? */
  meets(first: number, last: number): boolean {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] ?? 0) > first) high = middle;
      else low = middle + 1;
    }
    return (this.#firsts[low] ?? Number.POSITIVE_INFINITY) <= last;
  }

  /** The lowest of them, at most `most`. */
  lowest(most: number): number[] {
    const found: number[] = [];
    for (let index = 0; index < this.#firsts.length && found.length < most; index++) {
      const [first, end] = [this.#firsts[index] ?? 0, this.#ends[index] ?? 0];
      for (let block = first; block < end && found.length < most; block++) found.push(block);
    }
    return found;
  }

  /** Ranges [first, end) in order. */
  *ranges(): Generator<readonly [number, number], void, void> {
    for (const [index, first] of this.#firsts.entries()) yield [first, this.#ends[index] ?? first];
  }
}
