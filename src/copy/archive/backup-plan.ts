// A backup as a segment program: the whole archive as a stream, in pieces, from any byte of it on. FORMAT.md says
// what the stream is. The same list, options, digests and cartridges give the same bytes, which is what makes a
// resumed job's tape identical to an undisturbed one.
import { type ArchiveSummary, type BackupOptions, checkOptions } from "./backup-options.js";
import { continuationLead, type OpenMember, openMember } from "./continuation.js";
import { crc32c } from "./crc32c.js";
import { type PlacedMember, placeMembers } from "./layout.js";
import { type ChunkSource, cachedChunks } from "./list-cursor.js";
import { END_BYTES, endLine, headLine, README_NAME, trailerLine } from "./manifest-format.js";
import { type LineOptions, manifestLength, plainLine, sparseLines } from "./manifest-lines.js";
import { mapText, storedBytes } from "./member-data.js";
import { type OwnPlace, placeBlockList, placeManifest, placeOwn } from "./own-members.js";
import { readmeText } from "./readme.js";
import type { Batch } from "./segments.js";
import { StreamBuilder } from "./stream-builder.js";
import { padding } from "./ustar.js";
import { leadBytes } from "./volumes.js";

/** Block checksums that are asked for at once. */
const CRCS_AT_ONCE = 65536;

interface Totals {
  lineBytes: bigint;
  dataBytes: bigint;
  members: number;
}

type BlockListPlace = ArchiveSummary["blocks"];

export class BackupPlan {
  readonly #source: ChunkSource;
  readonly #options: BackupOptions;
  readonly #lineOptions: LineOptions;
  #builder: StreamBuilder;
  #run: AsyncGenerator<void, void, void> | undefined;
  /** The member whose data is being written, as a break at a given archive offset would leave it. */
  #open: ((at: bigint) => OpenMember) | undefined;
  #manifestCrc = 0;
  #summary: ArchiveSummary | undefined;

  /** @throws GantryError ARCHIVE_OPTION_INVALID */
  constructor(source: ChunkSource, options: BackupOptions) {
    checkOptions(options);
    this.#source = cachedChunks(source);
    this.#options = options;
    this.#lineOptions = { blockBytes: BigInt(options.list.blockBytes), sha256: options.sha256 ?? false };
    this.#builder = this.#newBuilder(0n);
  }

