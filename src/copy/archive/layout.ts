// Where every list member stands in the archive. The layout is a function of the list alone, so it is computed
// anew whenever it is needed and costs no memory per member.
import type { ListMember } from "../../list.js";
import { GantryError } from "../../sys/errors.js";
import { type ChunkSource, ExtentCursor } from "./list-cursor.js";
import { type DataShape, measureData } from "./member-data.js";
import { checkMember, hasData, type MemberHeader, memberHeader } from "./member-header.js";
import { padding } from "./ustar.js";

/** A list member in its place. Offsets are archive offsets. */
export interface PlacedMember {
  readonly member: ListMember;
  /** 1, 2, 3, … in list order: tag of its data in the program. */
  readonly tag: number;
  /** Of the first header block. */
  readonly header: bigint;
  readonly head: MemberHeader;
  readonly shape: DataShape;
  /** Of its first data byte: behind header and map. */
  readonly data: bigint;
  /** Of the byte after its padding. */
  readonly end: bigint;
  /** Stands at its first extent; clone it before moving it. */
  readonly extents: ExtentCursor;
}

export interface ListTotals {
  readonly members: number;
  readonly extents: bigint;
}

const NO_DATA: DataShape = { ranges: 0, stored: 0n, mapBytes: 0n };

/** The members of the list, the first at archive offset `start`.
 * @throws GantryError ARCHIVE_LIST_INVALID for what cannot stand in an archive, and when the list has another
 *   number of members or extents than `totals`. */
export async function* placeMembers(
  source: ChunkSource,
  totals: ListTotals,
  blockBytes: bigint,
  start: bigint,
): AsyncGenerator<PlacedMember, void, void> {
  const cursor = new ExtentCursor(source);
  let [offset, tag, extents] = [start, 0, 0n];
  for (let index = 0; index < source.chunks; index++) {
    const chunk = await source.read(index);
    for (const member of chunk.members) {
      checkMember(member);
      const at = cursor.clone();
      const shape = hasData(member) ? await measureData(member, cursor, blockBytes) : NO_DATA;
      const head = memberHeader(member, shape.stored + shape.mapBytes, shape.mapBytes > 0n);
      const data = offset + BigInt(head.bytes) + shape.mapBytes;
      const end = data + shape.stored + padding(shape.stored);
      tag++;
      extents += BigInt(member.extents);
      yield { member, tag, header: offset, head, shape, data, end, extents: at };
      offset = end;
    }
  }
  if (tag === totals.members && extents === totals.extents) return;
  throw new GantryError(
    "ARCHIVE_LIST_INVALID",
    `The list announces ${totals.members} members with ${totals.extents} extents but has ${tag} with ${extents}.`,
  );
}
