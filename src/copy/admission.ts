// What a job needs to be let in: its legs, judged one by one before the first block moves. The judging is
// admit/'s; the queue only knows that without a Grant nothing starts.
import type { JobSpec } from "../job.js";

/** One device that a job touches, and how. */
export interface Leg {
  readonly device: string;
  readonly class: "disk" | "tape";
  readonly right: "read" | "write" | "media-control";
  readonly cartridge?: string;
}

/** Leave to run a job. It may be lost while the job runs. */
export interface Grant {
  /** Largest priority that the keys allow. */
  readonly maxPriority: number;
  /** Data bytes that the keys allow; undefined: no limit. */
  readonly maxBytes?: bigint;
  /** Calls once when a key that the grant rests on expires or is revoked; returns how to stop watching. */
  watch(onLost: (code: "KEY_EXPIRED" | "KEY_REVOKED", message: string) => void): () => void;
}

/** Throws the GantryError of the first leg that no key covers. */
export type Admit = (spec: JobSpec, legs: readonly Leg[]) => Grant;

/** The legs of a job, from its type and its devices. */
export function legsOf(spec: JobSpec): readonly Leg[] {
  const disk = (device: string, right: "read" | "write"): Leg => ({ device, class: "disk", right });
  const legs: Leg[] = [];
  if (spec.disk !== undefined) legs.push(disk(spec.disk.device, spec.type === "restore" ? "write" : "read"));
  if (spec.toDisk !== undefined) legs.push(disk(spec.toDisk.device, "write"));
  if (spec.tape !== undefined) {
    const { device, cartridges } = spec.tape;
    const right = spec.type === "backup" ? "write" : "read";
    const over = cartridges.length === 0 ? [undefined] : cartridges;
    for (const cartridge of over) {
      legs.push({ device, class: "tape", right, ...(cartridge === undefined ? {} : { cartridge }) });
      if (cartridge !== undefined) legs.push({ device, class: "tape", right: "media-control", cartridge });
    }
  }
  return legs;
}
