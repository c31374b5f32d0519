// Holds a part of an archive against its manifest: every tape block against the list of block checksums, every member
// that lies wholly here against its digest, the lead against what it must be.
import type { TapeDrive } from "../../device/tape-drive.js";
import type { Miscompare } from "../../job.js";
import { ProgramBuilder } from "../../native/program.js";
import { DigestCheck } from "../archive/digest-check.js";
import { expectedLeads } from "../archive/expected.js";
import { ManifestWalk } from "../archive/manifest-walk.js";
import type { ArchiveVolume } from "../archive/volumes.js";
import { judgeBlocks } from "../block-judge.js";
import { BlockRanges } from "../block-ranges.js";
import type { ProgramPiece } from "../copy-run.js";
import { CrcTable } from "../crc-table.js";
import type { JobContext } from "../job-context.js";
import { REPORT_ENTRIES } from "../results.js";
import { leadDiffers } from "../verify.js";
import type { KnownArchive } from "./manifest-of.js";
import type { Part } from "./part.js";
import { readThrough, TAPE_ENDED } from "./read-through.js";

const PIECE_SEGMENTS = 4096;

export interface PartVerdict {
  readonly blocks: bigint;
  readonly damaged: number;
  readonly found: readonly Miscompare[];
  readonly members: number;
  readonly restorable: number;
}

export async function scrubByManifest(
  context: JobContext,
  drive: TapeDrive,
  part: Part,
  known: KnownArchive,
  cartridge: string,
): Promise<PartVerdict> {
  const { tapeBlockBytes, first, end } = part;
  const crc32c = (data: Uint8Array, seed?: number): number => context.native.crc32c(data, seed);
  const objects = new CrcTable();
  const unreadable = new BlockRanges();
  const digests = new DigestCheck();
  const fine = new Uint8Array(known.members + 1);
  // Where blocks are missing nobody knows yet behind which of them members do not lie where they should.
  let aligned = part.missing === 0n;
  const blocks = await readThrough({
    context,
    drive,
    first,
    end,
    tapeBlockBytes,
    program: (from) => pieces(part, known, from, aligned ? digests : undefined),
    onUnreadable: (object, why, count) => {
      unreadable.add(Number(object - first), Number(count));
      // Where a filemark stands among them blocks do not lie where they should, either.
      if (why === TAPE_ENDED) aligned = false;
    },
    onEvent: (event) => {
      if (event.type === "block-crcs") objects.set(Number(event.object - first), event.crcs);
      if (event.type === "digest" && digests.take(event.tag, event.bytes, event)?.ok === true) fine[event.tag] = 1;
    },
  });
  const volumes = volumesOf(part, cartridge);
  const found: Miscompare[] = await wrongLead(part, known, volumes, objects, crc32c);
  const { read, unread, moved } = byArchive(part, known, objects, unreadable);
  found.push(...moved);
  const judged = await judgeBlocks(
    {
      ...known,
      volumes,
      tapeBlockBytes,
      read,
      unread,
      suspect: (_name, tag) => !aligned || fine[tag] !== 1,
      range: { first: Number(part.from / BigInt(tapeBlockBytes)), last: Number(part.to / BigInt(tapeBlockBytes)) },
    },
    crc32c,
  );
  const { members, restorable, differing } = await count(part, known, aligned ? fine : undefined, judged.bad);
  return {
    blocks,
    damaged: found.length + judged.count + differing.length,
    found: [...differing, ...found, ...judged.found],
    members,
    restorable,
  };
}

/** The part as the last of one or two cartridges: a further one has a lead. */
function volumesOf({ first, from }: Part, cartridge: string): readonly ArchiveVolume[] {
  const own = { cartridge, firstObject: first, from };
  return from === 0n ? [own] : [{ cartridge: "", firstObject: 0n, from: 0n }, own];
}

/** The program from an object on; members that begin and end behind it are digested. */
function pieces(
  part: Part,
  known: KnownArchive,
  from: bigint,
  digests: DigestCheck | undefined,
): () => Promise<ProgramPiece | null> {
  const run = segments(part, known, from, digests);
  return async () => {
    const step = await run.next();
    return step.done === true ? null : step.value;
  };
}

