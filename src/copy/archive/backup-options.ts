// What a backup plan needs to know, and what it says when it is done.
import type { VolumeIdentity } from "../../list.js";
import { GantryError } from "../../sys/errors.js";
import type { MemberDigest } from "./manifest-format.js";
import { type ArchiveVolume, checkTapeBlock } from "./volumes.js";

/** Digests that the data plane made of what was written. A promise is awaited: the plan stands still until then,
 * so events must be handled while next() waits. */
export interface DigestSource {
  /** Of a member's data; only asked for members that have data, after the whole of it is on tape. */
  member(tag: number): MemberDigest | Promise<MemberDigest>;
  /** CRC32C of tape blocks [first, first + count) of the archive; continuation leads are not counted. */
  blocks(first: number, count: number): Uint32Array | Promise<Uint32Array>;
}

export interface BackupOptions {
  readonly archiveId: string;
  readonly jobId: string;
  readonly bridgeId: string;
  /** Milliseconds since 1970: a constant of the job, not the time of the call. */
  readonly createdMs: number;
  readonly tapeBlockBytes: number;
  readonly comment?: string;
  readonly list: {
    readonly listId: string;
    readonly volume: VolumeIdentity;
    readonly blockBytes: number;
    readonly members: number;
    readonly extents: bigint;
    readonly bytes: bigint;
  };
  /** Index of the disk and of the tape in the engine's lus. */
  readonly diskLu: number;
  readonly tapeLu: number;
  /** The manifest has SHA-256 too; the digest source must give them. */
  readonly sha256?: boolean;
  /** Filemarks at the end; default 1. */
  readonly filemarks?: number;
  readonly digests: DigestSource;
  /** The cartridges so far, in order, the one being written last. Asked for when everything before the list of
   * block checksums is on tape; those that begin after that are ignored. */
  readonly volumes: () => readonly ArchiveVolume[];
}

export interface ArchiveSummary {
  /** Bytes of the archive: whole tape blocks. */
  readonly archiveBytes: bigint;
  readonly members: number;
  /** Data bytes stored. */
  readonly dataBytes: bigint;
  readonly manifest: { readonly offset: bigint; readonly bytes: bigint; readonly crc32c: number };
  /** Where the list of block checksums begins, and everything before it was on tape when it was made. */
  readonly blocks: { readonly offset: bigint; readonly count: number; readonly crc32c: number };
}

/** @throws GantryError ARCHIVE_OPTION_INVALID */
export function checkOptions(options: BackupOptions): void {
  checkTapeBlock(options.tapeBlockBytes);
  const block = options.list.blockBytes;
  if (!Number.isInteger(block) || block < 512 || block % 512 !== 0) {
    throw new GantryError(
      "ARCHIVE_OPTION_INVALID",
      `The disk block size is ${block} bytes; it must be a multiple of 512.`,
    );
  }
  for (const [name, id] of Object.entries({ archiveId: options.archiveId, jobId: options.jobId })) {
    if (/^[\x20-\x7e]{1,128}$/.test(id)) continue;
    throw new GantryError("ARCHIVE_OPTION_INVALID", `${name} must be 1 to 128 printable ASCII characters.`);
  }
}
