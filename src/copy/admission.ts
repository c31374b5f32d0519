// What a job needs to be let in. The judging is admit/'s; the queue only knows that without a Grant nothing starts.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";

/** Leave to run a job. It may be lost while the job runs. */
export interface Grant {
  readonly job: Admitted<JobSpec>;
  /** Calls once when a key that the grant rests on expires or is revoked; returns how to stop watching. */
  watch(onLost: (code: "KEY_EXPIRED" | "KEY_REVOKED", message: string) => void): () => void;
}

/** Throws GATE_REFUSED, which says who may not do what, and why. */
export type Admit = (spec: JobSpec) => Grant;

/** A device that a job needs while it runs. */
export interface DeviceUse {
  readonly device: string;
  /** Others may use it in the same way at the same time. */
  readonly shared: boolean;
}

/** A tape and a disk that is written belong to one job; a disk may be read by many. */
export function devicesOf(spec: JobSpec): readonly DeviceUse[] {
  const uses: DeviceUse[] = [];
  if (spec.disk !== undefined) uses.push({ device: spec.disk.device, shared: spec.type !== "restore" });
  if (spec.toDisk !== undefined) uses.push({ device: spec.toDisk.device, shared: false });
  if (spec.tape !== undefined) uses.push({ device: spec.tape.device, shared: false });
  return uses;
}
