// Which job has which device: a tape and a disk that is written belong to one job; a disk may be read by many.
import type { Leg } from "./admission.js";

interface Holder {
  readonly jobId: string;
  readonly shared: boolean;
}

const isShared = (leg: Leg): boolean => leg.class === "disk" && leg.right === "read";

export class DeviceLocks {
  readonly #holders = new Map<string, Holder[]>();

  /** Takes all devices of the legs for a job, or none of them. */
  take(jobId: string, legs: readonly Leg[]): boolean {
    const free = legs.every((leg) =>
      (this.#holders.get(leg.device) ?? []).every(
        (holder) => holder.jobId === jobId || (holder.shared && isShared(leg)),
      ),
    );
    if (!free) return false;
    for (const leg of legs) {
      const holders = this.#holders.get(leg.device) ?? [];
      holders.push({ jobId, shared: isShared(leg) });
      this.#holders.set(leg.device, holders);
    }
    return true;
  }

  release(jobId: string): void {
    for (const [device, holders] of this.#holders) {
      const left = holders.filter((holder) => holder.jobId !== jobId);
      if (left.length === 0) this.#holders.delete(device);
      else this.#holders.set(device, left);
    }
  }

  /** Jobs that hold a device. */
  holders(device: string): readonly string[] {
    return [...new Set((this.#holders.get(device) ?? []).map(({ jobId }) => jobId))];
  }
}
