// How jobs end, in reports: from the engine's last event and from errors to what the broker reads.
import { deviceFailure, type FailedAnswer } from "../device/failure.js";
import type { JobFailure, JobProgress, JobReport, JobState } from "../job.js";
import { type ErrorCode, GantryError, isGantryError, messageOf } from "../sys/errors.js";
import type { DoneEvent } from "./copy-run.js";
import type { JobOutcome, Meter } from "./job-context.js";
import type { JobRecord } from "./job-record.js";

/** Failures after which it makes sense to go on from the checkpoint without being asked. */
const RESUMABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "DEVICE_CHANGED",
  "DEVICE_PATH_FAILED",
  "DEVICE_POSITION_LOST",
  "DEVICE_WRITES_LOST",
]);
/** The tape does not stand where it should (csrc/copy/engine.h). */
const ESPIPE = 29;

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
  if (done.error === ESPIPE) {
    return new GantryError(
      "DEVICE_POSITION_LOST",
      `${device}, ${side} at byte ${done.streamOffset}: the tape does not stand where it should after what the drive has answered.`,
      { details },
    );
  }
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
  if (!isGantryError(error)) return { code: "INTERNAL", message: inReport(messageOf(error), MESSAGE_BYTES) };
  const { device, sense } = error.details;
  return {
    code: error.code,
    message: inReport(error.message, MESSAGE_BYTES),
    ...(typeof device === "string" ? { device } : {}),
    ...(typeof sense === "string" ? { sense: inReport(sense, SENSE_BYTES) } : {}),
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
    // What of an archive is no member's data (headers, the manifest) is only known when it is written.
    bytesTotal: bytesDone > meter.bytesTotal ? bytesDone : meter.bytesTotal,
    membersDone: meter.membersDone,
    membersTotal: meter.membersTotal,
    bytesPerS: meter.rate(),
    ...(meter.cartridge === undefined ? {} : { cartridge: meter.cartridge }),
    tapeWaits,
  };
}

/** @param times wall clock at the end, and milliseconds for which the job ran, which no set clock changes. */
export function reportOf(
  record: JobRecord,
  meter: Meter,
  outcome: ReportOutcome,
  { endedMs, ranMs }: { readonly endedMs: number; readonly ranMs: number },
): JobReport {
  const read = meter.read();
  const started = record.startedMs;
  const runMs = started === undefined ? 0 : Math.max(1, Math.round(ranMs));
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
    lost: fitting(outcome.lost ?? record.lost, ({ sense }) => sense),
    miscompares: fitting(
      (outcome.miscompares ?? []).map((found) => ({
        ...found,
        member: inReport(found.member, MEMBER_BYTES),
        reason: inReport(found.reason, SENSE_BYTES),
      })),
      ({ member, reason }) => member + reason,
    ),
    ...(outcome.files === undefined
      ? {}
      : {
          files: outcome.files
            .slice(0, REPORT_ENTRIES)
            .map((file) => ({ ...file, archive: inReport(file.archive, ARCHIVE_BYTES) })),
        }),
    retries: meter.retries,
    resumes: record.resumes,
    sourceWaitMs: read.sourceWaitMs,
    tapeWaitMs: read.tapeWaitMs,
    throttleMs: read.throttleMs,
  };
}

/** Most entries of each list in a report. */
export const REPORT_ENTRIES = 1000;
/** Most text of each list, for a report goes out in one message. */
const LIST_BYTES = 200 * 1024;
/** Beside its text an entry has numbers and the names of its fields. */
const ENTRY_BYTES = 96;
/** Longest texts that a report has room for (jobReportSchema). */
const MEMBER_BYTES = 4096;
const ARCHIVE_BYTES = 128;
const MESSAGE_BYTES = 8192;
const SENSE_BYTES = 1024;

/** The first entries, as many as a report has room for. */
function fitting<T>(entries: readonly T[], textOf: (entry: T) => string): readonly T[] {
  let left = LIST_BYTES;
  const over = entries.findIndex((entry, index) => {
    left -= ENTRY_BYTES + Buffer.byteLength(textOf(entry));
    return index >= REPORT_ENTRIES || left < 0;
  });
  return over < 0 ? entries : entries.slice(0, over);
}

/** Text of a tape or a device as a message may have it: well-formed, and not longer than this. */
export function inReport(text: string, bytes: number): string {
  const whole = text.replace(/\p{Surrogate}/gu, "\ufffd");
  // A character that is cut in two decodes as one that is wrong, which may be longer than what was left of it.
  return Buffer.byteLength(whole) <= bytes
    ? whole
    : Buffer.from(whole)
        .subarray(0, bytes - 8)
        .toString("utf8");
}

export type ReportOutcome = Omit<JobOutcome, "state"> & { readonly state: JobState };
