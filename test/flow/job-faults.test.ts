// What becomes of jobs when devices fail, answer busy, or are held by others.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { EmulatedTape } from "../../src/native/types.js";
import { contentOf } from "../lib/archives.js";
import { FOREVER, faultPlant, KEY, MEMBERS, OP, STATUS } from "../lib/fault-bridge.js";
import { failedWith, succeeded } from "../lib/job-plant.js";
import { until } from "../lib/slow-bridge.js";
import { tarList, untar } from "../lib/tar-tape.js";

/** Unrecovered read error of four blocks in the member "sparse". */
const BAD = {
  opcode: OP.ANY,
  first: 3100n,
  last: 3103n,
  count: FOREVER,
  status: STATUS.CHECK,
  key: KEY.MEDIUM,
  asc: 0x11,
};

test.serial(
  "a medium error of the source ends the job, says where, and leaves a tape that can be appended to",
  async (t) => {
    const { backup, inject, device, tap, bridge } = await faultPlant(t);
    await inject("disk0", BAD);
    const report = await backup("bad", { cartridges: ["A00001"] });
    failedWith(
      t,
      report,
      "DEVICE_MEDIUM_ERROR",
      /^disk0, while reading at byte \d+: MEDIUM ERROR.*UNRECOVERED READ ERROR/i,
    );
    t.is(report.failure?.device, "disk0");
    t.regex(report.failure?.sense ?? "", /UNRECOVERED READ ERROR/i);
    t.deepEqual(report.lost, []);
    const end = readFileSync(tap("A00001"));
    t.is(end.readUInt32LE(end.length - 4), 0, "a filemark ends what was written");

    (await device("disk0")).clearFaults();
    const next = await backup("next", { cartridges: ["A00001"], options: { position: "append" } });
    succeeded(t, next);
    const startObject = next.volumes[0]?.firstObject ?? 0n;
    const tape = { device: "tape0", cartridges: ["A00001"] };
    succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape, options: { startObject } }));
  },
);

test.serial(
  "with zero-fill the blocks that cannot be read are reported exactly and are zeros in what tar restores",
  async (t) => {
    const { backup, inject, tap, directory, content, verify } = await faultPlant(t);
    await inject("disk0", BAD);
    await inject("disk0", { ...BAD, first: 64n, last: 64n });
    const report = await backup("holes", { options: { mediumErrors: "zero-fill", sha256: true } });
    succeeded(t, report);
    t.deepEqual(
      report.lost.map(({ device, lba, blocks }) => ({ device, lba, blocks })),
      [
        { device: "disk0", lba: 64n, blocks: 1n },
        { device: "disk0", lba: 3100n, blocks: 4n },
      ],
    );
    for (const { sense } of report.lost) t.regex(sense, /MEDIUM ERROR/i);

    const damaged = Buffer.from(content);
    damaged.fill(0, 64 * 512, 65 * 512);
    damaged.fill(0, 3100 * 512, 3104 * 512);
    const untarred = join(directory, "untarred");
    await untar(tap("holes"), untarred);
    for (const member of MEMBERS) {
      const expected = contentOf(member, { blockBytes: 512, data: damaged });
      t.true(readFileSync(join(untarred, member.name)).equals(expected), member.name);
    }
    // The report's place in the archive is where the zeros stand.
    const tape = Buffer.concat(dataBlocks(readFileSync(tap("holes"))));
    for (const { streamOffset, blocks } of report.lost) {
      const at = Number(streamOffset);
      t.true(tape.subarray(at, at + Number(blocks) * 512).every((byte) => byte === 0));
      t.true(tape.subarray(at + Number(blocks) * 512, at + Number(blocks) * 512 + 512).some((byte) => byte !== 0));
    }
    succeeded(t, await verify("verify", "holes"));
  },
);

/** Data of the records of a tape image in front of its first filemark. */
function dataBlocks(tap: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < tap.length; ) {
    const length = tap.readUInt32LE(at);
    if (length === 0) break;
    blocks.push(tap.subarray(at + 4, at + 4 + length));
    at += 8 + length + (length & 1);
  }
  return blocks;
}

