// A reference executor of segment programs in memory: what the engine does, without devices, threads or speed. It
// is the oracle for plans and for the engine. Disks are buffers, a tape is an array of blocks and filemarks.
import { crc32c } from "../../src/copy/archive/crc32c.js";
import { type Segment, unpackSegments } from "../../src/copy/archive/segments.js";
import { Op, TAG_ASIDE } from "../../src/native/types.js";

export interface MemoryDisk {
  readonly blockBytes: number;
  readonly data: Buffer;
}

export const FILEMARK = "filemark";
export type MemoryTape = (Buffer | typeof FILEMARK)[];

export interface ExecutorOptions {
  readonly disks: Readonly<Record<number, MemoryDisk>>;
  /** Written to and read from; every segment on a tape is taken to mean this one. */
  readonly tape: MemoryTape;
  readonly tapeBlockBytes: number;
  /** The run ends with "volume-full" as soon as the tape has this many blocks. */
  readonly tapeBlocks?: number;
}

/** Runs pieces of one program, in order. A member's digest is there when the last of its bytes has passed. */
export class Executor {
  readonly digests = new Map<number, { bytes: bigint; crc32c: number }>();
  readonly held: { cookie: bigint; data: Buffer }[] = [];
  /** Logical object at which the source tape stands. */
  object = 0;
  /** Stream bytes that the destination has used up: written in whole blocks, when it is a tape. */
  streamBytes = 0n;
  flushes = 0;
  /** Tags of members in the order in which they were found to be complete. */
  readonly reported: number[] = [];
  /** Tag of the member that is open, 0 for none; a run that goes on with another's is given it. */
  open = 0;
  locates = 0;
  #ring: Buffer = Buffer.alloc(0);
  #tapeRest: Buffer = Buffer.alloc(0);
  #scatter: Segment[] = [];
  #block: Buffer = Buffer.alloc(0);
  /** Tags of the gathered bytes that the destination has not used up yet. */
  #tags: { tag: number; left: number }[] = [];

  constructor(readonly options: ExecutorOptions) {}

  run(piece: { gather: Uint8Array; scatter: Uint8Array; inline: Uint8Array }): "ok" | "volume-full" {
    const parts = [this.#ring];
    for (const segment of unpackSegments(piece.gather)) {
      const bytes = this.#gather(segment, Buffer.from(piece.inline));
      this.#tags.push({ tag: segment.tag, left: bytes.length });
      parts.push(bytes);
    }
    this.#ring = Buffer.concat(parts);
    this.#scatter.push(...unpackSegments(piece.scatter));
    while (this.#scatter.length > 0) if (this.#step() === "volume-full") return "volume-full";
    return "ok";
  }

  #gather(segment: Segment, inline: Buffer): Buffer {
    const bytes = Number(segment.bytes);
    switch (segment.op) {
      case Op.INLINE:
        return inline.subarray(Number(segment.addr), Number(segment.addr) + bytes);
      case Op.ZEROS:
        return Buffer.alloc(bytes);
      case Op.EXTENT:
        return Buffer.from(this.#extent(segment));
      case Op.LOCATE:
        this.locates++;
        this.object = Number(segment.addr);
        this.#tapeRest = Buffer.alloc(0);
        return Buffer.alloc(0);
      case Op.TAPE:
        return this.#readTape(bytes);
      default:
        throw new Error(`no gather operation ${segment.op}`);
    }
  }

  #extent(segment: Segment): Buffer {
    const disk = this.options.disks[segment.lu];
    if (disk === undefined) throw new Error(`no disk ${segment.lu}`);
    const start = Number(segment.addr) * disk.blockBytes + segment.skip;
    if (segment.skip >= disk.blockBytes || start + Number(segment.bytes) > disk.data.length)
      throw new Error("out of range");
    return disk.data.subarray(start, start + Number(segment.bytes));
  }

  #readTape(bytes: number): Buffer {
    while (this.#tapeRest.length < bytes) {
      const block = this.options.tape[this.object];
      if (block === undefined || block === FILEMARK) throw new Error(`no block at object ${this.object}`);
      this.#tapeRest = Buffer.concat([this.#tapeRest, block]);
      this.object++;
    }
    const taken = this.#tapeRest.subarray(0, bytes);
    this.#tapeRest = this.#tapeRest.subarray(bytes);
    return taken;
  }

