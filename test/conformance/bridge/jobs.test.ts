// Copy jobs and servers on one tape drive and one disk at the same time: who waits for whom, who takes what from whom,
// and that what is on tape in the end is whole.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { succeeded, tapFile } from "../../lib/job-plant.js";
import { MIB, slowJob, startJob, until } from "../../lib/slow-bridge.js";
import { type JobRig, startJobRig } from "./job-rig.js";
import { nameOf } from "./rig.js";
import {
  EXCLUSIVE_ACCESS,
  prOut,
  REGISTER,
  RELEASE,
  RELEASE_6,
  RESERVE,
  RESERVE_6,
  REWIND,
  read10,
  readVariable,
  TEST_UNIT_READY,
  write10,
  writeVariable,
} from "./words.js";

const BLOCK = new Uint8Array(512);

/** The archive of that job is on tape as it should be: verified, compared with the disk, restored. */
async function whole(t: ExecutionContext, { bridge, directory, content }: JobRig, cartridge: string): Promise<void> {
  const tape = { device: "tape0", cartridges: [cartridge] };
  succeeded(t, await bridge.run({ jobId: `verify-${cartridge}`, type: "verify", tape }));
  const restored = {
    jobId: `restore-${cartridge}`,
    type: "restore",
    tape,
    disk: { device: "spare" },
    listId: "spare-list",
  } as const;
  const spec = await slowJob(bridge, restored.jobId, { ...restored, options: { bytesPerS: 0n } });
  succeeded(t, await bridge.session.run(spec));
  const spare = readFileSync(join(directory, "spare.img"));
  t.true(spare.subarray(0, 6 * MIB).equals(content.subarray(0, 6 * MIB)));
}

test.serial(
  "a job has its drive alone and shares the disk that it reads; a server that reserves the disk pauses it",
  async (t) => {
    const rig = await startJobRig(t, "off");
    const [tape, disk] = [await rig.host("a", "tape0", 255), await rig.host("a", "disk0", 255)];
    const { report } = await startJob(
      rig.bridge,
      await slowJob(rig.bridge, "job", { options: { bytesPerS: BigInt(MIB) } }),
    );
    t.deepEqual(await tape.attentions(), ["28/00"], "the job's cartridge");
    for (const [cdb, options] of [
      [RESERVE_6, {}],
      [REWIND, {}],
      [readVariable(512), { in: 512 }],
      [writeVariable(512), { out: BLOCK }],
    ] as const)
      t.is(await tape.says(cdb, options), "conflict");
    t.is(await tape.says(TEST_UNIT_READY), "good");
    t.is(await tape.put(prOut(REGISTER, { actionKey: 1 })), "good", "to register takes nothing from anybody");
    t.is(await tape.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS })), "conflict");
    const refused = () =>
      rig.events.filter(({ event }) => event === "refused").map(({ details }) => String(details?.holder));
    await until(() => refused().length > 0);
    t.regex(refused().join(), /^job job has it since 2/, "who has it, and since when");

    t.is(await disk.says(read10(0, 1), { in: 512 }), "good");
    t.is(await disk.says(RESERVE_6), "good");
    await rig.reaches("job", "paused");
    t.is(await disk.says(RELEASE_6), "good");
    await until(async () => (await rig.stateOf("job")) !== "paused");
    const ended = await report;
    succeeded(t, ended);
    t.is(await tape.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS })), "good", "the job gave it back");
    t.is(await tape.put(prOut(RELEASE, { key: 1, type: EXCLUSIVE_ACCESS })), "good");
    await whole(t, rig, "job");
  },
);

test.serial(
  "a job waits while a server has its drive, or the disk that it writes, and starts when it is released",
  async (t) => {
    const rig = await startJobRig(t, "off");
    const [tape, disk] = [await rig.host("a", "tape0", 1), await rig.host("b", "disk0", 1)];
    t.is(await tape.says(RESERVE_6), "good");
    const report = rig.bridge.session.run(
      await slowJob(rig.bridge, "waits", { priority: 255, options: { bytesPerS: 0n } }),
    );
    await rig.reaches("waits", "queued");
    await until(() => rig.events.some(({ event }) => event === "reservation"));
    const told = rig.events.find(({ event }) => event === "reservation");
    t.like(told?.details, { device: "tape0", kind: "reserve", jobs: [] });
    const [holder] = (told?.details?.holders ?? []) as readonly string[];
    t.true(holder?.startsWith(`iscsi:${nameOf("a")},i,0x`));
    t.is(await rig.stateOf("waits"), "queued", "policy off: the priority does not help");
    t.is(await disk.says(RESERVE_6), "good");
    t.is(await tape.says(RELEASE_6), "good");
    t.is(await rig.stateOf("waits"), "queued", "it needs both");
    t.is(await disk.says(RELEASE_6), "good");
    succeeded(t, await report);
    t.false(rig.events.some(({ event }) => event === "preempt.wanted"));
  },
);

