// The queue of jobs: takes them in (durably), starts them by priority when their devices are free, carries
// pause, resume, rate and cancel to them, and lets each end exactly once.
import { isDeepStrictEqual } from "node:util";
import type { Admitted } from "../admitted.js";
import { JOB_ENDS, type JobProgress, type JobReport, type JobSpec, type JobState } from "../job.js";
import { GantryError, isGantryError, messageOf } from "../sys/errors.js";
import { type Admit, devicesOf } from "./admission.js";
import { RunControl } from "./copy-run.js";
import { DeviceLocks } from "./device-locks.js";
import { checkRing } from "./engine-options.js";
import { type JobContext, type JobOutcome, type JobPlant, Meter } from "./job-context.js";
import type { JobRecord } from "./job-record.js";
import { minuteOfDay, rateAt } from "./rate.js";
import { failureOf, isResumable, progressOf, type ReportOutcome, reportOf } from "./results.js";

export type RunJob = (job: Admitted<JobSpec>, context: JobContext) => Promise<JobOutcome>;

export interface JobQueueOptions {
  readonly plant: JobPlant;
  readonly admit: Admit;
  readonly run: RunJob;
  /** Checks that need no key: lists, devices, options. Throws GantryError. */
  readonly check: (spec: JobSpec) => void;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onReport: (report: JobReport) => void;
  /** Makes archive ids. */
  readonly newId: () => string;
}

interface Running {
  readonly context: JobContext;
  readonly settled: Promise<void>;
}

const PROGRESS_MS = 1000;
/** First wait before a job goes on after a device or a path failed; doubles each time. */
const RESUME_WAIT_MS = 500;
/** Between two tries to write to a state directory that has no room. */
const STORE_WAIT_MS = 500;

export class JobQueue {
  readonly #options: JobQueueOptions;
  readonly #running = new Map<string, Running>();
  readonly #locks = new DeviceLocks();
  /** Jobs on their way to stable storage; never rejects. */
  readonly #accepting = new Map<string, Promise<unknown>>();
  /** Queued jobs whose end is being written: they must not start meanwhile, nor end again. */
  readonly #ending = new Set<string>();
  /** What keeps the lists of jobs that have not ended from being dropped. */
  readonly #holds = new Map<string, readonly (() => void)[]>();
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: JobQueueOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier life of the daemon left: ended jobs stay, running ones are queued to resume. */
  async start(): Promise<void> {
    const { journal } = this.#options.plant;
    for (const record of journal.load()) {
      if (record.state === "running") await journal.put({ ...record, state: "queued", resumes: record.resumes + 1 });
      if (!JOB_ENDS.includes(record.state)) this.#hold(record.spec);
    }
    this.#timer = setInterval(() => this.#tick(), PROGRESS_MS);
    this.#schedule();
  }

  /** Stops without ending jobs: those that run are broken off at a checkpoint and go on in the next life. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    const running = [...this.#running.values()];
    for (const { context } of running) context.control.cancel();
    await Promise.all(running.map(({ settled }) => settled));
  }

  /**
   * Accepts a job: every check passed and the job is on stable storage when the promise resolves. The same spec
   * again is the same job. Throws GantryError otherwise; nothing is kept then.
   */
  async submit(spec: JobSpec): Promise<JobState> {
    const { journal, clock } = this.#options.plant;
    // The same job may come twice before it is on stable storage once.
    while (this.#accepting.has(spec.jobId)) await this.#accepting.get(spec.jobId);
    const known = journal.get(spec.jobId);
    if (known !== undefined) {
      if (isDeepStrictEqual(known.spec, spec)) return known.state;
      throw new GantryError("JOB_ID_REUSED", `Job ${spec.jobId} exists with other particulars; use a new job id.`);
    }
    const { arena, config } = this.#options.plant;
    this.#options.check(spec);
    if (spec.options.tapeBlockBytes !== undefined) checkRing(arena, config(), spec.options.tapeBlockBytes);
    this.#options.admit(spec);
    const stored = journal.put({
      spec,
      state: "queued",
      archiveId: this.#options.newId(),
      submittedMs: clock.nowMs(),
      volumes: [],
      tapeBlockBytes: spec.options.tapeBlockBytes ?? this.#options.plant.config().tape_block_kib * 1024,
      resumes: 0,
      lost: [],
    });
    const settled = stored.catch(() => undefined).then(() => this.#accepting.delete(spec.jobId));
    this.#accepting.set(spec.jobId, settled);
    await stored;
    this.#hold(spec);
    this.#schedule();
    return "queued";
  }

  /** A list that is gone is found missing when the job starts. */
  #hold(spec: JobSpec): void {
    const { lists } = this.#options.plant;
    const ids = [spec.listId, spec.toListId].filter((id) => id !== undefined && lists.header(id) !== undefined);
    this.#holds.set(
      spec.jobId,
      ids.map((id) => lists.hold(id ?? "")),
    );
  }

