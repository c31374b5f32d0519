// The book of third-party copies: each is a job of type "copy" to the broker and to the shell. Most are over in no time, and
// must not pay for being told of: they are remembered in memory and told of in sums. One that runs for long is put on stable
// storage, shows its progress, and has a stored report as every job has; one that fails has a report, too, at a rate that
// can be read.
import type { CopyRecords } from "../copy/copy-records.js";
import { JOB_ENDS, type JobProgress, type JobReport } from "../job.js";
import type { Clock, Timers } from "../sys/clock.js";
import { GantryError } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import { STATUS } from "../wire/names.js";
import type { CopyRefusal, Forwarded } from "../wire/xcopy/refusal.js";
import type { ActiveCopy } from "./active.js";
import { kindOf, progressOfCopy, reportOfCopy, reportOfInterrupted, reportOfRefused } from "./book-facts.js";
import { Diary } from "./diary.js";
import { type DoneSum, DoneSums } from "./done-sums.js";
import type { RefusedCopy } from "./refused-copy.js";
import { ToldFailures } from "./told-failures.js";

/** How often copies that run are looked at; one that is younger than this when it ends was short. */
const TICK_MS = 1000;
/** What the record of a copy that runs says of it is no older, nearly. */
const STORE_MS = 10_000;
/** Looks over which the rate of a copy is measured. */
const SAMPLES = 5;

export interface CopyBookOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly records: CopyRecords;
  /** Reports that are kept. */
  readonly keep: () => number;
  /** Another with each start of the daemon; of the characters of a job id. */
  readonly boot: string;
  readonly onProgress: (progress: JobProgress) => void;
  /** The stored report of this id is there, or is there no more. */
  readonly onReport: (jobId: string) => void;
  readonly onDone: (sum: DoneSum) => void;
}

interface Running {
  readonly jobId: string;
  readonly copy: ActiveCopy;
  readonly initiator: string;
  readonly submittedMs: number;
  readonly begunMs: number;
  samples: readonly { readonly atMs: number; readonly bytes: bigint }[];
  /** When its record was written; undefined: it has none. */
  storedMs: number | undefined;
}

/** How many copies there were since the start, and how they ended. */
export interface CopyCounts {
  readonly running: number;
  readonly offloaded: number;
  readonly failed: number;
  readonly refused: number;
  readonly bytes: bigint;
}

export class CopyBook {
  readonly #options: CopyBookOptions;
  readonly #running = new Map<string, Running>();
  readonly #byCopy = new Map<ActiveCopy, Running>();
  readonly #diary: Diary;
  readonly #sums = new DoneSums();
  readonly #failures: ToldFailures<JobReport>;
  readonly #counts = { offloaded: 0, failed: 0, refused: 0, bytes: 0n };
  #serial = 0;
  #timer: (() => void) | undefined;
  #stopped = false;

