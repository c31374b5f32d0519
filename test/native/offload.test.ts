// What third-party copies ask of the engine, through the TypeScript face and on emulated devices.
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { type CopyEvent, errnoOf, ProgramBuilder } from "../../src/native/index.js";
import { TO_FILEMARK } from "../../src/native/program.js";
import {
  BLOCK,
  Cdb,
  native,
  openTestDisk,
  openTestTape,
  run,
  scratch,
  type TestDisk,
  type TestTape,
} from "./support.js";

const BLOCKS = 256;
const place = scratch();
test.after.always(() => place.drop());
let made = 0;

async function filledDisk(): Promise<TestDisk & { readonly content: Buffer }> {
  const path = join(place.folder, `disk-${made++}`);
  const content = randomBytes(BLOCKS * BLOCK);
  writeFileSync(path, content);
  return { ...(await openTestDisk(native, path, BigInt(BLOCKS))), content };
}
const tape = (): Promise<TestTape> => openTestTape(native, join(place.folder, `tape-${made++}.tap`));
const heldOf = (events: readonly CopyEvent[]) =>
  events.filter((event): event is Extract<CopyEvent, { readonly type: "held" }> => event.type === "held");

async function closeAll(...things: readonly (TestDisk | TestTape)[]): Promise<void> {
  await Promise.all(things.map((thing) => thing.lu.close()));
  for (const thing of things) thing.device.close();
}

/** Writes blocks of these sizes; 0 is a filemark. */
async function record(drive: TestTape, sizes: readonly number[]): Promise<Buffer[]> {
  const written: Buffer[] = [];
  for (const size of sizes) {
    const data = randomBytes(size);
    written.push(data);
    const cdb = Uint8Array.of(size === 0 ? 0x10 : 0x0a, 0, size >> 16, (size >> 8) & 0xff, size & 0xff, 0);
    if (size === 0) cdb[4] = 1;
    const answer = await drive.lu.execute(cdb, size === 0 ? {} : { dataOut: data });
    if (answer.status !== 0) throw new Error(`the tape answers ${answer.status}`);
  }
  return written;
}

/** The blocks from the beginning of the tape to the end of data; an empty one is a filemark. */
async function played(drive: TestTape): Promise<Buffer[]> {
  await drive.lu.execute(Cdb.rewind());
  const blocks: Buffer[] = [];
  for (;;) {
    // SILI: a shorter block is no exception.
    const answer = await drive.lu.execute(Uint8Array.of(0x08, 2, 1, 0, 0, 0), { dataIn: 65_536 });
    if (answer.status === 0) {
      blocks.push(Buffer.from(answer.data));
      continue;
    }
    if (((answer.sense[2] ?? 0) & 0x80) === 0) return blocks;
    blocks.push(Buffer.alloc(0));
  }
}

test("an extent that keeps leaves the rest of its blocks alone, and its bytes are held besides", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, target] = [await filledDisk(), await filledDisk()];
  const program = new ProgramBuilder()
    .extent("gather", 0, 3n, 1000n, 0, 7)
    .extent("scatter", 1, 10n, 600n, 0, 300, { keep: true, held: true })
    .extent("scatter", 1, 20n, 300n)
    .discard(100n, 0, { held: true })
    .take();
  const copy = run(native, arena, [source.unit, target.unit], { streamOffset: 5000n });
  t.true(copy.copy.append(program.gather, program.scatter, program.inline));
  copy.copy.finish();
  t.is((await copy.done).result, "ok");
  await copy.copy.close();
  const stream = source.content.subarray(3 * BLOCK + 7, 3 * BLOCK + 1007);
  const held = heldOf(copy.events);
  t.deepEqual(
    held.map((event) => [event.cookie, Buffer.from(event.data)]),
    [
      [5000n, stream.subarray(0, 600)],
      [5900n, stream.subarray(900, 1000)],
    ],
  );
  await closeAll(source, target);
  const wanted = Buffer.from(target.content);
  stream.copy(wanted, 10 * BLOCK + 300, 0, 600);
  wanted.fill(0, 20 * BLOCK, 21 * BLOCK);
  stream.copy(wanted, 20 * BLOCK, 600, 900);
  t.is(Buffer.compare(readFileSync(target.path), wanted), 0);
  arena.close();
});

