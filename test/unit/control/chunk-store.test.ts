// What ChunkStore promises, asked of the daemon's store and of its twin for tests.
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import test, { type ExecutionContext } from "ava";
import type { ChunkStore } from "../../../src/control/chunk-store.js";
import { DurableChunkStore } from "../../../src/control/durable-chunk-store.js";
import { ListReceiver } from "../../../src/control/list-receiver.js";
import { ListTally } from "../../../src/control/list-tally.js";
import { MemoryChunkStore } from "../../../src/control/memory-chunk-store.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { openStore } from "../../../src/sys/store.js";

interface Bench {
  readonly store: ChunkStore;
  /** The same contents after a restart. */
  reopen(): Promise<ChunkStore>;
}

const KINDS: Record<string, (t: ExecutionContext) => Bench> = {
  "in memory": () => {
    const store = new MemoryChunkStore();
    return { store, reopen: async () => store };
  },
  "in LMDB": (t) => {
    const dir = mkdtempSync(path.join(os.tmpdir(), "gantry-chunks-"));
    let db = openStore(dir);
    t.teardown(async () => {
      await db.close();
      rmSync(dir, { recursive: true });
    });
    return {
      store: new DurableChunkStore(db),
      reopen: async () => {
        await db.close();
        db = openStore(dir);
        return new DurableChunkStore(db);
      },
    };
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  test(`${kind}: chunks and records are found again, by their list only, and are gone after a drop`, async (t) => {
    const { store, reopen } = make(t);
    const bytes = new Uint8Array([1, 2, 3]);
    await store.put("a", 0, bytes);
    await store.put("a", 65535, new Uint8Array([4]));
    await store.put("ab", 1, new Uint8Array([5]));
    await store.putMeta("a", new Uint8Array([6]));
    await store.putMeta("a", new Uint8Array([7]));
    bytes.fill(0);
    const again = await reopen();
    const got = await again.get("a", 0);
    t.deepEqual(got && new Uint8Array(got), new Uint8Array([1, 2, 3]));
    t.is(await again.get("a", 1), undefined);
    t.is(await again.get("b", 0), undefined);
    const sizes = [...(await again.chunks("a"))].sort((x, y) => x.index - y.index);
    t.deepEqual(sizes, [
      { index: 0, bytes: 3 },
      { index: 65535, bytes: 1 },
    ]);
    t.deepEqual(new Uint8Array((await again.getMeta("a")) ?? []), new Uint8Array([7]));
    t.is(await again.getMeta("ab"), undefined);
    t.deepEqual([...(await again.lists())].sort(), ["a", "ab"]);
    await again.drop("a");
    t.deepEqual(await again.lists(), ["ab"]);
    t.is(await again.get("a", 0), undefined);
    t.deepEqual(await again.chunks("a"), []);
  });

  test(`${kind}: a list is received over a restart`, async (t) => {
    const { store, reopen } = make(t);
    const tally = new ListTally();
    const one = { fileOffset: new BigUint64Array(1), lba: new BigUint64Array(1), blocks: new Uint32Array([1]) };
    const file = { type: "file" as const, size: 1n, mode: 0, uid: 0, gid: 0, mtimeNs: 0n, extents: 1 };
    const chunks = [0, 1, 2].map((index) =>
      tally.add({ index, members: [{ ...file, name: `f${index}` }], extents: one }),
    );
    const header = tally.header("l", { id: "v", generation: "g", sequence: 2n ** 64n - 1n }, 4096);
    const before = new ListReceiver({ store, clock: new ManualClock() });
    await before.load();
    await before.open(header, "d");
    await before.chunk("l", 1, chunks[1] ?? new Uint8Array());
    const after = new ListReceiver({ store: await reopen(), clock: new ManualClock() });
    await after.load();
    t.deepEqual((await after.open(header, "d")).missing, [
      [0, 0],
      [2, 2],
    ]);
    for (const [i, chunk] of chunks.entries()) await after.chunk("l", i, chunk);
    const last = new ListReceiver({ store: await reopen(), clock: new ManualClock() });
    await last.load();
    t.deepEqual(last.whole("l"), { header, device: "d" });
  });
}
