// Builds the gathering side of programs that read an archive: where the tape goes, what of it is passed over. One
// run of the engine reads one cartridge.
import { Op, TAG_ASIDE } from "../../native/types.js";
import { type Batch, SegmentList } from "./segments.js";
import { type ArchiveVolume, tapeObjectOf, volumeOf } from "./volumes.js";

/** A piece of a program that reads cartridge number `volume` of the archive. */
export interface VolumeBatch extends Batch {
  readonly volume: number;
}

export interface TapeReaderOptions {
  readonly volumes: readonly ArchiveVolume[];
  readonly tapeBlockBytes: number;
  readonly tapeLu: number;
  /** Bytes that are rather passed over by LOCATE than read; default 16 MiB. */
  readonly locateBytes?: bigint;
}

const LOCATE_BYTES = 16n << 20n;

export class TapeReader {
  readonly gather = new SegmentList();
  readonly scatter = new SegmentList();
  readonly #options: TapeReaderOptions;
  #volume = -1;
  #inline: Uint8Array[] = [];
  #inlineBytes = 0;
  /** Archive offset of the byte that the tape gives next; undefined before the first LOCATE of a cartridge. */
  #at: bigint | undefined;
  limit = 1;

  constructor(options: TapeReaderOptions) {
    this.#options = options;
  }

  get full(): boolean {
    return this.gather.count >= this.limit || this.scatter.count >= this.limit;
  }

  get empty(): boolean {
    return this.gather.count === 0 && this.scatter.count === 0;
  }

  get volume(): number {
    return this.#volume;
  }

  /** True when the byte lies on another cartridge than the one being read. */
  isElsewhere(offset: bigint): boolean {
    return volumeOf(offset, this.#options.volumes) !== this.#volume;
  }

  /** How many of `bytes` from `offset` on lie on the cartridge that has the first of them. */
  together(offset: bigint, bytes: bigint): bigint {
    const next = this.#options.volumes[volumeOf(offset, this.#options.volumes) + 1];
    return next === undefined || bytes <= next.from - offset ? bytes : next.from - offset;
  }

  /** From here on pieces are for the cartridge that holds archive byte `offset`. Only when empty. */
  turn(offset: bigint): void {
    this.#volume = volumeOf(offset, this.#options.volumes);
    this.#at = undefined;
  }

  /** Puts the tape in front of archive byte `offset`; what is read and not wanted is discarded. Within a member that
   * is only needed at the beginning of a cartridge, where nothing has to be discarded. */
  seek(offset: bigint): void {
    const most = this.#options.locateBytes ?? LOCATE_BYTES;
    if (this.#at === undefined || offset < this.#at || offset - this.#at > most) {
      const place = tapeObjectOf(offset, this.#options.volumes, this.#options.tapeBlockBytes);
      this.gather.push(Op.LOCATE, this.#options.tapeLu, place.object, 0n);
      this.#at = offset - BigInt(place.skip);
    }
    const over = offset - (this.#at ?? 0n);
    if (over > 0n) this.pass(over, 0);
  }

  /** Reads bytes from where the tape stands; the scattering side is the caller's. */
  read(bytes: bigint, tag: number): void {
    if (!this.gather.extend(Op.TAPE, bytes, tag)) this.gather.push(Op.TAPE, this.#options.tapeLu, 0n, bytes, tag);
    this.#at = (this.#at ?? 0n) + bytes;
  }

  /** Reads and discards. */
  pass(bytes: bigint, tag: number): void {
    this.read(bytes, tag);
    if (!this.scatter.extend(Op.DISCARD, bytes)) this.scatter.push(Op.DISCARD, 0, 0n, bytes);
  }

  /** Makes the engine close the member that was read last: a digest is reported when other bytes follow. */
  closeMember(): void {
    this.gather.push(Op.ZEROS, 0, 0n, 512n);
    this.scatter.push(Op.DISCARD, 0, 0n, 512n);
  }

  /** Zeros that are no part of what is digested. */
  zeros(bytes: bigint): void {
    if (!this.gather.extend(Op.ZEROS, bytes, TAG_ASIDE)) this.gather.push(Op.ZEROS, 0, 0n, bytes, TAG_ASIDE);
  }

  inline(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.gather.push(Op.INLINE, 0, BigInt(this.#inlineBytes), BigInt(bytes.length), TAG_ASIDE);
    this.#inline.push(bytes);
    this.#inlineBytes += bytes.length;
  }

  take(): VolumeBatch {
    const inline = Uint8Array.prototype.slice.call(Buffer.concat(this.#inline));
    this.#inline = [];
    this.#inlineBytes = 0;
    return { volume: this.#volume, gather: this.gather.take(), scatter: this.scatter.take(), inline };
  }
}
