// An iSCSI target that stands still in mid-copy, as one whose machine swaps or whose storage hangs: its connection is
// there, and nothing is answered.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { failedWith, succeeded } from "../lib/job-plant.js";
import { type Started, until } from "../lib/slow-bridge.js";
import { type TargetPlant, targetPlant } from "../lib/target-plant.js";

const MIB = 1024n * 1024n;
const JOBS = "checkpoint_mib = 1\ncommand_timeout_s = 2\ntape_timeout_s = 10\nresume_limit = ";

const halt = ({ tgtd }: TargetPlant): boolean => process.kill(tgtd.pid, "SIGSTOP");
const goOn = ({ tgtd }: TargetPlant): boolean => process.kill(tgtd.pid, "SIGCONT");
const hurry = async ({ bridge }: TargetPlant, jobId: string): Promise<void> =>
  void (await bridge.session.client.send("job.rate", { jobId, bytesPerS: 0n }));
const inMidCopy = (job: Started): Promise<void> => until(() => (job.progress.at(-1)?.bytesDone ?? 0n) > 2n * MIB);
const resumed = ({ directory }: TargetPlant): Promise<void> =>
  until(() => readFileSync(join(directory, "gantryd.log"), "utf8").includes("goes on from its checkpoint"), 120_000);

for (const tape of ["tape0", "drive"] as const) {
  const what = tape === "drive" ? "under disk and drive" : "under the disk";
  const cartridges = (jobId: string): string[] => (tape === "drive" ? [] : [jobId]);

  test.serial(`a target that stands still ${what}: the job goes on when it answers again`, async (t) => {
    const plant = await targetPlant(t, `${JOBS}20`);
    const job = await plant.start("still", tape, MIB);
    await inMidCopy(job);
    halt(plant);
    await resumed(plant);
    goOn(plant);
    await hurry(plant, "still");
    const report = await job.report;
    succeeded(t, report);
    t.true(report.resumes > 0);
    const read = { device: tape, cartridges: cartridges("still") };
    const verify = await plant.bridge.run({ jobId: "verify", type: "verify", tape: read });
    succeeded(t, verify);
    t.is(verify.membersDone, 2);
  });

  test.serial(
    `a target that stands still ${what} for good: the job fails, and says that nothing answers`,
    async (t) => {
      const plant = await targetPlant(t, `${JOBS}1`);
      const job = await plant.start("dead", tape, MIB);
      await inMidCopy(job);
      halt(plant);
      const report = await job.report;
      goOn(plant);
      failedWith(t, report, "DEVICE_PATH_FAILED");
      succeeded(t, await plant.backup("after", tape));
    },
  );

  test.serial(`while a target stands still ${what} a job can be cancelled, and the daemon stops`, async (t) => {
    const plant = await targetPlant(t, `${JOBS}20`);
    const { bridge } = plant;
    const cancelled = await plant.start("cancelled", tape, MIB);
    await inMidCopy(cancelled);
    halt(plant);
    await bridge.session.client.send("job.cancel", { jobId: "cancelled" });
    t.is((await cancelled.report).state, "cancelled");
    goOn(plant);

    const stopped = await plant.start("stopped", tape, MIB);
    await inMidCopy(stopped);
    halt(plant);
    t.is(await bridge.stop(), 0);
    goOn(plant);
    await bridge.start();
    await hurry(plant, "stopped");
    await until(async () => {
      const { report } = await bridge.session.client.send("job.get", { jobId: "stopped" });
      return report?.state === "succeeded";
    });
  });
}
