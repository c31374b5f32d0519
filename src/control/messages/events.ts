// What the bridge says of its own accord: birth and death, progress, reports, events.
import * as v from "valibot";
import { anyMap, flag, map, name, oneOf, text, timeMs, uint64, whole } from "../fields.js";
import { envelopeSchema } from "./envelope.js";
import { jobProgressSchema, jobReportSchema } from "./jobs.js";

/** The birth (online) and the last will or farewell (not online), retained on one topic. */
export const stateSchema = map({
  ...envelopeSchema.entries,
  kind: oneOf(["state"]),
  online: flag,
  /** Same number in a birth and in the will of that connection; rises with every connection. */
  bdSeq: uint64,
  /** Changes with every start of the daemon. Only in a birth, as are version and limits. */
  bootId: v.exactOptional(text(64, 1)),
  version: v.exactOptional(text(64, 1)),
  limits: v.exactOptional(anyMap),
});
export type StateMessage = v.InferOutput<typeof stateSchema>;

export const progressMessageSchema = map({
  ...envelopeSchema.entries,
  kind: oneOf(["job.progress"]),
  progress: jobProgressSchema,
});
export const reportMessageSchema = map({
  ...envelopeSchema.entries,
  kind: oneOf(["job.report"]),
  report: jobReportSchema,
});

/** Something that an operator or the broker may want to know; never needed to follow a job. */
export const eventSchema = map({
  ...envelopeSchema.entries,
  kind: oneOf(["event"]),
  event: name,
  severity: oneOf(["info", "warning", "error"]),
  message: text(4096),
  details: v.exactOptional(anyMap),
});
export type EventMessage = v.InferOutput<typeof eventSchema>;

/** Limits in a birth, so that senders need not guess. Bytes and counts. */
export interface BridgeLimits {
  readonly messageBytes: number;
  readonly chunkBytes: number;
  readonly openLists: number;
  readonly listBytes: number;
  readonly allListBytes: number;
}

export const limitsSchema = map({
  messageBytes: whole(1, Number.MAX_SAFE_INTEGER),
  chunkBytes: whole(1, Number.MAX_SAFE_INTEGER),
  openLists: whole(1, Number.MAX_SAFE_INTEGER),
  listBytes: whole(1, Number.MAX_SAFE_INTEGER),
  allListBytes: whole(1, Number.MAX_SAFE_INTEGER),
});

/** Time of sending is of the sender's clock and only for people and logs. */
export const sentMs = timeMs;
