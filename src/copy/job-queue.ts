// The queue of jobs: takes them in (durably), starts them by priority when their devices are free, carries
// pause, resume, rate and cancel to them, and lets each end exactly once.
import { isDeepStrictEqual } from "node:util";
import { JOB_ENDS, type JobProgress, type JobReport, type JobSpec, type JobState } from "../job.js";
import { GantryError, messageOf } from "../sys/errors.js";
import { type Admit, devicesOf } from "./admission.js";
import { RunControl } from "./copy-run.js";
import { DeviceLocks } from "./device-locks.js";
import { checkRing } from "./engine-options.js";
import { JobAges } from "./job-ages.js";
import { type RunJob, runToOutcome, untilStored } from "./job-attempts.js";
import { type JobContext, type JobPlant, Meter } from "./job-context.js";
import type { JobRecord } from "./job-record.js";
import { minuteOfDay, rateAt } from "./rate.js";
import { progressOf, type ReportOutcome, reportOf } from "./results.js";

export interface JobQueueOptions {
  readonly plant: JobPlant;
  readonly admit: Admit;
  readonly run: RunJob;
  /** Checks that need no key: lists, devices, options. Throws GantryError. */
  readonly check: (spec: JobSpec) => void;
  /** Whether servers leave it its devices; while they do not, it waits. Asked when no other job has them. */
  readonly mayStart?: (spec: JobSpec) => boolean;
  readonly onProgress: (progress: JobProgress) => void;
  readonly onReport: (report: JobReport) => void;
  /** Jobs were forgotten, by command or because newer ones ended. */
  readonly onForget: (jobIds: readonly string[]) => void;
  /** Makes archive ids. */
  readonly newId: () => string;
}

interface Running {
  readonly context: JobContext;
  readonly settled: Promise<void>;
}

const PROGRESS_MS = 1000;

