// Devices that never answer: jobs that use them can be cancelled, the daemon stops, and a job goes on when the device
// answers again.
import { readFileSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import { type FaultPlant, faultPlant, OP, STATUS } from "../lib/fault-bridge.js";
import { succeeded } from "../lib/job-plant.js";
import { until } from "../lib/slow-bridge.js";

/** The command is not done, and its answer comes in seven weeks. */
const NEVER = { status: STATUS.BUSY, count: 1, delayMs: 0xffff_ffff };
const SPACE_6 = 0x11;

const running = (plant: FaultPlant, jobId: string): Promise<void> =>
  until(async () => {
    const { jobs } = await plant.bridge.session.client.send("job.list", {});
    return jobs.some((job) => job.jobId === jobId && job.state === "running");
  });

/** Long enough for a job to come to the command that hangs; if it has not, the test says less and is right all the same. */
const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 700));

const start = (t: ExecutionContext): Promise<FaultPlant> => faultPlant(t, { jobs: "command_timeout_s = 3600" });

test.serial("a job whose disk or drive never answers can be cancelled, whichever command it is", async (t) => {
  const plant = await start(t);
  const { client } = plant.bridge.session;
  for (const [jobId, device, opcode, skip] of [
    ["write", "tape0", OP.WRITE_6, 6],
    ["space", "tape0", SPACE_6, 0],
  ] as const) {
    await plant.inject(device, { ...NEVER, opcode, skip });
    const report = plant.backup(jobId);
    await running(plant, jobId);
    await moment();
    await client.send("job.cancel", { jobId });
    t.is((await report).state, "cancelled", jobId);
    (await plant.device(device)).clearFaults();
  }
  succeeded(t, await plant.backup("after"));
});

test.serial("the daemon stops while a drive does not answer, and the job goes on in its next life", async (t) => {
  const plant = await start(t);
  succeeded(t, await plant.backup("undisturbed"));
  await plant.inject("tape0", { ...NEVER, opcode: OP.WRITE_6, skip: 6 });
  plant.backup("stopped").catch(() => undefined);
  await running(plant, "stopped");
  await moment();
  await plant.bridge.stop();
  await plant.bridge.start();
  await until(async () => {
    const { report } = await plant.bridge.session.client.send("job.get", { jobId: "stopped" });
    return report?.state === "succeeded";
  });
  t.is(readFileSync(plant.tap("stopped")).length, readFileSync(plant.tap("undisturbed")).length);
  succeeded(t, await plant.verify("verify", "stopped"));
});
