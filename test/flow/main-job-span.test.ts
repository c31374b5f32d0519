// Archives that need several cartridges: reports, restores by Gantry and by `tar -M`, verification, and the end of
// the cartridges.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { contentOf, type TestMember } from "../lib/archives.js";
import { deviceTables, failedWith, type Plant, startPlant, succeeded, tapFile } from "../lib/job-plant.js";
import { rawDisk, rawList } from "../lib/raw-disk.js";
import { untarVolumes } from "../lib/tar-tape.js";

const MIB = 1024 * 1024;
const DISK_MIB = 8;
const TAPE_BLOCK = 64 * 1024;

/** Files that break at the ends of cartridges, a sparse one among them. */
const MEMBERS: readonly TestMember[] = [
  { name: "small", at: [[0, 0, 3]], size: 1300n },
  { name: "large", at: [[0, 16, 8000]] },
  {
    name: "sparse",
    at: [
      [0, 8016, 2000],
      [9000, 10016, 3000],
      [20000, 13016, 1],
    ],
    size: BigInt(20001 * 512 - 100),
  },
  { name: "empty", size: 0n },
  { name: "last", at: [[0, 14000, 700]] },
];

async function start(t: ExecutionContext): Promise<Plant & { content: Buffer }> {
  let content: Buffer = Buffer.alloc(0);
  const plant = await startPlant(t, {
    devices: (dir) => {
      content = rawDisk(join(dir, "disk.img"), DISK_MIB);
      writeFileSync(join(dir, "target.img"), Buffer.alloc(DISK_MIB * MIB));
      return deviceTables({
        disks: { disk0: { path: join(dir, "disk.img") }, target: { path: join(dir, "target.img") } },
        tapes: { tape0: { path: join(dir, "tapes"), capacityMib: 2, earlyWarningKib: 256 } },
      });
    },
  });
  return { ...plant, content };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `S0000${index + 1}`);

/** What the target disk holds when just these members were restored to their own places. */
function expectedDisk(content: Buffer, members: readonly TestMember[]): Buffer {
  const expected = Buffer.alloc(content.length);
  for (const { at = [], size } of members) {
    for (const [offset, lba, blocks] of at) {
      const past = size === undefined ? 0 : Math.max(0, (offset + blocks) * 512 - Number(size));
      content.copy(expected, lba * 512, lba * 512, (lba + blocks) * 512 - past);
    }
  }
  return expected;
}

