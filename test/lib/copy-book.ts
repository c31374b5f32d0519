// A life of the daemon as far as the book of third-party copies goes: copies begin and end when the test says so.
import type { ExecutionContext } from "ava";
import * as v from "valibot";
import { jobProgressSchema, jobReportSchema } from "../../src/control/messages/jobs.js";
import { Journal } from "../../src/copy/journal.js";
import { ActiveCopy } from "../../src/copy-manager/active.js";
import { CopyBook } from "../../src/copy-manager/book.js";
import type { DoneSum } from "../../src/copy-manager/done-sums.js";
import { Operation } from "../../src/copy-manager/operation.js";
import type { RefusedCopy } from "../../src/copy-manager/refused-copy.js";
import type { CopyAccess } from "../../src/copy-manager/steps.js";
import type { JobProgress, JobReport } from "../../src/job.js";
import { ManualClock } from "../../src/sys/clock.js";
import { silentLogger } from "../../src/sys/log.js";
import { MemoryStore } from "../../src/sys/memory-store.js";
import { fixedCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { ASC, type CopyRefusal, refused } from "../../src/wire/xcopy/refusal.js";

export const HOST = "iqn.2024-01.org.example:host";
const REFUSAL = refused(ASC.LIST_FIELD, "it is wrong", 12);

interface Copied {
  readonly initiator?: string;
  readonly uses?: Readonly<Record<string, CopyAccess>>;
  readonly bytes?: bigint;
  readonly segmentsDone?: number;
}

export async function bookLife(store = new MemoryStore(), boot = "b00t", keep = 1000) {
  const clock = new ManualClock();
  const journal = new Journal(store);
  journal.load();
  const told = { progress: [] as JobProgress[], reports: [] as string[], sums: [] as DoneSum[] };
  const book = new CopyBook({
    clock,
    timers: clock,
    log: silentLogger(),
    records: journal.copies,
    keep: () => keep,
    boot,
    onProgress: (progress) => told.progress.push(progress),
    onReport: (jobId) => told.reports.push(jobId),
    onDone: (sum) => told.sums.push(sum),
  });
  await book.start();
  const initiators = new Map<ActiveCopy, string>();
  const home = { nowMs: () => clock.monotonicMs(), roomToHold: () => 0, ended: () => undefined };
  return {
    store,
    clock,
    journal,
    told,
    book,
    /** One that begins now. */
    copy({ initiator = HOST, uses = {}, bytes = 0n, segmentsDone = 0 }: Copied): ActiveCopy {
      const place = { nexus: "n", lun: 2, device: "d0", kind: "copy-lid1", listId: 5, usage: 0 } as const;
      const operation = new Operation({ ...place, background: false, segments: 4 }, home);
      const copy = new ActiveCopy(operation, { nexus: 1, lun: 2, streams: true, paths: () => new Map() }, 1n);
      for (const [device, access] of Object.entries(uses)) copy.used(device, access);
      operation.progress({ bytes, segments: segmentsDone });
      initiators.set(copy, initiator);
      book.begun(copy, initiator);
      return copy;
    },
    end(copy: ActiveCopy, failure?: CopyRefusal): void {
      const got = failure && { status: 2, sense: fixedCopySense(failure.fault), fault: failure.fault };
      copy.operation.end({ state: failure === undefined ? "done" : "failed", ...got });
      book.ended(copy, initiators.get(copy) ?? "", failure);
    },
    refuse(more: Partial<RefusedCopy>): void {
      const asked = { initiator: HOST, lun: 0, device: "d0", command: "EXTENDED COPY(LID4)", listId: 5 };
      const { fault, message: problem, details } = REFUSAL;
      book.refused({ ...asked, status: 2, sense: fixedCopySense(fault), problem, details, ...more });
    },
    /** Lets writes end. */
    async settle(): Promise<void> {
      for (let turn = 0; turn < 2000; turn++) await Promise.resolve();
    },
  };
}

export function reportOf(book: CopyBook, jobId = ""): JobReport {
  const seen = book.progress(jobId);
  if ("endedMs" in seen) return seen;
  throw new Error(`${jobId} has not ended`);
}

/** As the broker's reader wants it. */
export function wellFormed<T extends JobProgress>(t: ExecutionContext<unknown>, seen: T | undefined): T {
  const schema = seen !== undefined && "endedMs" in seen ? jobReportSchema : jobProgressSchema;
  t.deepEqual(v.safeParse(schema, seen).issues, undefined);
  return seen as T;
}
