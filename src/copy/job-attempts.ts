// One job from its start to its outcome: as many runs of it as devices, paths and the state directory make
// necessary, each from the last checkpoint on.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { Admit } from "./admission.js";
import type { RunControl } from "./copy-run.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import type { JobRecord } from "./job-record.js";
import { failureOf, isResumable } from "./results.js";

export type RunJob = (job: Admitted<JobSpec>, context: JobContext) => Promise<JobOutcome>;

export interface AttemptOptions {
  readonly admit: Admit;
  readonly run: RunJob;
  readonly applyRate: () => void;
  /** See untilStored. */
  readonly stored: (write: () => Promise<unknown>) => Promise<void>;
}

/** First wait before a job goes on after a device or a path failed; doubles each time. */
const RESUME_WAIT_MS = 500;
const RESUME_WAIT_MOST_MS = 30_000;
/** Between two tries to write to a state directory that has no room. */
const STORE_WAIT_MS = 500;

/**
 * Runs the job; when a device or a path failed, goes on from the checkpoint, a limited number of times in a row
 * without getting any further.
 */
export async function runToOutcome(context: JobContext, options: AttemptOptions): Promise<JobOutcome> {
  const { log, journal, control } = context;
  const { jobId } = context.record.spec;
  for (let attempt = 0, reached = placeOf(context.record); ; attempt++) {
    try {
      return await runOnce(context, options);
    } catch (error) {
      const failure = failureOf(error);
      if (!isGantryError(error)) log.error({ jobId, error }, "a job ended by a defect");
      // Cancelled while it was prepared (a manifest being read): no failure, and no end when the daemon stops.
      if (failure.code === "JOB_CANCELLED") return { state: "cancelled" };
      // What fails while the job is being broken off changes nothing about that: the next life goes on.
      if (control.cancelled && isResumable(error)) return { state: "cancelled" };
      if (placeOf(context.record) !== reached) attempt = 0;
      reached = placeOf(context.record);
      // Without room in the state directory there are no checkpoints, and without the time no keys; both are waited
      // out, however long it takes.
      const noTime = clockNotKnown(error);
      const waits = noTime || failure.code === "STORE_UNUSABLE";
      const again = waits || (isResumable(error) && attempt < context.config().resume_limit);
      if (!again) return { state: "failed", failure };
      log.warn({ jobId, failure, attempt }, `job goes on from its checkpoint: ${messageOf(error)}`);
      if (!noTime) context.record = { ...context.record, resumes: context.record.resumes + 1 };
      await options.stored(() => journal.put(context.record));
      await cancellableWait(Math.min(RESUME_WAIT_MOST_MS, RESUME_WAIT_MS * 2 ** attempt), control);
      if (control.cancelled) return { state: "cancelled" };
    }
  }
}

async function runOnce(context: JobContext, { admit, run, applyRate }: AttemptOptions): Promise<JobOutcome> {
  let lost: GantryError | undefined;
  // The attempt before may have failed while it wrote its end.
  context.closing = false;
  const grant = admit(context.record.spec);
  const unwatch = grant.watch((code, message) => {
    lost = new GantryError(code, message);
    context.control.cancel();
  });
  try {
    applyRate();
    const outcome = await run(grant.job, context);
    if (lost !== undefined && outcome.state === "cancelled")
      return { ...outcome, state: "failed", failure: failureOf(lost) };
    return outcome;
  } catch (error) {
    if (lost !== undefined) return { state: "failed", failure: failureOf(lost) };
    throw error;
  } finally {
    unwatch();
  }
}

/** Writes as soon as the state directory takes it; gives up only when the daemon stops. */
export async function untilStored(
  write: () => Promise<unknown>,
  { stopping, onWait }: { readonly stopping: () => boolean; readonly onWait: (error: GantryError) => void },
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await write();
      return;
    } catch (error) {
      if (stopping() || !isGantryError(error) || error.code !== "STORE_UNUSABLE") throw error;
      if (attempt === 0) onWait(error);
      await new Promise((resolve) => setTimeout(resolve, STORE_WAIT_MS));
    }
  }
}

/**
 * The gate judges nothing before the clock is to be believed, which after a power failure can take until the network
 * is there. A job that was let in is no less admitted for that: it waits.
 */
function clockNotKnown(error: unknown): boolean {
  if (!isGantryError(error)) return false;
  const { refusals } = error.details;
  if (error.code !== "GATE_REFUSED" || !Array.isArray(refusals)) return false;
  return refusals.every((refusal: unknown) => (refusal as { code?: unknown }).code === "CLOCK_UNTRUSTED");
}

/** How far a job is, to be compared only. */
const placeOf = ({ current, checkpoint }: JobRecord): string => `${current?.index} ${checkpoint?.offset}`;

async function cancellableWait(ms: number, control: RunControl): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let off = (): void => {};
  await new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
    off = control.onCancel(resolve);
  });
  clearTimeout(timer);
  off();
}