test("files of a tape go to another one block by block, and the tape's end is told when all is written", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, target] = [await tape(), await tape()];
  const written = await record(source, [1, 65_536, 512, 0, 0, 700, 33]);
  await source.lu.execute(Cdb.rewind());
  const builder = new ProgramBuilder();
  for (let file = 0; file < 3; file++)
    builder.tape("gather", 0, TO_FILEMARK).tape("scatter", 1, TO_FILEMARK, 0, { asGathered: true }).filemark(1);
  const program = builder.take();
  const copy = run(native, arena, [source.unit, target.unit]);
  t.true(copy.copy.append(program.gather, program.scatter, program.inline));
  copy.copy.finish();
  const done = await copy.done;
  t.is(done.result, "tape-ended");
  t.is(done.failed?.side, "source");
  t.is(done.streamOffset, 66_782n);
  t.is(done.object, 7n);
  await copy.copy.close();
  t.deepEqual(await played(target), written);
  await closeAll(source, target);
  arena.close();
});

test("a source tape may have larger blocks than the destination", async (t) => {
  const arena = native.createArena(16n << 20n);
  const [source, target] = [await tape(), await tape()];
  const written = Buffer.concat(await record(source, [65_536, 4096, 10_000]));
  const program = new ProgramBuilder()
    .tape("gather", 0, BigInt(written.length))
    .tape("scatter", 1, BigInt(written.length), 0, {})
    .take();
  for (const sourceBlockBytes of [0, 65_536]) {
    await source.lu.execute(Cdb.rewind());
    await target.lu.execute(Cdb.rewind());
    const copy = run(native, arena, [source.unit, target.unit], { tapeBlockBytes: 1024, sourceBlockBytes });
    t.true(copy.copy.append(program.gather, program.scatter, program.inline));
    copy.copy.finish();
    t.is((await copy.done).result, sourceBlockBytes === 0 ? "block-too-large" : "ok");
    await copy.copy.close();
  }
  const blocks = await played(target);
  t.deepEqual(Buffer.concat(blocks), written);
  t.true(blocks.slice(0, -1).every((block) => block.length === 1024));
  await closeAll(source, target);
  arena.close();
});

test("a segment that cannot be held is refused", async (t) => {
  const arena = native.createArena(16n << 20n);
  const source = await filledDisk();
  const { copy } = run(native, arena, [source.unit]);
  const program = new ProgramBuilder().discard((1n << 20n) + 1n, 0, { held: true }).take();
  const error = t.throws(() => copy.append(program.gather, program.scatter, program.inline));
  t.is(errnoOf(error), "EINVAL");
  await copy.close();
  await closeAll(source);
  arena.close();
});

test("a disk's cache is synchronized at the end, or left to who asked for the copy", async (t) => {
  const arena = native.createArena(16n << 20n);
  for (const leaveCached of [false, true]) {
    const [from, to] = [await filledDisk(), await filledDisk()];
    to.device.inject({ opcode: 0x91, count: 1000, status: 2, key: 4, asc: 0x44 });
    const size = BigInt(BLOCKS * BLOCK);
    const program = new ProgramBuilder().extent("gather", 0, 0n, size).extent("scatter", 1, 0n, size).take();
    const { copy, done } = run(native, arena, [from.unit, to.unit], { leaveCached });
    copy.append(program.gather, program.scatter, program.inline);
    copy.finish();
    const { result, failed, streamOffset } = await done;
    t.is(result, leaveCached ? "ok" : "device-error");
    t.is(failed?.cdb[0], leaveCached ? undefined : 0x91);
    t.is(streamOffset, leaveCached ? size : 0n);
    t.deepEqual(readFileSync(to.path), from.content);
    await copy.close();
    await closeAll(from, to);
  }
  arena.close();
});