test.serial("busy devices, unit attentions and aborted commands are tried again, and nothing is lost", async (t) => {
  const { backup, inject, tap, directory, content, restore } = await faultPlant(t);
  for (const [skip, fault] of [
    { status: STATUS.BUSY, count: 3 },
    { status: STATUS.TASK_SET_FULL, count: 2 },
    { status: STATUS.CHECK, key: KEY.ATTENTION, asc: 0x2a, ascq: 0x01, count: 1 },
    { status: STATUS.CHECK, key: KEY.ABORTED, asc: 0x47, count: 1 },
  ].entries())
    await inject("disk0", { opcode: OP.ANY, first: 2100n, last: 5999n, skip: skip * 5, ...fault });
  await inject("tape0", { opcode: OP.WRITE_6, skip: 3, count: 2, status: STATUS.BUSY });
  await inject("tape0", {
    opcode: OP.WRITE_6,
    skip: 8,
    count: 1,
    status: STATUS.CHECK,
    key: KEY.ATTENTION,
    asc: 0x2a,
    ascq: 1,
  });
  const report = await backup("tried");
  succeeded(t, report);
  t.true(report.retries >= 1n, `${report.retries}`);
  t.is(report.resumes, 0);
  const untarred = join(directory, "untarred");
  await untar(tap("tried"), untarred);
  for (const member of MEMBERS) {
    const expected = contentOf(member, { blockBytes: 512, data: content });
    t.true(readFileSync(join(untarred, member.name)).equals(expected), member.name);
  }
  await inject("tape0", { opcode: OP.READ_6, skip: 3, count: 2, status: STATUS.BUSY });
  await inject("target", { opcode: OP.ANY, first: 64n, last: 6000n, skip: 2, count: 2, status: STATUS.TASK_SET_FULL });
  const back = await restore("restore", "tried");
  succeeded(t, back);
  const target = readFileSync(join(directory, "target.img"));
  t.true(target.subarray(5000 * 512, 6000 * 512).equals(content.subarray(5000 * 512, 6000 * 512)));
});

test.serial("a disk or a tape that another initiator has reserved ends the job with DEVICE_RESERVED", async (t) => {
  const { backup, inject, device } = await faultPlant(t);
  const conflict = { count: FOREVER, status: STATUS.CONFLICT };
  for (const [jobId, name, opcode] of [
    ["disk-reads", "disk0", OP.READ_10],
    ["disk-opening", "disk0", OP.ANY],
    ["tape-writes", "tape0", OP.WRITE_6],
    ["tape-opening", "tape0", OP.ANY],
  ] as const) {
    await inject(name, { opcode, ...conflict });
    if (opcode === OP.READ_10) await inject(name, { opcode: OP.READ_16, ...conflict });
    const report = await backup(jobId);
    failedWith(t, report, "DEVICE_RESERVED", new RegExp(`^${name}.*RESERVATION CONFLICT`));
    t.is(report.failure?.device, name);
    (await device(name)).clearFaults();
  }
});

test.serial("a write error of the tape ends the job and names the drive", async (t) => {
  const { backup, inject } = await faultPlant(t);
  const broken = { opcode: OP.WRITE_6, skip: 5, count: 1, status: STATUS.CHECK, key: KEY.MEDIUM, asc: 0x0c };
  await inject("tape0", broken);
  const report = await backup("broken");
  failedWith(t, report, "DEVICE_MEDIUM_ERROR", /^tape0, while writing at byte \d+: MEDIUM ERROR/);

  await inject("tape0", { ...broken, opcode: OP.WRITE_FILEMARKS, skip: 0 });
  failedWith(t, await backup("filemark"), "DEVICE_MEDIUM_ERROR", /^tape0/);
});

test.serial(
  "a write error behind early warning ends the job; the next cartridge is not begun on half a truth",
  async (t) => {
    const { backup, inject, bridge } = await faultPlant(t, { capacityMib: 2, earlyWarningKib: 512 });
    // The filemark that is to end the full cartridge.
    const mark = { opcode: OP.WRITE_FILEMARKS, skip: 1, count: 1, status: STATUS.CHECK, key: KEY.MEDIUM, asc: 0x0c };
    await inject("tape0", mark);
    const report = await backup("late", { cartridges: ["A1", "A2", "A3"] });
    failedWith(t, report, "DEVICE_MEDIUM_ERROR", /^tape0/);
    t.true((await bridge.app()).devices.cartridges("tape0").names.length === 1);
  },
);

