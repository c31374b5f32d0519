// The gate as the queue of jobs sees it: judges a job against the key ring, and watches its grant while it runs.
import type { Admit } from "../copy/admission.js";
import type { JobSpec } from "../job.js";
import type { Timers } from "../sys/clock.js";
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
}

export function jobGate(options: JobGateOptions): Admit {
  return (spec) => {
    const { ring } = options;
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
