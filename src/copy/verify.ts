// A verification: reads an archive back and compares every member's digest with the manifest, and every tape
// block's with the list of block checksums.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { VerifyPlan } from "./archive/verify-plan.js";
import { archiveBlocks } from "./block-numbers.js";
import { CrcTable } from "./crc-table.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { manifestFacts } from "./manifest-facts.js";
import { type Miscompare, ReadingBook } from "./reading-book.js";
import { TapeSource } from "./tape-source.js";

const TAPE = 0;

export async function runVerify(_job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const source = new TapeSource(context, true);
  const found = await source.manifest();
  const { source: manifest, trailer } = found;
  const facts = await manifestFacts(context, found);
  const { meter, record } = context;
  meter.bytesTotal = trailer.manifest + trailer.bytes;
  meter.membersTotal = facts.members;
  const read = new CrcTable();
  const listed = new CrcTable();
  const plan = new VerifyPlan(manifest, {
    volumes: facts.volumes,
    tapeBlockBytes: record.tapeBlockBytes,
    tapeLu: TAPE,
    holdBlockCrcs: true,
  });
  const book = new ReadingBook(context, trailer.archiveId);
  // Without a member that is behind us everything is read again, and so are all the blocks.
  if (book.tag > 0) {
    for (const { first, crcs } of context.journal.blocks(record.spec.jobId)) read.set(first, crcs);
    plan.startAt(book.tag + 1, BigInt(read.count) * BigInt(record.tapeBlockBytes));
  }
  const done = await source.run(plan, book.offset, facts.volumes, [], [], async (event, volume) => {
    if (event.type === "digest") book.judge(plan.digests, event);
    else if (event.type === "checkpoint") await book.checkpoint(event);
    else if (event.type === "block-crcs") {
      const run = archiveBlocks(event.object, event.crcs, volume, volume === facts.volumes[0], record.tapeBlockBytes);
      if (run === undefined) return;
      read.set(run.first, run.crcs);
      book.addBlocks(run);
    } else if (event.type === "held") listed.set(Number(event.cookie), littleEndian(event.data));
    else if (event.type === "retried") meter.retries += BigInt(event.count);
  });
  if (done?.result === "cancelled") return { state: "cancelled" };
  const blocks = differences(read, listed, record.tapeBlockBytes);
  const miscompares = [...book.miscompares, ...blocks];
  const [first] = miscompares;
  if (first === undefined) return { state: "succeeded" };
  const message = `The tape differs from its manifest in ${book.differing + blocks.length} places; the first: ${first.member}: ${first.reason}`;
  return { state: "failed", miscompares, failure: { code: "VERIFY_DIFFERS", message } };
}

/** Blocks that were read with another checksum than the list on tape has. */
function differences(read: CrcTable, listed: CrcTable, blockBytes: number): Miscompare[] {
  const found: Miscompare[] = [];
  for (let block = 0; block < listed.count; block++) {
    if (read.at(block) === listed.at(block)) continue;
    found.push({
      member: "",
      streamOffset: BigInt(block) * BigInt(blockBytes),
      reason: `Tape block ${block} of the archive has another CRC32C than when it was written.`,
    });
  }
  return found;
}

function littleEndian(data: Uint8Array): Uint32Array {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Uint32Array.from({ length: data.length >> 2 }, (_, index) => view.getUint32(index * 4, true));
}
