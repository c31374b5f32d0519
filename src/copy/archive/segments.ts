// Packed segments, as the data plane takes them (src/native/types.ts SEGMENT_BYTES).
import { SEGMENT_BYTES } from "../../native/types.js";

/** A piece of a segment program. */
export interface Batch {
  readonly gather: Uint8Array;
  readonly scatter: Uint8Array;
  readonly inline: Uint8Array;
}

export interface Segment {
  readonly op: number;
  readonly lu: number;
  readonly addr: bigint;
  /** Stream bytes. */
  readonly bytes: bigint;
  readonly tag: number;
  readonly skip: number;
}

/** A growing list of packed segments that is emptied by take(). */
export class SegmentList {
  #bytes = new Uint8Array(64 * SEGMENT_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #count = 0;
  #total = 0n;

  get count(): number {
    return this.#count;
  }

  /** Stream bytes of all that was ever put in. */
  get total(): bigint {
    return this.#total;
  }

  push(op: number, lu: number, addr: bigint, bytes: bigint, tag = 0, skip = 0): void {
    if ((this.#count + 1) * SEGMENT_BYTES > this.#bytes.length) this.#grow();
    const at = this.#count * SEGMENT_BYTES;
    this.#view.setBigUint64(at, BigInt.asUintN(64, addr), true);
    this.#view.setBigUint64(at + 8, bytes, true);
    this.#view.setUint32(at + 16, tag, true);
    this.#view.setUint8(at + 20, op);
    this.#view.setUint8(at + 21, lu);
    this.#view.setUint16(at + 22, skip, true);
    this.#count++;
    this.#total += bytes;
  }

  /** Makes the last segment `bytes` longer if it has this operation and tag; false if it has not. */
  extend(op: number, bytes: bigint, tag = 0): boolean {
    const at = (this.#count - 1) * SEGMENT_BYTES;
    if (at < 0 || this.#view.getUint8(at + 20) !== op || this.#view.getUint32(at + 16, true) !== tag) return false;
    this.#view.setBigUint64(at + 8, this.#view.getBigUint64(at + 8, true) + bytes, true);
    this.#total += bytes;
    return true;
  }

  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#count * SEGMENT_BYTES);
    this.#count = 0;
    return taken;
  }

  #grow(): void {
    const larger = new Uint8Array(this.#bytes.length * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

/** Unpacks segments. @throws RangeError when the length is no multiple of SEGMENT_BYTES. */
export function unpackSegments(packed: Uint8Array): Segment[] {
  if (packed.length % SEGMENT_BYTES !== 0) throw new RangeError(`${packed.length} bytes are no whole segments`);
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const segments: Segment[] = [];
  for (let at = 0; at < packed.length; at += SEGMENT_BYTES) {
    segments.push({
      addr: view.getBigUint64(at, true),
      bytes: view.getBigUint64(at + 8, true),
      tag: view.getUint32(at + 16, true),
      op: view.getUint8(at + 20),
      lu: view.getUint8(at + 21),
      skip: view.getUint16(at + 22, true),
    });
  }
  return segments;
}
