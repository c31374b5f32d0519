// Block lists of a wanted size, in memory, as they go over the wire.
import { encodeChunk, listDigest } from "../../src/control/list-chunk.js";
import type { ListHeader } from "../../src/list.js";
import { DISK_BLOCK_BYTES } from "./bridge.js";

const CHUNK_EXTENTS = 20_000;

export interface MadeList {
  readonly header: ListHeader;
  readonly chunks: readonly Uint8Array[];
  /** Blocks that the disk must have. */
  readonly diskBlocks: number;
}

/** One file of `count` extents of `blocks` blocks, with as many blocks between each two, so that none can be joined. */
export function makeList(listId: string, count: number, blocks = 1): MadeList {
  const size = BigInt(count) * BigInt(blocks * DISK_BLOCK_BYTES);
  const member = {
    name: "data",
    type: "file",
    size,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeNs: 0n,
    extents: count,
  } as const;
  const digest = listDigest();
  const chunks: Uint8Array[] = [];
  for (let from = 0; from < count; from += CHUNK_EXTENTS) {
    const length = Math.min(CHUNK_EXTENTS, count - from);
    const fileOffset = new BigUint64Array(length);
    const lba = new BigUint64Array(length);
    for (let index = 0; index < length; index++) {
      fileOffset[index] = BigInt(from + index) * BigInt(blocks * DISK_BLOCK_BYTES);
      lba[index] = BigInt(from + index) * BigInt(2 * blocks);
    }
    const extents = { fileOffset, lba, blocks: new Uint32Array(length).fill(blocks) };
    const chunk = encodeChunk({ index: chunks.length, members: from === 0 ? [member] : [], extents });
    digest.update(chunk);
    chunks.push(chunk);
  }
  const header = {
    listId,
    volume: { id: "bench", generation: "1", sequence: 0n },
    blockBytes: DISK_BLOCK_BYTES,
    members: 1,
    extents: BigInt(count),
    bytes: size,
    chunks: chunks.length,
    digest: new Uint8Array(digest.digest()),
  };
  return { header, chunks, diskBlocks: 2 * count * blocks };
}
