// Which runner runs which type of job.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { runClone } from "./clone.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { runBackupJob } from "./read-back.js";
import { runRestore } from "./restore.js";
import { runScrub } from "./scrub/scrub.js";
import { runVerify } from "./verify.js";

const RUNNERS = {
  backup: runBackupJob,
  restore: runRestore,
  verify: runVerify,
  clone: runClone,
  scrub: runScrub,
} as const;

export function runJob(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  return RUNNERS[job.subject.type](job, context);
}
