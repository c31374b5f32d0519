// Copies that failed, by kind: the first of a kind is told of at once, those that follow are counted and told of with the
// last of them. A host that tries the same copy a thousand times in a second costs a number.
import type { Clock } from "../sys/clock.js";
import { LogLimit } from "../sys/log-limit.js";

/** Kinds that are kept apart; those that were not seen for longest are forgotten. */
export const KINDS_MAX = 1000;
/** The same kind again. */
export const AGAIN_MS = 10_000;
/** Of all kinds together. */
export const TOLD = { lines: 20, periodMs: 60_000 } as const;

interface Kind<T> {
  last: T;
  untold: number;
  toldMs: number;
}

export interface ToldFailuresOptions<T> {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** @param count how many since the last that was told of */
  readonly tell: (last: T, count: number) => void;
  /** More kinds than can be told of have come. */
  readonly onSkipped: (count: number) => void;
}

export class ToldFailures<T> {
  readonly #options: ToldFailuresOptions<T>;
  /** The one that was seen last is last. */
  readonly #kinds = new Map<string, Kind<T>>();
  readonly #waiting = new Set<string>();
  readonly #limit: LogLimit;

  constructor(options: ToldFailuresOptions<T>) {
    this.#options = options;
    this.#limit = new LogLimit({ clock: options.clock, ...TOLD, onSkipped: options.onSkipped });
  }

  /** Whether again() has something to do, some time. */
  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  note(name: string, failure: T): void {
    const known = this.#kinds.get(name);
    this.#kinds.delete(name);
    this.#kinds.set(name, {
      last: failure,
      untold: (known?.untold ?? 0) + 1,
      toldMs: known?.toldMs ?? Number.NEGATIVE_INFINITY,
    });
    this.#waiting.add(name);
    for (const oldest of this.#kinds.keys()) {
      if (this.#kinds.size <= KINDS_MAX) break;
      this.#kinds.delete(oldest);
      this.#waiting.delete(oldest);
    }
    this.#tell(name);
  }

  /** Tells of what may be told of by now. */
  again(): void {
    for (const name of [...this.#waiting]) if (!this.#tell(name)) return;
  }

  /** @returns whether there is room for more */
  #tell(name: string): boolean {
    const { clock, tell } = this.#options;
    const kind = this.#kinds.get(name);
    if (kind === undefined || clock.monotonicMs() - kind.toldMs < AGAIN_MS) return true;
    if (!this.#limit.take()) return false;
    this.#waiting.delete(name);
    const count = kind.untold;
    kind.untold = 0;
    kind.toldMs = clock.monotonicMs();
    tell(kind.last, count);
    return true;
  }
}
