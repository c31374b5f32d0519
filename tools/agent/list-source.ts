// What the ways of making a block list have in common: options, and the list as it comes out.
import type { ListChunk, ListMember, VolumeIdentity } from "../../src/list.js";
import type { BlockExtents } from "./block-extents.js";

export interface ListOptions {
  /** Logical block size of the SCSI device, bytes. Default 512. */
  readonly blockBytes?: 512 | 4096;
  /** Rises with every list of a volume; the caller's to remember. Default 0. */
  readonly sequence?: bigint;
  /** Bytes to add to every place: where the file system starts on the SCSI device. Default 0. */
  readonly deviceOffset?: bigint;
  /** A file that cannot be listed ends the whole list ("fail"), or is left out and reported. Default "fail". */
  readonly onRefused?: "fail" | "skip";
}

export interface SkippedMember {
  readonly name: string;
  readonly reason: string;
}

export interface ListTotals {
  members: number;
  extents: bigint;
  /** Bytes described by the extents. */
  bytes: bigint;
  chunks: number;
  /** Extents that several files share (reflinks): the job needs overlap = "allow". */
  shared: boolean;
  /** How many were left out, and the first SKIPPED_KEPT of them. */
  skippedCount: number;
  skipped: SkippedMember[];
}

export const SKIPPED_KEPT = 1000;

/** A member with its extents, before lists are cut into chunks. */
export interface ListEntry {
  readonly member: Omit<ListMember, "extents">;
  readonly extents: BlockExtents | undefined;
}

export interface ListSource {
  readonly volume: VolumeIdentity;
  readonly blockBytes: 512 | 4096;
  /** Can be walked through once; at least one chunk, even for an empty list. */
  readonly chunks: AsyncIterable<ListChunk>;
  /** Grows while chunks are taken; complete after the last. */
  readonly totals: ListTotals;
}

export function emptyTotals(): ListTotals {
  return { members: 0, extents: 0n, bytes: 0n, chunks: 0, shared: false, skippedCount: 0, skipped: [] };
}

export function noteSkipped(totals: ListTotals, name: string, reason: string): void {
  totals.skippedCount++;
  if (totals.skipped.length < SKIPPED_KEPT) totals.skipped.push({ name, reason });
}
