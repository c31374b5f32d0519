// What lies where in an archive, from its manifest: headers, data and padding of every member, the archive's own
// ones too. It is how a damaged tape block becomes "data of home/ann/report.odt from byte 70144 on".
import { GantryError } from "../../sys/errors.js";
import type { OpenMember } from "./continuation.js";
import {
  BLOCKS_NAME,
  END_BYTES,
  MANIFEST_NAME,
  type ManifestMember,
  type ManifestTrailer,
  README_NAME,
} from "./manifest-format.js";
import { type ManifestSource, ManifestWalk } from "./manifest-walk.js";
import { hasData } from "./member-header.js";
import { type OwnPlace, placeBlockList, placeOwn } from "./own-members.js";
import { padding } from "./ustar.js";

export type Part = "header" | "data" | "padding" | "end";

export interface Region {
  /** Archive bytes [from, to). */
  readonly from: bigint;
  readonly to: bigint;
  readonly member: string;
  /** Number of the member in the list; 0 for the archive's own. */
  readonly tag: number;
  /** "header" has a sparse map with it; "end" is the end-of-archive indicator. */
  readonly part: Part;
}

/** The archive's own members behind those of the list. */
export interface OwnLayout {
  readonly blocks: ReturnType<typeof placeBlockList>;
  readonly manifest: OwnPlace;
  /** Archive offset behind the end-of-archive indicator. */
  readonly end: bigint;
}

/** Regions in order, from the archive's first byte to its last. @throws GantryError ARCHIVE_INVALID */
export async function* regions(manifest: ManifestSource, own: OwnLayout): AsyncGenerator<Region, void, void> {
  const walk = new ManifestWalk(manifest);
  let at = 0n;
  const upTo = function* (to: bigint, member: string, tag: number, part: Part): Generator<Region, void, void> {
    if (to > at) yield { from: at, to, member, tag, part };
    at = to;
  };
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    if (at === 0n) yield* upTo(member.header, README_NAME, 0, "data");
    yield* upTo(member.data, member.name, walk.tag, "header");
    yield* upTo(member.data + member.bytes, member.name, walk.tag, "data");
    yield* upTo(endOf(member), member.name, walk.tag, "padding");
  }
  const { blocks, manifest: list, end } = own;
  const blocksAt = blocks.data - BigInt(blocks.header.length);
  if (at === 0n) yield* upTo(blocksAt, README_NAME, 0, "data");
  yield* upTo(blocks.data, BLOCKS_NAME, 0, "header");
  yield* upTo(blocks.data + blocks.size, BLOCKS_NAME, 0, "data");
  yield* upTo(list.data - BigInt(list.header.length), BLOCKS_NAME, 0, "padding");
  yield* upTo(list.data, MANIFEST_NAME, 0, "header");
  yield* upTo(list.data + list.size, MANIFEST_NAME, 0, "data");
  yield* upTo(end, "", 0, "end");
}

const endOf = ({ data, bytes }: ManifestMember): bigint => data + bytes + padding(bytes);

/** Where the archive's own last members must lie, and with which headers, given where those of the list end.
 * @param after archive offset behind the last member of the list; undefined: there is none. */
export function ownLayout(
  after: bigint | undefined,
  trailer: ManifestTrailer,
  createdMs: number,
  offset: bigint,
): OwnLayout {
  const options = { createdMs, tapeBlockBytes: trailer.tapeBlockBytes };
  // Without members it is told by nothing where the text ends that begins the archive; the list's checksums begin
  // at the same edge wherever in that tape block its header is.
  const blocks = placeBlockList(after ?? offset - 512n, options);
  const manifestAt = blocks.data + blocks.size + padding(blocks.size);
  const manifest = placeOwn(MANIFEST_NAME, manifestAt, options, () => trailer.bytes);
  if (blocks.offset !== offset || manifest.data !== trailer.manifest) {
    throw new GantryError("ARCHIVE_INVALID", "The manifest contradicts itself: it does not lie where it says.");
  }
  return { blocks, manifest, end: trailer.manifest + trailer.bytes + BigInt(END_BYTES) };
}

/** The members that stand open at these archive offsets (ascending), where cartridges go on: see openMember. */
export async function openMembers(
  manifest: ManifestSource,
  own: OwnLayout,
  offsets: readonly bigint[],
): Promise<Map<bigint, OpenMember>> {
  const found = new Map<bigint, OpenMember>();
  const walk = new ManifestWalk(manifest);
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    if (!hasData(member)) continue;
    const inside = offsets.filter((at) => at > member.header && at < member.data + member.bytes);
    if (inside.length === 0) continue;
    const map = member.bytes === member.size ? 0n : await mapBytes(walk, member);
    const end = member.data + member.bytes;
    for (const at of inside.filter((offset) => offset >= member.data - map)) {
      const left = map > 0n && at <= member.data ? member.size : end - at;
      const offset = map > 0n ? member.size - left : at - member.data;
      found.set(at, { name: member.name, left, offset, stored: end - at });
    }
  }
  for (const place of [own.blocks, own.manifest]) {
    for (const at of offsets.filter((offset) => offset >= place.data && offset < place.data + place.size))
      found.set(at, place.open(at));
  }
  return found;
}

/** Bytes of a sparse member's map with its padding (see measureData). The walk stands at the member. */
async function mapBytes(walk: ManifestWalk, member: ManifestMember): Promise<bigint> {
  let [count, text] = [1, 0];
  for (let range = await walk.range(); range !== undefined; range = await walk.range()) {
    count++;
    text += String(range.offset).length + String(range.bytes).length + 2;
  }
  const bytes = BigInt(String(count).length + 1 + text + String(member.size).length + 3);
  return bytes + padding(bytes);
}
