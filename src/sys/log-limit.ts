// Lines that others can cause are limited: whoever sends nonsense all day must not fill the log.
import type { Clock } from "./clock.js";

export interface LogLimitOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Lines in each period. */
  readonly lines: number;
  readonly periodMs: number;
  /** Told at the first line after a period in which some were left out. */
  readonly onSkipped: (count: number) => void;
}

export class LogLimit {
  readonly #options: LogLimitOptions;
  #since = Number.NEGATIVE_INFINITY;
  #written = 0;
  #skipped = 0;

  constructor(options: LogLimitOptions) {
    this.#options = options;
  }

  /** Whether a line may be written now. */
  take(): boolean {
    const { clock, lines, periodMs, onSkipped } = this.#options;
    const now = clock.monotonicMs();
    if (now - this.#since >= periodMs) {
      if (this.#skipped > 0) onSkipped(this.#skipped);
      this.#since = now;
      this.#written = 0;
      this.#skipped = 0;
    }
    this.#written += 1;
    if (this.#written <= lines) return true;
    this.#skipped += 1;
    return false;
  }
}