  /** Throws JOB_UNKNOWN, or JOB_CANCEL_REFUSED when the job has ended or is writing its end. */
  async cancel(jobId: string): Promise<void> {
    const record = this.#record(jobId);
    if (JOB_ENDS.includes(record.state)) {
      if (record.state === "cancelled") return;
      throw new GantryError(
        "JOB_CANCEL_REFUSED",
        `Job ${jobId} has ended (${record.state}); there is nothing to cancel.`,
      );
    }
    const running = this.#running.get(jobId);
    if (running === undefined) {
      await this.#endQueued(record, "cancelled");
      return;
    }
    if (running.context.closing) {
      throw new GantryError("JOB_CANCEL_REFUSED", `Job ${jobId} is writing its end; it will be done in a moment.`);
    }
    running.context.control.cancel();
    // Before it is acknowledged: a job that was cancelled must not go on in another life of the daemon.
    await this.#options.plant.journal.askCancel(jobId);
  }

  pause(jobId: string): void {
    const record = this.#record(jobId);
    const running = this.#running.get(jobId);
    if (running === undefined)
      throw new GantryError("JOB_NOT_RUNNING", `Job ${jobId} is ${record.state}; only a running job can be paused.`);
    running.context.control.pause();
    this.#options.onProgress(liveProgress(running.context));
  }

  resume(jobId: string): void {
    const record = this.#record(jobId);
    const running = this.#running.get(jobId);
    if (running === undefined)
      throw new GantryError("JOB_NOT_RUNNING", `Job ${jobId} is ${record.state}; only a paused job can be resumed.`);
    running.context.control.resume();
    this.#options.onProgress(liveProgress(running.context));
  }

  /** Bytes per second, 0n: unlimited. Holds until the job ends. */
  rate(jobId: string, bytesPerS: bigint): void {
    const running = this.#running.get(jobId);
    if (running === undefined)
      throw new GantryError(
        "JOB_NOT_RUNNING",
        `Job ${jobId} is ${this.#record(jobId).state}; only a running job has a rate.`,
      );
    running.context.requestedBytesPerS = bytesPerS;
    this.#applyRate(running.context);
  }

  progress(jobId: string): JobProgress | JobReport {
    const record = this.#record(jobId);
    const running = this.#running.get(jobId);
    if (running !== undefined) return liveProgress(running.context);
    return record.report ?? progressOf({ record, meter: new Meter(), paused: false });
  }

  /** Forgets an ended job and its report; false when it has not ended. Throws JOB_UNKNOWN. */
  async forget(jobId: string): Promise<boolean> {
    this.#record(jobId);
    return (await this.#options.plant.journal.forget([jobId])).length > 0;
  }

  /** A part of the manifest that a restore or verification read. Throws JOB_UNKNOWN, MANIFEST_UNKNOWN. */
  manifest(jobId: string, offset: bigint, limit: number): { readonly total: bigint; readonly data: Uint8Array } {
    this.#record(jobId);
    const part = this.#options.plant.journal.manifestPart(jobId, offset, limit);
    if (part !== undefined) return part;
    throw new GantryError(
      "MANIFEST_UNKNOWN",
      `No manifest of job ${jobId} is kept here; verify the tape and ask for the manifest of that job.`,
    );
  }

  list(): readonly JobRecord[] {
    return this.#options.plant.journal.all();
  }

  #record(jobId: string): JobRecord {
    const record = this.#options.plant.journal.get(jobId);
    if (record === undefined)
      throw new GantryError("JOB_UNKNOWN", `There is no job ${jobId} here; it may have been forgotten.`);
    return record;
  }

