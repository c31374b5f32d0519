// The suite "copy": the engine against dd, cp and memcpy in memory, against itself for scattered lists, against
// qemu-img over iSCSI, and with a paced tape.
import { createHash, randomBytes } from "node:crypto";
import { createReadStream, existsSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { copyIscsi } from "./copy-iscsi.js";
import type { EngineJob, EngineRun } from "./engine-child.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";
import { type Cost, runEngine, runPeer } from "./run.js";

const MIB = 1024 * 1024;
const PACE = 400e6;
const BUFFER_MIB = 16;
/** Of a job by default, less the slots beside it. */
const RING_MIB = 30;
const KIB = 1024;
const MEMCPY_MIB = 128;
const MEMCPY_ROUNDS = 4;

export async function measureCopy(options: BenchOptions): Promise<readonly Row[]> {
  const source = join(options.folder, "source.img");
  await fill(source, options.mib);
  const rows = [
    ...(await plainCopies(options, source)),
    ...(await scattered(options, source)),
    ...(await paced(options, source)),
  ];
  rmSync(source);
  return [...rows, ...(await copyIscsi(options))];
}

/** Bytes that no two blocks share. */
export async function fill(path: string, mib: number): Promise<void> {
  const file = await open(path, "wx");
  try {
    for (let index = 0; index < mib; index++) await file.write(randomBytes(MIB));
  } finally {
    await file.close();
  }
}

async function plainCopies({ folder, mib, runs, say }: BenchOptions, source: string): Promise<Row[]> {
  const bytes = mib * MIB;
  const [disk, tape, by] = [join(folder, "to.img"), join(folder, "to.tap"), join(folder, "by.img")];
  const toDisk: EngineRun[] = [];
  const toTape: EngineRun[] = [];
  const dd: Cost[] = [];
  const cp: Cost[] = [];
  const memcpy: number[] = [];
  const digest = await digestOf(source);
  for (let index = 0; index < runs; index++) {
    say(`copy: run ${index + 1} of ${runs}`);
    // Each one writes to a file that is not there, so that each pays for its pages.
    toDisk.push(await runEngine({ from: { disk: source }, to: { disk }, bytes }));
    if (index === 0 && (await digestOf(disk)) !== digest) throw new Error("the engine's copy differs from its source");
    rmSync(disk);
    dd.push(await runPeer("dd", [`if=${source}`, `of=${by}`, "bs=1M", "status=none"]));
    rmSync(by);
    toTape.push(await runEngine({ from: { disk: source }, to: { tape }, bytes }));
    dropCartridge(tape);
    cp.push(await runPeer("cp", ["--reflink=never", source, by]));
    rmSync(by);
    memcpy.push(memcpyRate());
  }
  const rate = (costs: readonly { seconds: number }[]): number[] => costs.map(({ seconds }) => mib / KIB / seconds);
  const cpu = (costs: readonly { cpuSeconds: number }[]): number[] =>
    costs.map(({ cpuSeconds }) => cpuSeconds / (mib / KIB));
  const rss = (costs: readonly { rssMib: number }[]): number[] => costs.map(({ rssMib }) => rssMib);
  const unit = "GiB/s";
  const rows: Row[] = [];
  for (const [name, ours] of [
    ["disk to disk", toDisk],
    ["disk to tape", toTape],
  ] as const) {
    rows.push(
      row({ name, unit, ours: rate(ours), peer: rate(dd), peerName: "dd bs=1M", target: 1.2 }),
      row({ name, unit, ours: rate(ours), peer: rate(cp), peerName: "cp" }),
      row({ name, unit, ours: rate(ours), peer: memcpy, peerName: "memcpy" }),
      row({
        name: `${name}, processor`,
        unit: "s/GiB",
        ours: cpu(ours),
        peer: cpu(dd),
        peerName: "dd bs=1M",
        target: 1,
        lowerIsBetter: true,
      }),
      row({
        name: `${name}, memory (Node and a ring mapped twice included)`,
        unit: "MiB",
        ours: rss(ours),
        peer: rss(dd),
        peerName: "dd bs=1M",
        lowerIsBetter: true,
      }),
    );
  }
  return rows;
}

/** The same bytes, in extents all over the disk, in alternation with one extent. */
async function scattered({ folder, mib, runs, say }: BenchOptions, source: string): Promise<Row[]> {
  const tape = join(folder, "scattered.tap");
  const from = { disk: source };
  const job: EngineJob = { from, to: { tape }, bytes: mib * MIB };
  const sizes = [
    { kib: 4, target: 0.4 },
    { kib: 64, target: 0.8 },
    { kib: 1024, target: 0.8 },
  ];
  const contiguous: number[] = [];
  const rates = sizes.map((): number[] => []);
  for (let index = 0; index < runs; index++) {
    say(`scattered: run ${index + 1} of ${runs}`);
    contiguous.push(await once(job, tape));
    for (const [at, { kib }] of sizes.entries()) rates[at]?.push(await once({ ...job, extentBytes: kib * KIB }, tape));
  }
  return sizes.map(({ kib, target }, at) =>
    row({
      name: `disk to tape, extents of ${kib} KiB`,
      unit: "GiB/s",
      ours: rates[at] ?? [],
      peer: contiguous,
      peerName: "one extent",
      target,
    }),
  );
}

async function once(job: EngineJob, tape: string): Promise<number> {
  const { seconds } = await runEngine(job);
  dropCartridge(tape);
  return job.bytes / MIB / KIB / seconds;
}

/** A drive that moves at 400 MB/s must not stop for a source that gives 1.2 times that, stalls of 20 ms included; for one
 * that gives half of it, it stops only when it has used up half of the ring. */
async function paced({ folder, mib, runs, say }: BenchOptions, source: string): Promise<Row[]> {
  const tape = join(folder, "paced.tap");
  const to = { tape, bytesPerS: PACE, bufferBytes: BUFFER_MIB * MIB };
  // 48 MiB at 600 MB/s and a stall: 480 MB/s.
  const fast = { disk: source, bytesPerS: 1.5 * PACE, stallMs: 20, stallBytes: 48 * MIB };
  const slow = { disk: source, bytesPerS: PACE / 2 };
  const [kept, behind]: [EngineRun[], EngineRun[]] = [[], []];
  for (let index = 0; index < runs; index++) {
    say(`paced tape: run ${index + 1} of ${runs}`);
    for (const [from, list] of [[fast, kept] as const, [slow, behind] as const]) {
      list.push(await runEngine({ from, to, bytes: mib * MIB }));
      dropCartridge(tape);
    }
  }
  const count = (name: string, ours: readonly number[], peerName: string, target: number): Row =>
    row({ name, unit: "", ours, peerName, target, lowerIsBetter: true });
  return [
    count(
      "tape of 400 MB/s, source 1.2 times: engine let it wait",
      kept.map((each) => each.tapeWaits),
      "never",
      0,
    ),
    count(
      "tape of 400 MB/s, source 1.2 times: buffer of 16 MiB ran empty",
      kept.map((each) => each.tapeUnderruns),
      "never",
      0,
    ),
    // From half a ring on the tape takes twice that before it stops.
    count(
      "tape of 400 MB/s, source half: starts",
      behind.map((each) => each.tapeStarts),
      "1.5 a ring",
      (1.5 * mib) / RING_MIB + 2,
    ),
  ];
}

function dropCartridge(path: string): void {
  for (const each of [path, `${path}.idx`, `${path}.mam`]) if (existsSync(each)) rmSync(each);
}

/** GiB/s of copying memory to memory, all of it touched before and larger than any cache, by one thread. */
function memcpyRate(): number {
  const from = Buffer.alloc(MEMCPY_MIB * MIB, 1);
  const to = Buffer.alloc(MEMCPY_MIB * MIB, 2);
  const start = process.hrtime.bigint();
  for (let round = 0; round < MEMCPY_ROUNDS; round++) from.copy(to);
  return (MEMCPY_MIB * MEMCPY_ROUNDS) / KIB / (Number(process.hrtime.bigint() - start) / 1e9);
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
