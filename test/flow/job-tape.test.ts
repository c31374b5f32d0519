// What a backup does to a tape that it was not to touch, or not to touch any more.
import { readFileSync, writeFileSync } from "node:fs";
import test from "ava";
import { FOREVER, faultPlant, KEY, OP, STATUS } from "../lib/fault-bridge.js";
import { failedWith, succeeded, tapFile } from "../lib/job-plant.js";
import { MIB, slowJob, slowPlant, startJob, until } from "../lib/slow-bridge.js";

test.serial(
  "a job that is cancelled, or fails, before it wrote anything leaves the tape that it was to overwrite as it was",
  async (t) => {
    const plant = await faultPlant(t);
    const { client } = plant.bridge.session;
    succeeded(t, await plant.backup("kept"));
    const before = readFileSync(plant.tap("kept"));

    await plant.inject("disk0", {
      opcode: OP.ANY,
      status: STATUS.CHECK,
      key: KEY.HARDWARE,
      asc: 0x44,
      first: 64n,
      last: 64n,
      count: FOREVER,
    });
    const failed = await plant.backup("failing", { cartridges: ["kept"], options: { position: "overwrite" } });
    t.is(failed.state, "failed");
    await (await plant.device("disk0")).clearFaults();
    t.true(readFileSync(plant.tap("kept")).equals(before));

    // Slower than it takes to cancel it.
    (await plant.device("disk0")).pace(64n * 1024n);
    const cancelled = plant.backup("cancelled", { cartridges: ["kept"], options: { position: "overwrite" } });
    await until(async () => {
      const { progress } = await client
        .send("job.get", { jobId: "cancelled" })
        .catch(() => ({ progress: { state: "" } }));
      return progress.state === "running";
    });
    await client.send("job.cancel", { jobId: "cancelled" });
    const report = await cancelled;
    t.is(report.state, "cancelled");
    t.is(report.volumes[0]?.to, 0n, "nothing was on tape when it was cancelled");
    t.true(readFileSync(plant.tap("kept")).equals(before));
    (await plant.device("disk0")).pace(0n);
    succeeded(t, await plant.verify("verify", "kept"));
  },
);

test.serial(
  "a backup that goes on does not write on a tape that was changed meanwhile, be it one of the same data",
  async (t) => {
    const { bridge, directory } = await slowPlant(t, "checkpoint_mib = 1");
    const spec = (jobId: string, bytesPerS: bigint) => slowJob(bridge, jobId, { options: { bytesPerS } });
    succeeded(t, await bridge.session.run(await spec("other", 0n)));
    const other = readFileSync(tapFile(directory, "other"));

    const interrupted = await startJob(bridge, await spec("torn", BigInt(MIB)));
    await until(() => (interrupted.progress.at(-1)?.bytesDone ?? 0n) > 5n * BigInt(MIB / 2));
    await bridge.kill();
    // Somebody takes the cartridge out and puts yesterday's in.
    writeFileSync(tapFile(directory, "torn"), other);
    bridge.launch();
    const report = await interrupted.report;
    failedWith(t, report, "MEDIA_CHANGED", /nothing was written/i);
    t.true(readFileSync(tapFile(directory, "torn")).equals(other));
  },
);

test.serial("a clone can be cancelled while it runs, however few extents its list has", async (t) => {
  const { bridge } = await slowPlant(t);
  const spec = await slowJob(bridge, "clone");
  const { tape: _tape, options, ...rest } = spec;
  const { report } = await startJob(bridge, {
    ...rest,
    type: "clone",
    toDisk: { device: "spare" },
    options: { bytesPerS: options?.bytesPerS ?? 1n },
  });
  t.is((await bridge.session.client.send("job.cancel", { jobId: "clone" })).jobId, "clone");
  t.is((await report).state, "cancelled");
});

test.serial("a job that waits for a drive to become ready can be cancelled", async (t) => {
  const plant = await faultPlant(t);
  const { client } = plant.bridge.session;
  const loading = { opcode: 0, status: STATUS.CHECK, key: 2, asc: 0x04, ascq: 0x01, count: FOREVER };
  for (const [device, jobId] of [
    ["tape0", "loading"],
    ["disk0", "spinning-up"],
  ] as const) {
    await plant.inject(device, loading);
    const job = plant.backup(jobId);
    await until(async () => {
      const { progress } = await client.send("job.get", { jobId }).catch(() => ({ progress: { state: "" } }));
      return progress.state === "running";
    });
    await client.send("job.cancel", { jobId });
    t.is((await job).state, "cancelled");
    await (await plant.device(device)).clearFaults();
  }
  succeeded(t, await plant.backup("ready"));
});
