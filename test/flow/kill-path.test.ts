// The path to a device fails in mid-job and comes back: the job goes on from its checkpoint by itself.
import { createReadStream, createWriteStream, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import test, { type ExecutionContext } from "ava";
import { compareFolders } from "../../tools/demo/compare.js";
import { type Plant, startPlant, succeeded, tapFile } from "../lib/job-plant.js";
import { makeServer } from "../lib/server-files.js";
import { untar } from "../lib/tar-tape.js";
import { startTgtd, type Tgtd } from "../lib/tgtd.js";
import { until } from "./kill-parts.js";

const MIB = 1024 * 1024;

/** A bridge whose source is a disk of tgtd's with a server's files on it. */
async function start(t: ExecutionContext): Promise<{ plant: Plant; tgtd: Tgtd; original: string }> {
  const tgtd = await startTgtd({ disks: [50] });
  t.teardown(() => tgtd.close());
  const [disk] = tgtd.units;
  let original = "";
  const plant = await startPlant(t, {
    devices: async (directory) => {
      const server = await makeServer(directory, 2, 48);
      original = server.original;
      // Into the unit's own file, which stays in its place.
      await pipeline(createReadStream(server.image), createWriteStream(disk?.file ?? "", { flags: "r+" }));
      return `[[device]]
name = "disk0"
type = "disk"
transport = "iscsi"
portal = "${tgtd.portal}"
target = "${tgtd.target}"
lun = ${disk?.lun}
connect_timeout_s = 2
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(directory, "tapes")}"
`;
    },
    // A small ring, or all of the source is in it before the tape has started.
    memory: "arena_mib = 8",
    jobs: "checkpoint_mib = 1\nmib_per_s = 10\nresume_limit = 50",
  });
  return { plant, tgtd, original };
}

test.serial(
  "the iSCSI target of the source is killed in a backup and comes back: the job goes on by itself, and tar restores the tape",
  async (t) => {
    const { plant, tgtd, original } = await start(t);
    const tape = tapFile(plant.directory, "P00001");
    const written = (): number => statSync(tape, { throwIfNoEntry: false })?.size ?? 0;
    const reported = plant.bridge.run(
      {
        jobId: "path",
        type: "backup",
        disk: { device: "disk0" },
        tape: { device: "tape0", cartridges: ["P00001"] },
        options: { tapeBlockBytes: 4096 },
      },
      { file: join(plant.directory, "backup.glist"), device: "disk0" },
    );
    await until("4 MiB are on tape", () => written() >= 4 * MIB);
    await tgtd.kill();
    const { client } = plant.bridge.session;
    await until("the daemon has met the failure", () => log(plant.directory).includes("goes on from its checkpoint"));
    t.is((await client.send("job.get", { jobId: "path" })).progress.state, "running");
    await tgtd.start();
    const report = await reported;
    succeeded(t, report);
    t.true(report.resumes >= 1, `${report.resumes} resumes`);
    const to = join(plant.directory, "untarred");
    await untar(tape, to);
    t.deepEqual((await compareFolders(original, to, [".gantry"])).differences, []);
    // The tape is what the manifest says, block by block.
    succeeded(
      t,
      await plant.bridge.run({
        jobId: "check",
        type: "verify",
        tape: { device: "tape0", cartridges: ["P00001"] },
        options: { bytesPerS: 0n },
      }),
    );
  },
);

test.serial(
  "kill -9 right after a cancel was acknowledged: the job ends as cancelled, and does not go on",
  async (t) => {
    const { plant, tgtd } = await start(t);
    const { bridge } = plant;
    const tape = tapFile(plant.directory, "C00001");
    const reported = bridge.run(
      {
        jobId: "cancelled",
        type: "backup",
        disk: { device: "disk0" },
        tape: { device: "tape0", cartridges: ["C00001"] },
        options: { tapeBlockBytes: 4096 },
      },
      { file: join(plant.directory, "backup.glist"), device: "disk0" },
    );
    await until("2 MiB are on tape", () => (statSync(tape, { throwIfNoEntry: false })?.size ?? 0) >= 2 * MIB);
    // Reads that are not answered keep the job from ending while the daemon still lives.
    process.kill(tgtd.pid, "SIGSTOP");
    await bridge.session.client.send("job.cancel", { jobId: "cancelled" });
    await bridge.kill();
    process.kill(tgtd.pid, "SIGCONT");
    t.false(log(plant.directory).includes('"job ended"'));
    bridge.launch();
    t.is((await reported).state, "cancelled");
  },
);

const log = (directory: string): string => readFileSync(join(directory, "gantryd.log"), "utf8");
