// Packs segment programs (csrc/copy/engine.h) for Copy.append. Two lists over one byte stream: gather
// segments make the stream, scatter segments use it up. A million extents are packed in a fraction of a
// second and never exist as objects.
import { U64_MAX } from "./check.js";
import { invalid } from "./failure.js";
import { Op, SEGMENT_BYTES } from "./types.js";

export { Op, SEGMENT_BYTES } from "./types.js";

/** What one append takes. */
export interface Program {
  readonly gather: Uint8Array;
  readonly scatter: Uint8Array;
  readonly inline: Uint8Array;
}

/** Which list an operation goes to that exists on either side. */
export type Side = "gather" | "scatter";

/** Tape data up to the next filemark. */
export const TO_FILEMARK = U64_MAX;

/** What a segment to scatter may do besides; `gather` has none of it. */
export interface HeldOption {
  /** A copy of the bytes, 1 to HELD_MAX of them, comes in a "held" event; its cookie is the stream offset of the first. */
  readonly held?: boolean;
}

export interface ExtentOptions extends HeldOption {
  /** Bytes behind the end, in the last block, stay as they are on the disk; otherwise they become zeros. */
  readonly keep?: boolean;
}

export interface TapeOptions extends HeldOption {
  /**
   * The blocks are those of the source tape, whatever their lengths. TO_FILEMARK only: each such segment takes what one
   * tape("gather", lu, TO_FILEMARK) gives, and nothing else is copied in the run. Give the first one with that append
   * which has gather's first, or before.
   */
  readonly asGathered?: boolean;
}

/** Most bytes of a segment that is held. */
export const HELD_MAX = 1 << 20;

/** Bytes of a block passed over are the low 12 bits of `skip`; above them are the flags of csrc/copy/engine.h. */
const SKIP_MAX = 0x0fff;
const KEEP = 0x8000;
const HELD = 0x4000;
const AS_GATHERED = 0x2000;
const PLAIN: ExtentOptions & TapeOptions = {};

const flagsOf = (options: ExtentOptions & TapeOptions): number =>
  (options.keep === true ? KEEP : 0) |
  (options.held === true ? HELD : 0) |
  (options.asGathered === true ? AS_GATHERED : 0);

const WORDS = SEGMENT_BYTES / 8;
const FIRST_SEGMENTS = 256;

const fits = (value: bigint): boolean => value >= 0n && value <= U64_MAX;

/** A growing array of segments: u64 addr, u64 bytes, u32 tag, u8 op, u8 lu, u16 skip, little-endian. */
class Segments {
  private words = new BigUint64Array(FIRST_SEGMENTS * WORDS);
  private halves = new Uint32Array(this.words.buffer);
  count = 0;

  add(op: number, lu: number, addr: bigint, size: bigint, tag: number, skip: number, flags = 0): void {
    // The unsigned value is the value itself only if it is an integer in range.
    if ((lu & 0xff) !== lu || (skip & 0xffff) !== skip || tag >>> 0 !== tag || !fits(addr) || !fits(size))
      throw invalid(`A segment is out of range: lu ${lu}, addr ${addr}, bytes ${size}, tag ${tag}, skip ${skip}.`);
    if ((this.count + 1) * WORDS > this.words.length) this.grow();
    const word = this.count * WORDS;
    this.words[word] = addr;
    this.words[word + 1] = size;
    this.halves[2 * word + 4] = tag;
    this.halves[2 * word + 5] = op | (lu << 8) | ((skip | flags) << 16);
    this.count++;
  }

  /** The packed segments, which are the caller's own from now on. */
  take(): Uint8Array {
    const packed = new Uint8Array(this.words.buffer, 0, this.count * SEGMENT_BYTES).slice();
    this.count = 0;
    return packed;
  }

  private grow(): void {
    const larger = new BigUint64Array(this.words.length * 2);
    larger.set(this.words);
    this.words = larger;
    this.halves = new Uint32Array(larger.buffer);
  }
}

export class ProgramBuilder {
  private readonly gatherList = new Segments();
  private readonly scatterList = new Segments();
  private inlineBytes = new Uint8Array(4096);
  private inlineLength = 0;