  /** What next() gives begins at archive byte `offset`; to be called before the first next().
   * @param volumeFrom archive offset at which the current cartridge begins, if it is not the first and `offset`
   *   lies in its continuation lead: [volumeFrom - leadBytes, volumeFrom). */
  startAt(offset: bigint, volumeFrom = 0n): void {
    if (this.#run !== undefined) throw new RangeError("the plan has started already");
    if (offset >= volumeFrom || volumeFrom === 0n) {
      this.#builder = this.#newBuilder(offset);
      return;
    }
    const into = offset - (volumeFrom - BigInt(leadBytes(this.#options.tapeBlockBytes)));
    if (into < 0n) throw new RangeError(`offset ${offset} lies before the lead of the cartridge at ${volumeFrom}`);
    this.#builder = this.#newBuilder(volumeFrom, Number(into));
  }

  /** What next() gives is a whole cartridge that goes on at archive byte `from`: its continuation lead first. The
   * engine's streamOffset for it is from - leadBytes(tapeBlockBytes). */
  startVolume(from: bigint): void {
    this.startAt(from - BigInt(leadBytes(this.#options.tapeBlockBytes)), from);
  }

  /** The next piece of the program, null at its end. Calls must not overlap. It may wait for digests.
   * @param maxSegments most segments in a piece, on either side; at least 8. */
  async next(maxSegments: number): Promise<Batch | null> {
    this.#builder.limit = Math.max(1, maxSegments - 4);
    this.#run ??= this.#archive();
    const step = await this.#run.next();
    if (step.done && this.#builder.empty) return null;
    return this.#builder.take();
  }

  /** Known when next() has given the archive's last byte. */
  get summary(): ArchiveSummary | undefined {
    return this.#summary;
  }

  #newBuilder(start: bigint, leadSkip?: number): StreamBuilder {
    const { diskLu, tapeLu, list } = this.#options;
    const lead = leadSkip === undefined ? {} : { lead: () => this.#lead(start).subarray(leadSkip) };
    return new StreamBuilder({ diskLu, tapeLu, diskBlockBytes: list.blockBytes, start, ...lead });
  }

  #lead(from: bigint): Uint8Array {
    const { archiveId, tapeBlockBytes, createdMs } = this.#options;
    return continuationLead({ archiveId, tapeBlockBytes, createdMs, from, open: this.#open?.(from) });
  }

  /** The whole archive, in order. Yields whenever a piece is full. */
  async *#archive(): AsyncGenerator<void, void, void> {
    const out = this.#builder;
    const totals: Totals = { lineBytes: 0n, dataBytes: 0n, members: 0 };
    yield* this.#readme();
    const first = out.position;
    for await (const placed of this.#members(first)) {
      totals.lineBytes += BigInt(await manifestLength(placed, this.#lineOptions));
      totals.dataBytes += placed.shape.stored;
      totals.members++;
      if (out.isBefore(placed.end)) out.pass(placed.end);
      else yield* this.#member(placed);
    }
    const blocks = yield* this.#blockList();
    const manifest = yield* this.#manifest(first, totals, blocks);
    // In one piece with the summary: whoever has all bytes of the archive on tape knows that these are all.
    out.inline(Buffer.alloc(END_BYTES));
    out.filemarks(this.#options.filemarks ?? 1);
    const { members, dataBytes } = totals;
    const described = { offset: manifest.data, bytes: manifest.size, crc32c: this.#manifestCrc };
    this.#summary = { archiveBytes: out.position, members, dataBytes, manifest: described, blocks };
  }

  async *#member(placed: PlacedMember): AsyncGenerator<void, void, void> {
    const { member, shape, extents } = placed;
    yield* this.#inline(placed.head.make());
    this.#open = (at) => openMember(placed, at);
    if (shape.mapBytes > 0n) {
      for await (const piece of mapText(member, extents.clone(), shape, this.#lineOptions.blockBytes))
        yield* this.#inline(piece);
    }
    const cursor = extents.clone();
    for (let left = shape.stored > 0n ? member.extents : 0; left > 0; left--) {
      if (!cursor.ready) await cursor.load();
      const bytes = storedBytes(member.size, cursor.fileOffset, cursor.blocks * this.#lineOptions.blockBytes);
      if (bytes > 0n) this.#builder.extent(cursor.lba, bytes, placed.tag);
      cursor.step();
      if (this.#builder.full) yield;
    }
    this.#open = undefined;
    this.#builder.zeros(padding(shape.stored));
  }

  /** The list of block checksums. Nothing of it but its place is known before everything in front of its first
   * checksum is on tape, so the piece ends there. */
  async *#blockList(): AsyncGenerator<void, BlockListPlace, void> {
    const out = this.#builder;
    const place = placeBlockList(out.position, this.#options);
    yield* this.#inline(place.header);
    this.#open = place.open;
    out.zeros(place.offset - place.data);
    out.flush();
    yield;
    let crc = 0;
    for (let at = 0; at < place.count; at += CRCS_AT_ONCE) {
      const pieces = Math.min(CRCS_AT_ONCE, place.count - at);
      const bytes = littleEndian(await this.#options.digests.blocks(at, pieces), pieces);
      crc = crc32c(bytes, crc);
      yield* this.#inline(bytes);
    }
    this.#open = undefined;
    out.zeros(padding(place.size));
    return { offset: place.offset, count: place.count, crc32c: crc };
  }

  async *#manifest(first: bigint, totals: Totals, blocks: BlockListPlace): AsyncGenerator<void, OwnPlace, void> {
    const out = this.#builder;
    const volumes = this.#options.volumes().filter((volume) => volume.from <= blocks.offset);
    const head = Buffer.from(headLine({ ...this.#facts(), members: totals.members, bytes: totals.dataBytes }));
    const end = Buffer.from(endLine({ volumes, blocks }));
    const place = placeManifest(out.position, BigInt(head.length + end.length) + totals.lineBytes, this.#options);
    yield* this.#inline(place.header);
    this.#open = place.open;
    let crc = 0;
    for await (const text of this.#manifestText(first, head, end)) {
      crc = crc32c(text, crc);
      yield* this.#inline(text);
    }
    const { archiveId, tapeBlockBytes } = this.#options;
    const trailer = { archiveId, tapeBlockBytes, manifest: place.data, bytes: place.size };
    const text = trailerLine(trailer, Number(place.data + place.size - out.position), crc);
    yield* this.#inline(text);
    this.#open = undefined;
    this.#manifestCrc = crc32c(text, crc);
    return place;
  }

  async *#manifestText(first: bigint, head: Uint8Array, end: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
    yield head;
    for await (const placed of this.#members(first)) {
      const asked = placed.shape.stored > 0n ? this.#options.digests.member(placed.tag) : undefined;
      const digest = asked instanceof Promise ? await asked : asked;
      if (placed.shape.mapBytes === 0n) yield Buffer.from(plainLine(placed, digest, this.#lineOptions));
      else for await (const line of sparseLines(placed, digest, this.#lineOptions)) yield Buffer.from(line);
    }
    yield end;
  }

  *#inline(bytes: Uint8Array): Generator<void, void, void> {
    this.#builder.inline(bytes);
    if (this.#builder.full) yield;
  }

  *#readme(): Generator<void, void, void> {
    const text = Buffer.from(readmeText({ ...this.#facts(), ...this.#options.list }));
    const place = placeOwn(README_NAME, this.#builder.position, this.#options, () => BigInt(text.length));
    yield* this.#inline(place.header);
    this.#open = place.open;
    yield* this.#inline(text);
    this.#open = undefined;
    this.#builder.zeros(padding(place.size));
  }

  #members(first: bigint): AsyncGenerator<PlacedMember, void, void> {
    return placeMembers(this.#source, this.#options.list, this.#lineOptions.blockBytes, first);
  }

  #facts() {
    const { archiveId, jobId, bridgeId, createdMs, tapeBlockBytes, comment, list } = this.#options;
    const { listId, volume, blockBytes: diskBlockBytes } = list;
    const text = comment === undefined ? {} : { comment };
    return { archiveId, jobId, bridgeId, createdMs, tapeBlockBytes, diskBlockBytes, volume, listId, ...text };
  }
}

/** Checksums as the list has them. @throws RangeError when the digest source gave another number of them. */
function littleEndian(crcs: Uint32Array, count: number): Uint8Array {
  if (crcs.length !== count) throw new RangeError(`${crcs.length} block checksums came instead of ${count}`);
  const bytes = new Uint8Array(4 * count);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) view.setUint32(4 * i, crcs[i] ?? 0, true);
  return bytes;
}
