// Cuts members and their extents into chunks that fit one message each.
import type { Extents, ListChunk, ListMember } from "../../src/list.js";
import type { BlockExtents } from "./block-extents.js";
import type { ListEntry, ListTotals } from "./list-source.js";

/** Most extents of a chunk, and its encoded size in bytes as estimated from above. */
export const CHUNK_EXTENTS = 65536;
export const CHUNK_BYTES = 400 * 1024;

const EXTENT_BYTES = 20; // 8 + 8 + 4 in the typed arrays
const MEMBER_BYTES = 160; // keys, numbers and string headers of a member; its strings come on top

/** Encoded size of a member, estimated from above. */
function memberBytes(member: ListMember): number {
  let bytes = MEMBER_BYTES + Buffer.byteLength(member.name);
  for (const text of [member.linkName, member.uname, member.gname]) bytes += text ? Buffer.byteLength(text) : 0;
  return bytes;
}

class Open {
  readonly members: ListMember[] = [];
  readonly parts: Extents[] = [];
  extents = 0;
  bytes = 64;

  /** How many more extents fit. */
  room(): number {
    return Math.min(CHUNK_EXTENTS - this.extents, Math.floor((CHUNK_BYTES - this.bytes) / EXTENT_BYTES));
  }

  addExtents(extents: BlockExtents, from: number, to: number): void {
    this.parts.push(extents.slice(from, to));
    this.extents += to - from;
    this.bytes += (to - from) * EXTENT_BYTES;
  }

  close(index: number): ListChunk {
    const all: Extents = {
      fileOffset: new BigUint64Array(this.extents),
      lba: new BigUint64Array(this.extents),
      blocks: new Uint32Array(this.extents),
    };
    let at = 0;
    for (const part of this.parts) {
      all.fileOffset.set(part.fileOffset, at);
      all.lba.set(part.lba, at);
      all.blocks.set(part.blocks, at);
      at += part.blocks.length;
    }
    return { index, members: this.members, extents: all };
  }
}

/** Yields chunks of the entries, at least one, and counts into totals. A member's extents may go on in later chunks. */
export async function* chunked(
  entries: AsyncIterable<ListEntry> | Iterable<ListEntry>,
  totals: ListTotals,
): AsyncGenerator<ListChunk, void, undefined> {
  let open = new Open();
  for await (const { member: facts, extents } of entries) {
    const count = extents?.count ?? 0;
    const member: ListMember = { ...facts, extents: count };
    const bytes = memberBytes(member);
    if (open.members.length > 0 && open.bytes + bytes + EXTENT_BYTES > CHUNK_BYTES) {
      yield open.close(totals.chunks++);
      open = new Open();
    }
    open.members.push(member);
    open.bytes += bytes;
    totals.members++;
    if (extents === undefined) continue;
    totals.extents += BigInt(count);
    totals.bytes += extents.totalBlocks * BigInt(extents.blockBytes);
    for (let from = 0; from < count; ) {
      if (open.room() <= 0) {
        yield open.close(totals.chunks++);
        open = new Open();
      }
      const to = Math.min(count, from + open.room());
      open.addExtents(extents, from, to);
      from = to;
    }
  }
  if (open.members.length > 0 || open.extents > 0 || totals.chunks === 0) yield open.close(totals.chunks++);
}
