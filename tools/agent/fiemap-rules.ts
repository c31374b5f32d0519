// Which extents of a mounted file may be read (or written) on the device behind the file system's back
// (linux/fiemap.h; Documentation/filesystems/fiemap.rst).
import type { ByteRun } from "./block-extents.js";
import type { HelperExtent, HelperNode } from "./helper.js";

const UNKNOWN = 0x2;
const DELALLOC = 0x4;
const ENCODED = 0x8;
const ENCRYPTED = 0x80;
const NOT_ALIGNED = 0x100;
const INLINE = 0x200;
const TAIL = 0x400;
const UNWRITTEN = 0x800;
const SHARED = 0x2000;

const EXT4_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342;
const FS_JOURNAL_DATA_FL = 0x4000; // chattr +j
const FS_XFLAG_REALTIME = 0x1;

/** Why no extent of the file can be used, or undefined. */
export function fileFault(node: HelperNode, journaledData: boolean): string | undefined {
  if (node.fsType !== EXT4_MAGIC && node.fsType !== XFS_MAGIC) return "it lies on another kind of file system";
  // Journaled data may lie in the journal only; where it belongs stands something older.
  if (journaledData || (node.fsType === EXT4_MAGIC && node.attrFlags & FS_JOURNAL_DATA_FL)) {
    return "its data goes through the journal (data=journal); use --freeze";
  }
  if (node.xflags & FS_XFLAG_REALTIME) return "it lies on the realtime device of xfs, which is another device";
  return undefined;
}

/** Why an extent cannot be used, or undefined. */
export function extentFault(flags: number): string | undefined {
  if (flags & INLINE) return "its data lies in the inode, not in blocks (inline data); copy such files by other means";
  if (flags & TAIL) return "its tail shares a block with other files";
  if (flags & ENCRYPTED) return "its blocks are encrypted by the file system";
  if (flags & ENCODED) return "its blocks are compressed or encoded by the file system";
  if (flags & DELALLOC) return "it is being written: part of it has no place on the device yet";
  if (flags & UNKNOWN) return "the file system does not know where its data lies";
  if (flags & NOT_ALIGNED) return "its data does not begin at a block";
  return undefined;
}

export interface Usable {
  readonly runs: readonly ByteRun[];
  readonly shared: boolean;
  readonly fault: string | undefined;
}

/**
 * The data of one answer. What begins at or after the end of the file is left out before it is judged: xfs
 * keeps room there, with no place yet, for files that grow. Unwritten extents read as zeros, so they are holes.
 */
export function usableRuns(extents: readonly HelperExtent[], size: bigint): Usable {
  const runs: ByteRun[] = [];
  let shared = false;
  for (const extent of extents) {
    if (extent.logical >= size) continue;
    const fault = extentFault(extent.flags);
    if (fault !== undefined) return { runs, shared, fault };
    if (extent.flags & UNWRITTEN) continue;
    if (extent.flags & SHARED) shared = true;
    runs.push(extent);
  }
  return { runs, shared, fault: undefined };
}
