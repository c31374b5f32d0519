// Segments that move data (SPC-4 6.4.6.2 to 6.4.6.8, 6.4.6.10 to 6.4.6.12, 6.4.6.19), all in one form: a source, a
// destination, and what the segment counts.
import { inlineData } from "../wire/xcopy/copy-devices.js";
import { ASC } from "../wire/xcopy/refusal.js";
import type { Segment } from "../wire/xcopy/segments.js";
import type { CommandKind } from "./plan-commands.js";
import type { Source, Target } from "./plan-draft.js";
import { type End, fieldOf, findEnd, outOfRange, type Role, type Turn, tapeUnit, wrong } from "./plan-ends.js";
import type { Amounts, Count } from "./residue.js";

export type DataSegment = Exclude<Segment, { kind: CommandKind }>;

export interface Move {
  readonly source: Source;
  readonly target: Target;
  readonly count: Count;
  readonly cat: boolean;
  readonly hold: boolean;
  readonly sourcePad: boolean;
  readonly targetPad: boolean;
  /** Of the INFORMATION field (StepSegment). */
  readonly unitBytes: number;
  /** Throws where the disks have no such blocks. */
  readonly check: (amounts: Pick<Amounts, "read" | "written">) => void;
}

/** A side of a move, and the check of how much of it is used. */
interface Side<T> {
  readonly at: T;
  readonly pad: boolean;
  readonly check: (bytes: bigint) => void;
}

const unchecked = (): void => {};

/** @param before whether residual data waits to be written @throws CopyRefusal COPY ABORTED */
export function moveOf(turn: Turn, segment: DataSegment, before: boolean): Move {
  const made = sides(turn, segment, before);
  const { source, target, count } = made;
  const tapes = source.at.is === "tape" && target.at.is === "tape" && source.at.device === target.at.device;
  if (tapes) throw wrong(turn, ASC.WRONG_OPERATION, "a tape cannot be copied to itself", fieldOf("destination"));
  return {
    source: source.at,
    target: target.at,
    count,
    cat: "cat" in segment && segment.cat,
    hold: "hold" in segment && segment.hold,
    sourcePad: source.pad,
    targetPad: target.pad,
    unitBytes: target.at.is === "disk" ? Number(target.at.unit) : 1,
    check: ({ read, written }) => {
      source.check(read);
      target.check(written);
    },
  };
}

function sides(
  turn: Turn,
  segment: DataSegment,
  before: boolean,
): { source: Side<Source>; target: Side<Target>; count: Count } {
  switch (segment.kind) {
    case "block-stream": {
      const source = diskSource(turn, segment.source, segment.lba, 16);
      const bytes = BigInt(segment.blocks) * source.at.unit;
      const target = tapeTarget(turn, segment.destination, segment.transfer, 9, before || bytes > 0n);
      return { source, target, count: { of: "source", bytes } };
    }
    case "stream-block": {
      const source = tapeSource(turn, segment.source, segment.transfer, 9, segment.blocks > 0);
      const target = diskTarget(turn, segment.destination, segment.lba, 16, segment.blocks > 0);
      return { source, target, count: { of: "destination", bytes: BigInt(segment.blocks) * target.at.unit } };
    }
    case "block-block": {
      const source = diskSource(turn, segment.source, segment.sourceLba, 12);
      const target = diskTarget(
        turn,
        segment.destination,
        segment.destinationLba,
        20,
        segment.destinationCount && segment.blocks > 0,
      );
      const [of, unit] = segment.destinationCount
        ? (["destination", target.at.unit] as const)
        : (["source", source.at.unit] as const);
      return { source, target, count: { of, bytes: BigInt(segment.blocks) * unit } };
    }
    case "stream-stream": {
      const { sourceTransfer, destinationTransfer, byteCount } = segment;
      const source = tapeSource(turn, segment.source, sourceTransfer, 9, byteCount > 0);
      const target = tapeTarget(turn, segment.destination, destinationTransfer, 13, before || byteCount > 0);
      return { source, target, count: { of: "processed", bytes: BigInt(byteCount) } };
    }
    case "inline-stream":
    case "embedded-stream": {
      const data = segment.kind === "inline-stream" ? inlineData(turn.list, segment, turn.segment) : segment.data;
      const source: Side<Source> = { at: { is: "memory", data, unit: 1n }, pad: false, check: unchecked };
      const target = tapeTarget(turn, segment.destination, segment.transfer, 9, before || data.length > 0);
      return { source, target, count: { of: "source", bytes: BigInt(data.length) } };
    }
    case "stream-discard": {
      const source = tapeSource(turn, segment.source, segment.transfer, 9, segment.byteCount > 0);
      const target: Side<Target> = { at: { is: "discard", unit: 1n }, pad: false, check: unchecked };
      return { source, target, count: { of: "processed", bytes: BigInt(segment.byteCount) } };
    }
    case "offset-stream": {
      const source = offsetSource(turn, segment.source, segment, 16, 26);
      const bytes = BigInt(segment.byteCount);
      const target = tapeTarget(turn, segment.destination, segment.transfer, 9, before || bytes > 0n);
      return { source, target, count: { of: "source", bytes } };
    }
    case "stream-offset": {
      const source = tapeSource(turn, segment.source, segment.transfer, 9, segment.byteCount > 0);
      const target = offsetTarget(turn, segment.destination, segment, 16, 26);
      return { source, target, count: { of: "destination", bytes: BigInt(segment.byteCount) } };
    }
    case "offset-offset": {
      const { sourceLba, sourceOffset, destinationLba, destinationOffset, byteCount } = segment;
      const source = offsetSource(turn, segment.source, { lba: sourceLba, byteOffset: sourceOffset }, 12, 28);
      const to = { lba: destinationLba, byteOffset: destinationOffset };
      const target = offsetTarget(turn, segment.destination, to, 20, 30);
      return { source, target, count: { of: "destination", bytes: BigInt(byteCount) } };
    }
    case "block-image": {
      const source = diskSource(turn, segment.source, segment.sourceLba, 8);
      const target = diskTarget(turn, segment.destination, segment.destinationLba, 16, false);
      const blocks = segment.blocks > 0 ? BigInt(segment.blocks) : source.blocks - segment.sourceLba;
      // No blocks are all that there are, and there have to be some.
      if (blocks <= 0n) throw outOfRange(turn, "source", "the disk has no such block", 8);
      return { source, target, count: { of: "source", bytes: blocks * source.at.unit } };
    }
  }
}

