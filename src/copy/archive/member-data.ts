// What of a member is stored: its extents cut at its size, joined into the ranges of the sparse map.
import type { ListMember } from "../../list.js";
import { GantryError } from "../../sys/errors.js";
import type { ExtentCursor } from "./list-cursor.js";
import { padding } from "./ustar.js";

/** Byte ranges of a member, flat: offset, length, offset, length, … */
export type Ranges = bigint[];

/** Most ranges that are handed out at once (a manifest line has no more). */
export const RANGES_AT_ONCE = 1024;

export interface DataShape {
  /** Ranges after joining. */
  readonly ranges: number;
  /** Data bytes stored, without map and padding. */
  readonly stored: bigint;
  /** Bytes of the sparse map with its padding; 0n when the data is one whole range and needs none. */
  readonly mapBytes: bigint;
}

/** Goes through a member's extents once, checks them and adds up. Leaves the cursor behind the member's last extent.
 * @throws GantryError ARCHIVE_LIST_INVALID */
export async function measureData(member: ListMember, cursor: ExtentCursor, blockBytes: bigint): Promise<DataShape> {
  let [stored, ranges, text, end] = [0n, 0, 0, 0n];
  let [rangeStart, rangeEnd] = [0n, 0n];
  const close = () => {
    if (rangeEnd === rangeStart) return;
    ranges++;
    text += decimalLength(rangeStart) + decimalLength(rangeEnd - rangeStart) + 2;
  };
  for (let left = member.extents; left > 0; left--) {
    if (!cursor.ready) await cursor.load();
    const start = cursor.fileOffset;
    checkExtent(member, start, end, cursor.blocks, blockBytes);
    const bytes = storedBytes(member.size, start, cursor.blocks * blockBytes);
    end = start + cursor.blocks * blockBytes;
    cursor.step();
    if (bytes === 0n) continue;
    stored += bytes;
    if (start !== rangeEnd) {
      close();
      rangeStart = start;
    }
    rangeEnd = start + bytes;
  }
  close();
  if (stored === member.size) return { ranges, stored, mapBytes: 0n };
  const bytes = BigInt(decimalLength(BigInt(ranges + 1)) + 1 + text + decimalLength(member.size) + 3);
  return { ranges, stored, mapBytes: bytes + padding(bytes) };
}

export function least(a: bigint, b: bigint): bigint {
  if (a < b) return a;
  return b;
}

/** How many bytes of an extent belong to a file of this size. */
export function storedBytes(size: bigint, start: bigint, bytes: bigint): bigint {
  return start >= size ? 0n : least(bytes, size - start);
}

/** The joined ranges, at most RANGES_AT_ONCE at a time; moves the cursor behind the member's last extent. */
export async function* memberRanges(
  member: ListMember,
  cursor: ExtentCursor,
  blockBytes: bigint,
): AsyncGenerator<Ranges, void, void> {
  let ranges: Ranges = [];
  let [start, end] = [0n, 0n];
  for (let left = member.extents; left > 0; left--) {
    if (!cursor.ready) await cursor.load();
    const from = cursor.fileOffset;
    const bytes = storedBytes(member.size, from, cursor.blocks * blockBytes);
    cursor.step();
    if (bytes === 0n) continue;
    if (from !== end) {
      if (end !== start) ranges.push(start, end - start);
      start = from;
      if (ranges.length === 2 * RANGES_AT_ONCE) {
        yield ranges;
        ranges = [];
      }
    }
    end = from + bytes;
  }
  if (end !== start) ranges.push(start, end - start);
  if (ranges.length > 0) yield ranges;
}

/** Text of the GNU sparse 1.0 map, piece by piece: number of entries, then offset and length of each, a line
 * for each number; the last entry has the member's size and no bytes. The pieces add up to shape.mapBytes. */
export async function* mapText(
  member: ListMember,
  cursor: ExtentCursor,
  shape: DataShape,
  blockBytes: bigint,
): AsyncGenerator<Uint8Array, void, void> {
  let left = Number(shape.mapBytes);
  let text = `${shape.ranges + 1}\n`;
  for await (const ranges of memberRanges(member, cursor, blockBytes)) {
    text += `${ranges.join("\n")}\n`;
    const piece = Buffer.from(text, "latin1");
    text = "";
    left -= piece.length;
    yield piece;
  }
  text += `${member.size}\n0\n`;
  yield Buffer.concat([Buffer.from(text, "latin1"), Buffer.alloc(left - text.length)]);
}

function checkExtent(member: ListMember, start: bigint, end: bigint, blocks: bigint, blockBytes: bigint): void {
  let fault: string | undefined;
  if (blocks === 0n) fault = "has no blocks";
  else if (start % blockBytes !== 0n) fault = `begins at no multiple of the block size, ${blockBytes}`;
  else if (start < end) fault = "lies before the end of the one before it";
  if (fault === undefined) return;
  throw new GantryError(
    "ARCHIVE_LIST_INVALID",
    `An extent of member ${JSON.stringify(member.name)} at file offset ${start} ${fault}.`,
    { details: { member: member.name, fileOffset: start } },
  );
}

function decimalLength(n: bigint): number {
  return String(n).length;
}
