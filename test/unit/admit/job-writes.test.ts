// What a job writes is told from its list, however the job ends; nothing is told of jobs that write on no disk.
import test from "ava";
import { tellingWrites } from "../../../src/admit/job-writes.js";
import type { Admitted } from "../../../src/admitted.js";
import type { JobContext, JobOutcome } from "../../../src/copy/job-context.js";
import type { JobSpec } from "../../../src/job.js";
import type { ListChunk, ListHeader } from "../../../src/list.js";
import type { WrittenExtent } from "../../../src/plane.js";
import { silentLogger } from "../../../src/sys/log.js";

type Pair = readonly [lba: number, blocks: number];

const chunk = (index: number, pairs: readonly Pair[]): ListChunk => ({
  index,
  members: [],
  extents: {
    fileOffset: BigUint64Array.from(pairs.map(() => 0n)),
    lba: BigUint64Array.from(pairs.map(([lba]) => BigInt(lba))),
    blocks: Uint32Array.from(pairs.map(([, blocks]) => blocks)),
  },
});

async function told(spec: Partial<JobSpec>, chunks: readonly (readonly Pair[])[], end: () => JobOutcome) {
  const seen: { device: string; extents: readonly WrittenExtent[] }[] = [];
  const asked = new Set<string>();
  const lists = {
    header: (listId: string) => {
      asked.add(listId);
      return chunks.length === 0 ? undefined : ({ listId, chunks: chunks.length } as ListHeader);
    },
    read: async (_listId: string, index: number) => chunk(index, chunks[index] ?? []),
  };
  const context = { lists, log: silentLogger() } as unknown as JobContext;
  const run = tellingWrites(
    async () => end(),
    (device, extents) => seen.push({ device, extents }),
  );
  const job = { subject: { jobId: "j", ...spec } } as unknown as Admitted<JobSpec>;
  const outcome = await run(job, context).catch((error: Error) => error.message);
  return { seen, outcome, asked: [...asked] };
}

const DONE = (): JobOutcome => ({ state: "succeeded" });
const CLONE = { type: "clone", disk: { device: "a" }, toDisk: { device: "b" }, listId: "l" } as const;

test("a clone is told of by its second list where it has one, joined over chunks; a restore by its list", async (t) => {
  const chunks = [
    [[8, 8] as const, [16, 4] as const],
    [[0, 8] as const, [100, 1] as const],
  ];
  const extents = [
    { lba: 0n, blocks: 20n },
    { lba: 100n, blocks: 1n },
  ];
  const clone = await told({ ...CLONE, toListId: "l2" }, chunks, DONE);
  t.deepEqual(clone.seen, [{ device: "b", extents }]);
  t.deepEqual(clone.asked, ["l2"]);
  t.deepEqual((await told(CLONE, chunks, DONE)).asked, ["l"]);
  const restore = await told({ type: "restore", disk: { device: "a" }, listId: "l" }, chunks, DONE);
  t.deepEqual(restore.seen, [{ device: "a", extents }]);
});

test("a job that fails is told of, and fails as it did; without its list all of the disk is told", async (t) => {
  const failed = await told(CLONE, [[[1, 1]]], () => {
    throw new Error("broken");
  });
  t.is(failed.outcome, "broken");
  t.deepEqual(failed.seen, [{ device: "b", extents: [{ lba: 1n, blocks: 1n }] }]);
  const all = await told(CLONE, [], DONE);
  t.like(all.outcome, { state: "succeeded" });
  t.deepEqual(all.seen, [{ device: "b", extents: [{ lba: 0n, blocks: (1n << 64n) - 1n }] }]);
});

test("thousands of pieces become at most 256, and none is left out", async (t) => {
  const pairs = Array.from({ length: 9000 }, (_, index): Pair => [index * 10, 1]);
  const { seen } = await told(CLONE, [pairs.slice(0, 5000), pairs.slice(5000)], DONE);
  const extents = seen[0]?.extents ?? [];
  t.is(extents.length, 256);
  const holds = ([lba]: Pair): boolean =>
    extents.some((one) => one.lba <= BigInt(lba) && BigInt(lba) < one.lba + one.blocks);
  t.true(pairs.every(holds));
});

test("who writes on no disk is not told of", async (t) => {
  for (const type of ["backup", "verify", "scrub"] as const)
    t.deepEqual((await told({ type, disk: { device: "a" }, listId: "l" }, [[[1, 1]]], DONE)).seen, []);
});
