// The engine against qemu-img, disk to disk through an iSCSI target on loopback: Debian's tgtd over files in memory.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { fill } from "./copy.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";
import { runEngine, runPeer } from "./run.js";

const run = promisify(execFile);

const MIB = 1024 * 1024;
const TGTD = "/usr/sbin/tgtd";
const TGTADM = "/usr/sbin/tgtadm";
const QEMU_IMG = "/usr/bin/qemu-img";
const QEMU_ISCSI = ["/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so", "/usr/lib/aarch64-linux-gnu/qemu/block-iscsi.so"];
export const TARGET = "iqn.2024-01.test.gantry:bench";
const BLOCK_BYTES = 512;
const START_TRIES = 200;

export async function copyIscsi(options: BenchOptions): Promise<Row[]> {
  const { folder, mib, runs, say } = options;
  if (![TGTD, QEMU_IMG].every(existsSync) || !QEMU_ISCSI.some(existsSync)) {
    say("iSCSI: left out, because tgt, qemu-utils or qemu-block-extra is not installed");
    return [];
  }
  const [from, ours, theirs] = ["from", "ours", "theirs"].map((name) => join(folder, `${name}.lun`)) as [
    string,
    string,
    string,
  ];
  await fill(from, mib);
  for (const path of [ours, theirs]) {
    writeFileSync(path, "");
    truncateSync(path, mib * MIB);
  }
  const { portal, daemon } = await startTarget(folder, [from, ours, theirs]);
  const mine: { seconds: number; cpuSeconds: number }[] = [];
  const peers: { seconds: number; cpuSeconds: number }[] = [];
  const place = { portal, target: TARGET, blockBytes: BLOCK_BYTES };
  const url = (lun: number): string => `iscsi://${portal}/${TARGET}/${lun}`;
  try {
    // The first one makes the pages of the destinations, and is not counted.
    for (let index = -1; index < runs; index++) {
      say(`iSCSI: run ${index + 1} of ${runs}`);
      const engine = await runEngine({ from: { ...place, lun: 1 }, to: { ...place, lun: 2 }, bytes: mib * MIB });
      const convert = ["convert", "-m", "16", "-W", "-n", "-f", "raw", "-O", "raw", url(1), url(3)];
      const qemu = await runPeer(QEMU_IMG, convert);
      if (index < 0) continue;
      mine.push(engine);
      peers.push(qemu);
    }
    if ((await digestOf(ours)) !== (await digestOf(from))) throw new Error("the engine's copy over iSCSI differs");
  } finally {
    daemon.kill("SIGKILL");
    for (const path of [from, ours, theirs]) rmSync(path, { force: true });
  }
  const gib = mib / 1024;
  const peerName = "qemu-img convert -m 16 -W";
  return [
    row({
      name: "disk to disk over iSCSI",
      unit: "GiB/s",
      ours: mine.map(({ seconds }) => gib / seconds),
      peer: peers.map(({ seconds }) => gib / seconds),
      peerName,
      target: 1.3,
    }),
    row({
      name: "disk to disk over iSCSI, processor",
      unit: "s/GiB",
      ours: mine.map(({ cpuSeconds }) => cpuSeconds / gib),
      peer: peers.map(({ cpuSeconds }) => cpuSeconds / gib),
      peerName,
      target: 1,
      lowerIsBetter: true,
    }),
  ];
}

/** A target of the benchmark's own; its control socket lies in the folder, so it needs no privileges. */
export async function startTarget(
  folder: string,
  disks: readonly string[],
): Promise<{ readonly portal: string; readonly daemon: ChildProcess }> {
  const env = { ...process.env, TGT_IPC_SOCKET: join(folder, "tgt") };
  const portal = `127.0.0.1:${await freePort()}`;
  const daemon = spawn(TGTD, ["-f", "-C", "1", "--iscsi", `portal=${portal}`], { env, stdio: "ignore" });
  const admin = async (...args: string[]): Promise<void> => {
    await run(TGTADM, ["-C", "1", ...args], { env });
  };
  const iscsi = (...args: string[]): Promise<void> => admin("--lld", "iscsi", ...args);
  try {
    for (let tries = 0; ; tries++) {
      try {
        await admin("--op", "show", "--mode", "sys");
        break;
      } catch (error) {
        if (tries === START_TRIES || daemon.exitCode !== null) throw error;
        await sleep(25);
      }
    }
    await iscsi("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET);
    for (const [index, path] of disks.entries())
      await iscsi("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", String(index + 1), "-b", path);
    await iscsi("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL");
  } catch (error) {
    daemon.kill("SIGKILL");
    throw error;
  }
  return { portal, daemon };
}

/** A loopback port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port is free");
  return address.port;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