export class JobQueue {
  readonly #options: JobQueueOptions;
  readonly #running = new Map<string, Running>();
  readonly #locks = new DeviceLocks();
  /** Jobs on their way to stable storage; never rejects. */
  readonly #accepting = new Map<string, Promise<unknown>>();
  /** Queued jobs whose end is being written: they must not start meanwhile, nor end again. */
  readonly #ending = new Set<string>();
  /** What keeps the lists of jobs that have not ended from being dropped. */
  readonly #holds = new Map<string, () => void>();
  /** Since submission, and since the start. */
  readonly #waiting: JobAges;
  readonly #working: JobAges;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: JobQueueOptions) {
    this.#options = options;
    this.#waiting = new JobAges(options.plant.clock);
    this.#working = new JobAges(options.plant.clock);
  }

  /** Takes up what an earlier life of the daemon left: ended jobs stay, running ones are queued to resume. */
  async start(): Promise<void> {
    const { journal } = this.#options.plant;
    for (const record of journal.load()) {
      if (record.state === "running") await journal.put({ ...record, state: "queued", resumes: record.resumes + 1 });
      if (JOB_ENDS.includes(record.state)) continue;
      this.#hold(record.spec);
      this.#waiting.begin(record.spec.jobId, record.submittedMs);
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
    const tapeBlockBytes = spec.options.tapeBlockBytes ?? config().tape_block_kib * 1024;
    // A job that reads learns the block size from the tape where it names none.
    if (spec.options.tapeBlockBytes !== undefined || spec.type === "backup") checkRing(arena, config(), tapeBlockBytes);
    this.#options.admit(spec);
    // From the moment that it was found whole: the list must not be dropped while the job is being stored.
    const release = this.#hold(spec);
    const stored = journal.put({
      spec,
      state: "queued",
      archiveId: this.#options.newId(),
      submittedMs: clock.nowMs(),
      volumes: [],
      tapeBlockBytes,
      resumes: 0,
      lost: [],
    });
    const settled = stored.catch(() => undefined).then(() => this.#accepting.delete(spec.jobId));
    this.#accepting.set(spec.jobId, settled);
    try {
      await stored;
    } catch (error) {
      release();
      throw error;
    }
    this.#waiting.begin(spec.jobId);
    this.#schedule();
    return "queued";
  }

  /** A list that is gone is found missing when the job starts. */
  #hold(spec: JobSpec): () => void {
    const { lists } = this.#options.plant;
    const ids = [spec.listId, spec.toListId].filter((id) => id !== undefined && lists.header(id) !== undefined);
    const holds = ids.map((id) => lists.hold(id ?? ""));
    const release = (): void => {
      for (const letGo of holds) letGo();
      this.#holds.delete(spec.jobId);
    };
    this.#holds.set(spec.jobId, release);
    return release;
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
    delete running.context.yieldedTo;
    running.context.control.cancel();
    // Before it is acknowledged: a job that was cancelled must not go on in another life of the daemon.
    await this.#options.plant.journal.ask(jobId, { cancel: true });
  }

  /** Holds a running job where it is, over restarts too, until it is resumed. */
  async pause(jobId: string): Promise<void> {
    const { control } = this.#runningJob(jobId);
    await this.#options.plant.journal.ask(jobId, { paused: true });
    control.pause();
    this.#tellProgress(jobId);
  }

  async resume(jobId: string): Promise<void> {
    const { control } = this.#runningJob(jobId);
    await this.#options.plant.journal.ask(jobId, { paused: false });
    control.resume();
    this.#tellProgress(jobId);
  }

  /** Bytes per second, 0n: unlimited. Holds until the job ends. */
  async rate(jobId: string, bytesPerS: bigint): Promise<void> {
    const context = this.#runningJob(jobId);
    await this.#options.plant.journal.ask(jobId, { bytesPerS });
    context.requestedBytesPerS = bytesPerS;
    this.#applyRate(context);
  }

  /** Throws JOB_UNKNOWN, JOB_NOT_RUNNING. */
  #runningJob(jobId: string): JobContext {
    const { state } = this.#record(jobId);
    const running = this.#running.get(jobId);
    if (running !== undefined) return running.context;
    throw new GantryError(
      "JOB_NOT_RUNNING",
      `Job ${jobId} is ${state}; only a running job can be paused, resumed or slowed down.`,
    );
  }

  #tellProgress(jobId: string): void {
    const running = this.#running.get(jobId);
    if (running !== undefined) this.#options.onProgress(liveProgress(running.context));
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
    return this.#forget([jobId]);
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

  /** Ids of jobs that have the device now. */
  jobsOn(device: string): readonly string[] {
    return this.#locks.holders(device);
  }

  /** Something that jobs wait for may be there now: mayStart() is asked again. */
  wake(): void {
    if (this.#timer !== undefined) this.#schedule();
  }

  /** Starts whatever may start now: by priority, then by age. */
  #schedule(): void {
    if (this.#stopping) return;
    const queued = this.list()
      .filter((record) => this.#waits(record))
      .sort((a, b) => b.spec.priority - a.spec.priority || a.submittedMs - b.submittedMs);
    for (const record of queued) {
      if (this.#running.size >= this.#options.plant.config().concurrent) return;
      if (!this.#locks.take(record.spec.jobId, devicesOf(record.spec))) continue;
      if (this.#options.mayStart?.(record.spec) === false) this.#locks.release(record.spec.jobId);
      else this.#launch(record);
    }
  }

  #launch(record: JobRecord): void {
    const { plant } = this.#options;
    const { jobId } = record.spec;
    const wish = plant.journal.wishFor(jobId);
    const context: JobContext = {
      ...plant,
      record,
      control: new RunControl(),
      meter: new Meter(),
      closing: false,
      requestedBytesPerS: wish.bytesPerS ?? record.spec.options.bytesPerS ?? 0n,
    };
    // It runs all the same, to end the tape as every cancelled job does.
    if (wish.cancel === true) context.control.cancel();
    if (wish.paused === true) context.control.pause();
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
    this.#working.begin(jobId, context.record.startedMs);
    await this.#stored(jobId, () => journal.put(context.record));
    this.#options.onProgress(liveProgress(context));
    log.info({ jobId, type: context.record.spec.type, resumes: context.record.resumes }, "job started");
    const outcome = await runToOutcome(context, {
      ...this.#options,
      applyRate: () => this.#applyRate(context),
      stored: (write) => this.#stored(jobId, write),
    });
    if (this.#stopping && outcome.state === "cancelled") return;
    const timedOut = outcome.state === "cancelled" && this.#overdue(context.record);
    if (outcome.state === "cancelled" && !timedOut && context.yieldedTo !== undefined) return this.#requeue(context);
    await this.#end(context.record, context.meter, timedOut ? { ...outcome, state: "timed-out" } : outcome);
  }

  /** It gave a device up: it waits for it as any other, and goes on where it was. */
  async #requeue({ record, meter, yieldedTo }: JobContext): Promise<void> {
    const { journal, log } = this.#options.plant;
    const { jobId } = record.spec;
    const waiting: JobRecord = { ...record, state: "queued", resumes: record.resumes + 1 };
    await this.#stored(jobId, () => journal.put(waiting));
    log.info({ jobId, yieldedTo }, "job waits, because its device was taken");
    this.#options.onProgress(progressOf({ record: waiting, meter, paused: false }));
  }

  async #end(record: JobRecord, meter: Meter, outcome: ReportOutcome): Promise<void> {
    const { jobId } = record.spec;
    const times = { endedMs: this.#options.plant.clock.nowMs(), ranMs: this.#working.ms(jobId) };
    const report = reportOf(record, meter, outcome, times);
    await this.#stored(report.jobId, () => this.#options.plant.journal.finish(record, report));
    this.#holds.get(report.jobId)?.();
    this.#waiting.drop(jobId);
    this.#working.drop(jobId);
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

  #stored(jobId: string, write: () => Promise<unknown>): Promise<void> {
    return untilStored(write, {
      stopping: () => this.#stopping,
      onWait: (error) => this.#options.plant.log.error({ jobId, error }, `job waits: ${messageOf(error)}`),
    });
  }

  /** Keeps the newest reports, as many as configured, and every one that the MQTT server does not have yet. */
  async #forgetOld(): Promise<void> {
    const { journal } = this.#options.plant;
    const ended = this.list().filter(({ state }) => JOB_ENDS.includes(state));
    const surplus = ended.length - this.#options.plant.config().keep_reports;
    if (surplus <= 0) return;
    const told = ended.filter(({ spec }) => !journal.reports.isUntold(spec.jobId));
    const oldest = told.sort((a, b) => (a.endOrder ?? 0) - (b.endOrder ?? 0)).slice(0, surplus);
    await this.#forget(oldest.map(({ spec }) => spec.jobId));
  }

  async #forget(jobIds: readonly string[]): Promise<boolean> {
    const forgotten = await this.#options.plant.journal.forget(jobIds);
    if (forgotten.length > 0) this.#options.onForget(forgotten);
    return forgotten.length > 0;
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

  #overdue({ spec }: JobRecord): boolean {
    const limit = spec.options.timeoutMs ?? 0;
    return limit > 0 && this.#waiting.ms(spec.jobId) > limit;
  }

  #applyRate(context: JobContext): void {
    const rate = rateAt(context.config(), context.requestedBytesPerS, minuteOfDay(this.#options.plant.clock.nowMs()));
    if (rate !== context.control.bytesPerS) context.control.rate(rate);
  }
}

const liveProgress = (context: JobContext): JobProgress => progressOf({ ...context, paused: context.control.paused });
