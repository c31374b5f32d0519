// Which runner runs which type of job.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { runBackup } from "./backup.js";
import { runClone } from "./clone.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { runRestore } from "./restore.js";
import { runVerify } from "./verify.js";

const RUNNERS = { backup: runBackup, restore: runRestore, verify: runVerify, clone: runClone } as const;

/** Runs an admitted job to its end; its lists are kept meanwhile. */
export async function runJob(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const { listId, toListId, type } = job.subject;
  const holds = [listId, toListId].filter((id) => id !== undefined).map((id) => context.lists.hold(id));
  try {
    return await RUNNERS[type](job, context);
  } finally {
    for (const release of holds) release();
  }
}