  /** Starts whatever may start now: by priority, then by age. */
  #schedule(): void {
    if (this.#stopping) return;
    const queued = this.list()
      .filter((record) => this.#waits(record))
      .sort((a, b) => b.spec.priority - a.spec.priority || a.submittedMs - b.submittedMs);
    for (const record of queued) {
      if (this.#running.size >= this.#options.plant.config().concurrent) return;
      if (this.#locks.take(record.spec.jobId, devicesOf(record.spec))) this.#launch(record);
    }
  }

  #launch(record: JobRecord): void {
    const { plant } = this.#options;
    const context: JobContext = {
      ...plant,
      record,
      control: new RunControl(),
      meter: new Meter(),
      closing: false,
      requestedBytesPerS: record.spec.options.bytesPerS ?? 0n,
    };
    const { jobId } = record.spec;
    // It runs all the same, to end the tape as every cancelled job does.
    if (plant.journal.cancelAsked(jobId)) context.control.cancel();
    const settled = this.#runToEnd(context)
      .catch((error: unknown) => plant.log.error({ jobId, error }, "a job could not be ended properly"))
      .then(() => {
        this.#locks.release(jobId);
        this.#running.delete(jobId);
        this.#schedule();
      });
    this.#running.set(jobId, { context, settled });
  }

  async #runToEnd(context: JobContext): Promise<void> {
    const { journal, clock, log } = this.#options.plant;
    const { jobId } = context.record.spec;
    context.record = { ...context.record, state: "running", startedMs: context.record.startedMs ?? clock.nowMs() };
    await journal.put(context.record);
    this.#options.onProgress(liveProgress(context));
    log.info({ jobId, type: context.record.spec.type, resumes: context.record.resumes }, "job started");
    const outcome = await this.#attempts(context);
    if (this.#stopping && outcome.state === "cancelled") return;
    const timedOut = outcome.state === "cancelled" && this.#overdue(context.record);
    await this.#end(context.record, context.meter, timedOut ? { ...outcome, state: "timed-out" } : outcome);
  }

  /**
   * Runs the job; when a device or a path failed, goes on from the checkpoint, a limited number of times in a row
   * without getting any further.
   */
  async #attempts(context: JobContext): Promise<JobOutcome> {
    for (let attempt = 0, reached = placeOf(context.record); ; attempt++) {
      try {
        return await this.#attempt(context);
      } catch (error) {
        const { log } = this.#options.plant;
        const { jobId } = context.record.spec;
        const failure = failureOf(error);
        if (!isGantryError(error)) log.error({ jobId, error }, "a job ended by a defect");
        // Cancelled while it was prepared (a manifest being read): no failure, and no end when the daemon stops.
        if (failure.code === "JOB_CANCELLED") return { state: "cancelled" };
        // What fails while the job is being broken off changes nothing about that: the next life goes on.
        if (context.control.cancelled && isResumable(error)) return { state: "cancelled" };
        if (placeOf(context.record) !== reached) attempt = 0;
        reached = placeOf(context.record);
        // Without room in the state directory there are no checkpoints; that is waited out, however long it takes.
        const journalFull = failure.code === "STORE_UNUSABLE";
        const again = journalFull || (isResumable(error) && attempt < context.config().resume_limit);
        if (!again) return { state: "failed", failure };
        log.warn({ jobId, failure, attempt }, `job goes on from its checkpoint: ${messageOf(error)}`);
        context.record = { ...context.record, resumes: context.record.resumes + 1 };
        await this.#untilStored(jobId, () => this.#options.plant.journal.put(context.record));
        await cancellableWait(Math.min(30_000, RESUME_WAIT_MS * 2 ** attempt), context.control);
        if (context.control.cancelled) return { state: "cancelled" };
      }
    }
  }

  async #attempt(context: JobContext): Promise<JobOutcome> {
    let lost: GantryError | undefined;
    const grant = this.#options.admit(context.record.spec);
    const unwatch = grant.watch((code, message) => {
      lost = new GantryError(code, message);
      context.control.cancel();
    });
    try {
      this.#applyRate(context);
      const outcome = await this.#options.run(grant.job, context);
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

  async #end(record: JobRecord, meter: Meter, outcome: ReportOutcome): Promise<void> {
    const report = reportOf(record, meter, outcome, this.#options.plant.clock.nowMs());
    await this.#untilStored(report.jobId, () => this.#options.plant.journal.finish(record, report));
    for (const release of this.#holds.get(report.jobId) ?? []) release();
    this.#holds.delete(report.jobId);
    this.#options.plant.log.info({ jobId: report.jobId, state: report.state, failure: report.failure }, "job ended");
    this.#options.onReport(report);
    await this.#forgetOld();
  }

  #waits({ state, spec }: JobRecord): boolean {
    return state === "queued" && !this.#running.has(spec.jobId) && !this.#ending.has(spec.jobId);
  }

  /** Ends a job that never started. */
  async #endQueued(record: JobRecord, state: "cancelled" | "timed-out"): Promise<void> {
    const { jobId } = record.spec;
    if (this.#ending.has(jobId)) return;
    this.#ending.add(jobId);
    try {
      await this.#end(record, new Meter(), { state });
    } finally {
      this.#ending.delete(jobId);
    }
  }

  /** Writes to the journal as soon as the state directory takes it; gives up only when the daemon stops. */
  async #untilStored(jobId: string, write: () => Promise<unknown>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await write();
        return;
      } catch (error) {
        if (this.#stopping || !isGantryError(error) || error.code !== "STORE_UNUSABLE") throw error;
        if (attempt === 0) this.#options.plant.log.error({ jobId, error }, `job waits: ${messageOf(error)}`);
        await new Promise((resolve) => setTimeout(resolve, STORE_WAIT_MS));
      }
    }
  }

