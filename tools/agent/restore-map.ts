// The restore's side of a list, pure: which data ranges of a file are to be written, and where they lie in
// what was allocated for it.
import type { ListChunk, ListMember } from "../../src/list.js";
import { GantryError } from "../../src/sys/errors.js";
import { BlockExtents, type ByteRun } from "./block-extents.js";

/** Bytes of a file that hold data; everything else is a hole. */
export interface DataRange {
  readonly offset: bigint;
  readonly length: bigint;
}

/** A member to be restored. `ranges` are in file order and do not overlap; only files have any. */
export interface RestoreMember extends Omit<ListMember, "extents"> {
  readonly ranges: readonly DataRange[];
}

export type RestoreMembers = AsyncIterable<RestoreMember> | Iterable<RestoreMember>;

/**
 * Ranges cut at `size`, grown to whole blocks of `unit` bytes, joined where they then touch. Throws
 * AGENT_NAME when they are not in order.
 */
export function wholeUnits(member: RestoreMember, unit: bigint): DataRange[] {
  const whole: { offset: bigint; length: bigint }[] = [];
  let before = 0n;
  for (const { offset, length } of member.ranges) {
    if (offset < before || length < 0n) {
      throw new GantryError("AGENT_NAME", `The data ranges of ${member.name} are not in file order.`);
    }
    before = offset + length;
    const end = before < member.size ? before : member.size;
    if (end <= offset) continue;
    const from = (offset / unit) * unit;
    const to = ((end + unit - 1n) / unit) * unit;
    const last = whole[whole.length - 1];
    if (last && last.offset + last.length >= from) {
      if (to > last.offset + last.length) last.length = to - last.offset;
    } else {
      whole.push({ offset: from, length: to - from });
    }
  }
  return whole;
}

export interface Covered {
  readonly extents: BlockExtents;
  /** What was allocated but holds no data: to be zeroed, because it reads as part of the file. */
  readonly rest: readonly ByteRun[];
}

/**
 * The places of the ranges (whole blocks) within the allocated runs (file order). Throws AGENT_RESTORE_MAP
 * when a part of a range has no place, AGENT_ALIGNMENT.
 */
export function cover(
  name: string,
  runs: readonly ByteRun[],
  ranges: readonly DataRange[],
  blockBytes: number,
  deviceOffset: bigint,
): Covered {
  const extents = new BlockExtents(blockBytes);
  const rest: ByteRun[] = [];
  let at = 0;
  let done = 0n; // of ranges[at]
  for (const run of runs) {
    let position = run.logical;
    const end = run.logical + run.length;
    for (let range = ranges[at]; range && position < end; range = ranges[at]) {
      const from = range.offset + done;
      const to = range.offset + range.length;
      if (from >= end) break;
      if (from < position) throw missing(name, from);
      if (from > position) rest.push(part(run, position, from));
      const until = earlier(to, end);
      extents.add(part(run, from, until), until, deviceOffset);
      position = until;
      done = until < to ? until - range.offset : 0n;
      if (until === to) at++;
    }
    if (position < end) rest.push(part(run, position, end));
  }
  const left = ranges[at];
  if (left) throw missing(name, left.offset + done);
  return { extents, rest };
}

function earlier(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function part(run: ByteRun, from: bigint, to: bigint): ByteRun {
  return { logical: from, physical: run.physical + (from - run.logical), length: to - from };
}

function missing(name: string, at: bigint): GantryError {
  return new GantryError(
    "AGENT_RESTORE_MAP",
    `${name} has no block of its own for byte ${at}; nothing may be written.`,
    {
      details: { name, offset: at },
    },
  );
}

/** A member of a list with the extents that belong to it. */
export interface ListedMember {
  readonly member: ListMember;
  readonly extents: BlockExtents;
}

/** Joins chunks again to members with all of their extents. */
export async function* listedMembers(
  chunks: AsyncIterable<ListChunk> | Iterable<ListChunk>,
  blockBytes: number,
): AsyncGenerator<ListedMember, void, undefined> {
  const waiting: ListMember[] = [];
  let extents = new BlockExtents(blockBytes);
  let taken = 0; // entries of the arrays that belong to waiting[0]
  for await (const chunk of chunks) {
    waiting.push(...chunk.members);
    let at = 0;
    for (let member = waiting[0]; member; member = waiting[0]) {
      const { fileOffset, lba, blocks } = chunk.extents;
      for (; taken < member.extents && at < blocks.length; at++, taken++) {
        const block = BigInt(blockBytes);
        const logical = fileOffset[at] ?? 0n;
        const length = BigInt(blocks[at] ?? 0) * block;
        extents.add({ logical, physical: (lba[at] ?? 0n) * block, length }, logical + length, 0n);
      }
      if (taken < member.extents) break;
      yield { member, extents };
      extents = new BlockExtents(blockBytes);
      taken = 0;
      waiting.shift();
    }
  }
  const [left] = waiting;
  if (left) throw new GantryError("AGENT_LIST_FILE", `The list ends within the extents of ${left.name}.`);
}

/** What a backup's list says about data ranges: the restore of the same members. */
export async function* restoreMembers(
  chunks: AsyncIterable<ListChunk> | Iterable<ListChunk>,
  blockBytes: number,
): AsyncGenerator<RestoreMember, void, undefined> {
  for await (const { member, extents } of listedMembers(chunks, blockBytes)) {
    const { extents: _, ...facts } = member;
    yield { ...facts, ranges: rangesOf(extents) };
  }
}

export function rangesOf(extents: BlockExtents): DataRange[] {
  const { fileOffset, blocks } = extents.slice(0, extents.count);
  return Array.from(fileOffset, (offset, i) => ({
    offset,
    length: BigInt(blocks[i] ?? 0) * BigInt(extents.blockBytes),
  }));
}
