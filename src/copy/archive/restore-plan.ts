// A restore as a segment program: the data of members of an archive, to where a list says their files lie on a
// disk. Members are read in the order in which they stand on tape, whatever the order of the list.
//
// What the extents of the list cover is written: data, and zeros where the archive has a hole; the rest of a last
// block behind the end of the file is filled with zeros. A hole that no extent covers is left alone. Data that no
// extent covers is an error, found before anything moves.
import { Op } from "../../native/types.js";
import { DigestCheck } from "./digest-check.js";
import { type ChunkSource, cachedChunks } from "./list-cursor.js";
import type { ManifestMember } from "./manifest-format.js";
import { type ManifestSource, ManifestWalk } from "./manifest-walk.js";
import { hasData } from "./member-header.js";
import { type FoundMember, NameIndex } from "./name-index.js";
import { examine, type Findings, Problems } from "./restore-check.js";
import { type RestorePiece, restorePieces } from "./restore-pieces.js";
import { TapeReader, type TapeReaderOptions, type VolumeBatch } from "./tape-reader.js";

export interface RestoreOptions extends TapeReaderOptions {
  readonly diskLu: number;
  readonly diskBlockBytes: number;
  /** The disk is compared with the archive and nothing is written; told where each piece of the stream belongs. */
  readonly compare?: (piece: ComparedPiece) => void;
}

/** Stream bytes [from, to), counted from the plan's first, are these bytes of a member. */
export interface ComparedPiece {
  readonly from: bigint;
  readonly to: bigint;
  readonly member: string;
  /** Byte of the file. */
  readonly fileOffset: bigint;
  /** Archive offset of the first; undefined in a hole. */
  readonly at?: bigint;
  /** Archive offset of the member's data. */
  readonly data: bigint;
}

export class RestorePlan {
  /** Give it every "digest" event. */
  readonly digests = new DigestCheck();
  readonly #manifest: ManifestSource;
  readonly #index: NameIndex;
  readonly #options: RestoreOptions;
  readonly #findings: Findings;
  readonly #reader: TapeReader;
  readonly #blockBytes: bigint;
  readonly #op: number;
  #run: AsyncGenerator<void, void, void> | undefined;
  #firstTag = 1;
  /** Block to which the next scatter segment goes, and gathered bytes that none covers yet. */
  #lba = 0n;
  #pending = 0n;
  /** The present member's number, and whether data of it was read. */
  #tag = 0;
  #started = false;
  /** Byte of the present member's file that the next piece begins with. */
  #fileOffset = 0n;
  #held: Uint8Array | undefined;
  #wakeHeld: (() => void) | undefined;

  private constructor(manifest: ManifestSource, index: NameIndex, options: RestoreOptions, findings: Findings) {
    this.#manifest = manifest;
    this.#index = index;
    this.#options = options;
    this.#findings = findings;
    this.#reader = new TapeReader(options);
    this.#blockBytes = BigInt(options.diskBlockBytes);
    this.#op = options.compare === undefined ? Op.EXTENT : Op.COMPARE;
  }

  /** Reads list and manifest and checks that they fit: every member is there with its size, every byte of its data
   * has a place on the disk.
   * @throws GantryError ARCHIVE_RESTORE_REFUSED, ARCHIVE_INVALID, ARCHIVE_LIST_INVALID */
  static async make(list: ChunkSource, manifest: ManifestSource, options: RestoreOptions): Promise<RestorePlan> {
    const problems = new Problems();
    const index = await NameIndex.build(cachedChunks(list), (name) => problems.add(name, "is in the list twice"));
    const findings = await examine(index, manifest, BigInt(options.diskBlockBytes), problems);
    problems.refuse();
    return new RestorePlan(manifest, index, options, findings);
  }

  /** Members with data that are to be restored. */
  get members(): number {
    return this.#findings.members;
  }

  /** Their data bytes on tape. */
  get bytes(): bigint {
    return this.#findings.bytes;
  }

