// The Job: one copy that the bridge runs by itself. These are its types only; copy/ runs it.
import type { VolumeIdentity } from "./list.js";

/** Those that the broker gives. */
export type SubmittedType = "backup" | "restore" | "verify" | "clone" | "scrub";

/** "copy": a third-party copy, which a server asked for by a command to one of its logical units. */
export type JobType = SubmittedType | "copy";

/** queued → running ⇄ paused → one of the ends. "rejected": it never started. */
export type JobState =
  | "queued"
  | "running"
  | "paused"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "rejected"
  | "timed-out";

export const JOB_ENDS: readonly JobState[] = ["succeeded", "failed", "cancelled", "rejected", "timed-out"];

/** Where an archive lies: cartridges in order, and where it starts on the first. */
export interface TapeRef {
  /** Name of the tape drive in the configuration. */
  readonly device: string;
  /** Cartridges in the order in which they are to be used; empty: what is in the drive, and no spanning. */
  readonly cartridges: readonly string[];
}

export interface DiskRef {
  readonly device: string;
}

export interface JobSpec {
  readonly jobId: string;
  readonly type: SubmittedType;
  /** Ids of installed keys that admit this job's legs. */
  readonly keys: readonly Uint8Array[];
  /** Larger goes first among queued jobs: 0–255, default 100, at most what the keys allow. */
  readonly priority: number;
  readonly disk?: DiskRef;
  /** clone: destination disk. */
  readonly toDisk?: DiskRef;
  readonly tape?: TapeRef;
  /** backup, restore, clone: list of what lies where on `disk`; verify: with it the tape is compared with the disk. */
  readonly listId?: string;
  readonly volume?: VolumeIdentity;
  /** clone: list of where the blocks go on `toDisk`; without it they go to the same LBAs. */
  readonly toListId?: string;
  readonly options: JobOptions;
}

export interface JobOptions {
  /** Tape block bytes: a multiple of 512, 512 to 8388608. Default from the configuration. */
  readonly tapeBlockBytes?: number;
  /** Where a backup starts: at the beginning of the tape (its data is lost) or after what is there. */
  readonly position?: "overwrite" | "append";
  /** restore, verify: logical object number where the archive starts. Default 0. */
  readonly startObject?: bigint;
  readonly sha256?: boolean;
  /** backup: the tape is read back, over all its cartridges, before success is reported. */
  readonly readBack?: boolean;
  /** Medium errors of the source: end the job, or record, fill with zeros and go on. */
  readonly mediumErrors?: "stop" | "zero-fill";
  /** Bytes per second; 0: unlimited. */
  readonly bytesPerS?: bigint;
  /** Two extents of one list that share blocks: refuse, or allow. Default refuse. */
  readonly overlap?: "refuse" | "allow";
  /** Milliseconds from submission; a job that has not ended by then ends as timed-out. 0: none. */
  readonly timeoutMs?: number;
  /** Free text for the label on tape. */
  readonly comment?: string;
}

export interface JobFailure {
  /** Code of ERRORS. */
  readonly code: string;
  readonly message: string;
  readonly device?: string;
  /** Sense in words, where a device said something. */
  readonly sense?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface LostBlocks {
  readonly device: string;
  readonly lba: bigint;
  readonly blocks: bigint;
  readonly sense: string;
  /** Where in the archive the zeros stand instead. */
  readonly streamOffset: bigint;
}

export interface VolumeReport {
  /** Cartridge name; "" for whatever was in the drive. */
  readonly cartridge: string;
  /** Logical object numbers of the first block of the archive and of the filemark after it. */
  readonly firstObject: bigint;
  readonly endObject: bigint;
  /** Archive bytes [from, to) that lie on this cartridge. */
  readonly from: bigint;
  readonly to: bigint;
}

/** Of a third-party copy: who asked for it, and what of it is done. */
export interface CopyFacts {
  readonly initiator: string;
  /** The logical unit that the command came to. */
  readonly lun: number;
  /** "EXTENDED COPY(LID4)", "WRITE USING TOKEN" and so on. */
  readonly command: string;
  readonly listId?: number;
  /** Devices that it has read, and changed, so far. */
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  /** Segments, or ranges. */
  readonly segments: number;
  readonly segmentsDone: number;
  /** The bridge does it, or has done it; false: the server was told of an error, and has to do what is missing itself. */
  readonly offloaded: boolean;
  /** What the server got instead of GOOD, in words. */
  readonly sense?: string;
}

export interface JobProgress {
  readonly jobId: string;
  readonly type: JobType;
  readonly state: JobState;
  readonly bytesDone: bigint;
  readonly bytesTotal: bigint;
  readonly membersDone: number;
  readonly membersTotal: number;
  readonly bytesPerS: bigint;
  readonly cartridge?: string;
  readonly tapeWaits: bigint;
  /** Of type "copy": its members are segments, and its total is not known before the end. */
  readonly copy?: CopyFacts;
}

/** Something on tape (or on a disk that was compared with it) that is not as it was written. */
export interface Miscompare {
  /** Name in the archive; "" where it is known of no member. */
  readonly member: string;
  /** Archive offset: of the member's data, or of the tape block. */
  readonly streamOffset: bigint;
  /** Byte of the member's data, holes not counted, from which on it is damaged. */
  readonly memberOffset?: bigint;
  readonly cartridge?: string;
  /** Logical object number of the tape block. */
  readonly object?: bigint;
  /** Logical block of the disk that was compared. */
  readonly lba?: bigint;
  readonly reason: string;
}

/** One tape file (what lies between two filemarks) as a scrub found it. */
export interface ScrubbedFile {
  readonly cartridge: string;
  /** Logical object numbers of its first block and of what ends it. */
  readonly firstObject: bigint;
  readonly endObject: bigint;
  /** Id of the archive; "" where it is none of ours, or nothing of it can be read that says so. */
  readonly archive: string;
  /** Archive bytes [from, to) that lie here. */
  readonly from: bigint;
  readonly to: bigint;
  /** What it was held against: its manifest and list of block checksums; headers alone where that is lost; nothing. */
  readonly checkedBy: "manifest" | "headers" | "nothing";
  /** Blocks that were read. */
  readonly blocks: bigint;
  /** Places that are damaged; miscompares has them. */
  readonly damaged: number;
  /** Members that begin and end here, and how many of them can be restored whole. */
  readonly members: number;
  readonly restorable: number;
  /** The archive is all here and undamaged. */
  readonly whole: boolean;
}

/** The final report, retained on MQTT and kept in the state directory. */
export interface JobReport extends JobProgress {
  readonly failure?: JobFailure;
  /** Milliseconds since 1970. */
  readonly submittedMs: number;
  readonly startedMs?: number;
  readonly endedMs: number;
  readonly volumes: readonly VolumeReport[];
  /** backup: where the manifest member's data starts in the archive, and its length. */
  readonly manifest?: { readonly offset: bigint; readonly bytes: bigint };
  readonly tapeBlockBytes?: number;
  /** CRC32C of the whole manifest: names the archive's content. */
  readonly manifestCrc32c?: number;
  readonly lost: readonly LostBlocks[];
  readonly miscompares: readonly Miscompare[];
  /** scrub: what is on the cartridges. */
  readonly files?: readonly ScrubbedFile[];
  readonly retries: bigint;
  readonly resumes: number;
  readonly sourceWaitMs: number;
  readonly tapeWaitMs: number;
  readonly throttleMs: number;
}
