// Time as a parameter: what runs in the daemon takes the system's clock, what runs in a test takes a
// clock that stands still until it is told to move.

export interface Clock {
  /** Wall time, milliseconds since 1970-01-01T00:00:00Z. May jump either way when somebody sets the clock. */
  nowMs(): number;
  /** Milliseconds since an arbitrary moment; never goes back. */
  monotonicMs(): number;
}

export interface Timers {
  /** Calls back once, not before `ms` milliseconds of monotonic time. Returns what cancels it (idempotent). */
  after(ms: number, call: () => void): () => void;
}

/** Longest delay that setTimeout takes; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** Timers do not keep the process alive. A wait of more than 24 days comes back early; callers check the time. */
export const systemTimers: Timers = {
  after(ms, call) {
    const timer = setTimeout(call, Math.min(Math.max(0, ms), LONGEST_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

interface Waiting {
  readonly dueMs: number;
  readonly call: () => void;
}

/** The twin for tests: both clocks and the timers move only by advance() and set(). */
export class ManualClock implements Clock, Timers {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #waiting = new Set<Waiting>();

  constructor(wallMs = 1_800_000_000_000) {
    this.#wallMs = wallMs;
  }

  nowMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Sets the wall clock, as an operator or NTP does; monotonic time and timers do not notice. */
  set(wallMs: number): void {
    this.#wallMs = wallMs;
  }

  after(ms: number, call: () => void): () => void {
    const entry: Waiting = { dueMs: this.#monotonicMs + Math.max(0, ms), call };
    this.#waiting.add(entry);
    return () => {
      this.#waiting.delete(entry);
    };
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** Lets time pass; timers that fall due are called in order, each at its own time. */
  advance(ms: number): void {
    const end = this.#monotonicMs + ms;
    for (;;) {
      let next: Waiting | undefined;
      for (const entry of this.#waiting) {
        if (entry.dueMs <= end && (next === undefined || entry.dueMs < next.dueMs)) next = entry;
      }
      if (next === undefined) break;
      this.#waiting.delete(next);
      this.#pass(next.dueMs - this.#monotonicMs);
      next.call();
    }
    this.#pass(end - this.#monotonicMs);
  }

  #pass(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }
}
