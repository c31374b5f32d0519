// What of a copy overlaps on a disk. The engine reads ahead of what it writes, as far as its ring goes or not at all, and
// it has several writes outstanding, which end in any order. So within one step nothing may be read that the step has
// written before, and no block be written twice. A segment whose destination lies behind its source and overlaps it goes
// backwards, in pieces.
import { least, most, roundedDown } from "./residue.js";

/** Stretches of blocks on disks. */
export class Extents {
  private readonly byDevice = new Map<string, { first: bigint; end: bigint }[]>();
  /** Behind all stretches of a disk: lists are in ascending order more often than not. */
  private readonly behind = new Map<string, bigint>();

  add(device: string, first: bigint, end: bigint): void {
    if (end <= first) return;
    const stretches = this.byDevice.get(device) ?? [];
    this.byDevice.set(device, stretches);
    this.behind.set(device, most(this.behind.get(device) ?? 0n, end));
    const last = stretches.at(-1);
    if (last !== undefined && first >= last.first && first <= last.end) last.end = most(last.end, end);
    else stretches.push({ first, end });
  }

  meets(device: string, first: bigint, end: bigint): boolean {
    if (first >= end || first >= (this.behind.get(device) ?? 0n)) return false;
    return this.byDevice.get(device)?.some((stretch) => first < stretch.end && stretch.first < end) ?? false;
  }
}

/** Bytes of a piece where pieces need not be small. */
const PIECE = 1n << 20n;

/**
 * Bytes of the pieces in which a copy goes backwards by `distance`. A piece that is no longer than the distance does not
 * write where it has to read itself, however the engine cuts it. A longer one must be a single WRITE, which begins when
 * all its data is there.
 * @param transfer bytes that the engine surely writes with one command
 */
export function pieceBytes(distance: bigint, block: bigint, transfer: bigint): bigint {
  const wanted = distance >= transfer ? least(PIECE, distance) : transfer;
  return most(block, roundedDown(wanted, block));
}

/**
 * The pieces of `bytes` bytes that are written from byte address `start` on, as [from, to) counted from there, last piece
 * first. They meet at the edges of blocks, and a block that is not written whole is a piece of its own: it is read, laid
 * over and written by itself, in one command.
 * @param longest a multiple of the block
 */
export function* backwards(
  start: bigint,
  bytes: bigint,
  block: bigint,
  longest: bigint,
): Generator<readonly [bigint, bigint]> {
  const head = least(bytes, (block - (start % block)) % block);
  const tail = (start + bytes) % block;
  let end = bytes;
  if (tail > 0n && end > head) {
    yield [end - tail, end];
    end -= tail;
  }
  while (end > head) {
    const from = most(head, end - longest);
    yield [from, end];
    end = from;
  }
  if (head > 0n) yield [0n, head];
}
