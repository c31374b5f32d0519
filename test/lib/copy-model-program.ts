// Programs of the engine as a test reads them (csrc/copy/engine.h), and what makes one wrong: all that the engine itself
// refuses, and what it cannot see, since it takes a program at its word: that what is read was not written by the same run.
import type { CopyOptions } from "../../src/native/types.js";
import { Op, SEGMENT_BYTES } from "../../src/native/types.js";
import { deviceOf } from "./copy-model-unit.js";

export const SKIP = 0x0fff;
export const KEEP = 0x8000;
export const HELD = 0x4000;
export const AS_GATHERED = 0x2000;
const U64 = (1n << 64n) - 1n;
const I64 = (1n << 63n) - 1n;
const HOLD_MAX = 1n << 20n;
const TAPE_BLOCK = { least: 1, most: 8 << 20 } as const;
const PAGE = 4096;
/** What the engine surely writes with one command (PlanOptions.transferBytes). */
const TRANSFER = 65_536n;

export interface Seg {
  readonly addr: bigint;
  readonly bytes: bigint;
  readonly tag: number;
  readonly op: number;
  readonly lu: number;
  readonly skip: number;
  readonly flags: number;
}

export const toMark = ({ bytes }: Seg): boolean => bytes === U64;

export function unpack(packed: Uint8Array): Seg[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  return Array.from({ length: packed.length / SEGMENT_BYTES }, (_, index) => {
    const at = index * SEGMENT_BYTES;
    const low = view.getUint16(at + 22, true);
    return {
      addr: view.getBigUint64(at, true),
      bytes: view.getBigUint64(at + 8, true),
      tag: view.getUint32(at + 16, true),
      op: view.getUint8(at + 20),
      lu: view.getUint8(at + 21),
      skip: low & SKIP,
      flags: low & ~SKIP,
    };
  });
}

/** gt_copy_check_options; undefined: there is nothing wrong. */
export function wrongOptions(options: CopyOptions): string | undefined {
  const { ringBytes, tapeBlockBytes, lus } = options;
  const source = options.sourceBlockBytes || tapeBlockBytes;
  if (lus.length < 1 || lus.length > 255) return `${lus.length} units`;
  if (tapeBlockBytes < TAPE_BLOCK.least || tapeBlockBytes > TAPE_BLOCK.most) return `a tape block of ${tapeBlockBytes}`;
  if (source > TAPE_BLOCK.most) return `a block of a source tape of ${source}`;
  if (ringBytes % PAGE !== 0 || ringBytes < 4 * Math.max(PAGE, source, tapeBlockBytes)) return `a ring of ${ringBytes}`;
  if (new Set(lus.map(({ lu }) => lu)).size < lus.length) return "a unit is there twice";
  const smaller = Math.min(source, tapeBlockBytes);
  return lus.some((one) => one.type === 1 && !moves(one, smaller))
    ? "a tape block is longer than a command"
    : undefined;
}

const moves = ({ lu, maxIoBytes }: CopyOptions["lus"][number], bytes: number): boolean =>
  lu.maxTransferBytes >= bytes && (maxIoBytes === 0 || maxIoBytes >= bytes);

/** gt_program_append, for a program that comes in one piece. */
export function wrongProgram(
  options: CopyOptions,
  gather: readonly Seg[],
  scatter: readonly Seg[],
  inline: number,
): string | undefined {
  for (const [side, list] of [["gather", gather] as const, ["scatter", scatter] as const])
    for (const [index, seg] of list.entries()) {
      const problem = wrongSegment(options, seg, side, inline);
      if (problem !== undefined) return `${side} ${index}, operation ${seg.op}: ${problem}`;
    }
  return wrongTogether(options, gather, scatter);
}

function wrongSegment(options: CopyOptions, seg: Seg, side: string, inline: number): string | undefined {
  const { addr, bytes, op, lu, skip, flags } = seg;
  const own = side === "gather" ? 0 : op === Op.EXTENT ? KEEP | HELD : op === Op.TAPE ? HELD | AS_GATHERED : HELD;
  if ((flags & ~own) !== 0 || ((op === Op.INLINE || op === Op.ZEROS || op === Op.HOLD) && flags !== 0))
    return `flags ${flags.toString(16)}`;
  if ((flags & HELD) !== 0 && (bytes < 1n || bytes > HOLD_MAX)) return `${bytes} bytes are to be held`;
  if ((flags & AS_GATHERED) !== 0 && !toMark(seg)) return "whole blocks of a number of bytes";
  const [from, to] = [side === "gather", side === "scatter"];
  const unit = options.lus[lu];
  switch (op) {
    case Op.INLINE:
      return from && skip === 0 && addr <= inline && bytes <= BigInt(inline) - addr ? undefined : "inline";
    case Op.ZEROS:
      return from && skip === 0 && bytes <= I64 ? undefined : "zeros";
    case Op.EXTENT: {
      if (unit?.type !== 0) return "an extent of no disk";
      const size = BigInt(unit.blockBytes);
      const blocks = (BigInt(skip) + bytes + size - 1n) / size;
      const fits = bytes > 0n && bytes <= I64 && BigInt(skip) < size && addr <= unit.blocks;
      return fits && blocks <= unit.blocks - addr ? undefined : `an extent of ${bytes} at ${addr} + ${skip}`;
    }
    case Op.TAPE:
      return unit?.type === 1 && bytes > 0n && skip === 0 ? undefined : "tape";
    case Op.DISCARD:
      return to && skip === 0 ? undefined : "discard";
    case Op.HOLD:
      return to && skip === 0 && bytes > 0n && bytes <= HOLD_MAX ? undefined : `${bytes} bytes are to be kept`;
    default:
      return "is not one that copies of servers need";
  }
}

