// Block lists, as an agent writes them, the wire carries them and the planner reads them. A list is a
// sequence of chunks; a chunk has members (what the blocks belong to) and extents as typed arrays, so that
// ten million extents never become ten million objects.

/** What a member is on tape. Only "file" and "image" have extents. */
export type MemberType = "file" | "image" | "directory" | "symlink" | "hardlink";

export interface ListMember {
  /** Path in the archive, relative, with "/" between parts; no "..", no NUL. An image: name of the volume. */
  readonly name: string;
  readonly type: MemberType;
  /** Bytes. Extents past it are cut (the tail of the last block does not belong to the file). */
  readonly size: bigint;
  /** Permission bits 0o0000–0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly uname?: string;
  readonly gname?: string;
  /** Nanoseconds since 1970-01-01T00:00:00Z. */
  readonly mtimeNs: bigint;
  /** symlink: its text; hardlink: name of the member it is a link to. */
  readonly linkName?: string;
  /** How many extents are this member's; they follow those of the member before, in any later chunk too. */
  readonly extents: number;
}

/** Extents of one chunk, in list order. All three arrays have the same length. */
export interface Extents {
  /** Byte offset in the file of the extent's first block; a multiple of the block size, rising within a member. */
  readonly fileOffset: BigUint64Array;
  /** First logical block on the device. */
  readonly lba: BigUint64Array;
  /** Number of logical blocks, at least 1. */
  readonly blocks: Uint32Array;
}

export interface ListChunk {
  readonly index: number;
  readonly members: readonly ListMember[];
  readonly extents: Extents;
}

/** What identifies the state of a volume that a list was made from; a mismatch is refused. */
export interface VolumeIdentity {
  /** Volume id: file system UUID, or what the agent calls the volume. */
  readonly id: string;
  /** Changes whenever block history is lost: a list of another generation must not be used. */
  readonly generation: string;
  /** Rises with every list of a generation. */
  readonly sequence: bigint;
}

export interface ListHeader {
  readonly listId: string;
  readonly volume: VolumeIdentity;
  /** Logical block size the LBAs count, bytes: 512 or 4096. */
  readonly blockBytes: number;
  readonly members: number;
  readonly extents: bigint;
  /** Data bytes described by the extents, before tails are cut. */
  readonly bytes: bigint;
  readonly chunks: number;
  /** SHA-256 over the encoded chunks, one after the other. */
  readonly digest: Uint8Array;
}
