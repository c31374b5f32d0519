// Runs of the real engine through the TypeScript face, on emulated devices.
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { type CopyEvent, errnoOf, ProgramBuilder, QUEUE_SEGMENTS, SEGMENT_BYTES } from "../../src/native/index.js";
import { isGantryError } from "../../src/sys/errors.js";
import {
  BLOCK,
  Cdb,
  native,
  openTestDisk,
  openTestTape,
  RING,
  run,
  scratch,
  TAPE_BLOCK,
  type TestDisk,
  type TestTape,
} from "./support.js";

const BLOCKS = 8192;
const NOTHING = new Uint8Array();
const place = scratch();
test.after.always(() => place.drop());
let made = 0;

/** A disk full of random bytes. */
async function filledDisk(): Promise<TestDisk & { readonly content: Buffer }> {
  const path = join(place.folder, `disk-${made++}`);
  const content = randomBytes(BLOCKS * BLOCK);
  writeFileSync(path, content);
  return { ...(await openTestDisk(native, path, BigInt(BLOCKS))), content };
}
const emptyDisk = () => openTestDisk(native, join(place.folder, `disk-${made++}`), BigInt(BLOCKS));
const tape = (): Promise<TestTape> => openTestTape(native, join(place.folder, `tape-${made++}.tap`));
const ofType = <T extends CopyEvent["type"]>(events: readonly CopyEvent[], type: T) =>
  events.filter((event): event is Extract<CopyEvent, { readonly type: T }> => event.type === type);

async function closeAll(...things: readonly (TestDisk | TestTape)[]): Promise<void> {
  await Promise.all(things.map((thing) => thing.lu.close()));
  for (const thing of things) thing.device.close();
}

test("blocks go from disk to tape and back to another disk, byte for byte", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, drive, target] = [await filledDisk(), await tape(), await emptyDisk()];
  const head = Buffer.from("a header of 512 bytes".padEnd(512, "."));
  // [first block, blocks] of the source, out of order, and their file offsets on the way back.
  const extents: readonly (readonly [number, number])[] = [
    [4000, 1500],
    [10, 1],
    [100, 900],
    [7000, 1192],
  ];
  const size = BigInt(extents.reduce((sum, [, blocks]) => sum + blocks * BLOCK, 0));
  const total = 512n + size + 1000n;

  const builder = new ProgramBuilder().inline(head);
  for (const [lba, blocks] of extents) builder.extent("gather", 0, BigInt(lba), BigInt(blocks * BLOCK), 1);
  const out = builder.zeros(1000n).tape("scatter", 1, total).filemark(1).take();
  const backup = run(native, arena, [source.unit, drive.unit], { sha256: true });
  t.true(backup.copy.append(out.gather, out.scatter, out.inline));
  backup.copy.finish();
  const done = await backup.done;
  t.is(done.result, "ok");
  t.is(done.streamOffset, total);
  t.is(done.failed, undefined);
  const stats = backup.copy.stats();
  t.is(stats.gather.bytes, size);
  t.true(stats.scatter.bytes >= total);
  t.true(stats.elapsedNs > 0n);
  await backup.copy.close();

  const expected = Buffer.concat(extents.map(([lba, n]) => source.content.subarray(lba * BLOCK, (lba + n) * BLOCK)));
  const [digest] = ofType(backup.events, "digest");
  t.is(digest?.tag, 1);
  t.is(digest?.bytes, size);
  t.is(digest?.crc32c, native.crc32c(expected));
  t.deepEqual(Buffer.from(digest?.sha256 ?? []), createHash("sha256").update(expected).digest());
  t.true(ofType(backup.events, "block-crcs").reduce((n, event) => n + event.crcs.length, 0) > 0);

  t.is((await drive.lu.execute(Cdb.rewind())).status, 0);
  const restoreBuilder = new ProgramBuilder().tape("gather", 0, total).hold(512n, 77n);
  for (const [lba, blocks] of extents) restoreBuilder.extent("scatter", 1, BigInt(lba), BigInt(blocks * BLOCK), 1);
  const back = restoreBuilder.discard(1000n).take();
  const restore = run(native, arena, [drive.unit, target.unit]);
  t.true(restore.copy.append(back.gather, back.scatter, back.inline));
  restore.copy.finish();
  t.is((await restore.done).result, "ok");
  await restore.copy.close();
  const [held] = ofType(restore.events, "held");
  t.is(held?.cookie, 77n);
  t.deepEqual(Buffer.from(held?.data ?? []), head);
  t.is(ofType(restore.events, "digest")[0]?.sha256, undefined);

  await closeAll(source, drive, target);
  const restored = readFileSync(target.path);
  const wanted = Buffer.alloc(BLOCKS * BLOCK);
  for (const [lba, n] of extents) source.content.copy(wanted, lba * BLOCK, lba * BLOCK, (lba + n) * BLOCK);
  t.is(Buffer.compare(restored, wanted), 0);
  t.is(arena.freeBytes(), arena.bytes);
  arena.close();
});

