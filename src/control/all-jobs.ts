// Jobs of the broker and third-party copies as one list, for whoever asks by job id.

import type { JobQueue } from "../copy/job-queue.js";
import type { CopyBook } from "../copy-manager/book.js";
import type { JobProgress, JobReport, JobSpec, JobState } from "../job.js";
import { GantryError } from "../sys/errors.js";

export interface ListedJob {
  readonly jobId: string;
  readonly submittedMs: number;
}

/** Each call throws what the queue and the book throw. */
export class AllJobs {
  readonly #queue: JobQueue;
  readonly #copies: CopyBook;

  constructor(queue: JobQueue, copies: CopyBook) {
    this.#queue = queue;
    this.#copies = copies;
  }

  async submit(spec: JobSpec): Promise<JobState> {
    if (!this.#copies.owns(spec.jobId)) return this.#queue.submit(spec);
    throw new GantryError("JOB_ID_REUSED", `${spec.jobId} is the id of a third-party copy; use another job id.`);
  }

  list(): readonly ListedJob[] {
    const jobs = this.#queue.list().map(({ spec: { jobId }, submittedMs }) => ({ jobId, submittedMs }));
    return [...jobs, ...this.#copies.list()];
  }

  progress(jobId: string): JobProgress | JobReport {
    return this.#of(jobId).progress(jobId);
  }

  async cancel(jobId: string): Promise<void> {
    await this.#of(jobId).cancel(jobId);
  }

  async pause(jobId: string): Promise<void> {
    await this.#of(jobId).pause(jobId);
  }

  async resume(jobId: string): Promise<void> {
    await this.#of(jobId).resume(jobId);
  }

  async rate(jobId: string, bytesPerS: bigint): Promise<void> {
    await this.#of(jobId).rate(jobId, bytesPerS);
  }

  /** False: it has not ended. */
  forget(jobId: string): Promise<boolean> {
    return this.#of(jobId).forget(jobId);
  }

  #of(jobId: string): JobQueue | CopyBook {
    return this.#copies.owns(jobId) ? this.#copies : this.#queue;
  }
}
