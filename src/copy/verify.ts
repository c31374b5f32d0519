// A verification: reads an archive back and compares every member's digest with the manifest, and every tape
// block's with the list of block checksums.
import type { Admitted } from "../admitted.js";
import type { JobSpec } from "../job.js";
import { VerifyPlan } from "./archive/verify-plan.js";
import { archiveBlocks } from "./block-numbers.js";
import { CrcTable } from "./crc-table.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { manifestFacts } from "./manifest-facts.js";
import { type Miscompare, TapeSource } from "./tape-source.js";

const TAPE = 0;

export async function runVerify(_job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const source = new TapeSource(context, true);
  const { source: manifest, trailer } = await source.manifest();
  const facts = await manifestFacts(manifest);
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
  const done = await source.run(plan, facts.volumes, [], [], (event, volume) => {
    if (event.type === "digest") source.judge(plan.digests, event);
    else if (event.type === "block-crcs") {
      const run = archiveBlocks(event.object, event.crcs, volume, volume === facts.volumes[0], record.tapeBlockBytes);
      if (run !== undefined) read.set(run.first, run.crcs);
    } else if (event.type === "held") listed.set(Number(event.cookie), littleEndian(event.data));
    else if (event.type === "retried") meter.retries += BigInt(event.count);
  });
  if (done?.result === "cancelled") return { state: "cancelled" };
  const miscompares = [...source.miscompares, ...differences(read, listed, record.tapeBlockBytes)];
  const failure = {
    code: "VERIFY_DIFFERS",
    message: `The tape differs from its manifest in ${miscompares.length} places; the first: ${miscompares[0]?.member}: ${miscompares[0]?.reason}`,
  };
  return {
    state: miscompares.length === 0 ? "succeeded" : "failed",
    miscompares,
    ...(miscompares.length === 0 ? {} : { failure }),
  };
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
