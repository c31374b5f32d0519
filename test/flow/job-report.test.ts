// Reports: retained by the server, published again after a restart, gone when they are forgotten.
import { randomUUID } from "node:crypto";
import test from "ava";
import { BridgeClient } from "../../src/control/client.js";
import type { JobReport } from "../../src/job.js";
import { BRIDGE } from "../lib/bridge.js";
import { succeeded } from "../lib/job-plant.js";
import { slowJob, slowPlant, startJob, until } from "../lib/slow-bridge.js";

/** Reports that a broker finds who comes now and has seen nothing before. */
async function retained(port: number, wanted: number): Promise<readonly JobReport[]> {
  const reports: JobReport[] = [];
  const client = new BridgeClient({
    bridgeId: BRIDGE,
    server: { host: "127.0.0.1", port, clientId: `late-${randomUUID()}` },
    onReport: (report) => reports.push(report),
  });
  client.start();
  try {
    await client.online(20_000);
    // Retained messages come with the subscription, so before the reply to what is asked afterwards.
    await client.send("status.get", {});
    await until(() => reports.length >= wanted);
    return reports;
  } finally {
    await client.stop();
  }
}

test("a report is there for whoever comes later, also after bridge and server were restarted, until it is forgotten", async (t) => {
  const { bridge, mosquitto } = await slowPlant(t);
  const report = await bridge.session.run(await slowJob(bridge, "kept", { options: { bytesPerS: 0n } }));
  succeeded(t, report);
  t.deepEqual(await retained(mosquitto.port, 1), [report]);

  t.is(await bridge.stop(), 0);
  await mosquitto.kill(); // it keeps nothing on disk, so the retained report is lost
  await mosquitto.start();
  await bridge.start();
  t.deepEqual(await retained(mosquitto.port, 1), [report]);
  const { client } = bridge.session;
  t.deepEqual((await client.send("job.get", { jobId: "kept" })).report, report);

  const { report: later } = await startJob(bridge, await slowJob(bridge, "running"));
  await t.throwsAsync(client.send("job.forget", { jobId: "running" }), { code: "JOB_NOT_ENDED" });
  await client.send("job.forget", { jobId: "kept" });
  await t.throwsAsync(client.send("job.get", { jobId: "kept" }), { code: "JOB_UNKNOWN" });
  await t.throwsAsync(client.send("job.forget", { jobId: "kept" }), { code: "JOB_UNKNOWN" });
  t.deepEqual(await retained(mosquitto.port, 0), []);
  await client.send("job.cancel", { jobId: "running" });
  t.is((await later).state, "cancelled");
  t.deepEqual(
    (await retained(mosquitto.port, 1)).map(({ jobId }) => jobId),
    ["running"],
  );
});
