// How the data of one archived member and the extents of one file on disk meet: in file order, what is data, what
// is a hole, and where on disk it goes.
import type { ListMember } from "../../list.js";
import type { ExtentCursor } from "./list-cursor.js";
import type { ManifestMember } from "./manifest-format.js";
import type { ManifestWalk } from "./manifest-walk.js";
import { least, storedBytes } from "./member-data.js";

export type RestorePiece =
  /** What follows, `bytes` of it, goes to this block and those behind it. */
  | { readonly kind: "extent"; readonly lba: bigint; readonly bytes: bigint; readonly fileOffset: bigint }
  /** Bytes of the archive, from archive offset `at` on. */
  | { readonly kind: "data"; readonly at: bigint; readonly bytes: bigint }
  | { readonly kind: "zeros"; readonly bytes: bigint };

/** Why a member cannot be restored; the message goes on where a sentence began with the member's name. */
export class RestoreFault extends Error {}

/** @param walk stands at the member; its ranges are used up. @throws RestoreFault */
export async function* restorePieces(
  walk: ManifestWalk,
  archived: ManifestMember,
  wanted: ListMember,
  cursor: ExtentCursor,
  blockBytes: bigint,
): AsyncGenerator<RestorePiece, void, void> {
  let range = await walk.range();
  let at = archived.data;
  let last = 0n;
  for (let left = wanted.extents; left > 0; left--) {
    if (!cursor.ready) await cursor.load();
    let position = cursor.fileOffset;
    if (position < last || position % blockBytes !== 0n) {
      throw new RestoreFault(`has an extent at file offset ${position} that is not in order or begins inside a block`);
    }
    last = position + cursor.blocks * blockBytes;
    const bytes = storedBytes(archived.size, position, cursor.blocks * blockBytes);
    const lba = cursor.lba;
    cursor.step();
    if (bytes === 0n) continue;
    yield { kind: "extent", lba, bytes, fileOffset: position };
    for (const end = position + bytes; position < end; ) {
      if (range !== undefined && range.offset < position) throw uncovered(range.offset);
      const data = range === undefined || range.offset >= end ? end : range.offset;
      if (data > position || range === undefined) {
        yield { kind: "zeros", bytes: data - position };
        position = data;
        continue;
      }
      const take = least(range.bytes, end - position);
      yield { kind: "data", at, bytes: take };
      at += take;
      position += take;
      range = take === range.bytes ? await walk.range() : { offset: range.offset + take, bytes: range.bytes - take };
    }
  }
  if (range !== undefined) throw uncovered(range.offset);
}

function uncovered(offset: bigint): RestoreFault {
  return new RestoreFault(`has data at file offset ${offset} that no extent of the list covers`);
}
