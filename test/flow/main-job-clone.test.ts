// Clones: from disk to disk, to the same places or to those of a second list, compared disk against disk afterwards.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import type { TestMember } from "../lib/archives.js";
import { deviceTables, failedWith, type Plant, startPlant, succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList, VOLUME } from "../lib/raw-disk.js";

const MIB = 1024 * 1024;
const DISK_MIB = 16;

/** Pieces that meet, that lie apart, and that go backward on the disk; more than one chunk's worth of commands. */
const FROM: readonly TestMember[] = [
  {
    name: "scattered",
    at: [
      [0, 20000, 700],
      [700, 20700, 1],
      [800, 64, 4000],
      [5000, 9000, 3000],
    ],
  },
  { name: "small", at: [[0, 1, 1]] },
];
/** The same bytes in other pieces at other places. */
const TO: readonly TestMember[] = [
  {
    name: "elsewhere",
    at: [
      [0, 12001, 5000],
      [6000, 100, 2702],
    ],
  },
];

async function start(t: ExecutionContext): Promise<Plant & { content: Buffer; filler: Buffer }> {
  let content: Buffer = Buffer.alloc(0);
  let filler: Buffer = Buffer.alloc(0);
  const plant = await startPlant(t, {
    devices: (dir) => {
      content = rawDisk(join(dir, "from.img"), DISK_MIB, "from");
      filler = rawDisk(join(dir, "to.img"), DISK_MIB, "to");
      writeFileSync(join(dir, "large.img"), Buffer.alloc(4 * MIB));
      return deviceTables({
        disks: {
          from: { path: join(dir, "from.img") },
          to: { path: join(dir, "to.img") },
          large: { path: join(dir, "large.img"), blockBytes: 4096 },
        },
      });
    },
    jobs: "io_kib = 128",
  });
  return { ...plant, content, filler };
}

/** Bytes that the extents of members name, one after the other. */
const taken = (disk: Buffer, members: readonly TestMember[]): Buffer =>
  Buffer.concat(members.flatMap(({ at = [] }) => at.map(([, lba, n]) => disk.subarray(lba * 512, (lba + n) * 512))));

function expected(filler: Buffer, data: Buffer, members: readonly TestMember[]): Buffer {
  const disk = Buffer.from(filler);
  let done = 0;
  for (const [, lba, blocks] of members.flatMap(({ at = [] }) => at)) {
    data.copy(disk, lba * 512, done, done + blocks * 512);
    done += blocks * 512;
  }
  return disk;
}

const clone = { type: "clone", disk: { device: "from" }, toDisk: { device: "to" }, volume: VOLUME } as const;

test.serial("a clone to the same places moves just the blocks of the list", async (t) => {
  const { bridge, directory, content, filler } = await start(t);
  const list = await rawList(directory, "list", FROM);
  const report = await bridge.run({ jobId: "clone", ...clone }, { file: list, device: "from" });
  succeeded(t, report);
  t.is(report.bytesDone, BigInt(taken(content, FROM).length));
  t.is(report.membersDone, 2);
  t.deepEqual(report.volumes, []);
  t.true(readFileSync(join(directory, "from.img")).equals(content), "the source is untouched");
  t.true(readFileSync(join(directory, "to.img")).equals(expected(filler, taken(content, FROM), FROM)));
});

test.serial("a clone to the places of a second list: the same bytes in other pieces, and back again", async (t) => {
  const { bridge, directory, content, filler } = await start(t);
  const list = await rawList(directory, "list", FROM);
  const to = await rawList(directory, "to", TO);
  const target = await bridge.sendList(to, "to");
  const report = await bridge.run(
    { jobId: "clone", ...clone, ...(target.listId === undefined ? {} : { toListId: target.listId }) },
    { file: list, device: "from" },
  );
  succeeded(t, report);
  t.true(readFileSync(join(directory, "to.img")).equals(expected(filler, taken(content, FROM), TO)));

  // Back to where they came from, onto an emptied disk: then both disks agree wherever the list speaks.
  writeFileSync(join(directory, "from.img"), Buffer.alloc(DISK_MIB * MIB), { flag: "r+" });
  const backFrom = await rawList(directory, "back-from", TO);
  const backTo = await rawList(directory, "back-to", FROM);
  const { listId } = await bridge.sendList(backTo, "from");
  const back = await bridge.run(
    {
      jobId: "back",
      type: "clone",
      disk: { device: "to" },
      toDisk: { device: "from" },
      ...(listId === undefined ? {} : { toListId: listId }),
    },
    { file: backFrom, device: "to" },
  );
  succeeded(t, back);
  const cleared = expected(Buffer.alloc(DISK_MIB * MIB), taken(content, FROM), FROM);
  t.true(readFileSync(join(directory, "from.img")).equals(cleared));
});

test.serial("clones that cannot be right are refused before anything moves", async (t) => {
  const { bridge, directory, filler } = await start(t);
  const list = await rawList(directory, "list", FROM);
  const source = await bridge.sendList(list, "from");
  const short = await rawList(directory, "short", [{ name: "x", at: [[0, 0, 100]] }]);
  const twice = await rawList(directory, "twice", [
    {
      name: "x",
      at: [
        [0, 0, 7000],
        [7000, 6000, 702],
      ],
    },
  ]);
  const past = await rawList(directory, "past", [{ name: "x", at: [[0, (DISK_MIB * MIB) / 512 - 7701, 7702]] }]);
  for (const [file, device] of [
    [short, "to"],
    [twice, "to"],
    [past, "to"],
  ] as const)
    await bridge.sendList(file, device);
  const key = (jobId: string) => bridge.key(jobId, ["from", "to", "large"]);
  const run = async (jobId: string, more: object) =>
    bridge.session.run({ jobId, ...clone, ...source, keys: [await key(jobId)], ...more });

  failedWith(t, await run("short", { toListId: "short" }), "JOB_INVALID", /as many on both sides/);
  failedWith(t, await run("twice", { toListId: "twice" }), "LIST_EXTENT_INVALID", /share block 6000/);
  failedWith(t, await run("past", { toListId: "past" }), "LIST_EXTENT_INVALID", /outside to/);
  failedWith(t, await run("blocks", { toDisk: { device: "large" } }), "LIST_EXTENT_INVALID", /blocks of 4096/);
  await t.throwsAsync(run("itself", { toDisk: { device: "from" } }), { code: "JOB_INVALID" });
  t.true(readFileSync(join(directory, "to.img")).equals(filler), "nothing was written");
});
