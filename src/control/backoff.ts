// Waiting times between attempts to connect: they double, and each is taken at random from the upper half, so
// that many bridges do not come back to a restarted server in the same moment.

export interface BackoffLimits {
  /** Milliseconds before the first repetition. */
  readonly minMs: number;
  readonly maxMs: number;
}

export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #random: () => number;
  #attempt = 0;

  /** @param random gives numbers from 0 up to, not including, 1. */
  constructor(limits: BackoffLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const full = Math.min(this.#limits.maxMs, this.#limits.minMs * 2 ** this.#attempt);
    if (full < this.#limits.maxMs) this.#attempt += 1;
    return full / 2 + (full / 2) * this.#random();
  }

  /** After a connection that held. */
  reset(): void {
    this.#attempt = 0;
  }
}
