// Where archives lie on a cartridge: a blank tape, appending, overwriting, and reading one archive of several.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { deviceTables, failedWith, startPlant, succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList } from "../lib/raw-disk.js";

const MIB = 1024 * 1024;
const FILE_BLOCKS = 1024;

test("archives one behind the other on a cartridge: nothing is lost unasked, each is verified and restored alone", async (t) => {
  let content: Buffer = Buffer.alloc(0);
  const { bridge, directory } = await startPlant(t, {
    devices: (dir) => {
      content = rawDisk(join(dir, "disk.img"), 4);
      writeFileSync(join(dir, "target.img"), Buffer.alloc(4 * MIB));
      return deviceTables({
        disks: { disk0: { path: join(dir, "disk.img") }, target: { path: join(dir, "target.img") } },
        tapes: { tape0: { path: join(dir, "tapes") } },
      });
    },
  });
  const tape = { device: "tape0", cartridges: ["A00001"] };
  const file = (name: string, lba: number) => [{ name, at: [[0, lba, FILE_BLOCKS] as const] }];
  const backup = async (name: string, lba: number, position?: "append" | "overwrite") => {
    const list = await rawList(directory, `list-${name}-${position ?? "blank"}`, file(name, lba));
    const options = { tapeBlockBytes: 32 * 1024, ...(position === undefined ? {} : { position }) };
    const jobId = `backup-${name}-${position ?? "blank"}`;
    return bridge.run(
      { jobId, type: "backup", disk: { device: "disk0" }, tape, options },
      { file: list, device: "disk0" },
    );
  };
  /** Restores to an emptied disk; tells whether just this file's blocks came back. */
  const restores = async (name: string, lba: number, startObject: bigint) => {
    writeFileSync(join(directory, "target.img"), Buffer.alloc(4 * MIB), { flag: "r+" });
    const list = await rawList(directory, `back-${name}-${startObject}`, file(name, lba));
    const report = await bridge.run(
      {
        jobId: `restore-${name}-${startObject}`,
        type: "restore",
        disk: { device: "target" },
        tape,
        options: { startObject },
      },
      { file: list, device: "target" },
    );
    const expected = Buffer.alloc(4 * MIB);
    content.copy(expected, lba * 512, lba * 512, (lba + FILE_BLOCKS) * 512);
    return { report, whole: readFileSync(join(directory, "target.img")).equals(expected) };
  };

  const first = await backup("first", 0);
  succeeded(t, first);
  failedWith(t, await backup("other", 0), "MEDIA_NOT_BLANK");
  const second = await backup("second", 2048, "append");
  succeeded(t, second);
  const third = await backup("third", 4096, "append");
  succeeded(t, third);
  const start = (report: typeof first): bigint => report.volumes[0]?.firstObject ?? -1n;
  const end = (report: typeof first): bigint => report.volumes[0]?.endObject ?? -1n;
  t.is(start(first), 0n);
  t.is(start(second), end(first) + 1n, "the archive begins behind the filemark of the one before");
  t.is(start(third), end(second) + 1n);

  for (const [name, lba, report] of [
    ["third", 4096, third],
    ["first", 0, first],
    ["second", 2048, second],
  ] as const) {
    const verify = await bridge.run({
      jobId: `verify-${name}`,
      type: "verify",
      tape,
      options: { startObject: start(report) },
    });
    succeeded(t, verify);
    const back = await restores(name, lba, start(report));
    succeeded(t, back.report);
    t.true(back.whole, name);
  }
  // A place inside an archive is no beginning of one.
  const inside = await bridge.run({
    jobId: "verify-inside",
    type: "verify",
    tape,
    options: { startObject: start(second) + 3n },
  });
  failedWith(t, inside, "ARCHIVE_INVALID", new RegExp(`begins at object ${start(second)} `));

  const over = await backup("over", 6144, "overwrite");
  succeeded(t, over);
  t.is(start(over), 0n);
  t.true((await restores("over", 6144, 0n)).whole);
  const gone = await bridge.run({
    jobId: "verify-gone",
    type: "verify",
    tape,
    options: { startObject: start(third) },
  });
  t.is(gone.state, "failed", "nothing of the old archives is behind the new one");
});
