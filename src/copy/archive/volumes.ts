// Where archive bytes lie on cartridges. Every cartridge but the first starts with a continuation lead of a
// constant number of whole tape blocks, so that tape blocks have the same edges in the archive whatever the
// cartridges' capacities.
import { GantryError } from "../../sys/errors.js";

/** One cartridge of an archive. */
export interface ArchiveVolume {
  readonly cartridge: string;
  /** Logical object number of the first tape block: of the archive, or of the continuation lead. */
  readonly firstObject: bigint;
  /** Archive offset of the first archive byte on it; 0n for the first cartridge. */
  readonly from: bigint;
}

export const TAPE_BLOCK_MAX = 8 << 20;

/** Room for the largest continuation lead: two names of 4095 bytes, headers and records. */
const LEAD_ROOM = 16384;

/** A multiple of 512 from 512 to 8 MiB. */
export function isTapeBlock(bytes: number): boolean {
  return Number.isInteger(bytes) && bytes >= 512 && bytes <= TAPE_BLOCK_MAX && bytes % 512 === 0;
}

/** @throws GantryError ARCHIVE_OPTION_INVALID unless it is a tape block size. */
export function checkTapeBlock(bytes: number): void {
  if (isTapeBlock(bytes)) return;
  throw new GantryError(
    "ARCHIVE_OPTION_INVALID",
    `The tape block size is ${bytes} bytes; it must be a multiple of 512 from 512 to ${TAPE_BLOCK_MAX}.`,
  );
}

/** Bytes of a continuation lead: whole tape blocks. */
export function leadBytes(tapeBlockBytes: number): number {
  return Math.ceil(LEAD_ROOM / tapeBlockBytes) * tapeBlockBytes;
}

export interface TapePlace {
  /** Index into volumes. */
  readonly volume: number;
  /** Logical object number of the tape block that holds the byte. */
  readonly object: bigint;
  /** Bytes of that tape block before it. */
  readonly skip: number;
}

/** Index of the volume that holds archive byte `offset`. Volumes are in order, the first with from 0n. */
export function volumeOf(offset: bigint, volumes: readonly ArchiveVolume[]): number {
  for (let i = volumes.length - 1; i >= 0; i--) {
    const volume = volumes[i];
    if (volume !== undefined && volume.from <= offset) return i;
  }
  throw new GantryError("ARCHIVE_OPTION_INVALID", `No cartridge holds archive offset ${offset}.`);
}

/** Where archive byte `offset` lies. */
export function tapeObjectOf(offset: bigint, volumes: readonly ArchiveVolume[], tapeBlockBytes: number): TapePlace {
  const index = volumeOf(offset, volumes);
  const volume = volumes[index];
  if (volume === undefined) throw new RangeError("volumeOf gave no volume");
  const block = BigInt(tapeBlockBytes);
  const lead = index === 0 ? 0n : BigInt(leadBytes(tapeBlockBytes)) / block;
  const into = offset - volume.from;
  return { volume: index, object: volume.firstObject + lead + into / block, skip: Number(into % block) };
}

/** The archive offset of a tape block: the other way round. Undefined for a block of the continuation lead. */
export function archiveOffsetOf(
  object: bigint,
  volume: ArchiveVolume,
  first: boolean,
  tapeBlockBytes: number,
): bigint | undefined {
  const block = BigInt(tapeBlockBytes);
  const lead = first ? 0n : BigInt(leadBytes(tapeBlockBytes)) / block;
  const into = object - volume.firstObject - lead;
  return into < 0n ? undefined : volume.from + into * block;
}