  /** Segments on the longer side since the last take: keep it at or under QUEUE_SEGMENTS. */
  get segments(): number {
    return Math.max(this.gatherList.count, this.scatterList.count);
  }

  /** Inline bytes since the last take. */
  get inlineSize(): number {
    return this.inlineLength;
  }

  private side(side: Side): Segments {
    return side === "gather" ? this.gatherList : this.scatterList;
  }

  /** `size` bytes of the extent that starts `skip` bytes into block `lba` of unit `lu`. */
  extent(side: Side, lu: number, lba: bigint, size: bigint, tag = 0, skip = 0, options: ExtentOptions = PLAIN): this {
    // A skip that reached into the flags would be taken for them, and the disk be written otherwise than was asked.
    if (side === "scatter" && skip > SKIP_MAX)
      throw invalid(`An extent to scatter skips ${skip} bytes of a block; a block has at most ${SKIP_MAX + 1}.`);
    this.side(side).add(Op.EXTENT, lu, lba, size, tag, skip, flagsOf(options));
    return this;
  }

  /** Bytes given here, into the stream. They are copied. */
  inline(data: Uint8Array, tag = 0): this {
    this.gatherList.add(Op.INLINE, 0, BigInt(this.inlineLength), BigInt(data.byteLength), tag, 0);
    const end = this.inlineLength + data.byteLength;
    if (end > this.inlineBytes.length) {
      const larger = new Uint8Array(Math.max(end, this.inlineBytes.length * 2));
      larger.set(this.inlineBytes.subarray(0, this.inlineLength));
      this.inlineBytes = larger;
    }
    this.inlineBytes.set(data, this.inlineLength);
    this.inlineLength = end;
    return this;
  }

  /** Zeros into the stream. */
  zeros(size: bigint, tag = 0): this {
    this.gatherList.add(Op.ZEROS, 0, 0n, size, tag, 0);
    return this;
  }

  /** gather: the next `size` bytes of tape `lu` (TO_FILEMARK: to the filemark). scatter: into tape blocks. */
  tape(side: Side, lu: number, size: bigint, tag = 0, options: TapeOptions = PLAIN): this {
    this.side(side).add(Op.TAPE, lu, 0n, size, tag, 0, flagsOf(options));
    return this;
  }

  /** Stream bytes that are digested and not kept. */
  discard(size: bigint, tag = 0, options: HeldOption = PLAIN): this {
    this.scatterList.add(Op.DISCARD, 0, 0n, size, tag, 0, flagsOf(options));
    return this;
  }

  /** Stream bytes that come back in a "held" event with this cookie. */
  hold(size: bigint, cookie: bigint, tag = 0): this {
    this.scatterList.add(Op.HOLD, 0, cookie, size, tag, 0);
    return this;
  }

  /** Compares stream bytes with an extent. */
  compare(lu: number, lba: bigint, size: bigint, tag = 0, skip = 0): this {
    this.scatterList.add(Op.COMPARE, lu, lba, size, tag, skip);
    return this;
  }

  /** Ends the current tape block as it is and writes `count` filemarks. */
  filemark(lu: number, count = 1): this {
    this.scatterList.add(Op.FILEMARK, lu, BigInt(count), 0n, 0, 0);
    return this;
  }

  /** Everything before it is on the medium before anything after it. */
  flush(lu: number): this {
    this.scatterList.add(Op.FLUSH, lu, 0n, 0n, 0, 0);
    return this;
  }

  /** Tape `lu` to logical object `object`. */
  locate(side: Side, lu: number, object: bigint): this {
    this.side(side).add(Op.LOCATE, lu, object, 0n, 0, 0);
    return this;
  }

  /** SSC-4 SPACE: code 0 blocks, 1 filemarks, 3 end of data; count may be negative. */
  space(side: Side, lu: number, code: 0 | 1 | 3, count: bigint): this {
    this.side(side).add(Op.SPACE, lu, BigInt.asUintN(64, count), 0n, 0, code);
    return this;
  }

  /** What was built since the last take; the builder starts anew. */
  take(): Program {
    const inline = this.inlineBytes.slice(0, this.inlineLength);
    this.inlineLength = 0;
    return { gather: this.gatherList.take(), scatter: this.scatterList.take(), inline };
  }
}
