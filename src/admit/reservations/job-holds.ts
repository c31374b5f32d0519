// Jobs of the copy engine among the nexuses: what they hold while they run, and when a server's reservation forbids them
// to go on. The engine reaches a device beside the data plane, so this is where both meet.
import { goesThrough, type Standing } from "./classes.js";

/** What a job does with a device: reading a disk may be shared, a tape and what is written never are. */
export type JobAccess = "read" | "write";

/** What servers may do with a disk that a job reads: everything, read, nothing. */
export type ReadingPolicy = "shared" | "write-exclusive" | "exclusive";

export interface JobHold {
  readonly jobId: string;
  readonly access: JobAccess;
  readonly sinceMs: number;
  /** Called after every change: whether a server's reservation leaves it the device. */
  readonly onJudged: (may: boolean) => void;
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
}

export class JobHolds {
  readonly #holds = new Map<string, JobHold[]>();

  add(device: string, hold: JobHold): void {
    this.#holds.set(device, [...(this.#holds.get(device) ?? []), hold]);
  }

  /** Whether there was one. */
  remove(device: string, jobId: string): boolean {
    const before = this.#holds.get(device) ?? [];
    const left = before.filter((hold) => hold.jobId !== jobId);
    if (left.length === 0) this.#holds.delete(device);
    else this.#holds.set(device, left);
    return left.length < before.length;
  }

  of(device: string): readonly JobHold[] {
    return this.#holds.get(device) ?? [];
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
