// Steering jobs from outside: pause, rate, cancel, priority, timeouts, the same job again.
import { readFileSync } from "node:fs";
import test from "ava";
import { succeeded, tapFile } from "../lib/job-plant.js";
import { MIB, slowJob, slowPlant, startJob, until } from "../lib/slow-bridge.js";

test.serial(
  "a job is paused, goes on, is let loose, and moves every byte; progress comes at most once a second",
  async (t) => {
    const { bridge } = await slowPlant(t);
    const { client } = bridge.session;
    const { report, progress } = await startJob(bridge, await slowJob(bridge, "paced"));
    t.is((await client.send("job.pause", { jobId: "paced" })).state, "paused");
    const done = async (): Promise<bigint> => (await client.send("job.get", { jobId: "paced" })).progress.bytesDone;
    const spells = progress.length;
    // What was under way when the pause came may still land; then nothing moves any more.
    await until(() => progress.length >= spells + 2);
    const before = await done();
    const seen = progress.length;
    await until(() => progress.length >= seen + 2);
    t.is(await done(), before, "a paused job moves nothing");
    t.is(progress.at(-1)?.state, "paused");

    t.is((await client.send("job.resume", { jobId: "paced" })).state, "running");
    await until(async () => (await done()) > before);
    await client.send("job.rate", { jobId: "paced", bytesPerS: 0n });
    const ended = await report;
    succeeded(t, ended);
    t.is(ended.membersDone, 12);
    t.true(ended.throttleMs > 0, "it was held back on purpose, and says so");
    const seconds = (ended.endedMs - (ended.startedMs ?? 0)) / 1000;
    // One for each whole second, and one for each of start, pause and resume.
    t.true(progress.length <= seconds + 1 + 3, `${progress.length} in ${seconds} s`);
    const tape = { device: "tape0", cartridges: ["paced"] };
    succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape }));

    for (const kind of ["job.pause", "job.resume"] as const)
      await t.throwsAsync(client.send(kind, { jobId: "paced" }), { code: "JOB_NOT_RUNNING" });
    await t.throwsAsync(client.send("job.rate", { jobId: "paced", bytesPerS: 1n }), { code: "JOB_NOT_RUNNING" });
    await t.throwsAsync(client.send("job.pause", { jobId: "nobody" }), { code: "JOB_UNKNOWN" });
  },
);

test.serial("a job never moves more than its rate allows", async (t) => {
  const { bridge } = await slowPlant(t);
  const bytesPerS = 3n * BigInt(MIB);
  const spec = await slowJob(bridge, "limited", { options: { bytesPerS } });
  const report = await bridge.session.run(spec);
  succeeded(t, report);
  // 6 MiB; a burst at the start may be a second's worth.
  t.true(report.endedMs - (report.startedMs ?? 0) >= 900, `${report.endedMs - (report.startedMs ?? 0)} ms`);
  t.true(report.throttleMs > 0);
});

test.serial(
  "a cancelled job ends at a checkpoint, its tape in a filemark; one that has ended cannot be cancelled",
  async (t) => {
    const { bridge, directory } = await slowPlant(t);
    const { client } = bridge.session;
    const { report } = await startJob(bridge, await slowJob(bridge, "gone"));
    await client.send("job.cancel", { jobId: "gone" });
    const ended = await report;
    t.is(ended.state, "cancelled");
    t.is(ended.failure, undefined);
    const [volume] = ended.volumes;
    t.true((volume?.to ?? 0n) > 0n && (volume?.to ?? 0n) < 6n * BigInt(MIB));
    const tap = readFileSync(tapFile(directory, "gone"));
    t.is(tap.readUInt32LE(tap.length - 4), 0, "a filemark ends the tape");
    t.is(BigInt(tap.length - 4), (volume?.endObject ?? 0n) * BigInt(64 * 1024 + 8), "just the blocks of the report");
    t.is((await client.send("job.cancel", { jobId: "gone" })).state, "cancelled", "asking again is no error");

    // Paused is no way out of being cancelled.
    const second = await startJob(bridge, await slowJob(bridge, "held"));
    await client.send("job.pause", { jobId: "held" });
    await client.send("job.cancel", { jobId: "held" });
    t.is((await second.report).state, "cancelled");

    const quick = await bridge.session.run(await slowJob(bridge, "quick", { options: { bytesPerS: 0n } }));
    succeeded(t, quick);
    await t.throwsAsync(client.send("job.cancel", { jobId: "quick" }), { code: "JOB_CANCEL_REFUSED" });
    await t.throwsAsync(client.send("job.cancel", { jobId: "nobody" }), { code: "JOB_UNKNOWN" });
  },
);

