// How long jobs wait or run, by the monotonic clock: a wall clock that is set in the meantime makes no job too old.
import type { Clock } from "../sys/clock.js";

export class JobAges {
  readonly #clock: Clock;
  readonly #from = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts from now, or goes on from a moment of an earlier life of the daemon, of which only the wall clock knows:
   * one that has gone back since then counts for nothing.
   */
  begin(jobId: string, sinceMs = this.#clock.nowMs()): void {
    const before = Math.max(0, this.#clock.nowMs() - sinceMs);
    this.#from.set(jobId, this.#clock.monotonicMs() - before);
  }

  /** Milliseconds; 0 of a job that nobody began. */
  ms(jobId: string): number {
    const from = this.#from.get(jobId);
    return from === undefined ? 0 : this.#clock.monotonicMs() - from;
  }

  drop(jobId: string): void {
    this.#from.delete(jobId);
  }
}