test("an archive over several cartridges: reported, verified, restored by Gantry and by tar -M", async (t) => {
  const { bridge, directory, content } = await start(t);
  const tape = { device: "tape0", cartridges: names(6) };
  const list = await rawList(directory, "list", MEMBERS);
  const backup = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape,
      options: { tapeBlockBytes: TAPE_BLOCK, sha256: true },
    },
    { file: list, device: "disk0" },
  );
  succeeded(t, backup);
  const { volumes } = backup;
  t.true(volumes.length >= 4, `${volumes.length} cartridges`);
  t.deepEqual(
    volumes.map(({ cartridge }) => cartridge),
    names(volumes.length),
  );
  for (const [index, volume] of volumes.entries()) {
    t.is(volume.from, volumes[index - 1]?.to ?? 0n, "the archive goes on where it stopped");
    t.is(volume.to % BigInt(TAPE_BLOCK), 0n);
    t.is(volume.firstObject, 0n);
    t.is(volume.endObject, (volume.to - volume.from) / BigInt(TAPE_BLOCK) + (index === 0 ? 0n : 1n));
  }
  const cartridges = volumes.map(({ cartridge }) => cartridge);
  const whole = { device: "tape0", cartridges };

  const verify = await bridge.run({ jobId: "verify", type: "verify", tape: whole });
  succeeded(t, verify);
  t.is(verify.membersDone, 4);

  const back = await rawList(directory, "back", MEMBERS);
  const restore = await bridge.run(
    { jobId: "restore", type: "restore", disk: { device: "target" }, tape: whole },
    { file: back, device: "target" },
  );
  succeeded(t, restore);
  t.true(readFileSync(join(directory, "target.img")).equals(expectedDisk(content, MEMBERS)));

  const untarred = join(directory, "untarred");
  await untarVolumes(
    cartridges.map((cartridge) => tapFile(directory, cartridge)),
    untarred,
  );
  for (const member of MEMBERS) {
    const data = readFileSync(join(untarred, member.name));
    t.true(data.equals(contentOf(member, { blockBytes: 512, data: content })), member.name);
  }

  // One member alone, which lies on later cartridges.
  writeFileSync(join(directory, "target.img"), Buffer.alloc(DISK_MIB * MIB), { flag: "r+" });
  const some = MEMBERS.filter(({ name }) => name === "last" || name === "small");
  const lastOnly = await rawList(directory, "last-only", some);
  succeeded(
    t,
    await bridge.run(
      { jobId: "restore-last", type: "restore", disk: { device: "target" }, tape: whole },
      { file: lastOnly, device: "target" },
    ),
  );
  t.true(readFileSync(join(directory, "target.img")).equals(expectedDisk(content, some)));

  const missing = await bridge.run({
    jobId: "verify-missing",
    type: "verify",
    tape: { device: "tape0", cartridges: cartridges.slice(0, -1) },
  });
  t.is(missing.state, "failed", "the last cartridge is not named");
  const swapped = [cartridges[1] ?? "", cartridges[0] ?? "", ...cartridges.slice(2)];
  const wrongOrder = await bridge.run({
    jobId: "verify-order",
    type: "verify",
    tape: { device: "tape0", cartridges: swapped },
  });
  failedWith(t, wrongOrder, "ARCHIVE_INVALID");
  t.regex(wrongOrder.failure?.message ?? "", /is not number 1 of archive/);

  const later = [cartridges[0] ?? "", cartridges[2] ?? "", cartridges[1] ?? "", ...cartridges.slice(3)];
  const wrongRestore = await bridge.run(
    {
      jobId: "restore-order",
      type: "restore",
      disk: { device: "target" },
      tape: { device: "tape0", cartridges: later },
    },
    { file: back, device: "target" },
  );
  failedWith(t, wrongRestore, "ARCHIVE_INVALID");
  t.regex(wrongRestore.failure?.message ?? "", /is not number 2 of archive/, "before anything of it is written");
});

test("a manifest that goes over the end of a cartridge is found, and the archive verified and restored", async (t) => {
  const { bridge, directory, content } = await start(t);
  const folders = Array.from({ length: 20_000 }, (_, index): TestMember => {
    return { name: `folder-${String(index).padStart(6, "0")}`, type: "directory", size: 0n };
  });
  const file: TestMember = { name: "file", at: [[0, 32, 900]] };
  const members = [file, ...folders];
  const list = await rawList(directory, "list", members);
  const backup = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: names(20) },
      options: { tapeBlockBytes: TAPE_BLOCK },
    },
    { file: list, device: "disk0" },
  );
  succeeded(t, backup);
  const manifest = backup.manifest ?? { offset: 0n, bytes: 0n };
  const edges = backup.volumes.filter(({ from }) => from > manifest.offset);
  t.true(edges.length >= 1, "a cartridge begins inside the manifest");
  const tape = { device: "tape0", cartridges: backup.volumes.map(({ cartridge }) => cartridge) };
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape }));
  const back = await rawList(directory, "back", [file]);
  succeeded(
    t,
    await bridge.run(
      { jobId: "restore", type: "restore", disk: { device: "target" }, tape },
      { file: back, device: "target" },
    ),
  );
  t.true(readFileSync(join(directory, "target.img")).equals(expectedDisk(content, [file])));
});

