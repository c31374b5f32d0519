// The manifest and the list of block checksums of an archive whose end is on the cartridge that is being scrubbed, also
// where they begin on cartridges before. Both may be damaged: then there is none, with the reason in words.
import { type ErrorCode, GantryError, isGantryError, messageOf } from "../../sys/errors.js";
import { END_BYTES, type ManifestEnd, type ManifestTrailer, TRAILER_BYTES } from "../archive/manifest-format.js";
import { findTrailer } from "../archive/manifest-read.js";
import { type ManifestSource, ManifestWalk } from "../archive/manifest-walk.js";
import { type OwnLayout, ownLayout } from "../archive/regions.js";
import { padding } from "../archive/ustar.js";
import { CrcTable } from "../crc-table.js";
import type { JobContext } from "../job-context.js";
import type { ManifestSlot } from "../journal.js";
import { checkManifestSize } from "../manifest-limit.js";
import { littleEndian } from "../verify.js";
import type { Mounted } from "./mounted.js";
import { ifReadable, type Part } from "./part.js";
import { readStretches, type Stretch, stretchesTo } from "./stretches.js";

const PAGE_BYTES = 1 << 20;
/** Errors that say that there is no manifest to go by. */
const NOT_WHOLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["ARCHIVE_INVALID", "MANIFEST_TOO_LARGE"]);

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

/** Why there is no manifest to go by: because it is damaged, or because it begins on the cartridge before. */
export interface NoManifest {
  readonly why: string;
  readonly damaged: boolean;
}

/** Cartridges before the one that `mounted` has may be loaded for it; that one is there again at the end. */
export async function manifestOf(
  context: JobContext,
  mounted: Mounted,
  part: Part,
  trailer: ManifestTrailer,
): Promise<KnownArchive | NoManifest> {
  const home = mounted.index;
  let known: KnownArchive | NoManifest;
  try {
    known = await readManifest(context, mounted, part, trailer);
  } catch (error) {
    if (!isGantryError(error) || !NOT_WHOLE.has(error.code)) throw error;
    known = { why: messageOf(error), damaged: true };
  }
  await mounted.mount(home);
  return known;
}

async function readManifest(
  context: JobContext,
  mounted: Mounted,
  part: Part,
  trailer: ManifestTrailer,
): Promise<KnownArchive | NoManifest> {
  const { journal } = context;
  const { jobId } = context.record.spec;
  const { tapeBlockBytes } = part;
  if (trailer.tapeBlockBytes !== tapeBlockBytes)
    return { why: "The end of the archive names another tape block size.", damaged: true };
  if (trailer.manifest + trailer.bytes > part.to)
    return { why: "The manifest is not where the end of the archive says.", damaged: true };
  checkManifestSize(context, trailer);
  const home = mounted.index;
  const there = await stretchesTo(context, mounted, part, home, trailer.manifest);
  if (there === undefined) return { why: "The manifest begins on the cartridge before.", damaged: false };
  // The archive is gone on with on the cartridge before, with others between: its pages must outlive theirs.
  const slot: ManifestSlot = part.from > 0n ? "open" : "manifest";
  await journal.dropPages(jobId, slot);
  const range = { offset: trailer.manifest, bytes: trailer.bytes };
  const take = (page: Uint8Array): Promise<void> => journal.addPage(jobId, page, slot);
  if (!(await readStretches(context, mounted, there, tapeBlockBytes, range, take)))
    return { why: "The manifest cannot be read whole.", damaged: true };
  const manifest = (): Iterable<Uint8Array> => journal.pages(jobId, slot);
  const { end, createdMs, members, own } = await understand(manifest, trailer);
  const all = await stretchesTo(context, mounted, part, home, end.blocks.offset);
  if (all === undefined) return { why: "The list of block checksums begins on the cartridge before.", damaged: false };
  const listed = await readList(context, mounted, all, tapeBlockBytes, end);
  return { manifest, trailer, end, own, createdMs, members, listed };
}

async function understand(
  manifest: ManifestSource,
  trailer: ManifestTrailer,
): Promise<Pick<KnownArchive, "end" | "createdMs" | "members" | "own">> {
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
  return { end, createdMs, members, own: ownLayout(after, trailer, createdMs, end.blocks.offset) };
}

/** The checksums, as far as they can be read. */
async function readList(
  context: JobContext,
  mounted: Mounted,
  stretches: readonly Stretch[],
  tapeBlockBytes: number,
  { blocks }: ManifestEnd,
): Promise<CrcTable> {
  const table = new CrcTable();
  const bytes = 4 * blocks.count;
  for (let at = 0; at < bytes; at += PAGE_BYTES) {
    const range = { offset: blocks.offset + BigInt(at), bytes: BigInt(Math.min(bytes - at, PAGE_BYTES)) };
    const pieces: Uint8Array[] = [];
    const take = async (piece: Uint8Array): Promise<void> => void pieces.push(piece);
    if (!(await readStretches(context, mounted, stretches, tapeBlockBytes, range, take))) break;
    table.set(at / 4, littleEndian(Buffer.concat(pieces)));
  }
  return table;
}

/** The trailer of an archive of which the last cartridge has only the very end. */
export async function trailerBefore(
  context: JobContext,
  mounted: Mounted,
  part: Part,
): Promise<ManifestTrailer | undefined> {
  const bytes = BigInt(TRAILER_BYTES + END_BYTES);
  if (part.to - part.from >= bytes || part.from === 0n || mounted.index === 0) return undefined;
  const home = mounted.index;
  const stretches = await stretchesTo(context, mounted, part, home, part.to - bytes);
  const pieces: Uint8Array[] = [];
  const take = async (piece: Uint8Array): Promise<void> => void pieces.push(piece);
  const range = { offset: part.to - bytes, bytes };
  const read =
    stretches !== undefined && (await readStretches(context, mounted, stretches, part.tapeBlockBytes, range, take));
  await mounted.mount(home);
  if (!read) return undefined;
  const trailer = await ifReadable((async () => findTrailer(Buffer.concat(pieces)))());
  return trailer?.archiveId === part.archiveId ? trailer : undefined;
}
