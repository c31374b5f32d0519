// The manifest and the list of block checksums of an archive whose end is on the cartridge that is being scrubbed.
// Both may be damaged: then there is none, with the reason in words.
import type { TapeDrive } from "../../device/tape-drive.js";
import { GantryError, isGantryError, messageOf } from "../../sys/errors.js";
import type { ManifestEnd, ManifestTrailer } from "../archive/manifest-format.js";
import { type ManifestSource, ManifestWalk } from "../archive/manifest-walk.js";
import { type OwnLayout, ownLayout } from "../archive/regions.js";
import { padding } from "../archive/ustar.js";
import type { ArchiveVolume } from "../archive/volumes.js";
import { CrcTable } from "../crc-table.js";
import type { JobContext } from "../job-context.js";
import { checkManifestSize } from "../manifest-limit.js";
import { hold } from "../tape-hold.js";
import { littleEndian } from "../verify.js";
import { bytesAt, type Part } from "./part.js";

const PAGE_BYTES = 1n << 20n;

export interface KnownArchive {
  readonly manifest: ManifestSource;
  readonly trailer: ManifestTrailer;
  readonly end: ManifestEnd;
  readonly own: OwnLayout;
  readonly createdMs: number;
  readonly members: number;
  /** As the list on tape has them; empty where it cannot be read. */
  readonly listed: CrcTable;
}

/** Logical object and bytes to be passed over of it for an archive byte, counted from the end of the part. */
export function placeIn(part: Part, offset: bigint): { readonly object: bigint; readonly skip: bigint } {
  const block = BigInt(part.tapeBlockBytes);
  const back = (part.to - offset + block - 1n) / block;
  return { object: part.end - back, skip: offset - (part.to - back * block) };
}

/** The part as a cartridge of an archive; parts before and behind it are as they would be. */
export function volumeOfPart(part: Part, cartridge: string): ArchiveVolume {
  return { cartridge, firstObject: part.first, from: part.from };
}

/** Why there is no manifest to go by: because it is damaged, or because it begins on the cartridge before. */
export interface NoManifest {
  readonly why: string;
  readonly damaged: boolean;
}

export async function manifestOf(
  context: JobContext,
  drive: TapeDrive,
  part: Part,
  trailer: ManifestTrailer,
): Promise<KnownArchive | NoManifest> {
  if (trailer.manifest < part.from) return { why: "The manifest begins on the cartridge before.", damaged: false };
  const { jobId } = context.record.spec;
  if (trailer.tapeBlockBytes !== part.tapeBlockBytes)
    return { why: "The end of the archive names another tape block size.", damaged: true };
  const { object, skip } = placeIn(part, trailer.manifest);
  if (object < part.first || trailer.manifest + trailer.bytes > part.to)
    return { why: "The manifest is not where the end of the archive says.", damaged: true };
  try {
    checkManifestSize(context, trailer);
  } catch (error) {
    return { why: messageOf(error), damaged: true };
  }
  await context.journal.dropPages(jobId);
  await drive.locate(object);
  const lengths: bigint[] = [];
  for (let left = trailer.bytes; left > 0n; left -= PAGE_BYTES) lengths.push(left < PAGE_BYTES ? left : PAGE_BYTES);
  const take = (page: Uint8Array): Promise<void> => context.journal.addPage(jobId, page);
  const { done } = await hold(context, drive, lengths, { skip, take, tapeBlockBytes: part.tapeBlockBytes });
  if (done.result !== "ok") return { why: `The manifest cannot be read whole (${done.result}).`, damaged: true };
  try {
    return await understand(context, drive, part, trailer, () => context.journal.pages(jobId));
  } catch (error) {
    if (isGantryError(error) && error.code === "ARCHIVE_INVALID") return { why: messageOf(error), damaged: true };
    throw error;
  }
}

async function understand(
  context: JobContext,
  drive: TapeDrive,
  part: Part,
  trailer: ManifestTrailer,
  manifest: ManifestSource,
): Promise<KnownArchive | NoManifest> {
  const walk = new ManifestWalk(manifest);
  let members = 0;
  let after: bigint | undefined;
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    members++;
    after = member.data + member.bytes + padding(member.bytes);
  }
  const { end, head } = walk;
  if (end === undefined || head === undefined) throw new GantryError("ARCHIVE_INVALID", "The manifest is not whole.");
  const { createdMs } = head;
  const own = ownLayout(after, trailer, createdMs, end.blocks.offset);
  if (end.blocks.offset < part.from)
    return { why: "The list of block checksums begins on the cartridge before.", damaged: false };
  const listed = await readList(context, drive, part, end);
  return { manifest, trailer, end, own, createdMs, members, listed };
}

/** The checksums, as far as they lie on this cartridge and can be read. */
async function readList(context: JobContext, drive: TapeDrive, part: Part, { blocks }: ManifestEnd): Promise<CrcTable> {
  const table = new CrcTable();
  const bytes = 4 * blocks.count;
  for (let at = 0; at < bytes; at += Number(PAGE_BYTES)) {
    const { object, skip } = placeIn(part, blocks.offset + BigInt(at));
    const take = Math.min(bytes - at, Number(PAGE_BYTES));
    const page = await bytesAt(context, drive, object, skip, take, part.tapeBlockBytes);
    if (page.length !== take) break;
    table.set(at / 4, littleEndian(page));
  }
  return table;
}
