// Tape blocks as the engine counts them (logical objects of one cartridge) and as the archive counts them.
import { type ArchiveVolume, archiveOffsetOf } from "./archive/volumes.js";
import type { BlockCrcs } from "./journal.js";

/**
 * Checksums of consecutive objects of a cartridge as checksums of archive blocks; those of a continuation lead are
 * left out. Undefined when nothing is left.
 */
export function archiveBlocks(
  object: bigint,
  crcs: Uint32Array,
  volume: ArchiveVolume,
  isFirst: boolean,
  blockBytes: number,
): BlockCrcs | undefined {
  for (let skipped = 0; skipped < crcs.length; skipped++) {
    const offset = archiveOffsetOf(object + BigInt(skipped), volume, isFirst, blockBytes);
    if (offset !== undefined) return { first: Number(offset / BigInt(blockBytes)), crcs: crcs.subarray(skipped) };
  }
  return undefined;
}
