// Judges the tape blocks of an archive that was read: which of them are not as they were written, and what lies in
// them. The list of block checksums can be damaged itself; the manifest has its checksum, which tells.
import { type Crc32c, expectedTail, listCrc } from "./archive/expected.js";
import { BLOCKS_NAME, type ManifestEnd } from "./archive/manifest-format.js";
import type { ManifestSource } from "./archive/manifest-walk.js";
import { type OwnLayout, type Region, regions } from "./archive/regions.js";
import { type ArchiveVolume, tapeObjectOf } from "./archive/volumes.js";
import { BlockRanges } from "./block-ranges.js";
import type { CrcTable } from "./crc-table.js";
import type { Miscompare } from "./reading-book.js";
import { REPORT_ENTRIES } from "./results.js";

export interface ReadArchiveBlocks {
  readonly manifest: ManifestSource;
  readonly own: OwnLayout;
  readonly end: ManifestEnd;
  readonly volumes: readonly ArchiveVolume[];
  readonly tapeBlockBytes: number;
  /** Of the blocks as they were read, by their number in the archive. */
  readonly read: CrcTable;
  /** Blocks that could not be read. */
  readonly unread?: BlockRanges;
  /** As the list on tape has them. */
  readonly listed: CrcTable;
  /** Blocks [first, last) are judged; the others were not asked for. */
  readonly range?: { readonly first: number; readonly last: number };
  /** Is the data of the member possibly damaged? Not, if its digest is right. */
  readonly suspect: (member: string, tag: number) => boolean;
}

export interface BlockVerdict {
  /** How many there are; `found` has the first of them. */
  readonly count: number;
  readonly found: readonly Miscompare[];
  /** Numbers of the damaged blocks. */
  readonly bad: BlockRanges;
}

export async function judgeBlocks(given: ReadArchiveBlocks, crc32c: Crc32c): Promise<BlockVerdict> {
  const { end, read, listed, own, tapeBlockBytes, manifest } = given;
  const { first, last } = given.range ?? { first: 0, last: Number(own.end / BigInt(tapeBlockBytes)) };
  const { count, crc32c: wanted } = end.blocks;
  const listRight = wanted === undefined || listCrc(listed, count, crc32c) === wanted;
  // Where the list is damaged and the blocks as they were read are what it should say, only the list is.
  const truth = !listRight && read.count >= count && listCrc(read, count, crc32c) === wanted ? read : listed;
  const tail = await expectedTail(manifest, own, truth, tapeBlockBytes, crc32c);
  const bad = new BlockRanges();
  for (let block = first; block < last; block++) {
    const expected = block < count ? truth.at(block) : tail[block - count];
    if (read.at(block) !== expected || given.unread?.has(block) === true) bad.add(block);
  }
  const found = await located(given, bad);
  const entries = listRight ? [] : damagedEntries(given, truth);
  return { count: bad.count + entries.length, found: [...found, ...entries].slice(0, REPORT_ENTRIES), bad };
}

/** What of the list on tape is not what it should be, where that is known; else that it is damaged somewhere. */
function damagedEntries({ own, listed, tapeBlockBytes }: ReadArchiveBlocks, truth: CrcTable): Miscompare[] {
  const { offset, data, count } = own.blocks;
  if (truth === listed) {
    const reason = "The list of block checksums is damaged; a block that differs from it may be as it was written.";
    return [{ member: BLOCKS_NAME, streamOffset: offset, memberOffset: offset - data, reason }];
  }
  const found: Miscompare[] = [];
  for (let block = 0; block < count && found.length < REPORT_ENTRIES; block++) {
    if (truth.at(block) === listed.at(block)) continue;
    const streamOffset = offset + BigInt(4 * block);
    const reason = `The checksum of tape block ${block} in the list is damaged (it stands in tape block ${streamOffset / BigInt(tapeBlockBytes)}); the block itself is as it was written.`;
    found.push({ member: BLOCKS_NAME, streamOffset, memberOffset: streamOffset - data, reason });
  }
  return found;
}

/** Walks over the archive's regions and the bad blocks together, both in order. */
async function located(given: ReadArchiveBlocks, bad: BlockRanges): Promise<Miscompare[]> {
  const block = BigInt(given.tapeBlockBytes);
  const named = bad.lowest(REPORT_ENTRIES);
  const inside: Region[][] = named.map(() => []);
  let index = 0;
  for await (const region of named.length === 0 ? [] : regions(given.manifest, given.own)) {
    while (index < named.length && BigInt(named[index] ?? 0) * block + block <= region.from) index++;
    if (index >= named.length) break;
    for (let each = index; each < named.length && BigInt(named[each] ?? 0) * block < region.to; each++)
      inside[each]?.push(region);
  }
  return named.map((number, each) => describe(given, number, inside[each] ?? []));
}

function describe(given: ReadArchiveBlocks, number: number, inside: readonly Region[]): Miscompare {
  const { volumes, tapeBlockBytes } = given;
  const streamOffset = BigInt(number) * BigInt(tapeBlockBytes);
  const { volume, object } = tapeObjectOf(streamOffset, volumes, tapeBlockBytes);
  const cartridge = volumes[volume]?.cartridge ?? "";
  // Data of a member whose digest is right is not what is damaged.
  const hurt = inside.filter(({ part, tag, member }) => part !== "data" || tag === 0 || given.suspect(member, tag));
  const suspects = hurt.length === 0 ? inside : hurt;
  const first = hurt.find(({ part }) => part === "data") ?? suspects[0];
  const from = first === undefined || first.from < streamOffset ? streamOffset : first.from;
  const what = given.unread?.has(number) === true ? "could not be read" : "has another CRC32C than when it was written";
  return {
    member: first?.member ?? "",
    streamOffset,
    ...(first?.part === "data" ? { memberOffset: from - first.from } : {}),
    cartridge,
    object,
    reason: `Tape block ${number} of the archive (object ${object}${cartridge === "" ? "" : ` of ${cartridge}`}) ${what}; in it: ${inWords(suspects, streamOffset)}.`,
  };
}

/** Regions that a sentence names. */
const NAMED = 4;
const NAME_CHARACTERS = 40;

function inWords(suspects: readonly Region[], at: bigint): string {
  const words = suspects.slice(0, NAMED).map(({ part, member, from }) => {
    const name = member.length > NAME_CHARACTERS ? `${member.slice(0, NAME_CHARACTERS)}…` : member;
    if (part === "end") return "the end of the archive";
    if (part === "data") return `data of ${name} from byte ${from < at ? at - from : 0n} on`;
    return `the ${part} of ${name}`;
  });
  return words.join(", ") + (suspects.length > NAMED ? ` and ${suspects.length - NAMED} more` : "");
}
