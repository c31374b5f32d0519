// kill -9 of the daemon in scrubs and while a backup is read back, in the middle and at a change of cartridges: the job
// ends once, and with what an undisturbed twin finds.
import { closeSync, openSync, readSync, statSync, writeSync } from "node:fs";
import test, { type ExecutionContext } from "ava";
import type { JobReport } from "../../src/job.js";
import {
  type KillBench,
  MIB,
  retainedReports,
  type Seed,
  Shared,
  type Spec,
  sameTapes,
  seedBackup,
  until,
} from "./kill-parts.js";

const CARTRIDGES = ["K00001", "K00002", "K00003", "K00004", "K00005", "K00006"];
const BLOCK = 4096;
const shared = new Shared();
let seed: Seed;
let twin: KillBench;
let written: JobReport;

test.before(async () => {
  const options = { tapeBlockBytes: BLOCK, readBack: true };
  seed = await seedBackup(shared, await shared.directory(), {
    mib: 1,
    capacityMib: 4,
    cartridges: CARTRIDGES,
    options,
  });
  twin = await seed.copy(shared, "twin");
  await twin.bridge.start();
  written = await twin.bridge.session.run(seed.spec);
  if (written.state !== "succeeded") throw new Error(written.failure?.message);
  await twin.bridge.session.client.send("job.cancel", { jobId: "holder" });
});
test.after.always(() => shared.end());

const used = (): string[] => written.volumes.map(({ cartridge }) => cartridge);

/** What a job found, without what a kill may change. */
const findings = ({ state, failure, files, miscompares, membersDone, volumes, manifestCrc32c }: JobReport) => ({
  state,
  failure,
  files,
  miscompares,
  membersDone,
  volumes,
  manifestCrc32c,
});

async function progress(bench: KillBench, jobId: string): Promise<{ cartridge: string; bytesDone: bigint }> {
  const { client } = bench.bridge.session;
  const { cartridge = "", bytesDone = 0n } =
    (await client.send("job.get", { jobId }).catch(() => undefined))?.progress ?? {};
  return { cartridge, bytesDone };
}

async function endsOnce(t: ExecutionContext, bench: KillBench, report: JobReport): Promise<void> {
  await bench.bridge.stop();
  bench.bridge.launch();
  const retained = await retainedReports(bench.mosquitto.port);
  const mine = retained.filter(({ jobId }) => jobId === report.jobId);
  t.deepEqual(mine.map(findings), [findings(report)]);
  await bench.bridge.stop();
}

test.serial("a backup that is killed while it is read back is read back again, and written once", async (t) => {
  const bench = await seed.copy(shared, "read-back", "mib_per_s = 16");
  await bench.bridge.start();
  const { jobId } = seed.spec;
  const reported = bench.bridge.session.run(seed.spec);
  let most = 0n;
  await until("the tape is read back", async () => {
    const { bytesDone } = await progress(bench, jobId);
    most = bytesDone > most ? bytesDone : most;
    return bytesDone > BigInt(MIB) && bytesDone < most / 2n;
  });
  await bench.bridge.kill();
  t.truthy((await bench.record(jobId)).written, "the archive is whole on tape");
  const before = times(bench);
  bench.bridge.launch();
  await until("it reads another cartridge", async () => (await progress(bench, jobId)).cartridge === used()[1]);
  await bench.bridge.kill();
  bench.bridge.launch();
  const report = await reported;
  t.is(report.state, "succeeded", report.failure?.message);
  t.is(report.resumes, 2);
  t.deepEqual(findings(report), findings(written));
  t.deepEqual(times(bench), before, "nothing was written after the first kill");
  sameTapes(t, bench, twin);
  await endsOnce(t, bench, report);
});

/** When each cartridge's file was last written to. */
const times = (bench: KillBench): number[] => used().map((name) => statSync(bench.tape(name)).mtimeMs);

/** Flips a bit of a block's data in a cartridge's file. */
function flip(bench: KillBench, cartridge: string, object: number): void {
  const fd = openSync(bench.tape(cartridge), "r+");
  const at = object * (BLOCK + 8) + 4 + 1000;
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  writeSync(fd, Uint8Array.of((byte[0] ?? 0) ^ 4), 0, 1, at);
  closeSync(fd);
}

async function scrub(jobId: string, options: Spec["options"]): Promise<Spec> {
  const keys = [await twin.bridge.key(jobId, ["tape0"])];
  return { jobId, type: "scrub", keys, tape: { device: "tape0", cartridges: used() }, options } as Spec;
}

test.serial(
  "a scrub that is killed at a change of cartridges and in the middle finds what its twin finds",
  async (t) => {
    // A second archive behind the first, on the last cartridge, and damage on three of them.
    const again = await twin.bridge.run({
      jobId: "behind",
      type: "backup",
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: [used().at(-1) ?? "", "K00007", "K00008", "K00009", "K00010", "K00011"] },
      ...(seed.spec.listId === undefined ? {} : { listId: seed.spec.listId }),
      ...(seed.spec.volume === undefined ? {} : { volume: seed.spec.volume }),
      options: { tapeBlockBytes: BLOCK, position: "append" },
    });
    t.is(again.state, "succeeded", again.failure?.message);
    for (const [index, object] of [
      [0, 100],
      [1, 200],
      [used().length - 1, 6],
    ] as const)
      flip(twin, used()[index] ?? "", object);
    const undisturbed = await twin.bridge.session.run(await scrub("undisturbed", {}));
    t.is(undisturbed.failure?.code, "VERIFY_DIFFERS", undisturbed.failure?.message);
    t.true((undisturbed.files?.length ?? 0) > used().length);
    const spec = await scrub("killed", { bytesPerS: BigInt(12 * MIB) });
    const reported = twin.bridge.session.run(spec);
    await until(
      "it is in the middle of the last",
      async () => (await progress(twin, spec.jobId)).bytesDone > BigInt(MIB),
    );
    await twin.bridge.kill();
    twin.bridge.launch();
    for (const at of [used().length - 2, 0]) {
      await until(
        "it comes to another cartridge",
        async () => (await progress(twin, spec.jobId)).cartridge === used()[at],
      );
      await twin.bridge.kill();
      twin.bridge.launch();
    }
    const report = await reported;
    t.is(report.resumes, 3);
    t.deepEqual(findings(report), findings(undisturbed));
    await endsOnce(t, twin, report);
  },
);