test("a digest that was stored at a checkpoint goes on in another run", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, drive] = [await filledDisk(), await tape()];
  const size = 1n << 20n;
  const whole = new ProgramBuilder().extent("gather", 0, 0n, size, 9).tape("scatter", 1, size).take();
  const first = run(native, arena, [source.unit, drive.unit], {
    sha256: true,
    checkpointBytes: BigInt(TAPE_BLOCK * 2),
  });
  first.copy.append(whole.gather, whole.scatter, whole.inline);
  first.copy.finish();
  t.is((await first.done).result, "ok");
  await first.copy.close();
  const at = ofType(first.events, "checkpoint").find((event) => event.streamOffset > 0n && event.streamOffset < size);
  if (at === undefined) return t.fail("there was no checkpoint inside the member");
  t.is(at.digest.byteLength, 124);
  t.is(at.digest[0], 1);

  const rest = size - at.streamOffset;
  const lba = at.streamOffset / BigInt(BLOCK);
  const tail = new ProgramBuilder().extent("gather", 0, lba, rest, 9).discard(rest).take();
  const second = run(native, arena, [source.unit], {
    sha256: true,
    streamOffset: at.streamOffset,
    digest: Uint8Array.from(at.digest),
  });
  second.copy.append(tail.gather, tail.scatter, tail.inline);
  second.copy.finish();
  t.is((await second.done).streamOffset, size);
  await second.copy.close();
  const [digest] = ofType(second.events, "digest");
  const expected = source.content.subarray(0, Number(size));
  t.is(digest?.bytes, size);
  t.is(digest?.crc32c, native.crc32c(expected));
  t.deepEqual(Buffer.from(digest?.sha256 ?? []), createHash("sha256").update(expected).digest());
  await closeAll(source, drive);
  arena.close();
});

