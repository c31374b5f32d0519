// What there is of copies that ended: the latest in memory, and on stable storage those that have a report there. Writes
// go one after the other for each copy, and one that the state directory refuses is tried again.
import type { CopyRecords } from "../copy/copy-records.js";
import type { JobProgress, JobReport } from "../job.js";
import { messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";

/** Reports that are remembered without being stored. */
export const REMEMBERED = 256;
/** Records besides the reports that are to be kept: of copies that run, and of reports that the server does not take. */
export const SPARE = 256;

export interface DiaryOptions {
  readonly records: CopyRecords;
  readonly keep: () => number;
  readonly log: Pick<Logger, "error">;
  readonly onReport: (jobId: string) => void;
}

export class Diary {
  readonly #options: DiaryOptions;
  /** The latest end is last. */
  readonly #remembered = new Map<string, JobReport>();
  /** Reports that are to be stored, and are not yet. */
  readonly #closing = new Map<string, JobReport>();
  /** Ends of the queues of writes; never reject. */
  readonly #writing = new Map<string, Promise<void>>();
  /** The state directory does not take writes, and the log has it. */
  #refusing = false;

  constructor(options: DiaryOptions) {
    this.#options = options;
  }

  /** Whether one more copy may have a record; not for ever, while the MQTT server or the state directory takes none. */
  get hasRoom(): boolean {
    const { records, keep } = this.#options;
    return records.size + Math.max(this.#writing.size, this.#closing.size) < keep() + SPARE;
  }

  /** Something is to be written again. */
  get waiting(): boolean {
    return this.#closing.size > 0;
  }

  get(jobId: string): JobReport | undefined {
    return this.#closing.get(jobId) ?? this.#options.records.get(jobId)?.report ?? this.#remembered.get(jobId);
  }

  has(jobId: string): boolean {
    return this.get(jobId) !== undefined;
  }

  /** Each once. */
  all(): readonly JobReport[] {
    const stored = this.#options.records.all().flatMap(({ report }) => report ?? []);
    const all = [...this.#remembered.values(), ...stored, ...this.#closing.values()];
    return [...new Map(all.map((report) => [report.jobId, report])).values()];
  }

  /** In memory only. */
  remember(report: JobReport): void {
    this.#remembered.set(report.jobId, report);
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= REMEMBERED) return;
      this.#remembered.delete(oldest);
    }
  }

  /** The record of a copy that runs, new or as it is by now. */
  open(progress: JobProgress, submittedMs: number): void {
    this.#write(progress.jobId, async () => {
      // It may have ended while it waited for its turn.
      if (!this.has(progress.jobId)) await this.#options.records.put(progress, submittedMs);
    });
  }

  /** The end of a copy, on stable storage from soon on; where there is no room it is remembered. */
  close(report: JobReport): void {
    const { records } = this.#options;
    if (records.get(report.jobId) === undefined && !this.hasRoom && !this.#writing.has(report.jobId)) {
      this.remember(report);
      return;
    }
    this.#closing.set(report.jobId, report);
    this.#finish(report);
  }

  /** What was refused by the state directory is tried once more. */
  again(): void {
    for (const report of this.#closing.values()) if (!this.#writing.has(report.jobId)) this.#finish(report);
  }

  async forget(jobId: string): Promise<void> {
    await this.#writing.get(jobId);
    this.#remembered.delete(jobId);
    this.#closing.delete(jobId);
    if (await this.#options.records.forget(jobId)) this.#options.onReport(jobId);
  }

  /** Resolves when nothing is under way. */
  async written(): Promise<void> {
    while (this.#writing.size > 0) await Promise.all(this.#writing.values());
  }

  #finish(report: JobReport): void {
    const { jobId } = report;
    this.#write(jobId, async () => {
      const { records, keep, onReport } = this.#options;
      if (this.#closing.get(jobId) !== report) return;
      const gone = await records.finish(report, keep());
      this.#closing.delete(jobId);
      this.#remembered.delete(jobId);
      for (const id of [jobId, ...gone]) onReport(id);
    });
  }

  #write(jobId: string, write: () => Promise<void>): void {
    const before = this.#writing.get(jobId) ?? Promise.resolve();
    const mine = before.then(write).then(
      () => {
        this.#refusing = false;
      },
      (error: unknown) => {
        if (!this.#refusing) this.#options.log.error({ jobId, error }, `records of copies wait: ${messageOf(error)}`);
        this.#refusing = true;
      },
    );
    const end = mine.finally(() => {
      if (this.#writing.get(jobId) === end) this.#writing.delete(jobId);
    });
    this.#writing.set(jobId, end);
  }
}
