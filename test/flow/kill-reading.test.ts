// kill -9 of the daemon in restores, verifications and clones: they go on from their last checkpoint, and what comes
// out is what an undisturbed job makes.
import {
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import test from "ava";
import type { JobReport } from "../../src/job.js";
import { Glist, writeGlist } from "../../tools/agent/glist.js";
import { listImage } from "../../tools/agent/list-image.js";
import { makeServer, type ServerFiles } from "../lib/server-files.js";
import { KillBench, MIB, Shared, type Spec, until } from "./kill-parts.js";

const TAPE = "R00001";
const OTHER = "R00002";
/** Small, so that checksums of tape blocks are told in mid-job. */
const BLOCK = 1024;
const SLOW = { bytesPerS: BigInt(6 * MIB) };
const MARK = Buffer.alloc(512, 0xaa);

const shared = new Shared();
let server: ServerFiles;
let bench: KillBench;
/** Where the first member of the archive that has data begins on the disk, in bytes. */
let firstByte: number;

test.before(async () => {
  const directory = await shared.directory();
  server = await makeServer(directory, 2, 40);
  bench = await KillBench.make(shared, join(directory, "bench"), server.image, "");
  const back = join(directory, "back.glist");
  await writeGlist(back, "back", await listImage({ image: server.image }));
  firstByte = (await firstLba(server.list)) * 512;
  await bench.bridge.start();
  await bench.bridge.sendList(server.list, "disk0");
  await bench.bridge.sendList(back, "target");
  await run("backup", "backup", { options: { tapeBlockBytes: BLOCK } });
});
test.after.always(() => shared.end());

async function firstLba(file: string): Promise<number> {
  const list = await Glist.open(file);
  try {
    for await (const { extents } of list.chunks()) if (extents.lba.length > 0) return Number(extents.lba[0]);
  } finally {
    await list.close();
  }
  throw new Error("the list has no extents");
}

async function specOf(jobId: string, type: Spec["type"], more: Partial<Spec> = {}): Promise<Spec> {
  const list = type === "restore" ? "back" : "list-1";
  const glist = await Glist.open(server.list);
  const { volume } = glist.header;
  await glist.close();
  const tape = type === "clone" ? {} : { tape: { device: "tape0", cartridges: [TAPE] } };
  const disk = { device: type === "restore" ? "target" : "disk0" };
  return {
    jobId,
    type,
    keys: [await bench.bridge.key(jobId, ["disk0", "target", "tape0"])],
    ...tape,
    ...(type === "verify" ? {} : { disk, listId: list }),
    ...(type === "backup" || type === "clone" ? { volume } : {}),
    ...(type === "clone" ? { toDisk: { device: "target" } } : {}),
    ...more,
  } as Spec;
}

async function run(jobId: string, type: Spec["type"], more: Partial<Spec> = {}): Promise<JobReport> {
  const report = await bench.bridge.session.run(await specOf(jobId, type, more));
  if (report.state !== "succeeded") throw new Error(`${jobId} ${report.state}: ${report.failure?.message}`);
  return report;
}

const target = (): string => join(bench.directory, "target.img");

function blankTarget(): void {
  const { size } = statSync(target());
  truncateSync(target(), 0);
  truncateSync(target(), size);
}

/** Bytes that were written to the target so far; holes do not count. */
const onTarget = (): number => statSync(target()).blocks * 512;

/** Lays bytes over a file at a place; returns what was there. */
function lay(file: string, at: number, bytes: Buffer): Buffer {
  const fd = openSync(file, "r+");
  try {
    const before = Buffer.alloc(bytes.length);
    readSync(fd, before, 0, bytes.length, at);
    writeSync(fd, bytes, 0, bytes.length, at);
    return before;
  } finally {
    closeSync(fd);
  }
}

for (const type of ["restore", "clone"] as const) {
  test.serial(
    `kill -9 twice in a ${type}: it goes on from its checkpoint, and the disk is the undisturbed one`,
    async (t) => {
      blankTarget();
      const undisturbed = await run(`${type}-undisturbed`, type);
      const wanted = readFileSync(target());
      t.true(onTarget() > 8 * MIB);
      blankTarget();
      const spec = await specOf(`${type}-killed`, type, { options: SLOW });
      const reported = bench.bridge.session.run(spec);
      await bench.killWhen("4 MiB are on the disk", () => onTarget() >= 4 * MIB);
      const record = await bench.record(spec.jobId);
      const done = type === "restore" ? record.reading?.tag : Number(record.checkpoint?.offset ?? 0n);
      t.true((done ?? 0) > 0, "nothing was journalled");
      // What a checkpoint covers is not written again: a mark there stays.
      const original = lay(target(), firstByte, MARK);
      bench.bridge.launch();
      await bench.killWhen("8 MiB are on the disk", () => onTarget() >= 8 * MIB);
      const later = await bench.record(spec.jobId);
      const further = type === "restore" ? later.reading?.tag : Number(later.checkpoint?.offset ?? 0n);
      t.true((further ?? 0) > (done ?? 0), "it did not go on");
      bench.bridge.launch();
      const report = await reported;
      t.is(report.state, "succeeded", report.failure?.message);
      t.is(report.resumes, 2);
      t.is(report.membersDone, undisturbed.membersDone);
      t.deepEqual(lay(target(), firstByte, original), MARK);
      t.true(readFileSync(target()).equals(wanted), "the disk is not as an undisturbed job makes it");
    },
  );
}

test.serial("a restore that goes on refuses another archive than the one that it began with", async (t) => {
  blankTarget();
  await run("backup-other", "backup", {
    tape: { device: "tape0", cartridges: [OTHER] },
    options: { tapeBlockBytes: BLOCK },
  });
  const spec = await specOf("restore-other", "restore", { options: SLOW });
  const reported = bench.bridge.session.run(spec);
  await bench.killWhen("4 MiB are on the disk", () => onTarget() >= 4 * MIB);
  const tape = readFileSync(bench.tape(TAPE));
  copyFileSync(bench.tape(OTHER), bench.tape(TAPE));
  bench.bridge.launch();
  const report = await reported;
  writeFileSync(bench.tape(TAPE), tape);
  t.is(report.state, "failed");
  t.is(report.failure?.code, "ARCHIVE_INVALID");
  t.regex(report.failure?.message ?? "", /began with archive/);
});

test.serial(
  "kill -9 twice in a verification: what was found before is in the report once, what is damaged behind is found",
  async (t) => {
    const undisturbed = await run("verify-undisturbed", "verify");
    t.is(undisturbed.membersDone, 247);
    const tape = bench.tape(TAPE);
    const size = bench.written(TAPE);
    const early = tapeByte(firstMember(readFileSync(server.image)));
    const spec = await specOf("verify-killed", "verify", { options: SLOW });
    // Damage that the first life sees, and that is mended before the second.
    const good = lay(tape, early, Buffer.from("damaged"));
    const reported = bench.bridge.session.run(spec);
    const read = async (): Promise<bigint> => {
      // Not known yet, or the daemon is away.
      const seen = await bench.bridge.session.client.send("job.get", { jobId: spec.jobId }).catch(() => undefined);
      return seen?.progress.bytesDone ?? 0n;
    };
    await until("6 MiB are read", async () => (await read()) >= BigInt(6 * MIB));
    await bench.bridge.kill();
    t.true(((await bench.record(spec.jobId)).reading?.tag ?? 0) > 0);
    lay(tape, early, good);
    const late = Math.floor(size * 0.9);
    const kept = lay(tape, late, Buffer.from("damaged"));
    bench.bridge.launch();
    await until("8 MiB are read", async () => (await read()) >= BigInt(8 * MIB));
    await bench.bridge.kill();
    bench.bridge.launch();
    const report = await reported;
    lay(tape, late, kept);
    t.is(report.state, "failed");
    t.is(report.failure?.code, "VERIFY_DIFFERS");
    t.is(report.membersDone, undisturbed.membersDone);
    const members = report.miscompares.filter(({ object }) => object === undefined);
    const blocks = report.miscompares.filter(({ object }) => object !== undefined);
    t.is(members.length, 2, JSON.stringify(report.miscompares.map(({ member, reason }) => [member, reason])));
    t.is(new Set(members.map(({ member }) => member)).size, 2);
    t.deepEqual(
      blocks.map(({ streamOffset }) => Number(streamOffset) / BLOCK),
      [Math.floor(early / (BLOCK + 8)), Math.floor(late / (BLOCK + 8))],
    );
    await run("verify-after", "verify");
  },
);

/** First bytes of the first member's data. */
const firstMember = (image: Buffer): Buffer => image.subarray(firstByte, firstByte + 64);

/** Where bytes lie in the cartridge's file. */
function tapeByte(bytes: Buffer): number {
  const at = readFileSync(bench.tape(TAPE)).indexOf(bytes);
  if (at < 0) throw new Error("the bytes are not on tape");
  return at;
}
