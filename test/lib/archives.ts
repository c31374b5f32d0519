// Archives for tests: lists over a disk in memory, and backups of them executed onto tapes in memory.
import { createHash } from "node:crypto";
import type { BackupOptions } from "../../src/copy/archive/backup-options.js";
import { BackupPlan } from "../../src/copy/archive/backup-plan.js";
import { crc32c } from "../../src/copy/archive/crc32c.js";
import { chunkSource } from "../../src/copy/archive/list-cursor.js";
import type { Batch } from "../../src/copy/archive/segments.js";
import { type ArchiveVolume, leadBytes } from "../../src/copy/archive/volumes.js";
import type { ListChunk, ListMember } from "../../src/list.js";
import { Executor, type MemoryDisk, type MemoryTape, tapeBytes } from "./execute-program.js";

/** [file offset in blocks, first LBA, blocks] */
export type TestExtent = readonly [number, number, number];

export type TestMember = Partial<Omit<ListMember, "extents">> & {
  readonly name: string;
  readonly at?: readonly TestExtent[];
};

export const MTIME_NS = 1_700_000_000_000_000_000n;

/** A list in chunks of `membersPerChunk`; extents lie in the chunk of their member, or `extentLag` chunks later. */
export function makeList(
  members: readonly TestMember[],
  blockBytes: number,
  membersPerChunk = 3,
  lag = 0,
): ListChunk[] {
  const chunks: { members: ListMember[]; at: TestExtent[] }[] = [];
  const chunk = (index: number) => {
    while (chunks.length <= index) chunks.push({ members: [], at: [] });
    return chunks[index] as { members: ListMember[]; at: TestExtent[] };
  };
  members.forEach((member, index) => {
    const { at = [], ...rest } = member;
    const blocks = at.reduce((most, [start, , count]) => Math.max(most, start + count), 0);
    const defaults = { type: "file", size: BigInt(blocks * blockBytes), mode: 0o644, uid: 1000, gid: 1000 } as const;
    const home = Math.floor(index / membersPerChunk);
    chunk(home).members.push({ ...defaults, mtimeNs: MTIME_NS, ...rest, extents: at.length });
    chunk(home + lag).at.push(...at);
  });
  return chunks.map(({ members: list, at }, index) => ({
    index,
    members: list,
    extents: {
      fileOffset: BigUint64Array.from(at, ([start]) => BigInt(start * blockBytes)),
      lba: BigUint64Array.from(at, ([, lba]) => BigInt(lba)),
      blocks: Uint32Array.from(at, ([, , count]) => count),
    },
  }));
}

/** A disk whose every byte tells where it is. */
export function makeDisk(blocks: number, blockBytes: number): MemoryDisk {
  const data = Buffer.alloc(blocks * blockBytes);
  for (let at = 0; at < data.length; at += 32) createHash("sha256").update(`byte ${at}`).digest().copy(data, at);
  return { blockBytes, data };
}

/** What a member must contain when it is restored. */
export function contentOf(member: TestMember, disk: MemoryDisk): Buffer {
  const { at = [], size } = member;
  const blocks = at.reduce((most, [start, , count]) => Math.max(most, start + count), 0);
  const content = Buffer.alloc(Math.max(Number(size ?? 0n), blocks * disk.blockBytes));
  for (const [start, lba, count] of at) {
    disk.data.copy(content, start * disk.blockBytes, lba * disk.blockBytes, (lba + count) * disk.blockBytes);
  }
  return content.subarray(0, size === undefined ? content.length : Number(size));
}

export interface TestBackup {
  readonly members: readonly TestMember[];
  readonly disk: MemoryDisk;
  readonly tapeBlockBytes: number;
  /** Tape blocks that each cartridge but the last takes. */
  readonly cut?: readonly number[];
  readonly maxSegments?: number;
  readonly options?: Partial<BackupOptions>;
  readonly chunks?: ListChunk[];
}

export interface TestArchive {
  readonly tapes: MemoryTape[];
  readonly volumes: ArchiveVolume[];
  /** The archive itself, without continuation leads. */
  readonly stream: Buffer;
  readonly plan: BackupPlan;
  readonly chunks: ListChunk[];
  readonly digests: ReadonlyMap<number, { bytes: bigint; crc32c: number }>;
  /** Members in the order in which they were found to be complete. */
  readonly reported: number[];
}

