// Extents, chunks and the `.glist` file: the pure parts of making a list.
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { encodeChunk } from "../../../src/control/list-chunk.js";
import type { ListChunk } from "../../../src/list.js";
import { BlockExtents, EXTENT_BLOCKS_MAX } from "../../../tools/agent/block-extents.js";
import { CHUNK_BYTES, CHUNK_EXTENTS, chunked } from "../../../tools/agent/chunker.js";
import { Glist, writeGlist } from "../../../tools/agent/glist.js";
import { emptyTotals, type ListEntry, type ListSource } from "../../../tools/agent/list-source.js";
import { listedMembers } from "../../../tools/agent/restore-map.js";

const BIG = 1n << 60n;

function shown(extents: BlockExtents): (readonly [bigint, bigint, number])[] {
  const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
  return Array.from(fileOffset, (offset, i) => [offset, lba[i] ?? -1n, blocks[i] ?? -1] as const);
}

test("runs that go on in the file and on the device become one extent", (t) => {
  const extents = new BlockExtents(512);
  extents.add({ logical: 0n, physical: 4096n, length: 1024n }, BIG, 0n);
  extents.add({ logical: 1024n, physical: 5120n, length: 512n }, BIG, 0n);
  extents.add({ logical: 2048n, physical: 5632n, length: 512n }, BIG, 0n); // a hole before it
  extents.add({ logical: 2560n, physical: 8192n, length: 512n }, BIG, 0n); // elsewhere on the device
  t.deepEqual(shown(extents), [
    [0n, 8n, 3],
    [2048n, 11n, 1],
    [2560n, 16n, 1],
  ]);
  t.is(extents.totalBlocks, 5n);
});

test("runs are cut at the end of the file, rounded up to a block", (t) => {
  const extents = new BlockExtents(512);
  extents.add({ logical: 0n, physical: 0n, length: 4096n }, 513n, 0n);
  extents.add({ logical: 4096n, physical: 36_864n, length: 4096n }, 513n, 0n);
  t.deepEqual(shown(extents), [[0n, 0n, 2]]);
});

test("extents longer than a uint32 of blocks are split", (t) => {
  const extents = new BlockExtents(512);
  extents.add({ logical: 0n, physical: 512n, length: (EXTENT_BLOCKS_MAX + 5n) * 512n }, BIG, 0n);
  t.deepEqual(shown(extents), [
    [0n, 1n, Number(EXTENT_BLOCKS_MAX)],
    [EXTENT_BLOCKS_MAX * 512n, 1n + EXTENT_BLOCKS_MAX, 5],
  ]);
});

test("a device offset counts, and an edge inside a block is refused", (t) => {
  const extents = new BlockExtents(4096);
  extents.add({ logical: 0n, physical: 1024n, length: 4096n }, BIG, 3072n);
  t.deepEqual(shown(extents), [[0n, 1n, 1]]);
  for (const run of [
    { logical: 4096n, physical: 1024n, length: 4096n },
    { logical: 5120n, physical: 4096n, length: 4096n },
    { logical: 4096n, physical: 4096n, length: 1024n },
  ]) {
    t.throws(() => extents.add(run, BIG, 0n), { code: "AGENT_ALIGNMENT" });
  }
  t.throws(() => extents.add({ logical: 4096n, physical: 0n, length: 4096n }, BIG, -4096n), {
    code: "AGENT_ALIGNMENT",
  });
});

test("extents that overlap in the file are refused", (t) => {
  const extents = new BlockExtents(512);
  extents.add({ logical: 0n, physical: 0n, length: 1024n }, BIG, 0n);
  t.throws(() => extents.add({ logical: 512n, physical: 8192n, length: 512n }, BIG, 0n), { code: "AGENT_EXTENT" });
});

const facts = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n };

/** A file of n extents that do not touch each other. */
function file(name: string, n: number): ListEntry {
  const extents = new BlockExtents(512);
  for (let i = 0n; i < n; i++) extents.add({ logical: i * 1024n, physical: i * 2048n, length: 512n }, BIG, 0n);
  return { member: { ...facts, name, type: "file", size: BigInt(n) * 1024n }, extents };
}

async function chunksOf(entries: Iterable<ListEntry>): Promise<{ chunks: ListChunk[]; totals: ListSource["totals"] }> {
  const totals = emptyTotals();
  const chunks: ListChunk[] = [];
  for await (const chunk of chunked(entries, totals)) chunks.push(chunk);
  return { chunks, totals };
}

