// A backup that is read back before it counts: when the archive is written, it is verified over all its cartridges
// against the checksums that were made while it was written. After a crash the reading begins anew, the writing does not.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { runBackup } from "./backup.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import type { Written } from "./job-record.js";
import { verifyArchive } from "./verify.js";

export async function runBackupJob(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  if (context.record.written !== undefined) return readBack(context, context.record.written);
  const outcome = await runBackup(job, context);
  if (outcome.state !== "succeeded" || job.subject.options.readBack !== true) return outcome;
  const { volumes = [], manifest, manifestCrc32c = 0 } = outcome;
  const written: Written = { volumes, manifestCrc32c, ...(manifest === undefined ? {} : { manifest }) };
  context.record = { ...context.record, written };
  await context.journal.put(context.record);
  return readBack(context, written);
}

async function readBack(context: JobContext, written: Written): Promise<JobOutcome> {
  const { reading: _reading, ...record } = context.record;
  context.record = record;
  context.closing = false;
  const outcome = await verifyArchive(context, written.manifestCrc32c);
  return { ...written, lost: record.lost, ...outcome };
}