export function backupOptions(
  backup: TestBackup,
  chunks: readonly ListChunk[],
): Omit<BackupOptions, "digests" | "volumes"> {
  return {
    archiveId: "a-1",
    jobId: "job-1",
    bridgeId: "bridge-1",
    createdMs: 1_700_000_000_000,
    tapeBlockBytes: backup.tapeBlockBytes,
    comment: "test",
    list: {
      listId: "list-1",
      volume: { id: "vol", generation: "gen", sequence: 7n },
      blockBytes: backup.disk.blockBytes,
      members: chunks.reduce((sum, chunk) => sum + chunk.members.length, 0),
      extents: chunks.reduce((sum, chunk) => sum + BigInt(chunk.extents.lba.length), 0n),
      bytes: 0n,
    },
    diskLu: 0,
    tapeLu: 1,
    ...backup.options,
  };
}

/** Makes a plan whose digests come from what executors have written so far. */
export function planOver(
  backup: TestBackup,
  chunks: readonly ListChunk[],
  volumes: readonly ArchiveVolume[],
  written: () => { stream: Buffer; digests: ReadonlyMap<number, { crc32c: number }> },
): BackupPlan {
  const block = backup.tapeBlockBytes;
  return new BackupPlan(chunkSource(chunks), {
    ...backupOptions(backup, chunks),
    volumes: () => volumes,
    digests: {
      member: (tag) => ({ crc32c: written().digests.get(tag)?.crc32c ?? fail(`no digest of member ${tag}`) }),
      blocks: async (first, count) => {
        const { stream } = written();
        if (stream.length < (first + count) * block) fail("block checksums were asked for too early");
        const at = (i: number) => (first + i) * block;
        return Uint32Array.from({ length: count }, (_, i) => crc32c(stream.subarray(at(i), at(i) + block)));
      },
    },
  });
}

/** Executes a whole backup, cartridge after cartridge. */
export async function makeArchive(backup: TestBackup): Promise<TestArchive> {
  const chunks = backup.chunks ?? makeList(backup.members, backup.disk.blockBytes);
  const [tapes, volumes, digests]: [MemoryTape[], ArchiveVolume[], Map<number, { bytes: bigint; crc32c: number }>] = [
    [],
    [],
    new Map(),
  ];
  const lead = leadBytes(backup.tapeBlockBytes);
  const reported: number[] = [];
  let open = 0;
  const stream = () => Buffer.concat(tapes.map((tape, i) => tapeBytes(tape).subarray(i === 0 ? 0 : lead)));
  for (;;) {
    const from = BigInt(stream().length);
    const index = tapes.length;
    volumes.push({ cartridge: `T${index + 1}`, firstObject: 0n, from });
    const plan = planOver(backup, chunks, volumes, () => ({
      stream: stream(),
      digests: new Map([...digests, ...executor.digests]),
    }));
    if (index > 0) plan.startVolume(from);
    const tape: MemoryTape = [];
    tapes.push(tape);
    const tapeBlocks = backup.cut?.[index];
    const limit =
      tapeBlocks === undefined ? {} : { tapeBlocks: tapeBlocks + (index === 0 ? 0 : lead / backup.tapeBlockBytes) };
    const executor = new Executor({ disks: { 0: backup.disk }, tape, tapeBlockBytes: backup.tapeBlockBytes, ...limit });
    for (const [tag, digest] of digests) executor.digests.set(tag, digest);
    executor.open = open;
    const full = await runPlan(plan, executor, backup.maxSegments ?? 64);
    for (const [tag, digest] of executor.digests) digests.set(tag, digest);
    reported.push(...executor.reported);
    open = executor.open;
    if (!full) return { tapes, volumes, stream: stream(), plan, chunks, digests, reported };
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function runPlan(
  plan: { next(max: number): Promise<Batch | null> },
  executor: Executor,
  max: number,
): Promise<boolean> {
  for (let piece = await plan.next(max); piece !== null; piece = await plan.next(max)) {
    if (executor.run(piece) === "volume-full") return true;
  }
  return false;
}

function fail(message: string): never {
  throw new Error(message);
}
