// Which job has which device. A job takes all the devices that it needs, or none, so that no two jobs wait for
// each other.
import type { DeviceUse } from "./admission.js";

interface Holder {
  readonly jobId: string;
  readonly shared: boolean;
}

export class DeviceLocks {
  readonly #holders = new Map<string, Holder[]>();

  /** Takes all devices for a job, or none of them (false). */
  take(jobId: string, uses: readonly DeviceUse[]): boolean {
    const free = uses.every(({ device, shared }) =>
      (this.#holders.get(device) ?? []).every((holder) => holder.jobId === jobId || (holder.shared && shared)),
    );
    if (!free) return false;
    for (const { device, shared } of uses) {
      this.#holders.set(device, [...(this.#holders.get(device) ?? []), { jobId, shared }]);
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
