// One run of the engine from the supervisor's side: feeds a program to it piece by piece, hands its events out
// in order, and carries pause, rate and cancel to it. It decides nothing.
import type { Copy, CopyEvent, CopyOptions, CopyStats, Native } from "../native/types.js";

export type DoneEvent = Extract<CopyEvent, { type: "done" }>;
export type MidEvent = Exclude<CopyEvent, DoneEvent | { type: "hungry" }>;

/** A piece of a segment program; see src/native/types.ts SEGMENT_BYTES. */
export interface ProgramPiece {
  readonly gather: Uint8Array;
  readonly scatter: Uint8Array;
  readonly inline: Uint8Array;
}

export interface CopyRunOptions {
  readonly native: Pick<Native, "startCopy">;
  readonly copy: CopyOptions;
  /** The next piece of the program, null at its end. May wait for events (a manifest waits for digests). */
  readonly next: () => Promise<ProgramPiece | null>;
  /**
   * Called for each event in order; what it returns is awaited before the next one. Not called again once it threw: a
   * later checkpoint must not be journalled without what the failed one should have brought.
   */
  readonly onEvent: (event: MidEvent) => void | Promise<void>;
  readonly control: RunControl;
}

/** What may be asked of a running job from outside: kept here so that it outlives one run (a volume change). */
export class RunControl {
  #copy: Copy | undefined;
  #paused = false;
  #cancelled = false;
  #bytesPerS = 0n;
  #cancelListeners = new Set<() => void>();

  get cancelled(): boolean {
    return this.#cancelled;
  }

  get paused(): boolean {
    return this.#paused;
  }

  get bytesPerS(): bigint {
    return this.#bytesPerS;
  }

  pause(): void {
    this.#paused = true;
    this.#copy?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#copy?.resume();
  }

  cancel(): void {
    this.#cancelled = true;
    this.#copy?.cancel();
    for (const listener of this.#cancelListeners) listener();
  }

  /** Bytes per second, 0n: unlimited. */
  rate(bytesPerS: bigint): void {
    this.#bytesPerS = bytesPerS;
    this.#copy?.rate(bytesPerS);
  }

  stats(): CopyStats | undefined {
    return this.#copy?.stats();
  }

  /** Runs the listener when cancel is asked for (at once if it was); returns how to take it off. */
  onCancel(listener: () => void): () => void {
    if (this.#cancelled) listener();
    this.#cancelListeners.add(listener);
    return () => this.#cancelListeners.delete(listener);
  }

  attach(copy: Copy): void {
    this.#copy = copy;
    if (this.#paused) copy.pause();
    if (this.#bytesPerS > 0n) copy.rate(this.#bytesPerS);
    if (this.#cancelled) copy.cancel();
  }

  detach(): void {
    this.#copy = undefined;
  }
}

/**
 * Runs a program to its end and resolves with the engine's last event and statistics. Rejects when next or
 * onEvent threw (the copy is cancelled and closed first) or when the engine would not start.
 */
export async function runCopy(options: CopyRunOptions): Promise<{ done: DoneEvent; stats: CopyStats }> {
  const signal = new Signal();
  const copy = options.native.startCopy(options.copy, () => signal.raise());
  options.control.attach(copy);
  const hunger = new Signal();
  const feeding = { ended: false };
  let fault: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    fault ??= { error };
    // A piece that was being made when the copy ended may fail afterwards, and there is nothing left to cancel.
    if (feeding.ended) return;
    copy.cancel();
    signal.raise();
  };
  void feed(copy, options.next, hunger, feeding).catch(fail);
  let done: DoneEvent | undefined;
  let handled: Promise<void> = Promise.resolve();
  try {
    while (done === undefined) {
      await signal.wait();
      for (const event of copy.take()) {
        if (event.type === "done") done = event;
        else if (event.type === "hungry") hunger.raise();
        else handled = handled.then(() => (fault === undefined ? options.onEvent(event) : undefined)).catch(fail);
      }
    }
    await handled;
    return finish(done, copy.stats(), fault);
  } finally {
    feeding.ended = true;
    hunger.raise();
    options.control.detach();
    await copy.close();
  }
}

function finish(
  done: DoneEvent,
  stats: CopyStats,
  fault: { readonly error: unknown } | undefined,
): { done: DoneEvent; stats: CopyStats } {
  if (fault !== undefined) throw fault.error;
  return { done, stats };
}

async function feed(
  copy: Copy,
  next: () => Promise<ProgramPiece | null>,
  hunger: Signal,
  feeding: { ended: boolean },
): Promise<void> {
  for (;;) {
    const piece = await next();
    if (feeding.ended) return;
    if (piece === null) {
      copy.finish();
      return;
    }
    while (!copy.append(piece.gather, piece.scatter, piece.inline)) {
      await hunger.wait();
      if (feeding.ended) return;
    }
  }
}

/** Wakes one waiter, or the next to come: a binary semaphore. */
class Signal {
  #raised = false;
  #wake: (() => void) | undefined;

  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  async wait(): Promise<void> {
    if (!this.#raised) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#raised = false;
    this.#wake = undefined;
  }
}
