// Blocks of a source that could not be read and stand as zeros in the copy: in the job's record and so in its report,
// and in the log.
import type { LostBlocks } from "../job.js";
import { senseInWords } from "../wire/sense.js";
import type { MidEvent } from "./copy-run.js";
import type { JobContext } from "./job-context.js";
import { REPORT_ENTRIES } from "./results.js";

/** The log has them all, the record as many as a report may have. */
export function noteLost(
  context: JobContext,
  device: string,
  { lba, blocks, streamOffset, sense }: Extract<MidEvent, { type: "medium-error" }>,
): void {
  const { log, record } = context;
  const lost: LostBlocks = { device, lba, blocks, sense: senseInWords(sense), streamOffset };
  log.warn({ jobId: record.spec.jobId, ...lost }, "blocks of the source could not be read; the copy has zeros instead");
  if (record.lost.length < REPORT_ENTRIES) context.record = { ...record, lost: [...record.lost, lost] };
}

/** A run that begins at this stream offset meets what lies behind it again, and reports it again. */
export const lostBefore = (lost: readonly LostBlocks[], streamOffset: bigint): readonly LostBlocks[] =>
  lost.filter((blocks) => blocks.streamOffset < streamOffset);