test("a segment that is wrong is named, and nothing of its append is taken", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const { copy, done, events } = run(native, arena, [source.unit]);
  const bad = new ProgramBuilder()
    .extent("gather", 0, 0n, 512n, 1)
    .extent("gather", 0, BigInt(BLOCKS), 512n, 1)
    .discard(1024n)
    .take();
  const error = t.throws(() => copy.append(bad.gather, bad.scatter, bad.inline));
  t.is(errnoOf(error), "EINVAL");
  t.like(error, { details: { segment: 1 } });
  const good = new ProgramBuilder().extent("gather", 0, 3n, 512n, 2).discard(512n).take();
  // A view that does not start at a multiple of eight is as good as any.
  const shifted = new Uint8Array(SEGMENT_BYTES + 1).subarray(1);
  shifted.set(good.gather);
  t.true(copy.append(shifted, good.scatter, good.inline));
  copy.finish();
  t.is((await done).streamOffset, 512n);
  t.deepEqual(
    ofType(events, "digest").map((event) => event.tag),
    [2],
  );
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("an append to a full queue answers false and takes nothing", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const { copy, done } = run(native, arena, [source.unit]);
  copy.pause();
  const builder = new ProgramBuilder();
  for (let i = 0; i < QUEUE_SEGMENTS; i++) builder.zeros(1n);
  const { gather } = builder.take();
  let taken = 0;
  while (taken < 8 && copy.append(gather, NOTHING, NOTHING)) taken++;
  t.true(taken >= 1 && taken < 8);
  t.false(copy.append(gather, NOTHING, NOTHING));
  copy.cancel();
  t.is((await done).result, "cancelled");
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("a unit is a copy's until the copy is closed", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const { copy, done } = run(native, arena, [source.unit]);
  const busy = await t.throwsAsync(source.lu.execute(Cdb.testUnitReady()));
  t.is(errnoOf(busy), "EBUSY");
  const second = t.throws(() => run(native, arena, [source.unit]));
  t.is(errnoOf(second), "EBUSY");
  t.is(errnoOf(t.throws(() => arena.close())), "EBUSY");
  copy.finish();
  await done;
  t.is(errnoOf(await t.throwsAsync(source.lu.execute(Cdb.testUnitReady()))), "EBUSY");
  await Promise.all([copy.close(), copy.close()]);
  t.is((await source.lu.execute(Cdb.testUnitReady())).status, 0);
  for (const use of [
    () => copy.take(),
    () => copy.stats(),
    () => copy.finish(),
    () => copy.append(NOTHING, NOTHING, NOTHING),
  ]) {
    const closed = t.throws(use);
    t.true(isGantryError(closed) && closed.code === "NATIVE_CLOSED");
  }
  await closeAll(source);
  arena.close();
  const gone = t.throws(() => arena.freeBytes());
  t.true(isGantryError(gone) && gone.code === "NATIVE_CLOSED");
});

test("a copy does not start on a unit that has a command, nor on one unit twice, and leaves nothing behind", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, other] = [await filledDisk(), await emptyDisk()];
  source.device.inject({ opcode: 0x00, delayMs: 30 });
  const pending = source.lu.execute(Cdb.testUnitReady());
  t.is(errnoOf(t.throws(() => run(native, arena, [other.unit, source.unit]))), "EBUSY");
  t.is((await other.lu.execute(Cdb.testUnitReady())).status, 0);
  await pending;
  t.is(errnoOf(t.throws(() => run(native, arena, [other.unit, other.unit]))), "EBUSY");
  t.is((await other.lu.execute(Cdb.testUnitReady())).status, 0);
  t.is(arena.freeBytes(), arena.bytes);
  await closeAll(source, other);
  const { lu } = source;
  const closed = t.throws(() => run(native, arena, [{ ...source.unit, lu }]));
  t.true(isGantryError(closed) && closed.code === "NATIVE_CLOSED");
  arena.close();
});

test("closing a unit under a copy cancels the copy, whose last events still come", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, drive] = [await filledDisk(), await tape()];
  drive.device.pace(1n << 20n);
  const size = BigInt(BLOCKS * BLOCK);
  const program = new ProgramBuilder().extent("gather", 0, 0n, size, 1).tape("scatter", 1, size).take();
  const { copy, done } = run(native, arena, [source.unit, drive.unit]);
  copy.append(program.gather, program.scatter, program.inline);
  await source.lu.close();
  const end = await done;
  t.is(end.result, "cancelled");
  t.true(end.streamOffset < size);
  const late = t.throws(() => copy.append(NOTHING, NOTHING, NOTHING));
  t.true(isGantryError(late) && late.code === "NATIVE_CLOSED");
  copy.finish();
  copy.cancel();
  t.deepEqual(copy.take(), []);
  t.is(copy.stats().streamOffset, end.streamOffset);
  drive.device.pace(0n);
  t.is((await drive.lu.execute(Cdb.testUnitReady())).status, 0);
  await copy.close();
  await closeAll(source, drive);
  arena.close();
});

