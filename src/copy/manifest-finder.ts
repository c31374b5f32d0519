// Finds the manifest of an archive on tape and brings it into the journal's pages: the trailer stands in front of
// the filemark that ends the archive, and says where the manifest begins. The manifest may have been cut by the end
// of a cartridge; then the search goes back over the cartridges.
import type { TapeDrive } from "../device/tape-drive.js";
import { GantryError, isGantryError } from "../sys/errors.js";
import { END_BYTES, type ManifestTrailer, TRAILER_BYTES } from "./archive/manifest-format.js";
import { findTrailer } from "./archive/manifest-read.js";
import { leadBytes } from "./archive/volumes.js";
import { archivePlace } from "./archive-place.js";
import type { JobContext } from "./job-context.js";
import { checkManifestSize } from "./manifest-limit.js";
import { engineFailure } from "./results.js";
import { hold } from "./tape-hold.js";

/** Bytes of the manifest in one HOLD segment, and so in one page of the journal. */
const HOLD_BYTES = 1n << 20n;
/** What of the archive's end is needed to find the trailer in. */
const TAIL_BYTES = TRAILER_BYTES + END_BYTES;
/** Blocks that a drive may stand off after spacing backward. */
const SPACING_SLACK = 8;

/** A cartridge as the search found it. */
export interface Searched {
  readonly index: number;
  /** Blocks of the archive on it, without the continuation lead. */
  readonly blocks: bigint;
  /** Archive offset of its first archive byte. */
  readonly from: bigint;
}

export interface FoundManifest {
  readonly trailer: ManifestTrailer;
  /** The last cartridges in order, from the one on which the manifest begins. */
  readonly searched: readonly Searched[];
  /** The manifest's bytes, from the beginning whenever it is called. */
  readonly source: () => Iterable<Uint8Array>;
}

/** Opens the drive with a cartridge of the job in it; index -1 is the last one. */
export type OpenCartridge = (index: number) => Promise<TapeDrive>;

/** Throws ARCHIVE_INVALID, MANIFEST_TOO_LARGE, TAPE_ENDED_EARLY, DEVICE_… */
export async function findManifest(
  context: JobContext,
  open: OpenCartridge,
  cartridges: number,
): Promise<FoundManifest> {
  const block = BigInt(context.record.tapeBlockBytes);
  const last = cartridges - 1;
  const trailer = await readTrailer(context, open, last);
  checkManifestSize(context, trailer);
  const archiveEnd = trailer.manifest + trailer.bytes + BigInt(END_BYTES);
  const volumes: Searched[] = [];
  for (let index = last, end = archiveEnd; ; index--) {
    const blocks = await withDrive(open, index, (drive) =>
      archiveBlocks(context, drive, index, index === last ? trailer : undefined),
    );
    const from = end - blocks * block;
    volumes.unshift({ index, blocks, from });
    if (index === 0) checkBeginning(context, from, block);
    if (from <= trailer.manifest) break;
    end = from;
  }
  await context.journal.dropPages(context.record.spec.jobId);
  for (const [position, volume] of volumes.entries()) {
    const next = volumes[position + 1];
    const from = volume.from > trailer.manifest ? volume.from : trailer.manifest;
    const end = trailer.manifest + trailer.bytes;
    const to = next === undefined || next.from > end ? end : next.from;
    // The last cartridge may hold nothing of the manifest but the end of the archive behind it.
    if (to > from) await withDrive(open, volume.index, (drive) => readRange(context, drive, volume, from, to));
  }
  const { jobId } = context.record.spec;
  return { trailer, searched: volumes, source: () => context.journal.pages(jobId) };
}

/** Counted back from its end, the archive has to begin at the object that the job names. */
function checkBeginning(context: JobContext, from: bigint, block: bigint): void {
  if (from === 0n) return;
  const start = firstObjectOf(context, 0);
  const begins = start - from / block;
  const message =
    begins < 0n
      ? `The archive has ${from} bytes more than the cartridges of the job hold; name all its cartridges, in order.`
      : `The archive begins at object ${begins} of the first cartridge and not at object ${start}; name that (startObject), and the cartridges of one archive in order.`;
  throw new GantryError("ARCHIVE_INVALID", message, { details: { startObject: start } });
}

async function withDrive<T>(open: OpenCartridge, index: number, use: (drive: TapeDrive) => Promise<T>): Promise<T> {
  const drive = await open(index);
  try {
    return await use(drive);
  } finally {
    await drive.close();
  }
}

const firstObjectOf = (context: JobContext, index: number): bigint =>
  index === 0 ? archivePlace(context.record).startObject : 0n;

/** Puts the tape in front of the filemark that ends this cartridge's part of the archive. */
async function toEnd(context: JobContext, drive: TapeDrive, index: number): Promise<void> {
  await drive.locate(firstObjectOf(context, index));
  if (!(await drive.spaceFilemarks(1))) {
    throw new GantryError(
      "TAPE_ENDED_EARLY",
      `${drive.unit.name}: no filemark ends the archive on cartridge ${index + 1}; it was never finished.`,
    );
  }
  // Back over the filemark: it is met, which is what was wanted and no shortfall.
  await drive.spaceFilemarks(-1);
}