  /** Keeps the newest reports, as many as configured. */
  async #forgetOld(): Promise<void> {
    const ended = this.list().filter(({ state }) => JOB_ENDS.includes(state));
    const surplus = ended.length - this.#options.plant.config().keep_reports;
    if (surplus <= 0) return;
    const oldest = ended.sort((a, b) => (a.endedMs ?? 0) - (b.endedMs ?? 0)).slice(0, surplus);
    await this.#options.plant.journal.forget(oldest.map(({ spec }) => spec.jobId));
  }

  #tick(): void {
    for (const { context } of this.#running.values()) {
      this.#applyRate(context);
      if (this.#overdue(context.record)) context.control.cancel();
      this.#options.onProgress(liveProgress(context));
    }
    for (const record of this.list()) {
      if (this.#waits(record) && this.#overdue(record)) {
        void this.#endQueued(record, "timed-out").catch((error: unknown) =>
          this.#options.plant.log.error({ jobId: record.spec.jobId, error }, "a queued job could not be timed out"),
        );
      }
    }
  }

  #overdue({ spec, submittedMs }: JobRecord): boolean {
    const limit = spec.options.timeoutMs ?? 0;
    return limit > 0 && this.#options.plant.clock.nowMs() - submittedMs > limit;
  }

  #applyRate(context: JobContext): void {
    const rate = rateAt(context.config(), context.requestedBytesPerS, minuteOfDay(this.#options.plant.clock.nowMs()));
    if (rate !== context.control.bytesPerS) context.control.rate(rate);
  }
}

/** How far a job is, to be compared only. */
const placeOf = ({ current, checkpoint }: JobRecord): string => `${current?.index} ${checkpoint?.offset}`;

const liveProgress = (context: JobContext): JobProgress => progressOf({ ...context, paused: context.control.paused });

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