test.serial(
  "a tape drive that was reset in mid-job: the job goes on from its checkpoint and the tape is whole",
  async (t) => {
    const { backup, inject, verify } = await faultPlant(t);
    await inject("tape0", {
      opcode: OP.WRITE_6,
      skip: 7,
      count: 1,
      status: STATUS.CHECK,
      key: KEY.ATTENTION,
      asc: 0x29,
    });
    const report = await backup("reset");
    succeeded(t, report);
    t.is(report.resumes, 1);
    succeeded(t, await verify("verify", "reset"));
  },
);

test.serial("a job that writes its end can no longer be cancelled", async (t) => {
  const { backup, inject, bridge } = await faultPlant(t);
  const end = (await backup("undisturbed")).volumes[0]?.to;
  // The first WRITE FILEMARKS only flushes (count 0); the second ends the archive.
  await inject("tape0", { opcode: OP.WRITE_FILEMARKS, skip: 1, count: 1, delayMs: 2000 });
  const report = backup("ending");
  const { client } = bridge.session;
  await until(async () => {
    const seen = await client.send("job.get", { jobId: "ending" }).catch(() => undefined);
    return seen?.progress.bytesDone === end;
  });
  await t.throwsAsync(client.send("job.cancel", { jobId: "ending" }), { code: "JOB_CANCEL_REFUSED" });
  succeeded(t, await report);
});

test.serial(
  "a write-protected cartridge, an empty drive and a cartridge that is not there are called so",
  async (t) => {
    const { backup, verify, device, tap } = await faultPlant(t);
    failedWith(t, await backup("empty", { cartridges: [] }), "MEDIA_MISSING", /tape0.*MEDIUM NOT PRESENT/i);
    failedWith(t, await verify("empty-read", ""), "MEDIA_MISSING");
    failedWith(t, await verify("nowhere", "NOWHERE"), "MEDIA_MISSING", /NOWHERE is not among those of tape0/);
    succeeded(t, await backup("A00001"));
    const drive = (await device("tape0")) as EmulatedTape;
    await drive.unload();
    await drive.load({ path: tap("A00001"), writeProtected: true });
    const before = readFileSync(tap("A00001"));
    const report = await backup("protected", { cartridges: [], options: { position: "overwrite" } });
    failedWith(t, report, "TAPE_WRITE_PROTECTED", /tape0/);
    t.true(readFileSync(tap("A00001")).equals(before));
    succeeded(t, await verify("readable", ""));
    t.true((await tarList(tap("A00001"))).includes("sparse"));
  },
);

test.serial(
  "a job that is still looking for its manifest can be cancelled, and is not lost when the daemon stops",
  async (t) => {
    const { backup, verify, inject, bridge } = await faultPlant(t);
    succeeded(t, await backup("A00001"));
    const space = { opcode: 0x11, count: 1, delayMs: 1000 };
    const running = async (jobId: string): Promise<boolean> => {
      const { jobs } = await bridge.session.client.send("job.list", {});
      return jobs.some((job) => job.jobId === jobId && job.state === "running");
    };
    await inject("tape0", space);
    const first = verify("given-up", "A00001");
    await until(() => running("given-up"));
    await bridge.session.client.send("job.cancel", { jobId: "given-up" });
    const ended = await first;
    t.is(ended.state, "cancelled");
    t.is(ended.failure, undefined);

    await inject("tape0", space);
    verify("stopped", "A00001").catch(() => undefined);
    await until(() => running("stopped"));
    await bridge.stop();
    await bridge.start();
    await until(async () => {
      const { report } = await bridge.session.client.send("job.get", { jobId: "stopped" });
      return report?.state === "succeeded" && report.resumes === 1;
    });
    t.pass();
  },
);

test.serial(
  "tape blocks that the memory of a job cannot hold are refused, whether the job names them or the tape has them",
  async (t) => {
    const { backup, verify, tap } = await faultPlant(t);
    await t.throwsAsync(backup("huge", { options: { tapeBlockBytes: 8 << 20 } }), {
      code: "JOB_INVALID",
      message: /arena_mib/,
    });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(8 << 20);
    writeFileSync(tap("HUGE"), Buffer.concat([length, Buffer.alloc(8 << 20), length, Buffer.alloc(4)]));
    failedWith(t, await verify("verify", "HUGE"), "JOB_INVALID", /arena_mib/);
  },
);