test.serial(
  "jobs for a busy drive wait, and start by priority and then by age; a waiting one can be cancelled or time out",
  async (t) => {
    const { bridge } = await slowPlant(t, "concurrent = 4");
    const { client } = bridge.session;
    const running = await startJob(bridge, await slowJob(bridge, "first"));
    const queue = async (jobId: string, priority: number, timeoutMs = 0) => {
      const spec = await slowJob(bridge, jobId, { priority, options: { bytesPerS: 0n, timeoutMs } });
      const report = bridge.session.run(spec);
      await until(async () => (await client.send("job.list", {})).jobs.some((job) => job.jobId === jobId));
      return report.then((ended) => ended);
    };
    const order = ["low", "mid", "mid2", "high"];
    const reports = [];
    for (const [index, jobId] of order.entries()) {
      const report = queue(jobId, [10, 100, 100, 200][index] ?? 0);
      await until(async () => (await client.send("job.list", {})).jobs.some((job) => job.jobId === jobId));
      reports.push(report);
    }
    const cancelled = queue("cancelled", 255);
    await until(async () => (await client.send("job.list", {})).jobs.some((job) => job.jobId === "cancelled"));
    const late = queue("late", 255, 1);
    const other = bridge.session.run(
      await slowJob(bridge, "other-drive", {
        tape: { device: "tape1", cartridges: ["other"] },
        options: { bytesPerS: 0n },
      }),
    );
    succeeded(t, await other);
    t.is((await client.send("job.get", { jobId: "first" })).progress.state, "running", "another drive was free");
    t.is((await client.send("job.cancel", { jobId: "cancelled" })).state, "cancelled");
    const never = await cancelled;
    t.is(never.state, "cancelled");
    t.is(never.startedMs, undefined);
    const overdue = await late;
    t.is(overdue.state, "timed-out");
    t.is(overdue.startedMs, undefined);

    await client.send("job.rate", { jobId: "first", bytesPerS: 0n });
    succeeded(t, await running.report);
    const ended = await Promise.all(reports);
    for (const report of ended) succeeded(t, report);
    const started = ended.toSorted((a, b) => (a.startedMs ?? 0) - (b.startedMs ?? 0)).map(({ jobId }) => jobId);
    t.deepEqual(started, ["high", "mid", "mid2", "low"]);
    for (const [index, report] of ended.toSorted((a, b) => (a.startedMs ?? 0) - (b.startedMs ?? 0)).entries()) {
      const next = ended.toSorted((a, b) => (a.startedMs ?? 0) - (b.startedMs ?? 0))[index + 1];
      if (next !== undefined) t.true(report.endedMs <= (next.startedMs ?? 0), "one at a time on one drive");
    }
  },
);

test.serial("a running job that is not done in time ends as timed-out", async (t) => {
  const { bridge } = await slowPlant(t);
  const { report } = await startJob(bridge, await slowJob(bridge, "late", { options: { timeoutMs: 6000 } }));
  const ended = await report;
  t.is(ended.state, "timed-out");
  t.true(ended.bytesDone > 0n);
});

test.serial("the same job again is the same job, and another one under its id is refused", async (t) => {
  const { bridge, directory } = await slowPlant(t);
  const { client } = bridge.session;
  const spec = await slowJob(bridge, "once", { options: { bytesPerS: 2n * BigInt(MIB) } });
  const { report } = await startJob(bridge, spec);
  t.is((await client.send("job.submit", spec)).state, "running");
  const others = [
    { ...spec, priority: 7 },
    { ...spec, tape: { device: "tape1", cartridges: ["once"] } },
    { ...spec, options: { ...spec.options, sha256: true } },
  ];
  for (const other of others) await t.throwsAsync(client.send("job.submit", other), { code: "JOB_ID_REUSED" });
  succeeded(t, await report);
  const tape = readFileSync(tapFile(directory, "once"));
  t.is((await client.send("job.submit", spec)).state, "succeeded");
  for (const other of others) await t.throwsAsync(client.send("job.submit", other), { code: "JOB_ID_REUSED" });
  t.is((await client.send("job.list", {})).jobs.length, 1);
  t.true(readFileSync(tapFile(directory, "once")).equals(tape), "it was not run again");
});
