// Readers of what src/job.ts describes. The types at the end keep the two from drifting apart: a field that is
// in one and not in the other does not compile.
import * as v from "valibot";
import type { JobProgress, JobReport, JobSpec } from "../../job.js";
import type { VolumeIdentity } from "../../list.js";
import { anyMap, big, bytes, flag, INT64_MAX, list, map, name, oneOf, text, timeMs, uint64, whole } from "../fields.js";

const MAX = Number.MAX_SAFE_INTEGER;

const STATES = ["queued", "running", "paused", "succeeded", "failed", "cancelled", "rejected", "timed-out"] as const;
const SUBMITTED = ["backup", "restore", "verify", "clone", "scrub"] as const;

export const jobState = oneOf(STATES);
/** Of progress and reports: a copy is asked for by a server's command, and by no message. */
const jobType = oneOf([...SUBMITTED, "copy"]);

/** Id of a key (CWT claim cti). */
export const keyId = bytes(8, 32);

export const volumeSchema = map({ id: text(128, 1), generation: text(128), sequence: uint64 });

const disk = map({ device: name });
const tape = map({ device: name, cartridges: list(name, 256) });

const optionsSchema = map({
  tapeBlockBytes: v.exactOptional(
    v.pipe(
      whole(512, 8_388_608),
      v.check((n) => n % 512 === 0, "must be a multiple of 512 from 512 to 8388608"),
    ),
  ),
  position: v.exactOptional(oneOf(["overwrite", "append"])),
  startObject: v.exactOptional(uint64),
  sha256: v.exactOptional(flag),
  readBack: v.exactOptional(flag),
  mediumErrors: v.exactOptional(oneOf(["stop", "zero-fill"])),
  bytesPerS: v.exactOptional(big(0n, INT64_MAX)),
  overlap: v.exactOptional(oneOf(["refuse", "allow"])),
  timeoutMs: v.exactOptional(whole(0, MAX)),
  comment: v.exactOptional(text(1024)),
});

/** Fields of a JobSpec; options may be left out. Which of them a type needs is for jobSpecSchema. */
const specEntries = {
  jobId: name,
  type: oneOf(SUBMITTED),
  keys: list(keyId, 16, 1),
  priority: v.optional(whole(0, 255), 100),
  disk: v.exactOptional(disk),
  toDisk: v.exactOptional(disk),
  tape: v.exactOptional(tape),
  listId: v.exactOptional(name),
  volume: v.exactOptional(volumeSchema),
  toListId: v.exactOptional(name),
  options: v.optional(optionsSchema, {}),
};

const needs = {
  backup: ["disk", "tape", "listId", "volume"],
  restore: ["disk", "tape", "listId"],
  verify: ["tape"],
  clone: ["disk", "toDisk", "listId", "volume"],
  scrub: ["tape"],
} as const satisfies Record<JobSpec["type"], readonly (keyof JobSpec)[]>;

const forbids = {
  backup: ["toDisk", "toListId"],
  restore: ["toDisk", "toListId"],
  verify: ["toDisk", "toListId"],
  clone: ["tape"],
  scrub: ["disk", "toDisk", "listId", "toListId"],
} as const satisfies Record<JobSpec["type"], readonly (keyof JobSpec)[]>;

/** job.submit and the record of a job. */
export const jobSpecSchema = v.pipe(
  map(specEntries),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    const spec = dataset.value;
    const missing = needs[spec.type].find((field) => spec[field] === undefined);
    if (missing !== undefined) addIssue({ message: `of type "${spec.type}" needs \`${missing}\``, input: spec });
    const extra = forbids[spec.type].find((field) => spec[field] !== undefined);
    if (spec.type === "verify" && (spec.disk === undefined) !== (spec.listId === undefined))
      addIssue({ message: 'of type "verify" needs both `disk` and `listId`, or neither', input: spec });
    if (extra !== undefined) addIssue({ message: `of type "${spec.type}" must not have \`${extra}\``, input: spec });
  }),
);