  /** One scatter segment. */
  #step(): "ok" | "volume-full" {
    const segment = this.#scatter.shift();
    if (segment === undefined) return "ok";
    if (this.#ring.length < segment.bytes) throw new Error(`operation ${segment.op} lacks bytes`);
    const bytes = this.#ring.subarray(0, Number(segment.bytes));
    this.#ring = this.#ring.subarray(bytes.length);
    if (segment.op === Op.TAPE) return this.#writeTape(bytes);
    if (segment.op === Op.FLUSH && this.#block.length > 0) throw new Error("flush inside a tape block");
    if (segment.op === Op.FLUSH) this.flushes++;
    else if (segment.op === Op.FILEMARK) this.#fileMark(Number(segment.addr));
    else if (segment.op === Op.HOLD) this.held.push({ cookie: segment.addr, data: Buffer.from(bytes) });
    else if (segment.op === Op.EXTENT) this.#writeExtent(segment, bytes);
    else if (segment.op !== Op.DISCARD) throw new Error(`no scatter operation ${segment.op}`);
    this.#use(bytes, segment.tag);
    return "ok";
  }

  #writeTape(bytes: Buffer): "ok" | "volume-full" {
    const { tape, tapeBlockBytes, tapeBlocks = Number.POSITIVE_INFINITY } = this.options;
    this.#block = Buffer.concat([this.#block, bytes]);
    let at = 0;
    for (; this.#block.length - at >= tapeBlockBytes; at += tapeBlockBytes) {
      if (tape.length >= tapeBlocks) return "volume-full";
      const block = this.#block.subarray(at, at + tapeBlockBytes);
      tape.push(Buffer.from(block));
      this.#use(block, 0);
    }
    this.#block = this.#block.subarray(at);
    return "ok";
  }

  #fileMark(count: number): void {
    if (this.#block.length > 0) throw new Error("the archive does not end at a tape block edge");
    for (let i = 0; i < count; i++) this.options.tape.push(FILEMARK);
  }

  #writeExtent(segment: Segment, bytes: Buffer): void {
    const disk = this.options.disks[segment.lu];
    if (disk === undefined || segment.skip !== 0) throw new Error("extent cannot be written");
    const tail = Buffer.alloc((disk.blockBytes - (bytes.length % disk.blockBytes)) % disk.blockBytes);
    const start = Number(segment.addr) * disk.blockBytes;
    if (start + bytes.length + tail.length > disk.data.length) throw new Error("out of range");
    Buffer.concat([bytes, tail]).copy(disk.data, start);
  }

  /** Bytes have reached their destination. */
  #use(bytes: Buffer, tag: number): void {
    this.streamBytes += BigInt(bytes.length);
    if (tag !== 0) this.#digest(tag, bytes);
    for (let at = 0; at < bytes.length; ) {
      const first = this.#tags[0] ?? { tag: 0, left: bytes.length };
      const piece = bytes.subarray(at, at + first.left);
      this.#digest(first.tag, piece);
      first.left -= piece.length;
      at += piece.length;
      if (first.left === 0) this.#tags.shift();
    }
  }

  #digest(tag: number, bytes: Buffer): void {
    if (tag === TAG_ASIDE || bytes.length === 0) return;
    if (this.open !== 0 && this.open !== tag) this.reported.push(this.open);
    this.open = tag;
    if (tag === 0) return;
    const before = this.digests.get(tag) ?? { bytes: 0n, crc32c: 0 };
    this.digests.set(tag, { bytes: before.bytes + BigInt(bytes.length), crc32c: crc32c(bytes, before.crc32c) });
  }
}

/** The data of a tape's blocks up to its first filemark. */
export function tapeBytes(tape: MemoryTape): Buffer {
  const blocks: Buffer[] = [];
  for (const block of tape) {
    if (block === FILEMARK) break;
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}
