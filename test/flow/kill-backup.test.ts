// kill -9 of the daemon in a backup: wherever it comes, the finished tape is that of a job that nobody disturbed.
import { statSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { JobReport } from "../../src/job.js";
import { compareFolders } from "../../tools/demo/compare.js";
import { untar } from "../lib/tar-tape.js";
import { tmpDir } from "../lib/tmp.js";
import {
  type KillBench,
  MIB,
  retainedReports,
  type Seed,
  Shared,
  sameTapes,
  seedBackup,
  type Undisturbed,
  undisturbed,
  until,
} from "./kill-parts.js";

const TAPE = "T00001";
const BLOCK = 4096;
const OPTIONS = { tapeBlockBytes: BLOCK, sha256: true };
/** Slow enough that a look at the tape's file comes in time. */
const SLOW = "mib_per_s = 8";

const shared = new Shared();
let seed: Seed;
let twin: Undisturbed;

test.before(async () => {
  seed = await seedBackup(shared, await shared.directory(), { mib: 2, options: OPTIONS });
  twin = await undisturbed(shared, seed);
});
test.after.always(() => shared.end());

/** Starts the copy's daemon and waits for the report of its job, however often the daemon is killed meanwhile. */
async function begin(bench: KillBench, spec = seed.spec): Promise<Promise<JobReport>[]> {
  await bench.bridge.start();
  return [bench.bridge.session.run(spec)];
}

test.serial(
  "kill -9 at twelve places of one backup: the tape is the undisturbed one, and tar restores it",
  async (t) => {
    const whole = twin.bench.written(TAPE);
    const blockList = whole - 3 * 32 * 1024;
    const bench = await seed.copy(t, "killed", SLOW);
    const [reported] = await begin(bench);
    const at = async (what: string, bytes: number): Promise<void> => {
      await bench.killWhen(`${what}: ${bytes} bytes on tape`, () => bench.written(TAPE) >= bytes);
      bench.bridge.launch();
    };
    await at("right after the start", 1);
    await at("before the first checkpoint", 40 * BLOCK);
    for (let place = 1; place <= 7; place++) await at("between checkpoints", Math.floor((whole * place) / 8));
    await at("again, before the resumed job has written a block", Math.floor((whole * 7) / 8));
    await at("among the block checksums and the manifest", blockList);
    await at("when the last byte is on tape", whole);
    const report = await reported;
    t.is(report?.state, "succeeded", report?.failure?.message);
    t.true((report?.resumes ?? 0) >= 10, `${report?.resumes} resumes`);
    await bench.bridge.stop();
    sameTapes(t, bench, twin.bench);
    const { manifest, manifestCrc32c, volumes, membersDone } = twin.report;
    t.like(report, { manifest, manifestCrc32c, volumes, membersDone, lost: [], miscompares: [] });
    const to = join(bench.directory, "untarred");
    await untar(bench.tape(TAPE), to);
    t.deepEqual((await compareFolders(seed.original, to, [".gantry"])).differences, []);
  },
);

test.serial("kill -9 at times drawn by lot: the tape is the undisturbed one", async (t) => {
  const bench = await seed.copy(t, "by-lot", SLOW);
  const [reported] = await begin(bench);
  let lot = 20260101;
  for (let kills = 0; kills < 5; kills++) {
    lot = (Math.imul(lot, 1103515245) + 12345) >>> 0;
    await new Promise((resolve) => setTimeout(resolve, 200 + ((lot >>> 16) % 700)));
    await bench.bridge.kill();
    bench.bridge.launch();
  }
  const report = await reported;
  t.is(report?.state, "succeeded", report?.failure?.message);
  await bench.bridge.stop();
  sameTapes(t, bench, twin.bench);
});

test.serial("kill -9 while one cartridge gives way to the next: every cartridge is the undisturbed one", async (t) => {
  const cartridges = ["S00001", "S00002", "S00003"];
  const options = { mib: 4, capacityMib: 6, cartridges, options: OPTIONS };
  const seed = await seedBackup(t, await tmpDir(t, "kill"), options);
  const twin = await undisturbed(t, seed);
  t.is(twin.report.volumes.length, 3);
  const bench = await seed.copy(t, "killed", "mib_per_s = 16");
  const [reported] = await begin(bench, seed.spec);
  for (const [index, name] of cartridges.entries()) {
    const next = cartridges[index + 1];
    // The filemark is the last four bytes of a cartridge.
    const full = twin.bench.written(name) - 4;
    await bench.killWhen(`${name} is full`, () => bench.written(name) >= full);
    bench.bridge.launch();
    if (next === undefined) continue;
    await bench.killWhen(`${next} is in the drive`, () => bench.tapes().has(`${next}.tap`));
    bench.bridge.launch();
    await bench.killWhen(`${next} has its lead`, () => bench.written(next) > 16384);
    bench.bridge.launch();
  }
  const report = await reported;
  t.is(report?.state, "succeeded", report?.failure?.message);
  t.deepEqual(report?.volumes, twin.report.volumes);
  await bench.bridge.stop();
  sameTapes(t, bench, twin.bench);
});

test.serial(
  "SIGTERM in mid-job is a clean stop: the job goes on at the next start, and the tape is the undisturbed one",
  async (t) => {
    const bench = await seed.copy(t, "stopped", SLOW);
    const [reported] = await begin(bench);
    for (const mib of [2, 5]) {
      const atLeast = Math.max(mib * MIB, bench.written(TAPE) + MIB / 2);
      await until(`${mib} MiB are on tape, some of them since the start`, () => bench.written(TAPE) >= atLeast);
      t.is(await bench.bridge.stop(), 0);
      const record = await bench.record("job");
      t.is(record.state, "running");
      // What was on its way at the stop is journalled: nothing of it is copied again.
      t.true((record.checkpoint?.offset ?? 0n) >= BigInt(mib * MIB) - 65536n, String(record.checkpoint?.offset));
      bench.bridge.launch();
    }
    const report = await reported;
    t.is(report?.state, "succeeded", report?.failure?.message);
    t.is(report?.resumes, 2);
    await bench.bridge.stop();
    sameTapes(t, bench, twin.bench);
  },
);

test.serial("kill -9 around the end: the report is there once, and the job is not run twice", async (t) => {
  const bench = await seed.copy(t, "ended");
  const [reported] = await begin(bench);
  await bench.killWhen("the last byte is on tape", () => bench.written(TAPE) >= twin.bench.written(TAPE));
  bench.bridge.launch();
  const report = await reported;
  await bench.bridge.kill();
  t.is(report?.state, "succeeded", report?.failure?.message);
  sameTapes(t, bench, twin.bench);
  const written = statSync(bench.tape(TAPE)).mtimeMs;
  // The report was given: from here on the job has ended, whatever happens to the daemon.
  t.deepEqual((await bench.record("job")).report, report);
  await bench.bridge.start();
  t.deepEqual((await bench.bridge.session.client.send("job.get", { jobId: "job" })).report, report);
  t.deepEqual(await bench.bridge.session.run(seed.spec), report);
  await bench.bridge.stop();
  t.is(statSync(bench.tape(TAPE)).mtimeMs, written);
  const retained = await retainedReports(bench.mosquitto.port);
  t.deepEqual(
    retained.filter(({ jobId }) => jobId === "job"),
    [report],
  );
});
