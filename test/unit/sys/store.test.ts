import test from "ava";
import { openStore } from "../../../src/sys/store.js";
import { tmpDir } from "../../lib/tmp.js";

const value = (number: number): Uint8Array => Buffer.from([number]);

test("writes are done in the order in which they were asked for, however many are committed together", async (t) => {
  const store = openStore(await tmpDir(t));
  const resolved: number[] = [];
  const write = async (number: number): Promise<void> => {
    await store.put(["key"], value(number));
    resolved.push(number);
    t.true((store.get(["key"])?.[0] ?? 0) >= number, "a resolved write is seen");
  };
  const writes: Promise<void>[] = [];
  for (let number = 1; number <= 60; number++) {
    writes.push(write(number));
    // Some of them while others are being committed.
    if (number % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(writes);
  t.deepEqual(
    resolved,
    [...resolved].sort((a, b) => a - b),
  );
  t.deepEqual(store.get(["key"]), Buffer.from([60]));
  await store.close();
});

test("a batch deletes what an earlier one of the same commit wrote, and keeps what it puts after it", async (t) => {
  const store = openStore(await tmpDir(t));
  await Promise.all([
    store.put(["list", 1], value(1)),
    store.put(["list", 2], value(2)),
    store.batch([{ deleteUnder: ["list"] }, { put: ["list", 3], value: value(3) }]),
    store.put(["lists", 1], value(4)),
  ]);
  t.deepEqual(
    [...store.under(["list"])].map(({ key }) => key),
    [["list", 3]],
  );
  await store.close();
});

test("a key that LMDB does not take refuses its own write, not those that are committed with it", async (t) => {
  const store = openStore(await tmpDir(t));
  const [before, bad, after] = await Promise.allSettled([
    store.put(["a"], value(1)),
    store.put(["x".repeat(5000)], value(2)),
    store.put(["b"], value(3)),
  ]);
  t.is(before.status, "fulfilled");
  t.like(bad, { status: "rejected", reason: { code: "STORE_UNUSABLE" } });
  t.is(after.status, "fulfilled");
  t.deepEqual([store.get(["a"]), store.get(["b"])], [Buffer.from([1]), Buffer.from([3])]);
  await store.close();
});

test("close waits for what was asked for before it", async (t) => {
  const directory = await tmpDir(t);
  const store = openStore(directory);
  const written = store.put(["a"], value(1));
  await store.close();
  await written;
  const again = openStore(directory);
  t.deepEqual(again.get(["a"]), Buffer.from([1]));
  await again.close();
});
