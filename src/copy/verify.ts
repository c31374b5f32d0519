// A verification: reads an archive back and compares every member's digest with the manifest, every tape block's with
// the list of block checksums, and what neither covers (the leads of further cartridges, the list, the end) with what
// follows from the manifest.
import type { Admitted } from "../admitted.js";
import type { JobSpec, Miscompare } from "../job.js";
import { expectedLeads } from "./archive/expected.js";
import { VerifyPlan } from "./archive/verify-plan.js";
import type { ArchiveVolume } from "./archive/volumes.js";
import { archivePlace } from "./archive-place.js";
import { judgeBlocks } from "./block-judge.js";
import { archiveBlocks } from "./block-numbers.js";
import { CrcTable } from "./crc-table.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { manifestFacts } from "./manifest-facts.js";
import { ReadingBook } from "./reading-book.js";
import { TapeSource } from "./tape-source.js";
import { runVerifyAgainst } from "./verify-against.js";

const TAPE = 0;

export async function runVerify(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  return job.subject.listId === undefined ? verifyArchive(context) : runVerifyAgainst(job, context);
}

/**
 * Verifies the archive that the job names (see archivePlace).
 * @param written CRC32C of the manifest as it was written, where that is known
 */
export async function verifyArchive(context: JobContext, written?: number): Promise<JobOutcome> {
  const source = new TapeSource(context, true);
  const found = await source.manifest();
  const { source: manifest, trailer } = found;
  const facts = await manifestFacts(context, found);
  const { meter, record, native } = context;
  const { tapeBlockBytes } = record;
  const { volumes, own, createdMs, end } = facts;
  // A cartridge may have been copied, or renamed: the report has the names that the job gives.
  const given = archivePlace(record).cartridges;
  const named = volumes.map((volume, index) => ({ ...volume, cartridge: given[index] ?? volume.cartridge }));
  meter.bytesTotal = own.end;
  meter.membersTotal = facts.members;
  const read = new CrcTable();
  const listed = new CrcTable();
  const plan = new VerifyPlan(manifest, { volumes, tapeBlockBytes, tapeLu: TAPE, holdBlockCrcs: true });
  const book = new ReadingBook(context, trailer.archiveId);
  const crc32c = (data: Uint8Array, seed?: number): number => native.crc32c(data, seed);
  let manifestCrc = 0;
  for await (const page of written === undefined ? [] : manifest()) manifestCrc = crc32c(page, manifestCrc);
  if (written !== undefined && (manifestCrc !== written || trailer.archiveId !== record.archiveId)) {
    const message = "The manifest on the tape is not the one that was written.";
    return { state: "failed", failure: { code: "VERIFY_DIFFERS", message } };
  }
  const about = { archiveId: trailer.archiveId, tapeBlockBytes, createdMs };
  const leads = await expectedLeads(manifest, own, volumes, about, crc32c);
  // Without a member that is behind us everything is read again, and so are all the blocks.
  if (book.tag > 0) {
    for (const { first, crcs } of context.journal.blocks(record.spec.jobId)) read.set(first, crcs);
    plan.startAt(book.tag + 1, BigInt(read.count) * BigInt(tapeBlockBytes));
  }
  const onBlocks = (object: bigint, crcs: Uint32Array, volume: ArchiveVolume): void => {
    const index = volumes.indexOf(volume);
    for (const found of wrongLead(leads[index] ?? [], object - volume.firstObject, crcs))
      book.note(leadDiffers(named[index] ?? volume, found), book.offset);
    const run = archiveBlocks(object, crcs, volume, index === 0, tapeBlockBytes);
    if (run === undefined) return;
    read.set(run.first, run.crcs);
    book.addBlocks(run);
  };
  const done = await source.run(plan, book.offset, volumes, [], [], async (event, volume) => {
    if (event.type === "digest") book.judge(plan.digests, event);
    else if (event.type === "checkpoint") await book.checkpoint(event);
    else if (event.type === "block-crcs") onBlocks(event.object, event.crcs, volume);
    else if (event.type === "held") listed.set(Number(event.cookie), littleEndian(event.data));
    else if (event.type === "retried") meter.retries += BigInt(event.count);
  });
  if (done?.result === "cancelled") return { state: "cancelled" };
  const differing = new Set(book.miscompares.map(({ member }) => member));
  const archive = {
    manifest,
    own,
    end,
    volumes: named,
    tapeBlockBytes,
    read,
    listed,
    suspect: (name: string) => differing.has(name),
  };
  const blocks = await judgeBlocks(archive, crc32c);
  const miscompares = [...book.miscompares, ...blocks.found];
  const [first] = miscompares;
  if (first === undefined) return { state: "succeeded" };
  const message = `The tape differs from its manifest in ${book.differing + blocks.count} places; the first: ${first.member}: ${first.reason}`;
  return { state: "failed", miscompares, failure: { code: "VERIFY_DIFFERS", message } };
}

/** Objects of a cartridge, counted from its first, that belong to its lead and are not what they should be. */
function wrongLead(lead: readonly number[], first: bigint, crcs: Uint32Array): bigint[] {
  const wrong: bigint[] = [];
  crcs.forEach((crc, index) => {
    const expected = lead[Number(first) + index];
    if (expected !== undefined && expected !== crc) wrong.push(first + BigInt(index));
  });
  return wrong;
}

export function leadDiffers({ cartridge, firstObject, from }: ArchiveVolume, block: bigint): Miscompare {
  const object = firstObject + block;
  return {
    member: "",
    streamOffset: from,
    cartridge,
    object,
    reason: `The lead of ${cartridge === "" ? "the cartridge" : cartridge} is not as it was written (object ${object}): tar may refuse to go on there.`,
  };
}

export function littleEndian(data: Uint8Array): Uint32Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Uint32Array.from({ length: data.length >> 2 }, (_, index) => view.getUint32(index * 4, true));
}