test("an empty list has one empty chunk", async (t) => {
  const { chunks, totals } = await chunksOf([]);
  t.is(chunks.length, 1);
  t.like(totals, { members: 0, extents: 0n, bytes: 0n, chunks: 1 });
});

test("extents of one file go on in later chunks, none of which is too large", async (t) => {
  const { chunks, totals } = await chunksOf([file("a", 3), file("b", 100_000), file("c", 2)]);
  t.true(chunks.length > 4);
  for (const chunk of chunks) {
    t.true(encodeChunk(chunk).length <= CHUNK_BYTES);
    t.true(chunk.extents.blocks.length <= CHUNK_EXTENTS);
  }
  t.like(totals, { members: 3, extents: 100_005n, bytes: 100_005n * 512n, chunks: chunks.length });
  t.deepEqual(
    chunks.map(({ index }) => index),
    [...chunks.keys()],
  );
  const counts: [string, number][] = [];
  for await (const { member, extents } of listedMembers(chunks, 512)) counts.push([member.name, extents.count]);
  t.deepEqual(counts, [
    ["a", 3],
    ["b", 100_000],
    ["c", 2],
  ]);
});

test("members with long names fill chunks up to their size, and none more", async (t) => {
  const entries = Array.from({ length: 500 }, (_, i) => file(`${"é/".repeat(1300)}${i}`, 1));
  const { chunks } = await chunksOf(entries);
  t.true(chunks.length >= 5);
  for (const chunk of chunks) t.true(encodeChunk(chunk).length <= CHUNK_BYTES);
});

async function temporary(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-agent-unit-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

function source(entries: Iterable<ListEntry>): ListSource {
  const totals = emptyTotals();
  const volume = { id: "volume", generation: "volume:1", sequence: (1n << 63n) + 1n };
  return { volume, blockBytes: 512, chunks: chunked(entries, totals), totals };
}

test("a .glist file gives back the header and the chunks", async (t) => {
  const path = join(await temporary(t), "a.glist");
  const header = await writeGlist(path, "list-1", source([file("a", 3), file("b", 50_000)]));
  const list = await Glist.open(path);
  t.teardown(() => list.close());
  t.deepEqual(list.header, header);
  t.is(header.volume.sequence, (1n << 63n) + 1n);
  for (let round = 0; round < 2; round++) {
    const { chunks } = await chunksOf([file("a", 3), file("b", 50_000)]);
    const read: ListChunk[] = [];
    for await (const chunk of list.chunks()) read.push(chunk);
    t.is(read.length, header.chunks);
    t.deepEqual(read.map(encodeChunk), chunks.map(encodeChunk));
  }
});

test("a list whose making fails leaves no file behind", async (t) => {
  const path = join(await temporary(t), "a.glist");
  function* failing(): Generator<ListEntry> {
    yield file("a", 1);
    throw new Error("no more");
  }
  await t.throwsAsync(writeGlist(path, "list-1", source(failing())), { code: "AGENT_LIST_FILE" });
  await t.throwsAsync(stat(path), { code: "ENOENT" });
  await t.throwsAsync(stat(`${path}.part`), { code: "ENOENT" });
});

test("a .glist file that is cut off, changed or something else is refused", async (t) => {
  const folder = await temporary(t);
  const path = join(folder, "a.glist");
  await writeGlist(path, "list-1", source([file("a", 3)]));
  const { size } = await stat(path);
  const all = async (): Promise<void> => {
    const list = await Glist.open(path);
    try {
      for await (const _ of list.chunks());
    } finally {
      await list.close();
    }
  };
  await t.notThrowsAsync(all());
  const whole = await readFile(path);
  for (const at of [3, 20, 4097, size - 3]) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 0x41;
    await writeFile(path, changed);
    await t.throwsAsync(all(), { name: "GantryError" }, `byte ${at}`);
  }
  for (const length of [0, 100, 4096, size - 1]) {
    await writeFile(path, whole);
    await truncate(path, length);
    await t.throwsAsync(all(), { code: "AGENT_LIST_FILE" }, `length ${length}`);
  }
  await t.throwsAsync(Glist.open(join(folder, "none")), { code: "AGENT_LIST_FILE" });
});