const onUnit = ({ op }: Seg): boolean => op === Op.EXTENT || op === Op.TAPE;
const fromMemory = ({ op }: Seg): boolean => op === Op.INLINE || op === Op.ZEROS;

function wrongTogether(options: CopyOptions, gather: readonly Seg[], scatter: readonly Seg[]): string | undefined {
  const sides = [gather, scatter] as const;
  const units = sides.map((list) => new Set(list.filter(onUnit).map(({ lu }) => lu)));
  if ([...(units[0] ?? [])].some((lu) => units[1]?.has(lu))) return "a unit is on both sides";
  const blocks = [options.sourceBlockBytes || options.tapeBlockBytes, options.tapeBlockBytes];
  const image = scatter.some(({ flags }) => (flags & AS_GATHERED) !== 0);
  for (const [index, list] of sides.entries()) {
    const tapes = new Set(list.filter(({ op }) => op === Op.TAPE).map(({ lu }) => lu));
    if (tapes.size > 1) return "two tapes on one side";
    const other = list.some((seg) => seg.op !== Op.TAPE && !fromMemory(seg));
    if (tapes.size > 0 && other) return "a tape and something else on one side";
    const bytes = image ? Math.max(...blocks) : (blocks[index] ?? 0);
    for (const lu of tapes) {
      const unit = options.lus[lu];
      if (unit !== undefined && !moves(unit, bytes)) return `blocks of ${bytes} are too long for the drive`;
    }
  }
  if (image !== sides.flat().some(toMark) || (image && !sides.flat().every(toMark)))
    return "an image and something else";
  const [made, used] = sides.map((list) => list.reduce((sum, { bytes }) => sum + bytes, 0n));
  return image || made === used ? undefined : `${made} bytes are gathered and ${used} scattered`;
}

interface Stretch {
  readonly device: string;
  readonly from: bigint;
  readonly to: bigint;
  readonly block: bigint;
  /** In the stream. */
  readonly at: bigint;
  /** When its first byte may be written; later than `at` where all of it is one command. */
  readonly writtenFrom: bigint;
}

function stretches(options: CopyOptions, list: readonly Seg[]): Stretch[] {
  const found: Stretch[] = [];
  let at = 0n;
  for (const { op, lu, addr, skip, bytes } of list) {
    const unit = options.lus[lu];
    if (op === Op.EXTENT && unit !== undefined) {
      const block = BigInt(unit.blockBytes);
      const from = addr * block + BigInt(skip);
      const [whole, end] = [from % block === 0n && bytes % block === 0n && bytes <= TRANSFER, from + bytes];
      const one = whole || from / block === (end - 1n) / block;
      found.push({ device: deviceOf(unit.lu), from, to: end, block, at, writtenFrom: one ? at + bytes : at });
    }
    at += bytes;
  }
  return found;
}

/**
 * The engine reads ahead of what it writes, or not, and its writes end in any order: what is read may not have been written
 * by the same run before, and no block may be written twice.
 */
export function wrongOrder(options: CopyOptions, gather: readonly Seg[], scatter: readonly Seg[]): string | undefined {
  const reads = stretches(options, gather);
  const writes = stretches(options, scatter);
  const sorted = [...writes].sort((a, b) => (a.from < b.from ? -1 : 1));
  for (const [index, write] of sorted.entries()) {
    const next = sorted.slice(index + 1).find(({ device }) => device === write.device);
    if (next === undefined) continue;
    const meets = next.from < write.to;
    const shares = next.from / next.block < (write.to + write.block - 1n) / write.block;
    // Two parts of one extent may meet within a block.
    if (meets || (shares && !(next.from === write.to && next.at === write.at + write.to - write.from)))
      return `block ${next.from / next.block} of ${next.device} is written twice`;
  }
  for (const write of writes)
    for (const read of reads) {
      if (read.device !== write.device || read.from >= write.to || write.from >= read.to) continue;
      const address = read.from > write.from ? read.from : write.from;
      const readAt = read.at + address - read.from;
      const writtenAt = write.writtenFrom > write.at ? write.writtenFrom : write.at + address - write.from;
      if (readAt > writtenAt) return `byte ${address} of ${read.device} is read when it may have been written`;
    }
  return undefined;
}
