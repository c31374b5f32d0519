// Third-party copies as rows: who had what copied from where to where, and how it went, in words. Whoever wonders whether a
// server's copies are done here or by itself looks at this.
import type { CopyBook } from "../copy-manager/book.js";
import type { JobProgress, JobReport } from "../job.js";
import type { Row } from "../sys/text.js";

/** Of those that ended. */
const SHOWN = 256;

/** Those that run first, then the last end first. */
export function copyRows(book: Pick<CopyBook, "latest">): Row[] {
  const { running, ended } = book.latest(SHOWN);
  return [...running, ...ended].map(rowOf);
}

function rowOf(seen: JobProgress | JobReport): Row {
  const { jobId, state, bytesDone: bytes, bytesPerS, copy } = seen;
  const ended = "endedMs" in seen ? seen : undefined;
  return {
    jobId,
    who: copy?.initiator,
    lun: copy?.lun,
    what: copy?.command,
    listId: copy?.listId,
    from: copy?.sources ?? [],
    to: copy?.destinations ?? [],
    bytes,
    bytesPerS,
    segments: copy?.segments,
    segmentsDone: copy?.segmentsDone,
    state,
    offloaded: copy?.offloaded,
    result: resultOf(seen),
    ...(ended && { submittedMs: ended.submittedMs, endedMs: ended.endedMs }),
    ...(ended?.failure && { failure: ended.failure }),
  };
}

function resultOf({ state, copy, ...rest }: JobProgress | JobReport): string {
  const { segments = 0, segmentsDone = 0, sense } = copy ?? {};
  const far = `${segmentsDone} of ${segments} segments`;
  const said = sense ?? ("failure" in rest ? rest.failure?.code : undefined) ?? "";
  switch (state) {
    case "succeeded":
      return "offloaded";
    case "rejected":
      return `REFUSED: ${said}`;
    case "failed":
      return `FAILED after ${far}: ${said}`;
    case "cancelled":
      return `cancelled after ${far}: ${said}`;
    default:
      return `${state}, ${far}`;
  }
}