test.serial(
  "automatic: a job takes the drive from a server of lower priority, loses it to one of higher, and goes on at its block",
  async (t) => {
    const rig = await startJobRig(t, "automatic");
    const [low, high] = [await rig.host("low", "tape0", 50), await rig.host("high", "tape0", 250)];
    t.is(await low.says(RESERVE_6), "good");
    const spec = await slowJob(rig.bridge, "moves", { priority: 200, options: { bytesPerS: BigInt(MIB) } });
    const { report } = await startJob(rig.bridge, spec);
    t.is(await low.says(REWIND), "conflict");
    t.true((await low.attentions()).includes("2a/03"), "RESERVATIONS PREEMPTED");
    t.is(await low.says(RESERVE_6), "conflict");

    // Past a checkpoint, so that there is something to go on from.
    await until(
      async () =>
        (await rig.bridge.session.client.send("job.get", { jobId: "moves" })).progress.bytesDone > 2n * BigInt(MIB),
    );
    await high.attentions();
    t.is(await high.says(RESERVE_6), "good", "when the job has stopped");
    await rig.reaches("moves", "queued");
    await high.attentions();
    t.is(await high.says(TEST_UNIT_READY), "2/3a/00", "the job's cartridge is not for others to write on");
    t.is(await high.says(writeVariable(512), { out: BLOCK }), "2/3a/00");
    t.is(await low.says(REWIND), "conflict");
    const before = readFileSync(tapFile(rig.directory, "moves")).length;
    t.true(before > 2 * MIB);
    t.is(await high.says(RELEASE_6), "good");
    const ended = await report;
    succeeded(t, ended);
    t.is(ended.resumes, 1);

    // A job of the same data that nobody disturbed has just as many blocks of the same lengths.
    succeeded(t, await rig.bridge.session.run(await slowJob(rig.bridge, "quiet", { options: { bytesPerS: 0n } })));
    const [moved, quiet] = ["moves", "quiet"].map((name) => readFileSync(tapFile(rig.directory, name)).length);
    t.is(moved, quiet);
    await whole(t, rig, "moves");
  },
);

test.serial(
  "ask: the broker is asked by an event, and its answer lets the job take the drive, or the server",
  async (t) => {
    const rig = await startJobRig(t, "ask");
    const { client } = rig.bridge.session;
    const [low, high] = [await rig.host("low", "tape0", 50), await rig.host("high", "tape0", 250)];
    const wanted = (who: string) =>
      rig.events.find(({ event, details }) => event === "preempt.wanted" && Object.values(details ?? {}).includes(who));
    t.is(await low.says(RESERVE_6), "good");
    const spec = await slowJob(rig.bridge, "asks", { priority: 200, options: { bytesPerS: BigInt(MIB) } });
    const report = rig.bridge.session.run(spec);
    await until(() => wanted("asks") !== undefined);
    t.like(wanted("asks")?.details, { device: "tape0", jobId: "asks", priority: 200, holderPriority: 50 });
    t.is(await rig.stateOf("asks"), "queued");
    t.is(await high.says(RESERVE_6), "conflict", "low still has it");
    await t.throwsAsync(client.send("reservation.preempt", { device: "tape0", jobId: "nobody" }), {
      code: "PREEMPT_UNWANTED",
    });
    await client.send("reservation.preempt", { device: "tape0", jobId: "asks" });
    await until(async () => (await client.send("job.get", { jobId: "asks" })).progress.bytesDone > 0n);
    t.true((await low.attentions()).includes("2a/03"));

    await high.attentions();
    t.is(await high.says(RESERVE_6), "conflict");
    await until(() => wanted(nameOf("high")) !== undefined);
    await client.send("reservation.preempt", { device: "tape0", initiator: nameOf("high") });
    await rig.reaches("asks", "queued");
    await high.attentions();
    t.is(await high.says(RESERVE_6), "good");
    t.is(await high.says(RELEASE_6), "good");
    succeeded(t, await report);
    await whole(t, rig, "asks");
  },
);

test.serial(
  "a server writes on a disk that a job is to write: the job waits; a job writes: the server conflicts",
  async (t) => {
    const rig = await startJobRig(t, "off");
    succeeded(t, await rig.bridge.session.run(await slowJob(rig.bridge, "source", { options: { bytesPerS: 0n } })));
    const disk = await rig.host("a", "disk0");
    const tape = { device: "tape0", cartridges: ["source"] };
    t.is(await disk.put(prOut(REGISTER, { actionKey: 1 })), "good");
    t.is(await disk.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS })), "good");
    const spec = await slowJob(rig.bridge, "restore", {
      type: "restore",
      tape,
      disk: { device: "disk0" },
      options: { bytesPerS: BigInt(MIB) },
    });
    const report = rig.bridge.session.run(spec);
    await rig.reaches("restore", "queued");
    t.is(await disk.says(write10(0, 1), { out: BLOCK }), "good");
    t.is(await disk.put(prOut(RELEASE, { key: 1, type: EXCLUSIVE_ACCESS })), "good");
    await rig.reaches("restore", "running");
    t.is(await disk.says(read10(0, 1), { in: 512 }), "conflict");
    t.is(await disk.says(write10(0, 1), { out: BLOCK }), "conflict");
    succeeded(t, await report);
    t.is(await disk.says(read10(0, 1), { in: 512 }), "good");
  },
);
