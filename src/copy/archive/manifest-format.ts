// The manifest: JSON Lines, UTF-8. First a line about the archive, then one for each member (and lines with
// more of its map, if that is long), then one about cartridges and block checksums, then the trailer.
// FORMAT.md describes it; this file has its shapes and how they are written.
import type { MemberType, VolumeIdentity } from "../../list.js";
import { crc32c, crcHex } from "./crc32c.js";
import type { Ranges } from "./member-data.js";
import type { ArchiveVolume } from "./volumes.js";

export const MANIFEST_VERSION = 1;
export const MANIFEST_NAME = ".gantry/manifest.jsonl";
export const BLOCKS_NAME = ".gantry/blocks.crc32c";
export const README_NAME = ".gantry/README.txt";

/** Bytes at the manifest's end in which the trailer stands; the two zero blocks of the archive's end follow. */
export const TRAILER_BYTES = 512;
/** Bytes of the end-of-archive indicator, two zero blocks. */
export const END_BYTES = 1024;

/** SHA-256 of nothing. */
const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export interface ManifestHead {
  readonly archiveId: string;
  readonly jobId: string;
  readonly bridgeId: string;
  /** Milliseconds since 1970. */
  readonly createdMs: number;
  readonly volume: VolumeIdentity;
  readonly listId: string;
  readonly tapeBlockBytes: number;
  readonly diskBlockBytes: number;
  readonly members: number;
  /** Data bytes stored of all members, without maps and padding. */
  readonly bytes: bigint;
  readonly comment?: string;
}

export interface ManifestMember {
  /** Name in the archive: that of an image ends in ".img", that of a directory in "/". */
  readonly name: string;
  readonly type: MemberType;
  readonly size: bigint;
  /** Archive offset of its first header. */
  readonly header: bigint;
  /** Archive offset of its first data byte. */
  readonly data: bigint;
  /** Data bytes stored. */
  readonly bytes: bigint;
  /** Number of ranges of the map; 0: the data is one whole range (or nothing) and there is no map. A sparse
   * member without any data has an empty map and 0 too, which size > bytes tells. */
  readonly ranges: number;
  /** CRC32C of the data as stored. */
  readonly crc32c: number;
  /** Lower-case hexadecimal. */
  readonly sha256?: string;
}

export interface ManifestEnd {
  /** The cartridges of the archive up to the beginning of the manifest. */
  readonly volumes: readonly ArchiveVolume[];
  /** Where the list of block checksums lies, how many it has, and the CRC32C of them all, which tells damage of the
   * list from damage of blocks; archives of older versions have none. */
  readonly blocks: { readonly offset: bigint; readonly count: number; readonly crc32c?: number };
}

export interface ManifestTrailer {
  readonly archiveId: string;
  readonly tapeBlockBytes: number;
  /** Archive offset of the manifest's first byte. */
  readonly manifest: bigint;
  /** Bytes of the manifest with the trailer line. */
  readonly bytes: bigint;
  /** CRC32C of the manifest up to the digits of this very number. */
  readonly crc32c: number;
}

/** A digest as the data plane reports it. */
export interface MemberDigest {
  readonly crc32c: number;
  readonly sha256?: Uint8Array;
}

export function headLine(head: ManifestHead): string {
  return line({
    "gantry-manifest": MANIFEST_VERSION,
    archive: head.archiveId,
    job: head.jobId,
    bridge: head.bridgeId,
    created: new Date(head.createdMs).toISOString(),
    volume: { id: head.volume.id, generation: head.volume.generation, sequence: number(head.volume.sequence) },
    list: head.listId,
    tapeBlockBytes: head.tapeBlockBytes,
    diskBlockBytes: head.diskBlockBytes,
    members: head.members,
    bytes: number(head.bytes),
    ...(head.comment === undefined ? {} : { comment: head.comment }),
  });
}

export interface MemberLine extends Omit<ManifestMember, "crc32c" | "sha256"> {
  readonly crc32c: string;
  readonly sha256: string | undefined;
}

/** @param map the first ranges of the map. */
export function memberLine(member: MemberLine, map: Ranges): string {
  const sparse = member.bytes !== member.size && (member.type === "file" || member.type === "image");
  return line({
    name: member.name,
    type: member.type,
    size: number(member.size),
    header: number(member.header),
    data: number(member.data),
    bytes: number(member.bytes),
    ...(sparse ? { ranges: member.ranges, map: map.map(number) } : {}),
    crc32c: member.crc32c,
    ...(member.sha256 === undefined ? {} : { sha256: member.sha256 }),
  });
}

/** More ranges of the member above. */
export function mapLine(map: Ranges): string {
  return line({ map: map.map(number) });
}

export function endLine(end: ManifestEnd): string {
  return line({
    volumes: end.volumes.map((volume) => ({
      cartridge: volume.cartridge,
      firstObject: number(volume.firstObject),
      from: number(volume.from),
    })),
    blocks: {
      offset: number(end.blocks.offset),
      count: end.blocks.count,
      ...(end.blocks.crc32c === undefined ? {} : { crc32c: crcHex(end.blocks.crc32c) }),
    },
  });
}

/** What stands behind the digits of the trailer's checksum. */
const TRAILER_END = '"}\n';

/** The trailer line: `bytes` bytes, blanks first, so that its text ends where the manifest ends.
 * @param crc CRC32C of the manifest before this line.
 * @throws RangeError when it does not fit. */
export function trailerLine(trailer: Omit<ManifestTrailer, "crc32c">, bytes: number, crc: number): Uint8Array {
  const fields = JSON.stringify({
    "gantry-trailer": MANIFEST_VERSION,
    archive: trailer.archiveId,
    tapeBlockBytes: trailer.tapeBlockBytes,
    manifest: number(trailer.manifest),
    bytes: number(trailer.bytes),
    crc32c: "",
  });
  const text = Buffer.from(fields.slice(0, 1 - TRAILER_END.length));
  const length = text.length + 8 + TRAILER_END.length;
  if (length > Math.min(bytes, TRAILER_BYTES)) throw new RangeError("the trailer does not fit");
  const before = Buffer.concat([Buffer.alloc(bytes - length, " "), text]);
  return Buffer.concat([before, Buffer.from(crcHex(crc32c(before, crc)) + TRAILER_END)]);
}

/** The part of a trailer line that its checksum covers: all before the digits. */
export function trailerCovered(line: Uint8Array): Uint8Array {
  return line.subarray(0, Math.max(0, line.length - 8 - TRAILER_END.length));
}

/** Digest as the manifest has it; without one, nothing is stored of the member. */
export function digestText(
  digest: MemberDigest | undefined,
  sha256: boolean,
): { crc32c: string; sha256: string | undefined } {
  const crc = crcHex(digest?.crc32c ?? 0);
  if (!sha256) return { crc32c: crc, sha256: undefined };
  return {
    crc32c: crc,
    sha256: digest === undefined ? EMPTY_SHA256 : Buffer.from(digest.sha256 ?? []).toString("hex"),
  };
}

/** Integers beyond 2^53 would be rounded by other readers of JSON: those are strings. */
function number(n: bigint): number | string {
  return n <= Number.MAX_SAFE_INTEGER && n >= Number.MIN_SAFE_INTEGER ? Number(n) : String(n);
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
