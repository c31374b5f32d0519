// What a copy job writes on a disk, for servers that read it: told when a run of the job ends, however it ends, and before
// its disk is given back. It is what the job's list names: more than was written when the job did not get that far.
import type { RunJob } from "../copy/job-attempts.js";
import type { ListSource } from "../copy/job-context.js";
import type { JobSpec } from "../job.js";
import type { Extents } from "../list.js";
import type { WrittenExtent } from "../plane.js";
import { EXTENTS_MAX } from "./volume.js";
import { mergeExtents } from "./volume-extents.js";

/** Of a disk whose list cannot be read any more everything may have changed. */
const ALL: readonly WrittenExtent[] = [{ lba: 0n, blocks: (1n << 64n) - 1n }];
/** Kept while chunks are read; coarser only when there are more. */
const KEPT_MAX = 16 * EXTENTS_MAX;

export function tellingWrites(run: RunJob, wrote: (device: string, extents: readonly WrittenExtent[]) => void): RunJob {
  return async (job, context) => {
    const target = targetOf(job.subject);
    if (target === undefined) return run(job, context);
    try {
      return await run(job, context);
    } finally {
      const extents = await listed(context.lists, target.listId).catch((error: unknown) => {
        context.log.warn(
          { jobId: job.subject.jobId, error },
          "what a job wrote is not known, so all of its disk is told",
        );
        return ALL;
      });
      wrote(target.device, extents);
    }
  };
}

function targetOf({ type, disk, toDisk, listId, toListId }: JobSpec) {
  const target = type === "clone" ? toDisk : type === "restore" ? disk : undefined;
  const list = type === "clone" ? (toListId ?? listId) : listId;
  return target === undefined || list === undefined ? undefined : { device: target.device, listId: list };
}

async function listed(lists: ListSource, listId: string): Promise<readonly WrittenExtent[]> {
  const header = lists.header(listId);
  if (header === undefined) throw new Error(`there is no list ${listId}`);
  let all: readonly WrittenExtent[] = [];
  for (let index = 0; index < header.chunks; index++) {
    const { extents } = await lists.read(listId, index);
    all = mergeExtents([...all, ...joined(extents)], KEPT_MAX);
  }
  return mergeExtents(all, EXTENTS_MAX);
}

/** Neighbours in the list, which most are, become one before anything is sorted. */
function joined({ lba, blocks }: Extents): readonly WrittenExtent[] {
  const found: { lba: bigint; blocks: bigint }[] = [];
  lba.forEach((first, index) => {
    const last = found.at(-1);
    const count = BigInt(blocks[index] ?? 0);
    if (last !== undefined && last.lba + last.blocks === first) last.blocks += count;
    else found.push({ lba: first, blocks: count });
  });
  return found;
}
