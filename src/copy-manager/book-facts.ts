// Third-party copies as jobs: what progress and reports say of one that runs, ended, or was refused.
import { inReport } from "../copy/results.js";
import type { CopyFacts, JobFailure, JobProgress, JobReport, JobState } from "../job.js";
import { STATUS, statusName } from "../wire/names.js";
import { endInWords, senseInWords } from "../wire/sense.js";
import { COMMAND_NAMES } from "../wire/xcopy/commands.js";
import { LIST_ID_USAGE } from "../wire/xcopy/copy-list.js";
import type { CopyRefusal } from "../wire/xcopy/refusal.js";
import type { ActiveCopy } from "./active.js";
import type { RefusedCopy } from "./refused-copy.js";

/** Names of devices, and bytes of texts, that a report has room for (messages/jobs.ts). */
const DEVICES = 64;
const INITIATOR_BYTES = 223;
const SENSE_BYTES = 1024;
const MESSAGE_BYTES = 8192;

/** A copy that runs, and whose it is. */
export interface RunningCopy {
  readonly jobId: string;
  readonly copy: ActiveCopy;
  readonly initiator: string;
  /** Wall clock. */
  readonly submittedMs: number;
}

/** When it ended, and for how long it ran. */
export interface CopyTimes {
  readonly endedMs: number;
  readonly ranMs: number;
}

export function progressOfCopy({ jobId, copy, initiator }: RunningCopy, bytesPerS: bigint): JobProgress {
  const { bytes, segmentsDone, facts } = copy.operation;
  const { totalBytes = 0n, segments, lun, kind, listId, usage } = facts;
  return {
    jobId,
    type: "copy",
    state: copy.control.paused ? "paused" : "running",
    bytesDone: bytes,
    bytesTotal: bytes > totalBytes ? bytes : totalBytes,
    membersDone: segmentsDone,
    membersTotal: segments,
    bytesPerS,
    tapeWaits: 0n,
    copy: {
      initiator: inReport(initiator, INITIATOR_BYTES),
      lun,
      command: COMMAND_NAMES[kind],
      ...(usage !== LIST_ID_USAGE.NONE && { listId }),
      ...devicesOf(copy),
      segments,
      segmentsDone,
      offloaded: true,
    },
  };
}

/** @param failure absent: it did what it was to do */
export function reportOfCopy(running: RunningCopy, { endedMs, ranMs }: CopyTimes, failure?: CopyRefusal): JobReport {
  const { copy, submittedMs } = running;
  const ran = BigInt(Math.max(1, Math.round(ranMs)));
  const progress = progressOfCopy(running, (copy.operation.bytes * 1000n) / ran);
  const facts = progress.copy as CopyFacts;
  const times = { submittedMs, startedMs: submittedMs, endedMs };
  if (failure === undefined) return { ...progress, state: "succeeded", ...times, ...NOTHING };
  const sense = senseOf(copy.operation.result?.status ?? STATUS.CHECK_CONDITION, copy.operation.result?.sense);
  const { segment } = failure.fault;
  const place = segment === undefined ? "" : `, segment ${segment}`;
  return {
    ...progress,
    state: endOf(copy),
    copy: { ...facts, offloaded: false, sense: inReport(sense + place, SENSE_BYTES) },
    failure: failureOfCopy(copy, facts, failure),
    ...times,
    ...NOTHING,
  };
}

export function reportOfRefused(jobId: string, refused: RefusedCopy, nowMs: number): JobReport {
  const { initiator, lun, device, command, listId, status, sense, problem, details } = refused;
  return {
    jobId,
    type: "copy",
    state: "rejected",
    bytesDone: 0n,
    bytesTotal: 0n,
    membersDone: 0,
    membersTotal: 0,
    bytesPerS: 0n,
    tapeWaits: 0n,
    copy: {
      initiator: inReport(initiator, INITIATOR_BYTES),
      lun,
      command,
      ...(listId !== undefined && { listId }),
      sources: [],
      destinations: [],
      segments: 0,
      segmentsDone: 0,
      offloaded: false,
      sense: inReport(senseOf(status, sense), SENSE_BYTES),
    },
    failure: {
      code: "COPY_REFUSED",
      message: inReport(problem, MESSAGE_BYTES),
      device,
      ...(details && { details }),
    },
    submittedMs: nowMs,
    endedMs: nowMs,
    ...NOTHING,
  };
}

/** Of a copy that ran when the daemon ended: what is known of it is what was stored. */
export function reportOfInterrupted(progress: JobProgress, submittedMs: number, nowMs: number): JobReport {
  const { copy, bytesDone } = progress;
  return {
    ...progress,
    state: "failed",
    ...(copy && { copy: { ...copy, offloaded: false } }),
    failure: {
      code: "COPY_INTERRUPTED",
      message: `The daemon ended while the copy ran; at least ${bytesDone} bytes of it were done.`,
    },
    submittedMs,
    startedMs: submittedMs,
    endedMs: nowMs,
    ...NOTHING,
  };
}

/** Which failures are one kind: whoever fails the same way at the same unit again is counted. */
export function kindOf(initiator: string, device: string, status: number, sense: Uint8Array): string {
  return JSON.stringify([initiator, device, status, (sense[2] ?? 0) & 0x0f, sense[12] ?? 0, sense[13] ?? 0]);
}

/** What only jobs on tape have. */
const NOTHING = {
  volumes: [],
  lost: [],
  miscompares: [],
  retries: 0n,
  resumes: 0,
  sourceWaitMs: 0,
  tapeWaitMs: 0,
  throttleMs: 0,
} as const;

function devicesOf({ uses }: ActiveCopy): Pick<CopyFacts, "sources" | "destinations"> {
  const all = [...uses];
  const sources = all.filter(([, accesses]) => accesses.has("read"));
  // What a tape is moved or reserved by changes it, too.
  const changed = all.filter(([, accesses]) =>
    ["write", "position", "reserve"].some((one) => accesses.has(one as never)),
  );
  const names = (some: typeof all): readonly string[] => some.map(([device]) => device).slice(0, DEVICES);
  return { sources: names(sources), destinations: names(changed) };
}

function endOf({ stopped }: ActiveCopy): JobState {
  const why = stopped?.why;
  return why === undefined || why === "not-allowed" || why === "shutdown" ? "failed" : "cancelled";
}

function failureOfCopy({ stopped }: ActiveCopy, facts: CopyFacts, failure: CopyRefusal): JobFailure {
  const { source, destination } = failure.fault;
  const said = source ?? destination;
  const [device, another] = source === undefined ? facts.destinations : facts.sources;
  return {
    code: stopped?.why === "shutdown" ? "COPY_INTERRUPTED" : "COPY_REFUSED",
    message: inReport(failure.message, MESSAGE_BYTES),
    ...(said && device !== undefined && another === undefined && { device }),
    ...(said && { sense: inReport(endInWords({ outcome: "delivered", ...said }), SENSE_BYTES) }),
    details: failure.details,
  };
}

const senseOf = (status: number, sense: Uint8Array = new Uint8Array(0)): string =>
  status === STATUS.CHECK_CONDITION ? senseInWords(sense) : statusName(status);
