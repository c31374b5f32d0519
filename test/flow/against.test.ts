// Verify against a source: every block that differs from what is on tape is found and located, over cartridges, and
// only what the list names is compared.
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { TestMember } from "../lib/archives.js";
import { type TapeBench, tapeBench, tapImage, tapObjects } from "../lib/tape-bench.js";

const B = 4096;
const MEMBERS: readonly TestMember[] = [
  { name: "first", at: [[0, 8, 90]], size: 46_000n },
  { name: "empty", size: 0n },
  { name: "sparse", at: Array.from({ length: 30 }, (_, i) => [3 * i, 120 + 2 * i, 1] as const), size: 91n * 512n },
  { name: "image", type: "image", at: [[0, 200, 160]] },
  { name: "last", at: [[0, 400, 40]], size: 20_001n },
];
const BLOCKS = 512;

function changed(bench: TapeBench, lba: number, byte: number): () => void {
  const put = (value: number): void => {
    const fd = openSync(join(bench.directory, "disk.img"), "r+");
    writeSync(fd, Uint8Array.of(value), 0, 1, lba * 512 + byte);
    closeSync(fd);
  };
  const before = bench.content[lba * 512 + byte] ?? 0;
  put(before ^ 16);
  return () => put(before);
}

async function spanned(bench: TapeBench): Promise<readonly string[]> {
  const cartridges = ["A", "B", "C", "D", "E", "F"];
  bench.limit(new Map(cartridges.map((name) => [name, 15 * B])));
  const tape = { device: "tape0", cartridges };
  const options = { tapeBlockBytes: B };
  const { volumes = [] } = await bench.run({ type: "backup", disk: { device: "disk0" }, tape, options }, MEMBERS);
  bench.limit(new Map());
  return volumes.map(({ cartridge }) => cartridge);
}

const against = (bench: TapeBench, cartridges: readonly string[], members = MEMBERS) =>
  bench.run(
    { type: "verify", disk: { device: "disk0" }, tape: { device: "tape0", cartridges: [...cartridges] } },
    members,
  );

/** The member's name in the archive, the byte of its data and that of the file, for a block of the disk. */
const PLACES: readonly [lba: number, byte: number, member: string, dataByte: number, fileByte: number][] = [
  [8, 0, "first", 0, 0],
  [50, 77, "first", 42 * 512 + 77, 42 * 512 + 77],
  [97, 400, "first", 89 * 512 + 400, 89 * 512 + 400],
  [120, 5, "sparse", 5, 5],
  [130, 511, "sparse", 5 * 512 + 511, 15 * 512 + 511],
  [178, 1, "sparse", 29 * 512 + 1, 87 * 512 + 1],
  [200, 9, "image.img", 9, 9],
  [300, 300, "image.img", 100 * 512 + 300, 100 * 512 + 300],
  [439, 32, "last", 39 * 512 + 32, 39 * 512 + 32],
];

test("each block of the disk that is not as on tape is found, with its member, its byte and its LBA", async (t) => {
  const bench = await tapeBench(t, BLOCKS * 512);
  const used = await spanned(bench);
  t.true(used.length >= 3, used.join());
  const same = await against(bench, used);
  t.is(same.state, "succeeded", same.failure?.message);
  t.is(same.context.meter.membersDone, 4);
  for (const [lba, byte, member, dataByte, fileByte] of PLACES) {
    const mend = changed(bench, lba, byte);
    const { state, failure, miscompares = [] } = await against(bench, used);
    mend();
    const title = `LBA ${lba}: ${failure?.message}`;
    t.is(state, "failed", title);
    t.is(failure?.code, "VERIFY_DIFFERS", title);
    t.is(miscompares.length, 1, title);
    t.like(miscompares[0], { member, lba: BigInt(lba), memberOffset: BigInt(dataByte) }, title);
    t.regex(miscompares[0]?.reason ?? "", new RegExp(`From byte ${fileByte} of the file`), title);
  }
  // Behind the end of a file its last block is nobody's; and what the list does not name is not compared.
  for (const mend of [changed(bench, 439, 500), changed(bench, 510, 0), changed(bench, 110, 3)]) {
    t.is((await against(bench, used)).state, "succeeded");
    mend();
  }
});

test("damage of the tape is found against the disk, and members that the list does not have are not read", async (t) => {
  const bench = await tapeBench(t, BLOCKS * 512);
  const used = await spanned(bench);
  const [first = ""] = used;
  await bench.devices.load("tape0", "OTHER", true);
  const objects = tapObjects(readFileSync(bench.tap(first)));
  const block = Buffer.from(objects[3] ?? Buffer.alloc(0));
  block.writeUInt8(block.readUInt8(10) ^ 1, 10);
  writeFileSync(bench.tap(first), tapImage(objects.map((object, index) => (index === 3 ? block : object))));
  const { failure, miscompares = [] } = await against(bench, used);
  t.is(failure?.code, "VERIFY_DIFFERS", failure?.message);
  const where = miscompares.find(({ lba }) => lba !== undefined);
  t.is(where?.member, "first");
  t.is(where?.streamOffset, BigInt(3 * B + 10));
  t.true(
    miscompares.some(({ lba, member, reason }) => lba === undefined && member === "first" && /CRC32C/.test(reason)),
  );
  const others = MEMBERS.filter(({ name }) => name !== "first");
  t.is((await against(bench, used, others)).state, "succeeded");
  const more = await against(bench, used, [...MEMBERS, { name: "new", at: [[0, 500, 1]], size: 512n }]);
  t.is(more.failure?.code, "ARCHIVE_RESTORE_REFUSED");
});
