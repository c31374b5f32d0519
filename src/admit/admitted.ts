// Gives the brand: the only place where an Admitted comes from, and it asks the gate first.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { GantryError } from "../sys/errors.js";
import { type AccessRequest, type Grant, judge, type Refusal } from "./gate.js";
import type { KeyView } from "./key-ring.js";
import { legsOf } from "./legs.js";

export interface AdmittedJob extends Admitted<JobSpec> {
  readonly request: AccessRequest;
  readonly grant: Grant;
}

/**
 * Judges every leg of a job. To be asked again whenever a job is taken up anew (after a restart, a pause).
 * @param bytes data bytes of the job's block list, where there is one.
 * @throws GantryError GATE_REFUSED with `details.refusals`; the message is that of the first.
 */
export function admitJob(spec: JobSpec, view: KeyView, nowMs: number, bytes?: bigint): AdmittedJob {
  const request: AccessRequest = {
    jobId: spec.jobId,
    keyIds: spec.keys,
    priority: spec.priority,
    legs: legsOf(spec, bytes),
  };
  const grant = judge(request, view, nowMs);
  if (!grant.granted) throw refused(grant);
  // The brand exists for the compiler only; this is the one cast that gives it.
  const job = { subject: spec, expiresMs: grant.expiresMs, keyIds: grant.keyIds, request, grant };
  return Object.freeze(job) as unknown as AdmittedJob;
}

/** A refusal as an error, for whoever has to answer the asker. */
export function refused(refusal: Refusal): GantryError {
  const [first] = refusal.refusals;
  return new GantryError("GATE_REFUSED", first?.message ?? "The job is not admitted.", {
    details: {
      refusals: refusal.refusals.map(({ code, message, keyId, leg }) => ({
        code,
        message,
        ...(keyId !== undefined && { keyId }),
        ...(leg !== undefined && { device: leg.device, right: leg.right }),
      })),
    },
  });
}