  constructor(options: CopyBookOptions) {
    this.#options = options;
    this.#diary = new Diary(options);
    this.#failures = new ToldFailures({
      clock: options.clock,
      tell: (report, count) => this.#tellFailure(report, count),
      onSkipped: () => options.log.warn("more third-party copies failed than were told of"),
    });
  }

  /** Ends what ran when an earlier life of the daemon ended; before any server can log in. */
  async start(): Promise<void> {
    const { records, clock } = this.#options;
    records.load();
    for (const { progress, submittedMs, report } of records.all())
      if (report === undefined) this.#diary.close(reportOfInterrupted(progress, submittedMs, clock.nowMs()));
    await this.#diary.written();
  }

  /** When no copy runs any more; resolves when all that is to be stored is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.();
    this.#timer = undefined;
    this.#tellSums(true);
    await this.#diary.written();
  }

  begun(copy: ActiveCopy, initiator: string): void {
    const { clock } = this.#options;
    const begunMs = clock.monotonicMs();
    const [jobId, submittedMs] = [this.#newId(), clock.nowMs()];
    const samples = [{ atMs: begunMs, bytes: 0n }];
    const running = { jobId, copy, initiator, submittedMs, begunMs, samples, storedMs: undefined };
    this.#running.set(jobId, running);
    this.#byCopy.set(copy, running);
    this.#wake();
  }

  /** @param failure absent: it did what it was to do */
  ended(copy: ActiveCopy, _initiator: string, failure?: CopyRefusal): void {
    const running = this.#byCopy.get(copy);
    if (running === undefined) return;
    this.#byCopy.delete(copy);
    this.#running.delete(running.jobId);
    const { clock, log } = this.#options;
    const times = { endedMs: clock.nowMs(), ranMs: clock.monotonicMs() - running.begunMs };
    const report = reportOfCopy(running, times, failure);
    this.#counts.bytes += report.bytesDone;
    this.#counts[failure === undefined ? "offloaded" : "failed"] += 1;
    if (running.storedMs !== undefined) {
      log[failure === undefined ? "info" : "warn"](logged(report), "a third-party copy ended");
      this.#diary.close(report);
      return;
    }
    this.#diary.remember(report);
    if (failure === undefined) this.#sums.add(report, clock.monotonicMs());
    else this.#failed(report, copy.operation.facts.device, copy.operation.result);
    this.#wake();
  }

  refused(refused: RefusedCopy): void {
    this.#counts.refused += 1;
    const report = reportOfRefused(this.#newId(), refused, this.#options.clock.nowMs());
    this.#diary.remember(report);
    this.#failed(report, refused.device, refused);
    this.#wake();
  }

  get counts(): CopyCounts {
    return { running: this.#running.size, ...this.#counts };
  }

  /** Whether the id is, or could be, that of a copy. */
  owns(jobId: string): boolean {
    return jobId.startsWith(`${this.#prefix}-`) || this.#diary.has(jobId);
  }

  /** @throws GantryError JOB_UNKNOWN */
  progress(jobId: string): JobProgress | JobReport {
    const running = this.#running.get(jobId);
    if (running !== undefined) return this.#live(running);
    const report = this.#diary.get(jobId);
    if (report !== undefined) return report;
    throw new GantryError("JOB_UNKNOWN", `There is no copy ${jobId} here; it may have been forgotten.`);
  }

  list(): readonly { readonly jobId: string; readonly submittedMs: number }[] {
    return [...this.#running.values(), ...this.#diary.all()].map(({ jobId, submittedMs }) => ({ jobId, submittedMs }));
  }

  /** Those that run, and the latest of those that ended, the last end first. */
  latest(count: number): { readonly running: readonly JobProgress[]; readonly ended: readonly JobReport[] } {
    const ended = [...this.#diary.all()].sort((a, b) => b.endedMs - a.endedMs).slice(0, count);
    return { running: [...this.#running.values()].map((one) => this.#live(one)), ended };
  }

  /** It stops at the next command boundary. @throws GantryError JOB_UNKNOWN, JOB_CANCEL_REFUSED */
  cancel(jobId: string): void {
    const running = this.#running.get(jobId);
    running?.copy.stop("cancelled");
    const { state } = this.progress(jobId);
    if (running === undefined && state !== "cancelled")
      throw new GantryError("JOB_CANCEL_REFUSED", `Copy ${jobId} has ended (${state}); there is nothing to cancel.`);
  }

  /** The server waits meanwhile, and may lose patience. @throws GantryError JOB_UNKNOWN, JOB_NOT_RUNNING */
  pause(jobId: string): void {
    const running = this.#runningJob(jobId);
    running.copy.control.pause();
    this.#options.onProgress(this.#live(running));
  }

  /** @throws GantryError JOB_UNKNOWN, JOB_NOT_RUNNING */
  resume(jobId: string): void {
    const running = this.#runningJob(jobId);
    running.copy.control.resume();
    this.#options.onProgress(this.#live(running));
  }

  /** Bytes per second, 0n: unlimited. @throws GantryError JOB_UNKNOWN, JOB_NOT_RUNNING */
  rate(jobId: string, bytesPerS: bigint): void {
    this.#runningJob(jobId).copy.control.rate(bytesPerS);
  }

  /** False: it has not ended. @throws GantryError JOB_UNKNOWN */
  async forget(jobId: string): Promise<boolean> {
    if (!JOB_ENDS.includes(this.progress(jobId).state)) return false;
    await this.#diary.forget(jobId);
    return true;
  }

  get #prefix(): string {
    return `copy-${this.#options.boot}`;
  }

  #newId(): string {
    this.#serial += 1;
    return `${this.#prefix}-${this.#serial}`;
  }

  #runningJob(jobId: string): Running {
    const running = this.#running.get(jobId);
    if (running !== undefined) return running;
    const { state } = this.progress(jobId);
    throw new GantryError(
      "JOB_NOT_RUNNING",
      `Copy ${jobId} is ${state}; only a running one can be paused, resumed or slowed down.`,
    );
  }

  #live(running: Running): JobProgress {
    running.copy.refresh();
    const [first] = running.samples;
    const ms = first === undefined ? 0 : this.#options.clock.monotonicMs() - first.atMs;
    const moved = running.copy.operation.bytes - (first?.bytes ?? 0n);
    return progressOfCopy(running, ms < 1 ? 0n : (moved * 1000n) / BigInt(Math.round(ms)));
  }

  #failed(report: JobReport, device: string, got: Partial<Forwarded> | undefined): void {
    const { status = STATUS.CHECK_CONDITION, sense = new Uint8Array(0) } = got ?? {};
    this.#failures.note(kindOf(report.copy?.initiator ?? "", device, status, sense), report);
  }

  #tellFailure(report: JobReport, count: number): void {
    const { failure } = report;
    const told: JobReport =
      failure === undefined ? report : { ...report, failure: { ...failure, details: { ...failure.details, count } } };
    this.#options.log.warn({ ...logged(told), count }, "a third-party copy was not done");
    this.#diary.close(told);
  }

  #tellSums(all = false): void {
    for (const sum of this.#sums.take(this.#options.clock.monotonicMs(), all)) {
      this.#options.log.info(sum, "third-party copies were done");
      this.#options.onDone(sum);
    }
  }

  #wake(): void {
    if (this.#stopped) return;
    this.#timer ??= this.#options.timers.after(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    this.#timer = undefined;
    const now = this.#options.clock.monotonicMs();
    for (const running of this.#running.values()) if (now - running.begunMs >= TICK_MS) this.#look(running, now);
    this.#failures.again();
    this.#tellSums();
    this.#diary.again();
    if (this.#running.size > 0 || this.#failures.waiting || this.#sums.waiting || this.#diary.waiting) this.#wake();
  }

  /** At a copy that has run for a while. */
  #look(running: Running, now: number): void {
    const progress = this.#live(running);
    running.samples = [...running.samples, { atMs: now, bytes: progress.bytesDone }].slice(-SAMPLES);
    this.#options.onProgress(progress);
    if (running.storedMs === undefined ? !this.#diary.hasRoom : now - running.storedMs < STORE_MS) return;
    if (running.storedMs === undefined) this.#options.log.info(logged(progress), "a third-party copy goes on for long");
    running.storedMs = now;
    this.#diary.open(progress, running.submittedMs);
  }
}

function logged({ jobId, state, bytesDone, copy, ...rest }: JobProgress | JobReport): Record<string, unknown> {
  const failure = "failure" in rest ? rest.failure : undefined;
  return { jobId, state, bytesDone, ...copy, ...(failure && { failure }) };
}
