// Disks without a file system, and block lists of made-up members on them: what tests use where only the blocks
// matter.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeGlist } from "../../tools/agent/glist.js";
import { emptyTotals } from "../../tools/agent/list-source.js";
import { makeList, type TestMember } from "./archives.js";

export const VOLUME = { id: "raw-volume", generation: "g1", sequence: 1n } as const;

const MIB = 1024 * 1024;

/** Bytes that differ from sector to sector and are the same for the same seed. */
export function rawBytes(bytes: number, seed = "disk"): Buffer {
  const data = Buffer.alloc(bytes);
  const pattern = Buffer.alloc(64 * 1024);
  for (let at = 0; at < pattern.length; at += 64)
    createHash("sha512").update(`${seed} ${at}`).digest().copy(pattern, at);
  for (let at = 0; at < bytes; at += pattern.length) pattern.copy(data, at);
  for (let at = 0; at < bytes; at += 512) data.writeUInt32LE(at / 512, at);
  return data;
}

/** Makes the image file of a disk; returns its bytes. */
export function rawDisk(path: string, mib: number, seed = "disk"): Buffer {
  const data = rawBytes(mib * MIB, seed);
  writeFileSync(path, data);
  return data;
}

export interface RawListOptions {
  readonly blockBytes?: 512 | 4096;
  readonly volume?: { readonly id: string; readonly generation: string; readonly sequence: bigint };
}

/** Writes a list of members to a .glist file; returns its path. */
export async function rawList(
  directory: string,
  listId: string,
  members: readonly TestMember[],
  { blockBytes = 512, volume = VOLUME }: RawListOptions = {},
): Promise<string> {
  const chunks = makeList(members, blockBytes, 1000);
  const totals = emptyTotals();
  for (const { extents, members: own } of chunks) {
    totals.chunks++;
    totals.members += own.length;
    totals.extents += BigInt(extents.blocks.length);
    for (const blocks of extents.blocks) totals.bytes += BigInt(blocks * blockBytes);
  }
  const path = join(directory, `${listId}.glist`);
  await writeGlist(path, listId, {
    volume,
    blockBytes,
    totals,
    chunks: (async function* () {
      yield* chunks;
    })(),
  });
  return path;
}
