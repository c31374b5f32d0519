// What is kept of a job on stable storage, from the moment it is accepted until its report is forgotten.
import { deserialize, serialize } from "node:v8";
import type { JobReport, JobSpec, JobState, LostBlocks, ScrubbedFile, VolumeReport } from "../job.js";
import { GantryError, isGantryError } from "../sys/errors.js";
import { seal, unseal } from "./sealed.js";

/** Where a job can go on after a crash: everything before it is on the destination medium. */
export interface Checkpoint {
  /** Stream position of the run: archive bytes for tape jobs, list bytes for clones. */
  readonly offset: bigint;
  /** Logical object number on the tape where the next block goes; 0n for disks. */
  readonly object: bigint;
  /** The engine's digest in progress, as it gave it. */
  readonly digest: Uint8Array;
}

/** The cartridge that a tape job is on. */
export interface CurrentVolume {
  readonly index: number;
  readonly cartridge: string;
  readonly firstObject: bigint;
  /** Archive offset at which this cartridge begins. */
  readonly from: bigint;
  /** firstObject is known, and from it on the tape is this job's to write. */
  readonly placed?: boolean;
  /** Digest in progress when the cartridge before was full. */
  readonly digest?: Uint8Array;
}

/** How far a job that reads an archive is: what a checkpoint covers is not read again after a crash. */
export interface ReadingProgress {
  /** The archive that was being read; another one on the tape is not gone on with. */
  readonly archiveId: string;
  /** Number of the last member whose digest was judged and whose data is where it belongs. */
  readonly tag: number;
  /** Stream position after it. */
  readonly offset: bigint;
  readonly members: number;
  /** How many of them differed, and the first of those. */
  readonly differing: number;
  readonly miscompares: JobReport["miscompares"];
}

/** How far a scrub is: the tape files behind it are judged. */
export interface ScrubProgress {
  /** Cartridge of the job, by index, and the logical object on it at which the next tape file begins. */
  readonly index: number;
  readonly object: bigint;
  readonly files: readonly ScrubbedFile[];
  readonly damaged: number;
  readonly miscompares: JobReport["miscompares"];
}

/** What a backup that is to be read back wrote. */
export interface Written {
  readonly volumes: readonly VolumeReport[];
  readonly manifest?: { readonly offset: bigint; readonly bytes: bigint };
  readonly manifestCrc32c: number;
}

/** A disk as it was when the job first opened it; identity as in OpenDisk. */
export interface KnownDisk {
  readonly identity?: string;
  readonly blockBytes: number;
}

export interface JobRecord {
  readonly spec: JobSpec;
  readonly state: JobState;
  /** Text that names the archive; made once, so that a resumed job writes the same label. */
  readonly archiveId: string;
  readonly submittedMs: number;
  readonly startedMs?: number;
  readonly endedMs?: number;
  /** Number of the end, larger than that of every job which ended before, whatever the wall clock said. */
  readonly endOrder?: number;
  /** By name of the configuration: what the job goes on with must be these. */
  readonly disks?: Readonly<Record<string, KnownDisk>>;
  readonly volumes: readonly VolumeReport[];
  readonly current?: CurrentVolume;
  readonly checkpoint?: Checkpoint;
  /** The current cartridge is full and ends here; what is left to do with it is its filemark. */
  readonly volumeEnded?: Checkpoint;
  /** restore, verify. */
  readonly reading?: ReadingProgress;
  readonly scrub?: ScrubProgress;
  /** The archive is whole on tape and is being read back. */
  readonly written?: Written;
  readonly tapeBlockBytes: number;
  readonly resumes: number;
  readonly lost: readonly LostBlocks[];
  readonly report?: JobReport;
}

/** What was asked of a job and acknowledged; it holds until the job ends, in the next life of the daemon too. */
export interface JobWish {
  readonly cancel?: boolean;
  readonly paused?: boolean;
  /** Bandwidth limit in place of the job's own; 0n: none. */
  readonly bytesPerS?: bigint;
}

const VERSION = 1;

/** Structured-clone bytes (node:v8), behind a version: bigint, typed arrays and undefined come back as they were. */
export const encodeRecord = (record: JobRecord): Uint8Array => seal(serialize([VERSION, record]));

export const encodeWish = (wish: JobWish): Uint8Array => seal(serialize([VERSION, wish]));

/** Throws STORE_CORRUPT when the bytes are no record of a version that this program knows. */
export const decodeRecord = (bytes: Uint8Array): JobRecord => decode(bytes) as JobRecord;

/** Throws STORE_CORRUPT. */
export const decodeWish = (bytes: Uint8Array): JobWish => decode(bytes) as JobWish;

function decode(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = deserialize(unseal(bytes, "A job record"));
  } catch (error) {
    if (isGantryError(error)) throw error;
    throw new GantryError("STORE_CORRUPT", "A job record in the state directory cannot be read.", { cause: error });
  }
  if (!Array.isArray(value) || value[0] !== VERSION) {
    throw new GantryError(
      "STORE_CORRUPT",
      "A job record in the state directory is of a version that is not known here.",
    );
  }
  return value[1];
}
