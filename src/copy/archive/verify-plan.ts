// Reads a whole archive and digests it: each member against the manifest, each tape block against the list of block
// checksums, which comes back in HOLD pieces at the end of the archive.
import { Op, TAG_ASIDE } from "../../native/types.js";
import { DigestCheck } from "./digest-check.js";
import { END_BYTES } from "./manifest-format.js";
import { type ManifestSource, ManifestWalk } from "./manifest-walk.js";
import { TapeReader, type TapeReaderOptions, type VolumeBatch } from "./tape-reader.js";
import { leadBytes } from "./volumes.js";

/** Bytes of one HOLD piece; GT_HOLD_MAX. */
const HOLD_BYTES = 1n << 20n;

export interface VerifyOptions extends Omit<TapeReaderOptions, "locateBytes"> {
  /** The list of block checksums comes back in HOLD pieces; cookie = archive tape block of the piece's first one. */
  readonly holdBlockCrcs?: boolean;
}

export class VerifyPlan {
  /** Give it every "digest" event. */
  readonly digests = new DigestCheck();
  readonly #walk: ManifestWalk;
  readonly #options: VerifyOptions;
  readonly #reader: TapeReader;
  #run: AsyncGenerator<void, void, void> | undefined;
  #position = 0n;
  #firstTag = 1;
  #known = 0n;

  constructor(manifest: ManifestSource, options: VerifyOptions) {
    this.#walk = new ManifestWalk(manifest);
    this.#options = options;
    this.#reader = new TapeReader(options);
  }

  /** Leaves out the members before number `tag`, to go on after an interruption: they were judged. Everything before
   * archive byte `known` was read. Before the first next(). */
  startAt(tag: number, known: bigint): void {
    if (this.#run !== undefined) throw new RangeError("the plan has started already");
    this.#firstTag = tag;
    this.#known = known;
  }

  /** The next piece of the program; null at its end. Pieces of one cartridge are one run of the engine.
   * @throws GantryError ARCHIVE_INVALID */
  async next(maxSegments: number): Promise<VolumeBatch | null> {
    this.#reader.limit = Math.max(1, maxSegments - 4);
    this.#run ??= this.#archive();
    const step = await this.#run.next();
    return step.done && this.#reader.empty ? null : this.#reader.take();
  }

  async *#archive(): AsyncGenerator<void, void, void> {
    const walk = this.#walk;
    let behind = 0n;
    for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
      if (walk.tag < this.#firstTag) {
        behind = member.data + member.bytes;
        continue;
      }
      this.#goOn(behind);
      if (member.bytes === 0n) continue;
      this.digests.expect(walk.tag, member);
      yield* this.#discard(member.data, 0);
      yield* this.#discard(member.data + member.bytes, walk.tag);
    }
    this.#goOn(behind);
    const { end, trailer } = walk;
    if (end === undefined || trailer === undefined) return;
    if (this.#options.holdBlockCrcs === true) {
      yield* this.#discard(end.blocks.offset, 0);
      yield* this.#hold(end.blocks.count);
    }
    yield* this.#discard(trailer.manifest + trailer.bytes + BigInt(END_BYTES), 0);
  }

  /** Starts with the tape block in which there is something that was not read or not judged. */
  #goOn(behind: bigint): void {
    if (this.#reader.volume >= 0 || this.#firstTag === 1) return;
    const block = BigInt(this.#options.tapeBlockBytes);
    const from = behind < this.#known ? behind : this.#known;
    this.#position = from - (from % block);
  }

  /** Reads to archive offset `to`. */
  *#discard(to: bigint, tag: number): Generator<void, void, void> {
    while (this.#position < to) {
      yield* this.#turnIfDue();
      const bytes = this.#reader.together(this.#position, to - this.#position);
      this.#reader.pass(bytes, tag);
      this.#position += bytes;
      if (this.#reader.full) yield;
    }
  }

  *#hold(count: number): Generator<void, void, void> {
    const start = this.#position;
    const end = start + BigInt(4 * count);
    while (this.#position < end) {
      yield* this.#turnIfDue();
      const left = this.#reader.together(this.#position, end - this.#position);
      const bytes = left < HOLD_BYTES ? left : HOLD_BYTES;
      this.#reader.read(bytes, 0);
      this.#reader.scatter.push(Op.HOLD, 0, (this.#position - start) / 4n, bytes);
      this.#position += bytes;
      if (this.#reader.full) yield;
    }
  }

  /** Goes to the next cartridge, whose continuation lead is read too. */
  *#turnIfDue(): Generator<void, void, void> {
    const { volumes, tapeBlockBytes, tapeLu } = this.#options;
    if (!this.#reader.isElsewhere(this.#position)) return;
    if (!this.#reader.empty) yield;
    const goesOn = this.#reader.volume < 0 && this.#position > 0n;
    this.#reader.turn(this.#position);
    const index = this.#reader.volume;
    // At the first byte of a cartridge its lead may not have been judged yet.
    if (goesOn && this.#position !== volumes[index]?.from) return this.#reader.seek(this.#position);
    this.#reader.gather.push(Op.LOCATE, tapeLu, volumes[index]?.firstObject ?? 0n, 0n);
    if (index > 0) this.#reader.pass(BigInt(leadBytes(tapeBlockBytes)), TAG_ASIDE);
  }
}
