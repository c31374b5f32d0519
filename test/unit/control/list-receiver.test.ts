import test from "ava";
import fc from "fast-check";
import { encode } from "../../../src/control/codec.js";
import { CHUNK_BYTES_MAX, decodeChunk, encodeChunk } from "../../../src/control/list-chunk.js";
import { type ListLimits, ListReceiver } from "../../../src/control/list-receiver.js";
import { ListTally } from "../../../src/control/list-tally.js";
import { MemoryChunkStore } from "../../../src/control/memory-chunk-store.js";
import type { ListChunk, ListHeader, ListMember } from "../../../src/list.js";
import { ManualClock } from "../../../src/sys/clock.js";

const VOLUME = { id: "v", generation: "g", sequence: 1n };

function member(name: string, extents: number, more: Partial<ListMember> = {}): ListMember {
  return { name, type: "file", size: 4096n, mode: 0o644, uid: 0, gid: 0, mtimeNs: 1n, extents, ...more };
}

/** Extents of 8 blocks each, whose file offsets rise by 4096 from `from`. */
function extents(count: number, from = 0n): ListChunk["extents"] {
  const index = Array.from({ length: count }, (_, i) => BigInt(i));
  return {
    fileOffset: new BigUint64Array(index.map((i) => from + i * 4096n)),
    lba: new BigUint64Array(index.map((i) => 1000n + 8n * i)),
    blocks: new Uint32Array(count).fill(8),
  };
}

/** Three chunks; the second member's extents begin in the second and end in the third. */
function sample(listId = "l1"): { header: ListHeader; chunks: Uint8Array[] } {
  return encoded(listId, [
    { index: 0, members: [member("a", 2), member("b", 5)], extents: extents(2) },
    { index: 1, members: [member("d", 0, { type: "directory" })], extents: extents(3) },
    { index: 2, members: [], extents: extents(2, 3n * 4096n) },
  ]);
}

function encoded(listId: string, list: readonly ListChunk[]): { header: ListHeader; chunks: Uint8Array[] } {
  const tally = new ListTally();
  const chunks = list.map((chunk) => tally.add(chunk));
  return { chunks, header: tally.header(listId, VOLUME, 512) };
}

interface Bench {
  readonly store: MemoryChunkStore;
  readonly clock: ManualClock;
  readonly lists: ListReceiver;
}

function bench(limits: Partial<ListLimits> = {}, store = new MemoryChunkStore()): Bench {
  const clock = new ManualClock();
  return { store, clock, lists: new ListReceiver({ store, clock, limits }) };
}

const at = (chunks: readonly Uint8Array[], index: number): Uint8Array => chunks[index] ?? new Uint8Array();

async function collect(lists: ListReceiver, listId: string): Promise<ListChunk[]> {
  const all: ListChunk[] = [];
  for await (const chunk of lists.readChunks(listId)) all.push(chunk);
  return all;
}

test("a list whose chunks come in any order is whole with the last of them, and reads back in order", async (t) => {
  const { lists } = bench();
  const { header, chunks } = sample();
  t.like(await lists.open(header, "disk0"), { state: "open", chunks: 3, stored: 0, missing: [[0, 2]] });
  t.like(await lists.chunk("l1", 2, at(chunks, 2)), { state: "open", stored: 1, missing: [[0, 1]] });
  t.like(await lists.chunk("l1", 0, at(chunks, 0)), { state: "open", stored: 2, missing: [[1, 1]] });
  t.throws(() => lists.whole("l1"), { code: "LIST_INCOMPLETE", message: /2 of 3/ });
  t.like(await lists.chunk("l1", 1, at(chunks, 1)), { state: "whole", stored: 3, missing: [] });
  t.deepEqual(lists.whole("l1"), { header, device: "disk0" });
  t.deepEqual(
    await collect(lists, "l1"),
    chunks.map((bytes, index) => decodeChunk(bytes, index)),
  );
});

test("all chunks at once", async (t) => {
  const { lists } = bench();
  const { header, chunks } = sample();
  const [opened, ...answers] = await Promise.all([
    lists.open(header, "d"),
    ...chunks.map((c, i) => lists.chunk("l1", i, c)),
  ]);
  t.is(opened?.state, "open");
  t.true(answers.some((answer) => answer.state === "whole"));
  t.is((await lists.status("l1")).state, "whole");
});

