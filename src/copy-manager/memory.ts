// Memory for the rings of copies that servers ask for: an arena beside that of the jobs, so that neither waits for the
// other. It is made with the first copy and given back when there has been none for a while.
import type { Arena, Native } from "../native/types.js";
import type { Timers } from "../sys/clock.js";

const IDLE_MS = 10_000;
/** Tape blocks that a ring holds at least (csrc/copy/engine.h). */
export const RING_BLOCKS = 4;

export interface CopyMemoryOptions {
  readonly native: Pick<Native, "createArena">;
  readonly timers: Timers;
  readonly bytes: number;
}

export class CopyMemory {
  readonly #options: CopyMemoryOptions;
  readonly #waiting: { readonly bytes: number; readonly start: (arena: Arena) => void }[] = [];
  #arena: Arena | undefined;
  #free: number;
  #timer: (() => void) | undefined;
  #stopped = false;

  constructor(options: CopyMemoryOptions) {
    this.#options = options;
    this.#free = options.bytes;
  }

  /** Bytes that one ring can have at most. */
  get bytes(): number {
    return this.#options.bytes;
  }

  /** Largest block of a tape that a ring can hold often enough. */
  get tapeBlockBytes(): number {
    return Math.floor(this.#options.bytes / RING_BLOCKS);
  }

  /** Runs the work with room for a ring of so many bytes (at most all), in the order of asking. */
  async use<T>(bytes: number, work: (arena: Arena) => Promise<T>): Promise<T> {
    const arena = await this.#take(bytes);
    try {
      return await work(arena);
    } finally {
      this.#free += bytes;
      this.#next();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#rest();
  }

  #take(bytes: number): Promise<Arena> {
    return new Promise((start) => {
      this.#waiting.push({ bytes, start });
      this.#next();
    });
  }

  /** Whoever came first is served first, even where a smaller one behind him would fit. */
  #next(): void {
    this.#timer?.();
    this.#timer = undefined;
    for (let first = this.#waiting[0]; first !== undefined && first.bytes <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= first.bytes;
      this.#arena ??= this.#options.native.createArena(BigInt(this.#options.bytes));
      first.start(this.#arena);
    }
    if (this.#free < this.#options.bytes || this.#arena === undefined) return;
    if (this.#stopped) this.#rest();
    else this.#timer = this.#options.timers.after(IDLE_MS, () => this.#rest());
  }

  #rest(): void {
    this.#timer?.();
    this.#timer = undefined;
    if (this.#free < this.#options.bytes) return;
    this.#arena?.close();
    this.#arena = undefined;
  }
}
