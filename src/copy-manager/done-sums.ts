// Copies that were over in no time and did what was asked for: there may be thousands in a second, so they are told of in
// sums, one for each initiator and pair of devices.
import type { CopyFacts, JobReport } from "../job.js";

export interface DoneSum extends Pick<CopyFacts, "initiator" | "sources" | "destinations"> {
  readonly count: number;
  readonly bytes: bigint;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** After the first of them. */
export const SUM_MS = 5000;
/** Sums in one telling; what is more is one sum of several initiators. */
export const SUMS_MAX = 64;
const SEVERAL = { initiator: "several", sources: [], destinations: [] } as const;

export class DoneSums {
  readonly #sums = new Map<string, DoneSum>();
  #dueMs = 0;

  get waiting(): boolean {
    return this.#sums.size > 0;
  }

  /** @param nowMs monotonic */
  add({ copy, bytesDone, endedMs }: JobReport, nowMs: number): void {
    if (copy === undefined) return;
    if (this.#sums.size === 0) this.#dueMs = nowMs + SUM_MS;
    const { initiator, sources, destinations } = copy;
    const own = JSON.stringify([initiator, sources, destinations]);
    const apart = this.#sums.has(own) || this.#sums.size < SUMS_MAX - 1;
    const name = apart ? own : "";
    const before = this.#sums.get(name);
    this.#sums.set(name, {
      ...(apart ? { initiator, sources, destinations } : SEVERAL),
      count: (before?.count ?? 0) + 1,
      bytes: (before?.bytes ?? 0n) + bytesDone,
      firstMs: before?.firstMs ?? endedMs,
      lastMs: endedMs,
    });
  }

  /** What is due, or with `all` whatever there is; it is counted no more. */
  take(nowMs: number, all = false): readonly DoneSum[] {
    if (!all && nowMs < this.#dueMs) return [];
    const sums = [...this.#sums.values()];
    this.#sums.clear();
    return sums;
  }
}