test("a device's error ends the run with the command and its sense", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  source.device.inject({ first: 64n, last: 64n, count: 1000, status: 2, key: 3, asc: 0x11, ascq: 0 });
  const { copy, done } = run(native, arena, [source.unit]);
  const program = new ProgramBuilder()
    .extent("gather", 0, 0n, 128n * 512n, 1)
    .discard(128n * 512n)
    .take();
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  const end = await done;
  t.is(end.result, "device-error");
  t.is(end.failed?.lu, 0);
  t.is(end.failed?.side, "source");
  t.is(end.failed?.outcome, "delivered");
  t.is(end.failed?.status, 2);
  t.is((end.failed?.sense[2] ?? 0) & 0x0f, 3);
  t.true([0x28, 0x88].includes(end.failed?.cdb[0] ?? 0));
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("lost blocks are reported and filled with zeros when that was asked for", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, target] = [await filledDisk(), await emptyDisk()];
  source.device.inject({ first: 64n, last: 64n, count: 100_000, status: 2, key: 3, asc: 0x11, ascq: 0 });
  const { copy, done, events } = run(native, arena, [source.unit, target.unit], { zeroFill: true });
  const size = 128n * 512n;
  const program = new ProgramBuilder().extent("gather", 0, 0n, size).extent("scatter", 1, 0n, size).take();
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  t.is((await done).result, "ok");
  const [lost] = ofType(events, "medium-error");
  t.is(lost?.lu, 0);
  t.is(lost?.lba, 64n);
  t.is(lost?.blocks, 1n);
  t.is(lost?.streamOffset, 64n * 512n);
  t.is((lost?.sense[2] ?? 0) & 0x0f, 3);
  t.is(copy.stats().mediumErrors, 1n);
  await copy.close();
  await closeAll(source, target);
  const expected = Buffer.from(source.content.subarray(0, 128 * BLOCK)).fill(0, 64 * BLOCK, 65 * BLOCK);
  t.is(Buffer.compare(readFileSync(target.path).subarray(0, 128 * BLOCK), expected), 0);
  arena.close();
});

test("a comparison that fails says where", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, other] = [await filledDisk(), await emptyDisk()];
  const { copy, done, events } = run(native, arena, [source.unit, other.unit]);
  const program = new ProgramBuilder().extent("gather", 0, 8n, 4096n).compare(1, 8n, 4096n).take();
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  await done;
  const [difference] = ofType(events, "miscompare");
  t.is(difference?.lu, 1);
  t.true((difference?.lba ?? 0n) >= 8n && (difference?.lba ?? 0n) < 16n);
  await copy.close();
  await closeAll(source, other);
  arena.close();
});

test("a command that is repeated is told, and the data is whole", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  source.device.inject({ opcode: 0x28, count: 1, status: 0x08 });
  source.device.inject({ opcode: 0x88, count: 1, status: 0x08 });
  const { copy, done, events } = run(native, arena, [source.unit]);
  const program = new ProgramBuilder().extent("gather", 0, 0n, 65_536n, 1).discard(65_536n).take();
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  t.is((await done).result, "ok");
  t.is(ofType(events, "digest")[0]?.crc32c, native.crc32c(source.content.subarray(0, 65_536)));
  t.true(copy.stats().gather.retries >= 1n);
  const [retried] = ofType(events, "retried");
  t.is(retried?.lu, 0);
  t.is(retried?.failed.status, 0x08);
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("events come in order and in batches of at most 1024, however many there are", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const members = 5000;
  const builder = new ProgramBuilder();
  for (let tag = 1; tag <= members; tag++) builder.extent("gather", 0, BigInt(tag), 512n, tag);
  const program = builder.discard(BigInt(members * 512)).take();
  const tags: number[] = [];
  const batches: number[] = [];
  const copy = native.startCopy({ arena, ringBytes: RING, tapeBlockBytes: TAPE_BLOCK, lus: [source.unit] }, () =>
    settle(),
  );
  let resolve: () => void = () => {};
  const done = new Promise<void>((settled) => {
    resolve = settled;
  });
  const settle = () => {
    const events = copy.take();
    batches.push(events.length);
    for (const event of events) if (event.type === "digest") tags.push(event.tag);
    if (events.at(-1)?.type === "done") resolve();
  };
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  // The loop is held up, so that everything lies ready at once.
  const until = Date.now() + 300;
  while (Date.now() < until);
  await done;
  t.deepEqual(
    tags,
    Array.from({ length: members }, (_, i) => i + 1),
  );
  t.true(Math.max(...batches) <= 1024);
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("pause holds the stream, resume lets it go on, rate slows it", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const { copy, done } = run(native, arena, [source.unit], { bytesPerS: 1n << 20n });
  copy.pause();
  const size = BigInt(BLOCKS * BLOCK);
  const program = new ProgramBuilder().extent("gather", 0, 0n, size, 1).discard(size).take();
  copy.append(program.gather, program.scatter, program.inline);
  copy.finish();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.true(copy.stats().streamOffset < size);
  copy.rate(0n);
  copy.resume();
  t.is((await done).streamOffset, size);
  t.true(copy.stats().throttleNs > 0n);
  await copy.close();
  await closeAll(source);
  arena.close();
});