test("the same chunk again changes nothing, another with its index is refused", async (t) => {
  const { lists } = bench();
  const { header, chunks } = sample();
  await lists.open(header, "d");
  await lists.chunk("l1", 0, at(chunks, 0));
  t.like(await lists.chunk("l1", 0, at(chunks, 0)), { stored: 1 });
  await t.throwsAsync(lists.chunk("l1", 0, at(chunks, 1)), { code: "LIST_CHUNK_CONFLICT" });
  const both = await Promise.allSettled([lists.chunk("l1", 1, at(chunks, 1)), lists.chunk("l1", 1, at(chunks, 2))]);
  t.deepEqual(
    both.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
});

test("a chunk is not acknowledged before it is on stable storage", async (t) => {
  const gates: (() => void)[] = [];
  class SlowStore extends MemoryChunkStore {
    override async put(listId: string, index: number, bytes: Uint8Array): Promise<void> {
      await new Promise<void>((resolve) => gates.push(resolve));
      await super.put(listId, index, bytes);
    }
  }
  const { lists } = bench({}, new SlowStore());
  const { header, chunks } = sample();
  await lists.open(header, "d");
  let acknowledged = false;
  const put = lists.chunk("l1", 0, at(chunks, 0)).then(() => {
    acknowledged = true;
  });
  await new Promise(setImmediate);
  t.false(acknowledged);
  t.is(gates.length, 1);
  gates[0]?.();
  await put;
  t.true(acknowledged);
});

test("a store that fails to put leaves the chunk missing, and it can be sent again", async (t) => {
  class FailingStore extends MemoryChunkStore {
    fail = true;
    override async put(listId: string, index: number, bytes: Uint8Array): Promise<void> {
      if (this.fail) throw new Error("disk full");
      await super.put(listId, index, bytes);
    }
  }
  const store = new FailingStore();
  const { lists } = bench({ allBytes: 1000, listBytes: 1000 }, store);
  const { header, chunks } = sample();
  await lists.open(header, "d");
  for (let i = 0; i < 20; i++) await t.throwsAsync(lists.chunk("l1", 0, at(chunks, 0)), { message: "disk full" });
  store.fail = false;
  t.like(await lists.chunk("l1", 0, at(chunks, 0)), { stored: 1, missing: [[1, 2]] });
});

test("after a restart the state is what the store has: an incomplete list goes on, a whole one is whole", async (t) => {
  const { store, lists } = bench();
  const one = sample("l1");
  const two = sample("l2");
  await lists.open(one.header, "d");
  await lists.chunk("l1", 1, at(one.chunks, 1));
  await lists.open(two.header, "d");
  for (const [i, chunk] of two.chunks.entries()) await lists.chunk("l2", i, chunk);

  const again = bench({}, store).lists;
  t.deepEqual(await again.load(), []);
  t.like(await again.status("l1"), {
    state: "open",
    stored: 1,
    missing: [
      [0, 0],
      [2, 2],
    ],
  });
  t.deepEqual(again.whole("l2"), { header: two.header, device: "d" });
  t.like(await again.open(one.header, "d"), { stored: 1 });
  await again.chunk("l1", 0, at(one.chunks, 0));
  t.is((await again.chunk("l1", 2, at(one.chunks, 2))).state, "whole");
});

test("a list whose last chunk was stored but not checked before a crash is checked when somebody asks", async (t) => {
  const { store, lists } = bench();
  const { header, chunks } = sample();
  await lists.open(header, "d");
  for (const [i, chunk] of chunks.entries()) await store.put("l1", i, chunk);
  const again = bench({}, store).lists;
  await again.load();
  t.throws(() => again.whole("l1"), { code: "LIST_INCOMPLETE" });
  t.is((await again.open(header, "d")).state, "whole");
});

test("a list that was whole but has lost a chunk is incomplete after a restart", async (t) => {
  class LossyStore extends MemoryChunkStore {
    override async chunks(listId: string): ReturnType<MemoryChunkStore["chunks"]> {
      return (await super.chunks(listId)).filter(({ index }) => index !== 1);
    }
  }
  const store = new LossyStore();
  const { lists } = bench({}, store);
  const { header, chunks } = sample();
  await lists.open(header, "d");
  for (const [i, chunk] of chunks.entries()) await lists.chunk("l1", i, chunk);
  t.is(lists.whole("l1").device, "d");
  const again = bench({}, store).lists;
  await again.load();
  t.throws(() => again.whole("l1"), { code: "LIST_INCOMPLETE" });
  t.is((await again.chunk("l1", 1, at(chunks, 1))).state, "whole");
});

test("chunks without a record, and records that cannot be read, are dropped when the state is rebuilt", async (t) => {
  const { store, lists } = bench();
  await store.put("orphan", 0, new Uint8Array([1]));
  await store.putMeta("strange", new Uint8Array([0xff]));
  t.deepEqual([...(await lists.load())].sort(), ["orphan", "strange"]);
  t.deepEqual(await store.lists(), []);
});

test("one bit that changed on the way: the digest is wrong, and the list is dropped", async (t) => {
  const { lists, store } = bench();
  const { header, chunks } = sample();
  const changed = encodeChunk({
    ...decodeChunk(at(chunks, 2), 2),
    extents: { ...extents(2, 3n * 4096n), lba: new BigUint64Array([1000n, 1009n]) },
  });
  await lists.open(header, "d");
  await lists.chunk("l1", 0, at(chunks, 0));
  await lists.chunk("l1", 1, at(chunks, 1));
  await t.throwsAsync(lists.chunk("l1", 2, changed), { code: "LIST_DIGEST_WRONG" });
  await t.throwsAsync(lists.status("l1"), { code: "LIST_UNKNOWN" });
  t.deepEqual(await store.lists(), []);
});

test("a chunk that the store gives back changed is found before the list is called whole", async (t) => {
  class RottenStore extends MemoryChunkStore {
    override async get(listId: string, index: number): Promise<Uint8Array | undefined> {
      const bytes = await super.get(listId, index);
      if (bytes !== undefined && index === 1) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      return bytes;
    }
  }
  const { lists } = bench({}, new RottenStore());
  const { header, chunks } = sample();
  await lists.open(header, "d");
  const sent = chunks.map((chunk, i) => lists.chunk("l1", i, chunk));
  t.true((await Promise.allSettled(sent)).some(({ status }) => status === "rejected"));
  t.throws(() => lists.whole("l1"));
});

const contradiction = test.macro({
  async exec(t, change: (header: ListHeader) => Partial<ListHeader>, why: RegExp) {
    const { lists } = bench();
    const { header, chunks } = sample();
    const wrong = { ...header, ...change(header) };
    await lists.open(wrong, "d");
    await lists.chunk("l1", 0, at(chunks, 0));
    await lists.chunk("l1", 1, at(chunks, 1));
    await t.throwsAsync(lists.chunk("l1", 2, at(chunks, 2)), { code: "LIST_INVALID", message: why });
  },
  title: (name) => `the header says otherwise: ${name}`,
});
test("members", contradiction, ({ members }) => ({ members: members + 1 }), /has 3 members, the header says 4/);
test("extents", contradiction, ({ extents }) => ({ extents: extents + 1n }), /has 7 extents, the header says 8/);
test("bytes", contradiction, ({ bytes }) => ({ bytes: bytes - 512n }), /have 28672 bytes, the header says 28160/);
test("block size", contradiction, () => ({ blockBytes: 4096 }), /does not rise/);

const wrongList = test.macro({
  async exec(t, chunks: readonly ListChunk[], why: RegExp) {
    const { lists } = bench();
    const { header, chunks: bytes } = encoded("l1", chunks);
    await lists.open(header, "d");
    const outcome = async (): Promise<void> => {
      for (const [i, chunk] of bytes.entries()) await lists.chunk("l1", i, chunk);
    };
    await t.throwsAsync(outcome, { code: "LIST_INVALID", message: why });
  },
  title: (name) => `a list that contradicts itself: ${name}`,
});
const chunk = (members: ListMember[], e: ListChunk["extents"], index = 0): ListChunk => ({
  index,
  members,
  extents: e,
});
test("extents of nobody", wrongList, [chunk([member("a", 1)], extents(2))], /belong to no member/);
test("extents that never come", wrongList, [chunk([member("a", 3)], extents(2))], /3 extents, 2 came/);
test(
  "extents before their member",
  wrongList,
  [chunk([], extents(1)), chunk([member("a", 1)], extents(0), 1)],
  /no member/,
);
test("an offset between blocks", wrongList, [chunk([member("a", 1)], extents(1, 100n))], /multiple of the block size/);
test(
  "extents that overlap in the file",
  wrongList,
  [chunk([member("a", 2)], { ...extents(2), fileOffset: new BigUint64Array([0n, 512n]) })],
  /does not rise/,
);
test(
  "offsets that fall across chunks",
  wrongList,
  [chunk([member("a", 3)], extents(2)), chunk([], extents(1, 512n), 1)],
  /chunk 1, extent 0.*does not rise/,
);
test(
  "blocks past the last LBA",
  wrongList,
  [chunk([member("a", 1)], { ...extents(1), lba: new BigUint64Array([2n ** 64n - 7n]) })],
  /past 2\^64/,
);
test("an extent past 2^63 bytes", wrongList, [chunk([member("a", 1)], extents(1, 2n ** 63n - 4096n))], /past 2\^63-1/);

test("offsets start again with the next member", async (t) => {
  const { lists } = bench();
  const { header, chunks } = encoded("l1", [
    {
      index: 0,
      members: [member("a", 1), member("b", 1)],
      extents: { ...extents(2), fileOffset: new BigUint64Array([8192n, 0n]) },
    },
  ]);
  await lists.open(header, "d");
  t.is((await lists.chunk("l1", 0, at(chunks, 0))).state, "whole");
});

const badChunk = test.macro({
  exec(t, change: Record<string, unknown>, why: RegExp) {
    const good = { members: [member("a", 1)], ...extents(1) };
    t.notThrows(() => decodeChunk(encode(good), 0));
    t.throws(() => decodeChunk(encode({ ...good, ...change }), 7), { code: "LIST_INVALID", message: why });
  },
  title: (name) => `not a chunk: ${name}`,
});
const badMember = (change: object): Record<string, unknown> => ({ members: [{ ...member("a", 1), ...change }] });
test("no members", badChunk, { members: undefined }, /Chunk 7.*`members` must be an array/);
test("numbers instead of a typed array", badChunk, { lba: [1, 2] }, /`lba` must be a typed array of uint64/);
test("uint32 for lba", badChunk, { lba: new Uint32Array(1) }, /`lba` must be a typed array of uint64/);
test("arrays of different length", badChunk, { blocks: new Uint32Array([1, 1]) }, /same length/);
test("no blocks", badChunk, { blocks: new Uint32Array([0]) }, /`blocks\[0\]` must be at least 1/);
test("a member that is no map", badChunk, { members: [3] }, /`members\[0\]` must be a map/);
test("an unknown type", badChunk, badMember({ type: "fifo" }), /`type`/);
test("an absolute name", badChunk, badMember({ name: "/etc/passwd" }), /`name`/);
test("a name that climbs", badChunk, badMember({ name: "a/../../b" }), /`name`/);
test("a name with NUL", badChunk, badMember({ name: "a\0b" }), /`name`/);
test("an empty name", badChunk, badMember({ name: "" }), /`name`/);
test("a name of 4097 bytes", badChunk, badMember({ name: `${"é".repeat(2048)}x` }), /`name`/);
test("mode with type bits", badChunk, badMember({ mode: 0o100644 }), /`mode`/);
test("a negative size", badChunk, badMember({ size: -1n }), /`size`/);
test("a size of 2^63", badChunk, badMember({ size: 2n ** 63n }), /`size`/);
test("an uid with a fraction", badChunk, badMember({ uid: 1.5 }), /`uid`/);
test("a directory with extents", badChunk, badMember({ type: "directory" }), /must have no extents/);
test("a symlink to nowhere", badChunk, badMember({ type: "symlink", extents: 0 }), /`linkName`/);
test("a file with a link name", badChunk, badMember({ linkName: "b" }), /`linkName`/);
test("a hard link that climbs", badChunk, badMember({ type: "hardlink", extents: 0, linkName: "../b" }), /`linkName`/);

test("a chunk over 512 KiB is neither encoded nor decoded", (t) => {
  const large = { index: 0, members: [], extents: extents(30_000) };
  t.throws(() => encodeChunk(large), { code: "MESSAGE_TOO_LARGE" });
  t.throws(() => decodeChunk(new Uint8Array(CHUNK_BYTES_MAX + 1), 0), { code: "MESSAGE_TOO_LARGE" });
});

test("a wrong chunk is refused and does not count as stored", async (t) => {
  const { lists } = bench();
  const { header } = sample();
  await lists.open(header, "d");
  await t.throwsAsync(lists.chunk("l1", 0, new Uint8Array([0xa0])), { code: "LIST_INVALID" });
  await t.throwsAsync(lists.chunk("l1", 0, new Uint8Array([0xff])), { code: "MESSAGE_MALFORMED" });
  await t.throwsAsync(lists.chunk("l1", 3, new Uint8Array([0xa0])), { code: "LIST_INVALID", message: /no chunk 3/ });
  t.like(await lists.status("l1"), { stored: 0 });
});

test("open again resumes with the same header and device, and is refused with others", async (t) => {
  const { lists } = bench();
  const { header } = sample();
  await lists.open(header, "d");
  t.like(await lists.open({ ...header }, "d"), { state: "open" });
  await t.throwsAsync(lists.open(header, "e"), { code: "LIST_EXISTS" });
  await t.throwsAsync(lists.open({ ...header, bytes: 0n }, "d"), { code: "LIST_EXISTS" });
});

test("limits: number of lists, bytes of one list, bytes of all", async (t) => {
  const { header, chunks } = sample();
  const few = bench({ lists: 1 }).lists;
  await few.open(header, "d");
  await t.throwsAsync(few.open({ ...header, listId: "l2" }, "d"), { code: "LIST_LIMIT" });
  await few.drop("l1");
  await t.notThrowsAsync(few.open({ ...header, listId: "l2" }, "d"));

  const size = at(chunks, 0).length;
  const small = bench({ listBytes: size }).lists;
  await small.open(header, "d");
  await small.chunk("l1", 0, at(chunks, 0));
  await t.throwsAsync(small.chunk("l1", 1, at(chunks, 1)), { code: "LIST_LIMIT" });

  const tight = bench({ allBytes: size + 1 }).lists;
  await tight.open(header, "d");
  await tight.open({ ...header, listId: "l2" }, "d");
  await tight.chunk("l1", 0, at(chunks, 0));
  await t.throwsAsync(tight.chunk("l2", 0, at(chunks, 0)), { code: "LIST_LIMIT" });
  await tight.drop("l1");
  await t.notThrowsAsync(tight.chunk("l2", 0, at(chunks, 0)));
});

test("incomplete lists are dropped after a time without chunks, whole ones when nobody used them", async (t) => {
  const { lists, clock } = bench({ incompleteMs: 1000, unusedMs: 5000 });
  const whole = sample("whole");
  const open = sample("open");
  await lists.open(whole.header, "d");
  for (const [i, bytes] of whole.chunks.entries()) await lists.chunk("whole", i, bytes);
  await lists.open(open.header, "d");
  clock.advance(999);
  await lists.chunk("open", 0, at(open.chunks, 0));
  clock.advance(999);
  t.deepEqual(await lists.expire(), []);
  clock.advance(1);
  t.deepEqual(await lists.expire(), ["open"]);
  const release = lists.hold("whole");
  clock.advance(10_000);
  t.deepEqual(await lists.expire(), []);
  release();
  t.deepEqual(await lists.expire(), []);
  clock.advance(5000);
  t.deepEqual(await lists.expire(), ["whole"]);
});

test("a held list is not dropped; released twice counts once", async (t) => {
  const { lists } = bench();
  const { header, chunks } = sample();
  await lists.open(header, "d");
  t.throws(() => lists.hold("l1"), { code: "LIST_INCOMPLETE" });
  for (const [i, bytes] of chunks.entries()) await lists.chunk("l1", i, bytes);
  const first = lists.hold("l1");
  const second = lists.hold("l1");
  first();
  first();
  await t.throwsAsync(lists.drop("l1"), { code: "LIST_IN_USE" });
  second();
  await lists.drop("l1");
  await t.throwsAsync(lists.drop("l1"), { code: "LIST_UNKNOWN" });
});

test("a drop while chunks are being stored leaves nothing behind, and the id can be used again", async (t) => {
  const gates: (() => void)[] = [];
  class SlowStore extends MemoryChunkStore {
    override async put(listId: string, index: number, bytes: Uint8Array): Promise<void> {
      await new Promise<void>((resolve) => gates.push(resolve));
      await super.put(listId, index, bytes);
    }
  }
  const store = new SlowStore();
  const { lists } = bench({}, store);
  const { header, chunks } = sample();
  await lists.open(header, "d");
  const put = lists.chunk("l1", 0, at(chunks, 0));
  while (gates.length === 0) await new Promise(setImmediate);
  const drop = lists.drop("l1");
  const reopened = lists.open(header, "d");
  await t.throwsAsync(lists.chunk("l1", 1, at(chunks, 1)), { code: "LIST_UNKNOWN" });
  gates[0]?.();
  await t.throwsAsync(put, { code: "LIST_UNKNOWN" });
  await drop;
  t.like(await reopened, { stored: 0, state: "open" });
  t.deepEqual(await store.chunks("l1"), []);
});

test("a drop while the list is being checked leaves nothing behind", async (t) => {
  class HookedStore extends MemoryChunkStore {
    onStep: (() => void) | undefined;
    override async get(listId: string, index: number): Promise<Uint8Array | undefined> {
      this.onStep?.();
      return super.get(listId, index);
    }
    override async putMeta(listId: string, meta: Uint8Array): Promise<void> {
      this.onStep?.();
      await new Promise(setImmediate);
      await super.putMeta(listId, meta);
    }
  }
  // Three chunks are read, then the record is written.
  for (const step of [1, 2, 3, 4]) {
    const store = new HookedStore();
    const { lists } = bench({}, store);
    const { header, chunks } = sample();
    await lists.open(header, "d");
    let dropped: Promise<void> | undefined;
    let steps = 0;
    store.onStep = () => {
      steps += 1;
      if (steps === step) queueMicrotask(() => (dropped = lists.drop("l1")));
    };
    const sent = await Promise.allSettled(chunks.map((bytes, i) => lists.chunk("l1", i, bytes)));
    t.true(
      sent.every((one) => one.status === "rejected"),
      `in step ${step}`,
    );
    await dropped;
    t.deepEqual(await store.lists(), [], `in step ${step}`);
    store.onStep = undefined;
    await lists.open(header, "d");
    for (const [i, bytes] of chunks.entries()) await lists.chunk("l1", i, bytes);
    t.is(lists.whole("l1").device, "d");
  }
});

test("random chunks come back as they were encoded", (t) => {
  const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const row = fc.tuple(uint64, uint64, fc.integer({ min: 1, max: 0xffffffff }));
  const part = fc
    .string({ unit: "binary", minLength: 1, maxLength: 40 })
    .filter((s) => !/[\0/]/.test(s) && s !== "." && s !== "..");
  const file = fc.record({
    name: fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
    type: fc.constant("file" as const),
    size: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    mode: fc.nat(0o7777),
    uid: fc.maxSafeNat(),
    gid: fc.nat(),
    mtimeNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    extents: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(row), fc.array(file), (rows, members) => {
      const e = {
        fileOffset: new BigUint64Array(rows.map(([a]) => a)),
        lba: new BigUint64Array(rows.map(([, b]) => b)),
        blocks: new Uint32Array(rows.map(([, , c]) => c)),
      };
      t.deepEqual(decodeChunk(encodeChunk({ index: 5, members, extents: e }), 5), { index: 5, members, extents: e });
    }),
  );
});
