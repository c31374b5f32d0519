// What a tape file is: the whole of an archive, the part of one that lies on this cartridge, or something of others.
// Both its ends are asked, for either can be damaged: the beginning has a label, the end a trailer.
import type { TapeDrive } from "../../device/tape-drive.js";
import { type ErrorCode, isGantryError } from "../../sys/errors.js";
import { parseContinuation } from "../archive/continuation.js";
import { END_BYTES, type ManifestTrailer, TRAILER_BYTES } from "../archive/manifest-format.js";
import { findTrailer } from "../archive/manifest-read.js";
import { isTapeBlock, leadBytes } from "../archive/volumes.js";
import { firstLabel, LABEL_BYTES } from "../cartridge-check.js";
import type { JobContext } from "../job-context.js";
import { hold } from "../tape-hold.js";

/** A tape file: logical objects [first, end) and whether a filemark ends it. */
export interface TapeFile {
  readonly first: bigint;
  readonly end: bigint;
  readonly ended: boolean;
}

/** Part of an archive in a tape file. */
export interface Part extends TapeFile {
  readonly archiveId: string;
  readonly tapeBlockBytes: number;
  /** Tape blocks of the continuation lead in front of it. */
  readonly lead: bigint;
  /** Archive bytes [from, to) that the file should hold. */
  readonly from: bigint;
  readonly to: bigint;
  readonly trailer?: ManifestTrailer;
  /** Objects by which the file is shorter (negative: longer) than the archive says. */
  readonly missing: bigint;
}

/** The archive that goes on on the cartridge behind, and the byte at which it does. */
export interface GoesOn {
  readonly archiveId: string;
  readonly tapeBlockBytes: number;
  readonly to: bigint;
}

/** Errors that say what is on the tape, and not that the drive is in trouble. */
const OF_THE_TAPE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ARCHIVE_INVALID",
  "ARCHIVE_OPTION_INVALID",
  "DEVICE_MEDIUM_ERROR",
  "TAPE_BLOCK_TOO_LARGE",
  "TAPE_ENDED_EARLY",
]);

/** What the promise gives; undefined when the tape has nothing there that could be read or understood. */
export async function ifReadable<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isGantryError(error) && OF_THE_TAPE.has(error.code)) return undefined;
    throw error;
  }
}

/** Bytes of an object; undefined where it cannot be read, or is no tape block of an archive. */
async function blockBytesAt(drive: TapeDrive, object: bigint): Promise<number | undefined> {
  const length = await ifReadable(drive.locate(object).then(() => drive.blockLength(512)));
  return length !== undefined && isTapeBlock(length) ? length : undefined;
}

/** Reads bytes from the beginning of an object on; fewer when the medium ends or cannot be read. */
export async function bytesAt(
  context: JobContext,
  drive: TapeDrive,
  object: bigint,
  skip: bigint,
  bytes: number,
  tapeBlockBytes: number,
): Promise<Buffer> {
  const held = await ifReadable(
    drive.locate(object).then(() => hold(context, drive, [BigInt(bytes)], { skip, tapeBlockBytes })),
  );
  return held?.done.result === "ok" ? Buffer.concat(held.held) : Buffer.alloc(0);
}

/** Undefined: nothing says that it is an archive of ours.
 * @param goesOn what the last file of this cartridge must be the beginning of */
export async function identify(
  context: JobContext,
  drive: TapeDrive,
  file: TapeFile,
  goesOn?: GoesOn,
): Promise<Part | undefined> {
  const sizes = new Set([await blockBytesAt(drive, file.first), await blockBytesAt(drive, file.end - 1n)]);
  for (const size of sizes) {
    const part = size === undefined ? undefined : await identifyAs(context, drive, file, size);
    if (part !== undefined) return part;
  }
  if (goesOn === undefined || !sizes.has(goesOn.tapeBlockBytes) || !(await isLast(drive, file))) return undefined;
  // Its beginning cannot be read, but it can only be what the next cartridge goes on with.
  const { archiveId, tapeBlockBytes, to } = goesOn;
  const block = BigInt(tapeBlockBytes);
  const held = (file.end - file.first) * block;
  const lead = held === to ? 0n : BigInt(leadBytes(tapeBlockBytes)) / block;
  const from = to - held + lead * block;
  return from < 0n ? undefined : { ...file, archiveId, tapeBlockBytes, lead, from, to, missing: 0n };
}

/** Nothing stands behind the file but the end of data. */
async function isLast(drive: TapeDrive, { end, ended }: TapeFile): Promise<boolean> {
  return (await ifReadable(drive.endOfData())) === end + (ended ? 1n : 0n);
}

async function identifyAs(
  context: JobContext,
  drive: TapeDrive,
  file: TapeFile,
  tapeBlockBytes: number,
): Promise<Part | undefined> {
  const block = BigInt(tapeBlockBytes);
  const held = file.end - file.first;
  const label = await bytesAt(context, drive, file.first, 0n, Number(LABEL_BYTES), tapeBlockBytes);
  const begins = firstLabel(label);
  const goesOn = begins === undefined ? await ifReadable((async () => parseContinuation(label))()) : undefined;
  const trailer = await trailerOf(context, drive, file, tapeBlockBytes);
  const leads = BigInt(leadBytes(tapeBlockBytes)) / block;
  const base = { ...file, tapeBlockBytes };
  if (trailer === undefined) {
    const archiveId = begins ?? goesOn?.archiveId;
    if (archiveId === undefined) return undefined;
    const lead = goesOn === undefined ? 0n : leads;
    const from = goesOn?.from ?? 0n;
    return { ...base, archiveId, lead, from, to: from + (held - lead) * block, missing: 0n };
  }
  const to = trailer.manifest + trailer.bytes + BigInt(END_BYTES);
  const { archiveId } = trailer;
  // What the label says counts, if it is of the same archive; else what the number of blocks makes likely.
  const known = goesOn?.archiveId === archiveId ? goesOn.from : begins === archiveId ? 0n : undefined;
  if (known !== undefined || to / block <= held) {
    const from = known ?? 0n;
    const lead = from === 0n ? 0n : leads;
    return { ...base, archiveId, lead, from, to, trailer, missing: (to - from) / block + lead - held };
  }
  return { ...base, archiveId, lead: leads, from: to - (held - leads) * block, to, trailer, missing: 0n };
}

async function trailerOf(
  context: JobContext,
  drive: TapeDrive,
  { first, end }: TapeFile,
  tapeBlockBytes: number,
): Promise<ManifestTrailer | undefined> {
  const bytes = TRAILER_BYTES + END_BYTES;
  const blocks = BigInt(Math.ceil(bytes / tapeBlockBytes));
  if (end - first < blocks) return undefined;
  const skip = blocks * BigInt(tapeBlockBytes) - BigInt(bytes);
  const tail = await bytesAt(context, drive, end - blocks, skip, bytes, tapeBlockBytes);
  const trailer = await ifReadable((async () => findTrailer(tail))());
  return trailer?.tapeBlockBytes === tapeBlockBytes ? trailer : undefined;
}