test("a job that names too few cartridges ends with MEDIA_TOO_SMALL, and each of them ends in a filemark", async (t) => {
  const { bridge, directory } = await start(t);
  const list = await rawList(directory, "list", MEMBERS);
  const report = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: names(2) },
      options: { tapeBlockBytes: TAPE_BLOCK },
    },
    { file: list, device: "disk0" },
  );
  failedWith(t, report, "MEDIA_TOO_SMALL", /full at byte \d+/);
  for (const cartridge of names(2)) {
    t.is(
      readFileSync(tapFile(directory, cartridge)).readUInt32LE(readFileSync(tapFile(directory, cartridge)).length - 4),
      0,
    );
  }
});

test("what is in the drive, and no name: a full tape ends the job with MEDIA_TOO_SMALL", async (t) => {
  const { bridge, directory } = await start(t);
  // An earlier job leaves a cartridge in the drive.
  const list = await rawList(directory, "list", [{ name: "f", at: [[0, 0, 8]] }]);
  const first = { jobId: "first", type: "backup", disk: { device: "disk0" } } as const;
  succeeded(
    t,
    await bridge.run({ ...first, tape: { device: "tape0", cartridges: ["S00001"] } }, { file: list, device: "disk0" }),
  );
  const large = await rawList(directory, "large", MEMBERS);
  const report = await bridge.run(
    {
      jobId: "second",
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: [] },
      options: { position: "overwrite", tapeBlockBytes: TAPE_BLOCK },
    },
    { file: large, device: "disk0" },
  );
  failedWith(t, report, "MEDIA_TOO_SMALL");
});

test("an archive begun behind another one and continued on further cartridges is found by its object number", async (t) => {
  const { bridge, directory, content } = await start(t);
  const disk = { device: "disk0" };
  const small = await rawList(directory, "small", [{ name: "f", at: [[0, 0, 400]] }]);
  const first = { jobId: "first", type: "backup", disk, options: { tapeBlockBytes: TAPE_BLOCK } } as const;
  for (const [jobId, cartridge] of [
    ["first", "S00001"],
    ["in-the-way", "USED01"],
  ] as const) {
    const list = jobId === "first" ? small : await rawList(directory, "small-2", [{ name: "f", at: [[0, 0, 400]] }]);
    const tape = { device: "tape0", cartridges: [cartridge] };
    succeeded(t, await bridge.run({ ...first, jobId, tape }, { file: list, device: "disk0" }));
  }
  const append = { tapeBlockBytes: TAPE_BLOCK, position: "append" } as const;
  const cartridges = names(6);
  const list = await rawList(directory, "list", MEMBERS);
  const backup = await bridge.run(
    { jobId: "backup", type: "backup", disk, tape: { device: "tape0", cartridges }, options: append },
    { file: list, device: "disk0" },
  );
  succeeded(t, backup);
  const startObject = backup.volumes[0]?.firstObject ?? 0n;
  t.true(startObject > 0n);
  const tape = { device: "tape0", cartridges: backup.volumes.map(({ cartridge }) => cartridge) };
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape, options: { startObject } }));
  const back = await rawList(directory, "back", MEMBERS);
  const restore = { jobId: "restore", type: "restore", disk: { device: "target" }, tape } as const;
  succeeded(t, await bridge.run({ ...restore, options: { startObject } }, { file: back, device: "target" }));
  t.true(readFileSync(join(directory, "target.img")).equals(expectedDisk(content, MEMBERS)));
  failedWith(
    t,
    await bridge.run({ jobId: "unnamed", type: "verify", tape }),
    "ARCHIVE_INVALID",
    new RegExp(`begins at object ${startObject} .*startObject`),
  );

  // Only the first cartridge may have something on it: a further one would lose it.
  const used = readFileSync(tapFile(directory, "USED01"));
  const other = await rawList(directory, "other", MEMBERS);
  const report = await bridge.run(
    { jobId: "used", type: "backup", disk, tape: { device: "tape0", cartridges: ["N1", "USED01"] }, options: append },
    { file: other, device: "disk0" },
  );
  failedWith(t, report, "MEDIA_NOT_BLANK", /Cartridge USED01/);
  t.true(readFileSync(tapFile(directory, "USED01")).equals(used));
});
