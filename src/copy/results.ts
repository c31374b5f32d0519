// How jobs end, in reports: from the engine's last event and from errors to what the broker reads.
import { deviceFailure, type FailedAnswer } from "../device/failure.js";
import type { JobFailure, JobProgress, JobReport, JobState } from "../job.js";
import { type ErrorCode, GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { DoneEvent } from "./copy-run.js";
import type { JobOutcome, Meter } from "./job-context.js";
import type { JobRecord } from "./job-record.js";

/** Failures after which it makes sense to go on from the checkpoint without being asked. */
const RESUMABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["DEVICE_PATH_FAILED", "DEVICE_POSITION_LOST"]);

export function isResumable(error: unknown): boolean {
  return isGantryError(error) && RESUMABLE.has(error.code);
}

/**
 * The error of an engine run that ended as neither "ok", "cancelled" nor "volume-full".
 * @param names device names in the order of the run's LUs
 */
export function engineFailure(done: DoneEvent, names: readonly string[]): GantryError {
  const side = done.failed?.side === "destination" ? "while writing" : "while reading";
  const device = names[done.failed?.lu ?? 0] ?? "a device";
  const details = { device, streamOffset: done.streamOffset, object: done.object };
  switch (done.result) {
    case "device-error":
    case "transport-error":
      return deviceFailure(device, done.failed ?? UNKNOWN_FAILURE, `${side} at byte ${done.streamOffset}`);
    case "tape-ended":
      return new GantryError("TAPE_ENDED_EARLY", `The tape ends at object ${done.object}, before the archive does.`, {
        details,
      });
    case "block-too-large":
      return new GantryError(
        "TAPE_BLOCK_TOO_LARGE",
        `Object ${done.object} of the tape is larger than the tape block size of the job.`,
        { details },
      );
    default:
      return new GantryError("INTERNAL", `The copy engine stopped (${done.result}, errno ${done.error}).`, { details });
  }
}

const UNKNOWN_FAILURE: FailedAnswer = {
  outcome: "transport",
  status: 0,
  sense: new Uint8Array(),
  cdb: new Uint8Array(),
};

export function failureOf(error: unknown): JobFailure {
  if (!isGantryError(error)) return { code: "INTERNAL", message: messageOf(error) };
  const { device, sense } = error.details;
  return {
    code: error.code,
    message: error.message,
    ...(typeof device === "string" ? { device } : {}),
    ...(typeof sense === "string" ? { sense } : {}),
    details: error.details,
  };
}

/** What progress is made of; a job that does not run has a meter that stands at nothing. */
export interface ProgressSource {
  readonly record: JobRecord;
  readonly meter: Meter;
  readonly paused: boolean;
}

export function progressOf({ record, meter, paused }: ProgressSource): JobProgress {
  const { bytesDone, tapeWaits } = meter.read();
  return {
    jobId: record.spec.jobId,
    type: record.spec.type,
    state: record.state === "running" && paused ? "paused" : record.state,
    bytesDone,
    bytesTotal: meter.bytesTotal,
    membersDone: meter.membersDone,
    membersTotal: meter.membersTotal,
    bytesPerS: meter.rate(),
    ...(meter.cartridge === undefined ? {} : { cartridge: meter.cartridge }),
    tapeWaits,
  };
}

export function reportOf(record: JobRecord, meter: Meter, outcome: ReportOutcome, endedMs: number): JobReport {
  const read = meter.read();
  const started = record.startedMs;
  const runMs = started === undefined ? 0 : Math.max(1, endedMs - started);
  return {
    ...progressOf({ record, meter, paused: false }),
    state: outcome.state,
    bytesPerS: runMs === 0 ? 0n : (read.bytesDone * 1000n) / BigInt(runMs),
    ...(outcome.failure === undefined ? {} : { failure: outcome.failure }),
    submittedMs: record.submittedMs,
    ...(started === undefined ? {} : { startedMs: started }),
    endedMs,
    volumes: outcome.volumes ?? record.volumes,
    ...(outcome.manifest === undefined ? {} : { manifest: outcome.manifest }),
    ...(outcome.manifestCrc32c === undefined ? {} : { manifestCrc32c: outcome.manifestCrc32c }),
    ...(record.spec.tape === undefined ? {} : { tapeBlockBytes: record.tapeBlockBytes }),
    lost: (outcome.lost ?? record.lost).slice(0, REPORT_ENTRIES),
    miscompares: (outcome.miscompares ?? []).slice(0, REPORT_ENTRIES),
    retries: meter.retries,
    resumes: record.resumes,
    sourceWaitMs: read.sourceWaitMs,
    tapeWaitMs: read.tapeWaitMs,
    throttleMs: read.throttleMs,
  };
}

/** Most entries of each list in a report; the log has them all. */
export const REPORT_ENTRIES = 1000;

export type ReportOutcome = Omit<JobOutcome, "state"> & { readonly state: JobState };
