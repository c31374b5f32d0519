// Jobs of the copy engine among the nexuses: what they hold while they run, and when a server's reservation forbids them
// to go on. The engine reaches a device beside the data plane, so this is where both meet.
import type { Timers } from "../../sys/clock.js";
import { goesThrough, type Standing } from "./classes.js";

/** What a job does with a device: reading a disk may be shared, a tape and what is written never are. */
export type JobAccess = "read" | "write";

/** What servers may do with a disk that a job reads: everything, read, nothing. */
export type ReadingPolicy = "shared" | "write-exclusive" | "exclusive";

export interface JobHold {
  readonly jobId: string;
  readonly access: JobAccess;
  readonly priority: number;
  readonly sinceMs: number;
  /** Called after every change: whether a server's reservation leaves it the device. */
  readonly onJudged: (may: boolean) => void;
  /** A server of higher priority takes the device: the job stops where it is and gives it back. */
  readonly onYield: (taker: string) => void;
}

const ORDER: readonly Standing[] = ["free", "write-exclusive", "exclusive-access", "reserved", "lost"];

/** Of two, the one that lets less through; each lets through a part of what the one before it does. */
export const stricter = (a: Standing, b: Standing): Standing => (ORDER.indexOf(a) >= ORDER.indexOf(b) ? a : b);

/** Whether a job may go on beside a reservation. The mover registers nowhere: it is one more nexus without a key. */
export const jobMay = (standing: Standing, access: JobAccess): boolean =>
  goesThrough(standing, access === "write" ? "change" : "read");

/** Who runs the job. Told in turns: lost, free, lost … */
export interface JobWatch {
  lost(device: string, holder: string): void;
  free(device: string): void;
  /** It is to stop at a place from which it can go on, and to release what it claimed. */
  yield(device: string, taker: string): void;
}

export class JobHolds {
  readonly #holds = new Map<string, JobHold[]>();
  readonly #waiting = new Map<string, Set<() => void>>();

  add(device: string, hold: JobHold): void {
    this.#holds.set(device, [...(this.#holds.get(device) ?? []), hold]);
  }

  /** Whether there was one. */
  remove(device: string, jobId: string): boolean {
    const before = this.#holds.get(device) ?? [];
    const left = before.filter((hold) => hold.jobId !== jobId);
    if (left.length > 0) this.#holds.set(device, left);
    else {
      this.#holds.delete(device);
      for (const wake of [...(this.#waiting.get(device) ?? [])]) wake();
    }
    return left.length < before.length;
  }

  of(device: string): readonly JobHold[] {
    return this.#holds.get(device) ?? [];
  }

  /** Resolves with true when no job holds the device, with false when one still does after that time. */
  gone(device: string, timers: Timers, ms: number): Promise<boolean> {
    if (this.of(device).length === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(device) ?? new Set();
      this.#waiting.set(device, waiting);
      const end = (gone: boolean) => (): void => {
        stop();
        waiting.delete(onGone);
        resolve(gone);
      };
      const onGone = end(true);
      const stop = timers.after(ms, end(false));
      waiting.add(onGone);
    });
  }

  devices(): readonly string[] {
    return [...this.#holds.keys()];
  }

  /** What the jobs of a device leave to every server. */
  standing(device: string, reading: ReadingPolicy): Standing {
    let left: Standing = "free";
    for (const { access } of this.of(device)) {
      const kind = access === "write" ? "exclusive" : reading;
      if (kind !== "shared") left = stricter(left, kind === "exclusive" ? "exclusive-access" : "write-exclusive");
    }
    return left;
  }
}