  /** Leaves out the archive's members before number `tag` (those whose digest was reported and whose blocks a
   * checkpoint covers), to go on after an interruption. Before the first next(). */
  startAt(tag: number): void {
    if (this.#run !== undefined) throw new RangeError("the plan has started already");
    this.#firstTag = tag;
  }

  /** The next piece of the program; null at its end. Pieces of one cartridge are one run of the engine, whose digest
   * state goes into the run of the next cartridge. Calls must not overlap. The second piece of a cartridge may wait
   * for held(), never the first: a caller may look one piece ahead.
   * @param maxSegments most segments in a piece, on either side; at least 16. */
  async next(maxSegments: number): Promise<VolumeBatch | null> {
    this.#reader.limit = Math.max(1, maxSegments - 8);
    this.#run ??= this.#program();
    const step = await this.#run.next();
    return step.done && this.#reader.empty ? null : this.#reader.take();
  }

  /** Give it the data of every "held" event: the beginning of a disk block whose end is on the next cartridge. */
  held(data: Uint8Array): void {
    this.#held = data;
    this.#wakeHeld?.();
  }

  async *#program(): AsyncGenerator<void, void, void> {
    const walk = new ManifestWalk(this.#manifest);
    for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
      if (walk.tag < this.#firstTag || !hasData(member)) continue;
      const found = await this.#index.find(member.name);
      if (found === undefined || this.#index.matchOf(found.ordinal) !== walk.tag) continue;
      if (member.bytes > 0n) this.digests.expect(walk.tag, member);
      yield* this.#member(walk, member, found);
    }
    if (this.#reader.volume >= 0) this.#reader.closeMember();
  }

  async *#member(walk: ManifestWalk, archived: ManifestMember, found: FoundMember): AsyncGenerator<void, void, void> {
    this.#tag = walk.tag;
    this.#started = false;
    if (archived.bytes > 0n) {
      // Before anything of the member is gathered, for what is passed over goes into the stream too.
      if (this.#reader.isElsewhere(archived.data)) yield* this.#turn(archived.data, archived);
      this.#reader.seek(archived.data);
    }
    for await (const piece of restorePieces(walk, archived, found.member, found.extents, this.#blockBytes)) {
      yield* this.#piece(piece, archived);
      if (!this.#reader.full) continue;
      this.#scatterBlocks();
      yield;
    }
    this.#scatterRest();
  }

  async *#piece(piece: RestorePiece, archived: ManifestMember): AsyncGenerator<void, void, void> {
    if (piece.kind === "extent") {
      this.#scatterRest();
      this.#lba = piece.lba;
      this.#fileOffset = piece.fileOffset;
      return;
    }
    if (piece.kind === "zeros") {
      // A member may have nothing but zeros to write; they need a cartridge to be written from all the same.
      if (this.#reader.volume < 0) this.#reader.turn(archived.data);
      this.#tell(archived, piece.bytes);
      this.#reader.zeros(piece.bytes);
      this.#pending += piece.bytes;
      return;
    }
    for (let { at, bytes } = piece; bytes > 0n; ) {
      if (this.#reader.isElsewhere(at)) yield* this.#turn(at, archived);
      const together = this.#reader.together(at, bytes);
      this.#reader.seek(at);
      this.#tell(archived, together, at);
      this.#reader.read(together, this.#tag);
      this.#started = true;
      this.#pending += together;
      at += together;
      bytes -= together;
    }
  }

  /** Goes to the cartridge that holds archive byte `at`. What fills no whole disk block yet is held and goes into
   * the stream again. */
  async *#turn(at: bigint, archived: ManifestMember): AsyncGenerator<void, void, void> {
    this.#scatterBlocks();
    const rest = this.#pending;
    if (rest > 0n) this.#reader.scatter.push(Op.HOLD, 0, 0n, rest);
    else if (!this.#started && !this.#reader.empty) this.#reader.closeMember();
    if (!this.#reader.empty) yield;
    this.#reader.turn(at);
    if (rest === 0n) return;
    // A piece of the new cartridge that needs no held bytes, for the caller sees by it that the run of the old one,
    // which brings them, is complete.
    this.#reader.seek(at);
    yield;
    if (this.#held === undefined) await new Promise<void>((wake) => (this.#wakeHeld = wake));
    // What was held goes through the stream once more.
    this.#fileOffset -= rest;
    this.#tell(archived, rest, at - rest);
    this.#reader.inline(this.#held ?? new Uint8Array());
    this.#held = undefined;
  }

  /** The next bytes of the stream are these of the file. */
  #tell({ name, data }: ManifestMember, bytes: bigint, at?: bigint): void {
    const from = this.#reader.gather.total;
    const { compare } = this.#options;
    compare?.({
      from,
      to: from + bytes,
      member: name,
      fileOffset: this.#fileOffset,
      data,
      ...(at === undefined ? {} : { at }),
    });
    this.#fileOffset += bytes;
  }

  /** Gives the whole blocks that were gathered a place. */
  #scatterBlocks(): void {
    const blocks = this.#pending / this.#blockBytes;
    if (blocks === 0n) return;
    this.#reader.scatter.push(this.#op, this.#options.diskLu, this.#lba, blocks * this.#blockBytes);
    this.#lba += blocks;
    this.#pending -= blocks * this.#blockBytes;
  }

  /** The same for the end of an extent, which may be the end of the file, inside a block. */
  #scatterRest(): void {
    if (this.#pending === 0n) return;
    this.#reader.scatter.push(this.#op, this.#options.diskLu, this.#lba, this.#pending);
    this.#pending = 0n;
  }
}
