// The main job over iSCSI: from a disk of tgtd to a tape of tgtd, which has no LOCATE and does not tell its position,
// and back.
import { readFileSync, writeFileSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import { contentOf, type TestMember } from "../lib/archives.js";
import { failedWith, type Plant, startPlant, succeeded } from "../lib/job-plant.js";
import { rawBytes, rawList } from "../lib/raw-disk.js";
import { startTgtd, type Tgtd } from "../lib/tgtd.js";

const MIB = 1024 * 1024;
const DISK_MIB = 8;

const MEMBERS: readonly TestMember[] = [
  { name: "first", at: [[0, 8, 3000]], size: BigInt(3000 * 512 - 77) },
  {
    name: "sparse",
    at: [
      [0, 4000, 100],
      [500, 5000, 2000],
    ],
  },
  { name: "folder", type: "directory", size: 0n },
  { name: "last", at: [[0, 9000, 1]], size: 5n },
];

async function start(t: ExecutionContext): Promise<Plant & { target: Tgtd; content: Buffer }> {
  const target = await startTgtd({ disks: [DISK_MIB, DISK_MIB], tapes: [64] });
  t.teardown(() => target.close());
  const content = rawBytes(DISK_MIB * MIB);
  writeFileSync(target.units[0]?.file ?? "", content, { flag: "r+" });
  const table = (name: string, type: "disk" | "tape", lun: number): string => `[[device]]
name = "${name}"
type = "${type}"
transport = "iscsi"
portal = "${target.portal}"
target = "${target.target}"
lun = ${lun}
`;
  const plant = await startPlant(t, {
    devices: () => [table("disk0", "disk", 1), table("back0", "disk", 2), table("tape0", "tape", 3)].join(""),
  });
  return { ...plant, target, content };
}

const tape = { device: "tape0", cartridges: [] };

for (const tapeBlockBytes of [64 * 1024, 256 * 1024]) {
  test.serial(
    `tgtd disk to tgtd tape in blocks of ${tapeBlockBytes} bytes: verified, and restored to another tgtd disk`,
    async (t) => {
      const { bridge, directory, target, content } = await start(t);
      const list = await rawList(directory, "list", MEMBERS);
      const backup = await bridge.run(
        {
          jobId: "backup",
          type: "backup",
          disk: { device: "disk0" },
          tape,
          options: { position: "overwrite", tapeBlockBytes, sha256: true },
        },
        { file: list, device: "disk0" },
      );
      succeeded(t, backup);
      const verify = await bridge.run({ jobId: "verify", type: "verify", tape, options: { sha256: true } });
      succeeded(t, verify);
      t.is(verify.membersDone, 3);
      t.is(verify.tapeBlockBytes, tapeBlockBytes);

      const back = await rawList(directory, "back", MEMBERS);
      const restore = await bridge.run(
        { jobId: "restore", type: "restore", disk: { device: "back0" }, tape },
        { file: back, device: "back0" },
      );
      succeeded(t, restore);
      const expected = Buffer.alloc(content.length);
      for (const member of MEMBERS) {
        const data = contentOf(member, { blockBytes: 512, data: content });
        for (const [offset, lba, blocks] of member.at ?? [])
          data.copy(expected, lba * 512, offset * 512, (offset + blocks) * 512);
      }
      t.true(readFileSync(target.units[1]?.file ?? "").equals(expected));
    },
  );
}

test.serial("a drive that does not tell its position is not appended to", async (t) => {
  const { bridge, directory } = await start(t);
  const list = await rawList(directory, "list", MEMBERS);
  const report = await bridge.run(
    { jobId: "backup", type: "backup", disk: { device: "disk0" }, tape, options: { position: "append" } },
    { file: list, device: "disk0" },
  );
  failedWith(t, report, "DEVICE_ERROR", /does not tell its position/);
});

test.serial("a job that names cartridges of a drive that nobody loads is told so", async (t) => {
  const { bridge, directory } = await start(t);
  const list = await rawList(directory, "list", MEMBERS);
  const report = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: ["A00001"] },
    },
    { file: list, device: "disk0" },
  );
  failedWith(t, report, "MEDIA_MISSING", /nobody loads cartridges into tape0/);
});