type DiskSource = Side<Extract<Source, { is: "disk" }>> & { readonly blocks: bigint };

function diskSource(turn: Turn, id: number, lba: bigint, at: number): DiskSource {
  const { unit, pad } = findEnd(turn, id, "source", "read", "disk");
  if (unit === undefined) throw new Error("the null device is no source");
  const block = BigInt(unit.blockBytes);
  const start = lba * block;
  const check = within(turn, "source", start, unit.blocks * block, at);
  return { at: { is: "disk", device: unit.device, start, unit: block }, pad, check, blocks: unit.blocks };
}

function offsetSource(
  turn: Turn,
  id: number,
  { lba, byteOffset }: { lba: bigint; byteOffset: number },
  at: number,
  offsetAt: number,
): Side<Source> {
  const { at: disk, pad, blocks } = diskSource(turn, id, lba, at);
  const start = disk.start + offsetIn(turn, byteOffset, disk.unit, offsetAt);
  return { at: { ...disk, start, unit: 1n }, pad, check: within(turn, "source", start, blocks * disk.unit, at) };
}

function tapeSource(turn: Turn, id: number, transfer: number, at: number, moves: boolean): Side<Source> {
  const end = findEnd(turn, id, "source", "read", "tape");
  if (end.unit === undefined) throw new Error("the null device is no source");
  const unit = tapeUnit(turn, end, transfer, at, moves);
  return { at: { is: "tape", device: end.unit.device, unit }, pad: end.pad, check: unchecked };
}

/** @param counted its blocks are counted, so that their length has to be known */
function diskTarget(turn: Turn, id: number, lba: bigint, at: number, counted: boolean): Side<Target> {
  const end = findEnd(turn, id, "destination", "write", "disk");
  const { unit } = end;
  if (unit === undefined) return nullTarget(turn, end, counted);
  const block = BigInt(unit.blockBytes);
  const start = lba * block;
  const check = within(turn, "destination", start, unit.blocks * block, at);
  return { at: { is: "disk", device: unit.device, start, unit: block }, pad: end.pad, check };
}

function offsetTarget(
  turn: Turn,
  id: number,
  { lba, byteOffset }: { lba: bigint; byteOffset: number },
  at: number,
  offsetAt: number,
): Side<Target> {
  const end = findEnd(turn, id, "destination", "write", "disk");
  const { unit } = end;
  if (unit === undefined) return nullTarget(turn, end, false);
  const block = BigInt(unit.blockBytes);
  const start = lba * block + offsetIn(turn, byteOffset, block, offsetAt);
  const check = within(turn, "destination", start, unit.blocks * block, at);
  return { at: { is: "disk", device: unit.device, start, unit: 1n }, pad: end.pad, check };
}

function tapeTarget(turn: Turn, id: number, transfer: number, at: number, moves: boolean): Side<Target> {
  const end = findEnd(turn, id, "destination", "write", "tape");
  if (end.unit === undefined) return nullTarget(turn, end, false);
  const unit = tapeUnit(turn, end, transfer, at, moves);
  return { at: { is: "tape", device: end.unit.device, unit }, pad: end.pad, check: unchecked };
}

/** The null device takes any number of bytes. */
function nullTarget(turn: Turn, end: End, counted: boolean): Side<Target> {
  if (counted && end.nullBytes === 0)
    throw wrong(turn, ASC.WRONG_OPERATION, "blocks of the null device have no length", fieldOf("destination"));
  return { at: { is: "discard", unit: counted ? BigInt(end.nullBytes) : 1n }, pad: end.pad, check: unchecked };
}

function offsetIn(turn: Turn, offset: number, block: bigint, at: number): bigint {
  if (BigInt(offset) < block) return BigInt(offset);
  throw wrong(turn, ASC.LIST_FIELD, `an offset of ${offset} is in no block of ${block} bytes`, at);
}

const within = (turn: Turn, role: Role, start: bigint, end: bigint, at: number) => (bytes: bigint) => {
  if (bytes === 0n || (start <= end && bytes <= end - start)) return;
  throw outOfRange(turn, role, "the disk has no such blocks", at);
};