/** Names of devices in one report of a copy. */
const COPY_DEVICES = 64;

const copySchema = map({
  initiator: text(223),
  lun: whole(0, MAX),
  command: text(64),
  listId: v.exactOptional(whole(0, 0xffffffff)),
  sources: list(text(64), COPY_DEVICES),
  destinations: list(text(64), COPY_DEVICES),
  segments: whole(0, MAX),
  segmentsDone: whole(0, MAX),
  offloaded: flag,
  sense: v.exactOptional(text(1024)),
});

const progressEntries = {
  jobId: name,
  type: jobType,
  state: jobState,
  bytesDone: uint64,
  bytesTotal: uint64,
  membersDone: whole(0, MAX),
  membersTotal: whole(0, MAX),
  bytesPerS: uint64,
  cartridge: v.exactOptional(text(64)),
  tapeWaits: uint64,
  copy: v.exactOptional(copySchema),
};

export const jobProgressSchema = map(progressEntries);

const failureSchema = map({
  code: text(64, 1),
  message: text(8192),
  device: v.exactOptional(text(64)),
  sense: v.exactOptional(text(1024)),
  details: v.exactOptional(anyMap),
});

const lostSchema = map({ device: text(64), lba: uint64, blocks: uint64, sense: text(1024), streamOffset: uint64 });

const volumeReportSchema = map({
  cartridge: text(64),
  firstObject: uint64,
  endObject: uint64,
  from: uint64,
  to: uint64,
});

const miscompareSchema = map({
  member: text(4096),
  streamOffset: uint64,
  memberOffset: v.exactOptional(uint64),
  cartridge: v.exactOptional(text(64)),
  object: v.exactOptional(uint64),
  lba: v.exactOptional(uint64),
  reason: text(1024),
});

const scrubbedSchema = map({
  cartridge: text(64),
  firstObject: uint64,
  endObject: uint64,
  archive: text(128),
  from: uint64,
  to: uint64,
  checkedBy: oneOf(["manifest", "headers", "nothing"]),
  blocks: uint64,
  damaged: whole(0, MAX),
  members: whole(0, MAX),
  restorable: whole(0, MAX),
  whole: flag,
});

/** Most entries of one list in a report; what is more is in the manifest and the log. */
export const REPORT_ENTRIES = 1000;

export const jobReportSchema = map({
  ...progressEntries,
  failure: v.exactOptional(failureSchema),
  submittedMs: timeMs,
  startedMs: v.exactOptional(timeMs),
  endedMs: timeMs,
  volumes: list(volumeReportSchema, REPORT_ENTRIES),
  manifest: v.exactOptional(map({ offset: uint64, bytes: uint64 })),
  tapeBlockBytes: v.exactOptional(whole(512, 8_388_608)),
  manifestCrc32c: v.exactOptional(whole(0, 0xffffffff)),
  lost: list(lostSchema, REPORT_ENTRIES),
  miscompares: list(miscompareSchema, REPORT_ENTRIES),
  files: v.exactOptional(list(scrubbedSchema, REPORT_ENTRIES)),
  retries: uint64,
  resumes: whole(0, MAX),
  sourceWaitMs: whole(0, MAX),
  tapeWaitMs: whole(0, MAX),
  throttleMs: whole(0, MAX),
});

type Same<A, B> = [A, B] extends [B, A]
  ? keyof A extends keyof B
    ? keyof B extends keyof A
      ? true
      : false
    : false
  : false;
const same = <A, B>(_: Same<A, B>): void => {};
same<v.InferOutput<typeof jobSpecSchema>, JobSpec>(true);
same<v.InferOutput<typeof jobProgressSchema>, JobProgress>(true);
same<v.InferOutput<typeof jobReportSchema>, JobReport>(true);
same<v.InferOutput<typeof volumeSchema>, VolumeIdentity>(true);
