// What is kept of third-party copies on stable storage: those that run for long, so that a loss of power does not make them
// vanish, and the reports of those that ended. They are beside the jobs and not among them: nobody goes on with a copy, and
// a server whose copies fail all day must not push out the reports of jobs.
import { deserialize, serialize } from "node:v8";
import type { JobProgress, JobReport } from "../job.js";
import { GantryError, isGantryError } from "../sys/errors.js";
import type { Store, StoreChange, StoreKey } from "../sys/store.js";
import type { ReportLedger } from "./report-ledger.js";
import { seal, unseal } from "./sealed.js";

export interface CopyRecord {
  /** As it was when the record was written. */
  readonly progress: JobProgress;
  readonly submittedMs: number;
  /** It has ended. */
  readonly report?: JobReport;
  /** Number of the end, as a job has one. */
  readonly endOrder?: number;
}

const VERSION = 1;
const ROOM = "copy-job";
const WHAT = "A record of a third-party copy";
const keyOf = (jobId: string): StoreKey => [ROOM, jobId];

export class CopyRecords {
  readonly #store: Store;
  readonly #ledger: ReportLedger;
  readonly #records = new Map<string, CopyRecord>();
  #ends = 0;

  constructor(store: Store, ledger: ReportLedger) {
    this.#store = store;
    this.#ledger = ledger;
  }

  /** Reads every record; to be called once, before anything else. @throws GantryError STORE_CORRUPT */
  load(): void {
    // Jobs are loaded later than copies can begin, and which reports may go is asked before.
    this.#ledger.load();
    for (const { value } of this.#store.under([ROOM])) {
      const record = decode(value);
      this.#records.set(record.progress.jobId, record);
      this.#ends = Math.max(this.#ends, record.endOrder ?? 0);
    }
  }

  get(jobId: string): CopyRecord | undefined {
    return this.#records.get(jobId);
  }

  all(): readonly CopyRecord[] {
    return [...this.#records.values()];
  }

  get size(): number {
    return this.#records.size;
  }

  /** A copy that runs. Resolves when it is on stable storage. */
  async put(progress: JobProgress, submittedMs: number): Promise<void> {
    const record = { progress, submittedMs };
    await this.#store.put(keyOf(progress.jobId), encode(record));
    this.#records.set(progress.jobId, record);
  }

  /**
   * The end of a copy; of all reports the newest stay, and every one that the server does not have yet.
   * @returns ids of those that went
   */
  async finish(report: JobReport, keep: number): Promise<readonly string[]> {
    const { jobId, submittedMs } = report;
    const record: CopyRecord = { progress: progressOf(report), submittedMs, report, endOrder: ++this.#ends };
    const surplus = this.#surplus(jobId, keep);
    await this.#ledger.changing([jobId, ...surplus], async (untold) => {
      const changes: StoreChange[] = surplus.map((id) => ({ delete: keyOf(id) }));
      await this.#store.batch([{ put: keyOf(jobId), value: encode(record) }, ...changes, ...untold]);
      this.#records.set(jobId, record);
      for (const id of surplus) this.#records.delete(id);
    });
    return surplus;
  }

  /** Forgets a copy that ended; false when it is not here, or runs. */
  async forget(jobId: string): Promise<boolean> {
    if (this.#records.get(jobId)?.report === undefined) return false;
    await this.#ledger.changing([jobId], async (untold) => {
      await this.#store.batch([{ delete: keyOf(jobId) }, ...untold]);
      this.#records.delete(jobId);
    });
    return true;
  }

  /** Those that go so that with the one that ends now there are no more than `keep`. */
  #surplus(ending: string, keep: number): readonly string[] {
    const ended = this.all().filter(({ report }) => report !== undefined && report.jobId !== ending);
    const over = ended.length + 1 - keep;
    if (over <= 0) return [];
    const told = ended.filter(({ progress }) => !this.#ledger.isUntold(progress.jobId));
    const oldest = told.sort((a, b) => (a.endOrder ?? 0) - (b.endOrder ?? 0)).slice(0, over);
    return oldest.map(({ progress }) => progress.jobId);
  }
}

/** The fields of progress out of a report, which has them all. */
export function progressOf(report: JobReport): JobProgress {
  const {
    jobId,
    type,
    state,
    bytesDone,
    bytesTotal,
    membersDone,
    membersTotal,
    bytesPerS,
    cartridge,
    tapeWaits,
    copy,
  } = report;
  const progress = { jobId, type, state, bytesDone, bytesTotal, membersDone, membersTotal, bytesPerS, tapeWaits };
  return { ...progress, ...(cartridge !== undefined && { cartridge }), ...(copy && { copy }) };
}

const encode = (record: CopyRecord): Uint8Array => seal(serialize([VERSION, record]));

function decode(bytes: Uint8Array): CopyRecord {
  let value: unknown;
  try {
    value = deserialize(unseal(bytes, WHAT));
  } catch (error) {
    if (isGantryError(error)) throw error;
    throw new GantryError("STORE_CORRUPT", `${WHAT} in the state directory cannot be read.`, { cause: error });
  }
  if (Array.isArray(value) && value[0] === VERSION) return value[1] as CopyRecord;
  throw new GantryError("STORE_CORRUPT", `${WHAT} in the state directory is of a version that is not known here.`);
}
