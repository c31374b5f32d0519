// The gate as the queue of jobs sees it: judges a job against the key ring, and watches its grant while it runs.
import { type Admit, devicesOf } from "../copy/admission.js";
import type { JobSpec } from "../job.js";
import type { Timers } from "../sys/clock.js";
import { GantryError } from "../sys/errors.js";
import { admitJob } from "./admitted.js";
import { GateWatch } from "./gate-watch.js";
import type { KeyRing } from "./key-ring.js";
import type { TrustedTime } from "./trusted-clock.js";

export interface JobGateOptions {
  readonly ring: KeyRing;
  readonly time: TrustedTime;
  readonly timers: Timers;
  /** Data bytes that a job is to move, where its list tells. */
  readonly bytesOf: (spec: JobSpec) => bigint | undefined;
  /** Whether zones let the copy engine see a device. */
  readonly zoned: (device: string) => boolean;
}

export function jobGate(options: JobGateOptions): Admit {
  return (spec) => {
    const { ring, zoned } = options;
    for (const { device } of devicesOf(spec)) if (!zoned(device)) throw outOfZone(spec, device);
    const job = admitJob(spec, ring, options.time.nowMs(), options.bytesOf(spec));
    return {
      job,
      watch(onLost) {
        const watching = new GateWatch(ring, options.time, options.timers).watch(job.request, job.grant, (refusal) => {
          const [first] = refusal.refusals;
          const code = first?.code === "KEY_REVOKED" ? "KEY_REVOKED" : "KEY_EXPIRED";
          onLost(code, first?.message ?? "The job's keys are no longer in force.");
        });
        return () => watching.close();
      },
    };
  };
}

const outOfZone = ({ jobId }: JobSpec, device: string): GantryError =>
  new GantryError(
    "GATE_ZONE",
    `Job ${jobId} may not use ${device}: no zone has both it and the copy engine; add "mover" to one that has it.`,
    { details: { device } },
  );
