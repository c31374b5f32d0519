// Devices behind an iSCSI target that goes away and comes back, as the same ones or as others, or that somebody else
// holds.
import test from "ava";
import { native } from "../../src/native/index.js";
import { failedWith, succeeded } from "../lib/job-plant.js";
import { until } from "../lib/slow-bridge.js";
import { otherInitiator, type TargetPlant, targetPlant } from "../lib/target-plant.js";

const RATE = 1024n * 1024n;
const JOBS = "checkpoint_mib = 1\nresume_limit = 8";

/** Lets what is left of a job go as fast as it can. */
const hurry = async ({ bridge }: TargetPlant, jobId: string): Promise<void> =>
  void (await bridge.session.client.send("job.rate", { jobId, bytesPerS: 0n }));

test.serial(
  "a target that dies and comes back under disk and drive: the job goes on, and the tape is whole",
  async (t) => {
    const plant = await targetPlant(t, JOBS);
    const job = await plant.start("torn", "drive", RATE);
    await until(() => (job.progress.at(-1)?.bytesDone ?? 0n) > 2n * RATE);
    await plant.tgtd.kill();
    await plant.tgtd.start();
    await hurry(plant, "torn");
    const report = await job.report;
    succeeded(t, report);
    t.true(report.resumes > 0);
    const verify = await plant.bridge.run({
      jobId: "verify",
      type: "verify",
      tape: { device: "drive", cartridges: [] },
    });
    succeeded(t, verify);
    t.is(verify.membersDone, 2);
  },
);

test.serial("a disk that is another one when the target comes back is not gone on with", async (t) => {
  const plant = await targetPlant(t, JOBS.replace("8", "2"));
  const job = await plant.start("swapped", "tape0", RATE);
  await until(() => (job.progress.at(-1)?.bytesDone ?? 0n) > 2n * RATE);
  await plant.tgtd.kill();
  await plant.tgtd.start();
  const change = ["--lld", "iscsi", "--op", "update", "--mode", "logicalunit", "--tid", "1", "--lun", "1"];
  await plant.tgtd.admin(...change, "--params", "scsi_id=another,scsi_sn=another");
  failedWith(t, await job.report, "DEVICE_CHANGED", /disk0 is another disk than the job began with/);
});

test.serial("a disk that was exchanged while the daemon was down is not gone on with", async (t) => {
  const plant = await targetPlant(t, JOBS.replace("8", "0"));
  const job = await plant.start("exchanged", "tape0", RATE);
  await until(() => (job.progress.at(-1)?.bytesDone ?? 0n) > 2n * RATE);
  await plant.bridge.kill();
  const change = ["--lld", "iscsi", "--op", "update", "--mode", "logicalunit", "--tid", "1", "--lun", "1"];
  await plant.tgtd.admin(...change, "--params", "scsi_id=another,scsi_sn=another");
  plant.bridge.launch();
  failedWith(t, await job.report, "DEVICE_CHANGED", /another disk/);
});

/** PERSISTENT RESERVE OUT (SPC-4 6.16): a service action with the key that is registered and the one that shall be. */
async function reserveOut(lu: Awaited<ReturnType<typeof native.openLu>>, action: number, key: bigint, next: bigint) {
  const cdb = Buffer.from([0x5f, action, action === 0 ? 0 : 0x03, 0, 0, 0, 0, 0, 24, 0]);
  const data = Buffer.alloc(24);
  data.writeBigUInt64BE(key, 0);
  data.writeBigUInt64BE(next, 8);
  for (let attempt = 0; ; attempt++) {
    const answer = await lu.execute(cdb, { dataOut: data });
    if (answer.status === 0 || attempt > 4) return answer;
  }
}

test.serial(
  "a disk that another initiator has reserved: the job says so, and the next one after its release is well",
  async (t) => {
    const plant = await targetPlant(t, JOBS);
    const other = await native.openLu(otherInitiator(plant.tgtd, 1));
    t.teardown(() => other.close());
    t.is((await reserveOut(other, 0x00, 0n, 7n)).status, 0, "REGISTER");
    t.is((await reserveOut(other, 0x01, 7n, 0n)).status, 0, "RESERVE, exclusive access");
    failedWith(t, await plant.backup("held", "tape0"), "DEVICE_RESERVED", /disk0.*RESERVATION CONFLICT/);
    t.is((await reserveOut(other, 0x02, 7n, 0n)).status, 0, "RELEASE");
    succeeded(t, await plant.backup("free", "tape0"));
  },
);
