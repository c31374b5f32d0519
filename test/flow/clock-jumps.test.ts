// The wall clock is set while the daemon runs: what is under way goes by the monotonic clock, keys by the later of both.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { systemClock } from "../../src/sys/clock.js";
import { deviceTables, startPlantInside, succeeded } from "../lib/job-plant.js";
import { rawDisk, rawList } from "../lib/raw-disk.js";
import { backup, MIB } from "./control-path-parts.js";
import { until } from "./kill-parts.js";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;

async function start(t: ExecutionContext) {
  const plant = await startPlantInside(t, {
    devices: (directory) => {
      rawDisk(join(directory, "disk.img"), 8);
      return deviceTables({
        disks: { disk0: { path: join(directory, "disk.img") } },
        tapes: { tape0: { path: join(directory, "tapes") }, tape1: { path: join(directory, "tapes1") } },
      });
    },
    memory: "arena_mib = 8",
    jobs: "concurrent = 4",
  });
  const { bridge } = plant;
  // A daemon whose wall clock the test can set.
  await bridge.stop();
  let offMs = 0;
  bridge.clock = { nowMs: () => Date.now() + offMs, monotonicMs: () => systemClock.monotonicMs() };
  await bridge.start();
  const members = Array.from({ length: 7 }, (_, index) => {
    return { name: `file-${index}`, at: [[0, index * 2048, 2048] as const] };
  });
  await bridge.sendList(await rawList(plant.directory, "list", members), "disk0");
  const submit = async (jobId: string, tape: string) => {
    const spec = await backup(bridge, jobId, BigInt(MIB), tape);
    return { ...spec, options: { ...spec.options, timeoutMs: HOUR } };
  };
  const moves = async (jobId: string): Promise<void> => {
    const bytes = async (): Promise<bigint> =>
      (await bridge.session.client.send("job.get", { jobId }).catch(() => NOTHING)).progress.bytesDone;
    const from = await bytes();
    await until(`${jobId} moves`, async () => (await bytes()) > from);
  };
  const set = (ms: number): void => {
    offMs = ms;
  };
  return { bridge, submit, moves, set };
}

const NOTHING = { progress: { bytesDone: 0n } };

test("half an hour forward, then an hour back: the job goes on, no time-out, no reconnection; new jobs wait for a clock to be believed", async (t) => {
  const { bridge, submit, moves, set } = await start(t);
  const { client } = bridge.session;
  const later = await submit("later", "tape1");
  const reported = bridge.session.run(await submit("runs", "tape0"));
  await moves("runs");
  const { bdSeq } = client.bridge ?? t.fail("no bridge");
  set(HOUR / 2);
  await moves("runs");
  set(-HOUR / 2);
  await moves("runs");
  // Went back by an hour: the key that is there is not believed to be in force for somebody new.
  const refused = await t.throwsAsync(client.send("job.submit", later), { code: "GATE_REFUSED" });
  t.regex(refused?.message ?? "", /clock/i);
  const report = await reported;
  succeeded(t, report);
  t.true(report.bytesPerS < BigInt(4 * MIB), `${report.bytesPerS} bytes a second, whatever the clock says`);
  t.is(client.bridge?.bdSeq, bdSeq);
});

test("years forward: keys of before are expired for whoever comes, and the job that runs is not timed out", async (t) => {
  const { bridge, submit, moves, set } = await start(t);
  const reported = bridge.session.run(await submit("expired", "tape0"));
  await moves("expired");
  set(YEAR);
  const next = await submit("next", "tape1").catch((error: { code?: string }) => error);
  t.is("code" in next ? next.code : undefined, "KEY_EXPIRED");
  // The gate looks at what runs once a minute, and would end it then: this one is done before.
  succeeded(t, await reported);
});
