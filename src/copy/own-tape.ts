// Is the tape in the drive still the one that the job was writing? Between two runs of a backup somebody may have
// changed it: the daemon was down, or the drive said that its medium may have changed. What is written then lands in
// the middle of somebody else's data, so nothing is written before the job's last block was found again.
import type { TapeDrive } from "../device/tape-drive.js";
import { type ErrorCode, GantryError, isGantryError } from "../sys/errors.js";
import { crc32c } from "./archive/crc32c.js";
import { archiveOffsetOf } from "./archive/volumes.js";
import { checkCartridge, LABEL_BYTES } from "./cartridge-check.js";
import { RunControl } from "./copy-run.js";
import type { JobContext } from "./job-context.js";
import type { CurrentVolume } from "./job-record.js";
import { engineFailure } from "./results.js";
import { hold } from "./tape-hold.js";

/** Bytes that are held at once (GT_HOLD_MAX). */
const HOLD_BYTES = 1n << 20n;
/** How long the reading of a few blocks may go on when the job is cancelled. */
const CANCELLED_GRACE_MS = 60_000;
/** What a tape says that does not hold the label of the job's archive (checkCartridge). */
const NOT_THE_LABEL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ARCHIVE_INVALID",
  "TAPE_ENDED_EARLY",
  "TAPE_BLOCK_TOO_LARGE",
]);

/**
 * Reads the block in front of `object`, where the job is to go on, and compares it with the journal. Throws
 * MEDIA_CHANGED.
 * @param crcOf CRC32C of a tape block of the archive, where the journal has it
 */
export async function checkOwnTape(
  given: JobContext,
  drive: TapeDrive,
  volume: CurrentVolume,
  object: bigint,
  crcOf: (block: number) => number | undefined,
): Promise<void> {
  // Of a control of its own: a job that was cancelled ends its tape by a filemark, and not another one.
  // A drive that does not answer is given up all the same.
  const control = new RunControl();
  let timer: NodeJS.Timeout | undefined;
  const off = given.control.onCancel(() => {
    timer = setTimeout(() => control.cancel(), CANCELLED_GRACE_MS);
  });
  try {
    await check({ ...given, control }, drive, volume, object, crcOf);
  } finally {
    off();
    clearTimeout(timer);
  }
}

async function check(
  context: JobContext,
  drive: TapeDrive,
  volume: CurrentVolume,
  object: bigint,
  crcOf: (block: number) => number | undefined,
): Promise<void> {
  if (object <= volume.firstObject) return checkBeginning(context, drive, volume);
  const { tapeBlockBytes: block, archiveId } = context.record;
  const place = { cartridge: volume.cartridge, firstObject: volume.firstObject, from: volume.from };
  const offset = archiveOffsetOf(object - 1n, place, volume.index === 0, block);
  const wanted = offset === undefined ? undefined : crcOf(Number(offset / BigInt(block)));
  // Of the lead of a further cartridge no checksum is kept; further cartridges are only loaded by name.
  if (wanted === undefined) return;
  // Another backup of the same volume may well have the same block there, so the label is asked, too.
  if ((object - volume.firstObject) * BigInt(block) >= LABEL_BYTES) await checkLabel(context, drive, volume, archiveId);
  await drive.locate(object - 1n);
  const { result, held } = await read(context, drive, block);
  if (result === "ok" && held.reduce((crc, piece) => crc32c(piece, crc), 0) === wanted) return;
  throw changed(drive, `its object ${object - 1n} is not the block that the job wrote there`);
}

async function checkLabel(
  context: JobContext,
  drive: TapeDrive,
  volume: CurrentVolume,
  archiveId: string,
): Promise<void> {
  try {
    await checkCartridge(context, drive, volume.index, volume, archiveId);
  } catch (error) {
    if (!isGantryError(error) || !NOT_THE_LABEL.has(error.code)) throw error;
    throw changed(drive, `the job's archive does not begin at its object ${volume.firstObject}`, error);
  }
}

/**
 * Before the first checkpoint nothing is known of the blocks. A cartridge that was loaded by name is the right one;
 * one that was not either ends where the job began or has the job's archive there.
 */
async function checkBeginning(context: JobContext, drive: TapeDrive, volume: CurrentVolume): Promise<void> {
  const { archiveId, spec, tapeBlockBytes } = context.record;
  if (volume.cartridge !== "" || spec.options.position === "overwrite") return;
  await drive.locate(volume.firstObject);
  const bytes = Math.ceil(Number(LABEL_BYTES) / tapeBlockBytes) * tapeBlockBytes;
  const { result, held } = await read(context, drive, bytes);
  if (result === "tape-ended" && held.length === 0) return;
  if (Buffer.concat(held).includes(archiveId)) return;
  throw changed(drive, `another archive than the job's begins at its object ${volume.firstObject}`);
}

async function read(
  context: JobContext,
  drive: TapeDrive,
  bytes: number,
): Promise<{ result: "ok" | "tape-ended" | "block-too-large"; held: Uint8Array[] }> {
  const lengths: bigint[] = [];
  for (let left = BigInt(bytes); left > 0n; left -= HOLD_BYTES) lengths.push(left < HOLD_BYTES ? left : HOLD_BYTES);
  const { done, held } = await hold(context, drive, lengths);
  const { result } = done;
  if (result === "ok" || result === "tape-ended" || result === "block-too-large") return { result, held };
  throw engineFailure(done, [drive.unit.name]);
}

function changed(drive: TapeDrive, why: string, cause?: unknown): GantryError {
  return new GantryError(
    "MEDIA_CHANGED",
    `The tape in ${drive.unit.name} is not the one that the job was writing: ${why}. Nothing was written on it; submit the job anew with the right tape.`,
    { details: { device: drive.unit.name }, ...(cause === undefined ? {} : { cause }) },
  );
}
