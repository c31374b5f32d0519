// Builds the program of an archive stream: what the planner says is to be written becomes packed segments, from
// a given archive offset on; everything before it is dropped, to the byte.
import { Op, TAG_ASIDE } from "../../native/types.js";
import { type Batch, SegmentList } from "./segments.js";

/** Inline bytes after which a batch is full, whatever its segments. */
const INLINE_FULL = 1 << 20;

export interface StreamOptions {
  readonly diskLu: number;
  readonly tapeLu: number;
  readonly diskBlockBytes: number;
  /** Archive offset from which segments are made. */
  readonly start: bigint;
  /** Gives bytes that go in front of the byte at `start`; called once, when that byte is reached. */
  readonly lead?: () => Uint8Array;
}

export class StreamBuilder {
  readonly #options: StreamOptions;
  readonly #diskBlock: bigint;
  readonly #gather = new SegmentList();
  readonly #scatter = new SegmentList();
  #inline = Buffer.alloc(4096);
  #inlineBytes = 0;
  #position = 0n;
  #leadDue: boolean;
  #limit = 0;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#diskBlock = BigInt(options.diskBlockBytes);
    this.#leadDue = options.lead !== undefined;
  }

  /** Archive offset of the next byte. */
  get position(): bigint {
    return this.#position;
  }

  /** True when everything up to `end` lies before the start and need not be made at all. */
  isBefore(end: bigint): boolean {
    return end <= this.#options.start;
  }

  /** Passes over bytes that lie before the start. */
  pass(end: bigint): void {
    this.#position = end;
  }

  /** Segments that a batch may have; see full. */
  set limit(segments: number) {
    this.#limit = segments;
  }

  get full(): boolean {
    return this.#gather.count >= this.#limit || this.#inlineBytes >= INLINE_FULL;
  }

  get empty(): boolean {
    return this.#gather.count === 0 && this.#scatter.count === 0;
  }

  inline(bytes: Uint8Array): void {
    const cut = this.#advance(BigInt(bytes.length));
    if (cut < BigInt(bytes.length)) this.#putInline(cut === 0n ? bytes : bytes.subarray(Number(cut)));
  }

  zeros(bytes: bigint): void {
    const left = bytes - this.#advance(bytes);
    if (left === 0n) return;
    this.#gather.push(Op.ZEROS, 0, 0n, left);
    this.#toTape(left);
  }

  /** @param bytes of the extent that belong to the stream; the last block may be cut. */
  extent(lba: bigint, bytes: bigint, tag: number): void {
    const cut = this.#advance(bytes);
    if (cut === bytes) return;
    const skip = Number(cut % this.#diskBlock);
    this.#gather.push(Op.EXTENT, this.#options.diskLu, lba + cut / this.#diskBlock, bytes - cut, tag, skip);
    this.#toTape(bytes - cut);
  }

  /** Everything so far is to be on the medium before what comes. Only at a tape block edge. */
  flush(): void {
    if (this.#position > this.#options.start) this.#scatter.push(Op.FLUSH, this.#options.tapeLu, 0n, 0n);
  }

  filemarks(count: number): void {
    if (count > 0) this.#scatter.push(Op.FILEMARK, this.#options.tapeLu, BigInt(count), 0n);
  }

  /** What was made since the last call. */
  take(): Batch {
    const inline = Uint8Array.prototype.slice.call(this.#inline, 0, this.#inlineBytes);
    this.#inlineBytes = 0;
    return { gather: this.#gather.take(), scatter: this.#scatter.take(), inline };
  }

  /** Moves on; returns how many of the bytes lie before the start. */
  #advance(bytes: bigint): bigint {
    const from = this.#position;
    this.#position = from + bytes;
    const before = this.#options.start - from;
    if (before >= bytes) return bytes;
    if (this.#leadDue) {
      this.#leadDue = false;
      const lead = this.#options.lead?.();
      if (lead !== undefined && lead.length > 0) this.#putInline(lead, TAG_ASIDE);
    }
    return before > 0n ? before : 0n;
  }

  #putInline(bytes: Uint8Array, tag = 0): void {
    const need = this.#inlineBytes + bytes.length;
    if (need > this.#inline.length) {
      const larger = Buffer.alloc(Math.max(need, this.#inline.length * 2));
      larger.set(this.#inline.subarray(0, this.#inlineBytes));
      this.#inline = larger;
    }
    this.#inline.set(bytes, this.#inlineBytes);
    const count = BigInt(bytes.length);
    if (!this.#gather.extend(Op.INLINE, count, tag)) {
      this.#gather.push(Op.INLINE, 0, BigInt(this.#inlineBytes), count, tag);
    }
    this.#inlineBytes = need;
    this.#toTape(count);
  }

  #toTape(bytes: bigint): void {
    if (!this.#scatter.extend(Op.TAPE, bytes)) this.#scatter.push(Op.TAPE, this.#options.tapeLu, 0n, bytes);
  }
}