/** The trailer may have been cut by the end of a cartridge: then its beginning is the end of the one before. */
async function readTrailer(context: JobContext, open: OpenCartridge, last: number): Promise<ManifestTrailer> {
  const block = context.record.tapeBlockBytes;
  const parts: Uint8Array[] = [];
  for (let index = last, wanted = Math.ceil(TAIL_BYTES / block); index >= 0 && wanted > 0; index--) {
    wanted -= await withDrive(open, index, async (drive) => {
      // A drive that does not tell its position can do with one cartridge; there everything is on it.
      const here = last === 0 ? BigInt(wanted) : await archiveBlocks(context, drive, index, undefined);
      const blocks = here < BigInt(wanted) ? Math.max(0, Number(here)) : wanted;
      await toEnd(context, drive, index);
      if (blocks === 0) return 0;
      await drive.spaceBlocks(-blocks);
      parts.unshift(await lastBytes(context, drive, blocks));
      return blocks;
    });
  }
  const trailer = trailerIn(context, last, Buffer.concat(parts));
  if (trailer.tapeBlockBytes === block) return trailer;
  throw new GantryError(
    "TAPE_BLOCK_TOO_LARGE",
    `The archive has tape blocks of ${trailer.tapeBlockBytes} bytes; name that size in the job (tapeBlockBytes).`,
  );
}

/** Throws ARCHIVE_INVALID, naming the cartridge that may not be the last one. */
function trailerIn({ record }: JobContext, last: number, tail: Buffer): ManifestTrailer {
  try {
    return findTrailer(tail);
  } catch (error) {
    const name = archivePlace(record).cartridges[last] ?? "";
    if (name === "" || !isGantryError(error)) throw error;
    const message = `${error.message} If the archive goes on behind cartridge ${name}, the last that the job names, name all its cartridges, in order.`;
    throw new GantryError(error.code, message, { details: { ...error.details, cartridge: name }, cause: error });
  }
}

/**
 * The last bytes in front of the filemark. Not every drive stands where it should after spacing backward (some stop
 * one block short or too far), so blocks are read until the filemark really comes.
 */
async function lastBytes(context: JobContext, drive: TapeDrive, blocks: number): Promise<Uint8Array> {
  const block = context.record.tapeBlockBytes;
  const keep = Math.min(block, TAIL_BYTES);
  const kept: Uint8Array[] = [];
  for (let read = 0; read < blocks + SPACING_SLACK; read++) {
    const { done, held } = await hold(context, drive, [BigInt(keep)], { skip: BigInt(block - keep) });
    if (done.result === "tape-ended") {
      if (kept.length === blocks) return Buffer.concat(kept);
      throw new GantryError(
        "ARCHIVE_INVALID",
        `${drive.unit.name}: no block of ${block} bytes stands in front of the filemark; if this is an archive, name its tape block size in the job (tapeBlockBytes).`,
      );
    }
    if (done.result !== "ok") throw engineFailure(done, [drive.unit.name]);
    kept.push(...held);
    if (kept.length > blocks) kept.shift();
  }
  throw new GantryError("DEVICE_ERROR", `${drive.unit.name} does not find back to a filemark that it has just passed.`);
}

/** Archive blocks on a cartridge. Where the drive does not tell its position, only an archive on one cartridge can be read. */
async function archiveBlocks(
  context: JobContext,
  drive: TapeDrive,
  index: number,
  trailer: ManifestTrailer | undefined,
): Promise<bigint> {
  const block = BigInt(context.record.tapeBlockBytes);
  await toEnd(context, drive, index);
  const end = await drive.position();
  const lead = index === 0 ? 0n : BigInt(leadBytes(context.record.tapeBlockBytes)) / block;
  if (end !== undefined) return end - firstObjectOf(context, index) - lead;
  if (index === 0 && trailer !== undefined) return (trailer.manifest + trailer.bytes + BigInt(END_BYTES)) / block;
  throw new GantryError(
    "DEVICE_ERROR",
    `${drive.unit.name} does not tell its position, which is needed to restore from several cartridges.`,
  );
}

/** Reads archive bytes [from, to) of one cartridge into pages of the journal. */
async function readRange(
  context: JobContext,
  drive: TapeDrive,
  volume: Searched,
  from: bigint,
  to: bigint,
): Promise<void> {
  const block = BigInt(context.record.tapeBlockBytes);
  const lead = volume.index === 0 ? 0n : BigInt(leadBytes(context.record.tapeBlockBytes)) / block;
  const into = (from - volume.from) / block;
  await drive.locate(firstObjectOf(context, volume.index) + lead + into);
  const skip = from - volume.from - into * block;
  const lengths: bigint[] = [];
  for (let left = to - from; left > 0n; left -= HOLD_BYTES) lengths.push(left < HOLD_BYTES ? left : HOLD_BYTES);
  const take = (page: Uint8Array): Promise<void> => context.journal.addPage(context.record.spec.jobId, page);
  const { done } = await hold(context, drive, lengths, { skip, take });
  if (done.result !== "ok") throw engineFailure(done, [drive.unit.name]);
}
