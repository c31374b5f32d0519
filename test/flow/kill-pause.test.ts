// What an operator asked of a running job, and was told yes: it holds in the daemon's next life too.
import test from "ava";
import { succeeded } from "../lib/job-plant.js";
import { slowJob, slowPlant, startJob, until } from "../lib/slow-bridge.js";

test("kill -9 after a pause and a new rate were acknowledged: the job comes back paused, and goes on at that rate when it is resumed", async (t) => {
  const { bridge } = await slowPlant(t);
  const { client } = bridge.session;
  const { report } = await startJob(bridge, await slowJob(bridge, "held"));
  await client.send("job.pause", { jobId: "held" });
  await client.send("job.rate", { jobId: "held", bytesPerS: 0n });
  const before = (await client.send("job.get", { jobId: "held" })).progress;
  t.is(before.state, "paused");
  await bridge.kill();
  bridge.launch();
  await until(async () => (await client.send("job.get", { jobId: "held" })).progress.state !== "queued");
  // Long enough for a job that is not held back by anything to end.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  t.is((await client.send("job.get", { jobId: "held" })).progress.state, "paused");
  await client.send("job.resume", { jobId: "held" });
  const ended = await report;
  succeeded(t, ended);
  t.true(ended.resumes >= 1);
});