async function* segments(
  part: Part,
  known: KnownArchive,
  from: bigint,
  digests: DigestCheck | undefined,
): AsyncGenerator<ProgramPiece, void, void> {
  const block = BigInt(part.tapeBlockBytes);
  const builder = new ProgramBuilder();
  // Archive offset at `from`; in the lead it is before the part's first byte.
  let at = part.from + (from - part.first - part.lead) * block;
  const end = at + (part.end - from) * block;
  const start = at < part.from ? part.from : at;
  const upTo = (to: bigint, tag: number): void => {
    if (to > at) builder.tape("gather", 0, to - at, tag).discard(to - at);
    at = to;
  };
  const walk = new ManifestWalk(known.manifest);
  for (
    let member = digests && (await walk.member());
    digests !== undefined && member !== undefined;
    member = await walk.member()
  ) {
    const behind = member.data + member.bytes;
    if (member.bytes === 0n || member.data < start) continue;
    if (behind > end) break;
    upTo(member.data, 0);
    digests.expect(walk.tag, member);
    upTo(behind, walk.tag);
    if (builder.segments >= PIECE_SEGMENTS) yield builder.take();
  }
  upTo(end, 0);
  yield builder.take();
}

async function wrongLead(
  part: Part,
  { manifest, own, createdMs }: KnownArchive,
  volumes: readonly ArchiveVolume[],
  objects: CrcTable,
  crc32c: (data: Uint8Array, seed?: number) => number,
): Promise<Miscompare[]> {
  const volume = volumes[1];
  if (part.lead === 0n || volume === undefined) return [];
  const [, lead = []] = await expectedLeads(manifest, own, volumes, { ...part, createdMs }, crc32c);
  return lead.flatMap((crc, index) => (objects.at(index) === crc ? [] : [leadDiffers(volume, BigInt(index))]));
}

/** Blocks by their number in the archive. Where the file is shorter or longer than it should be, blocks are missing
 * or too many at the first one that is not what the list says; those behind it are counted from the end. */
function byArchive(
  part: Part,
  { listed }: KnownArchive,
  objects: CrcTable,
  unreadable: BlockRanges,
): { read: CrcTable; unread: BlockRanges; moved: Miscompare[] } {
  const lead = Number(part.lead);
  const number = Number(part.from / BigInt(part.tapeBlockBytes));
  const count = Number(part.end - part.first) - lead;
  const shift = Number(part.missing);
  let cut = count;
  if (shift !== 0) {
    cut = 0;
    while (cut < count && objects.at(lead + cut) === listed.at(number + cut)) cut++;
  }
  const [read, unread] = [new CrcTable(number), new BlockRanges()];
  const moved: Miscompare[] = [];
  const behind = shift < 0 ? cut - shift : cut;
  read.set(number, objects.slice(lead, cut));
  if (behind < count) read.set(number + behind + shift, objects.slice(lead + behind, count - behind));
  for (const [first, end] of unreadable.ranges()) {
    const [from, to] = [Math.max(first - lead, 0), end - lead];
    if (from < cut) unread.add(number + from, Math.min(to, cut) - from);
  }
  if (shift > 0) unread.add(number + cut, shift);
  for (const [first, end] of unreadable.ranges()) {
    const [from, to] = [Math.max(first - lead, behind), end - lead];
    unread.add(number + from + shift, to - from);
  }
  if (shift < 0) {
    const object = part.first + part.lead + BigInt(cut);
    const reason = `${-shift} tape blocks too many stand in the archive from object ${object} on.`;
    moved.push({ member: "", streamOffset: BigInt(number + cut) * BigInt(part.tapeBlockBytes), object, reason });
  }
  return { read, unread, moved };
}

/** How many members begin and end here, and of how many the data is as it was written. Members whose blocks are all
 * right and whose digest is not were written wrong. */
async function count(
  part: Part,
  known: KnownArchive,
  fine: Uint8Array | undefined,
  bad: BlockRanges,
): Promise<{ members: number; restorable: number; differing: Miscompare[] }> {
  const block = BigInt(part.tapeBlockBytes);
  const walk = new ManifestWalk(known.manifest);
  const differing: Miscompare[] = [];
  let [members, restorable] = [0, 0];
  for (let member = await walk.member(); member !== undefined; member = await walk.member()) {
    if (member.header < part.from || member.data + member.bytes > part.to) continue;
    members++;
    const [first, last] = [Number(member.data / block), Number((member.data + member.bytes - 1n) / block)];
    const hit = member.bytes > 0n && bad.meets(first, last);
    const right = member.bytes === 0n || (fine === undefined ? !hit : fine[walk.tag] === 1);
    if (right) restorable++;
    else if (fine !== undefined && differing.length < REPORT_ENTRIES)
      differing.push({
        member: member.name,
        streamOffset: member.data,
        reason: "Its data does not have the digest of the manifest.",
      });
  }
  return { members, restorable, differing };
}
