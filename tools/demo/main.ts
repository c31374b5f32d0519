#!/usr/bin/env node
// npm run demo: one server-free backup from end to end, and both ways back. Everything is real but the devices,
// which are emulated: an ext4 file system, the agent's block list, a signed key, an MQTT server, gantryd as a
// process of its own, a tape in a cartridge file, GNU tar.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { Aedes } from "aedes";
import type { JobReport } from "../../src/job.js";
import { messageOf } from "../../src/sys/errors.js";
import { byteSize } from "../../src/sys/units.js";
import { Glist, writeGlist } from "../agent/glist.js";
import { listImage } from "../agent/list-image.js";
import { prepareImage } from "../agent/prepare-image.js";
import { restoreMembers } from "../agent/restore-map.js";
import { BrokerHome } from "../broker/home.js";
import { issueKey } from "../broker/key-commands.js";
import { JobBar } from "../broker/progress.js";
import { BridgeSession } from "../broker/session.js";
import { tapeData } from "./cartridge.js";
import { compareFolders } from "./compare.js";
import { type Daemon, startDaemon } from "./daemon.js";
import { makeFiles } from "./files.js";

const { values } = parseArgs({
  options: { json: { type: "boolean" }, keep: { type: "boolean" }, mib: { type: "string", default: "256" } },
});
const asJson = values.json === true;
const mib = Number(values.mib);
const BRIDGE = "demo-bridge";
const CARTRIDGE = "DEMO01";

const say = (text: string): void => void (asJson || process.stderr.write(`${text}\n`));
let stepNumber = 0;
const step = (text: string): void => say(`\n${++stepNumber}. ${text}`);

/** What has been started and must end, newest last. */
const endings: (() => unknown)[] = [];

async function main(): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "gantry-demo-"));
  if (values.keep !== true) endings.push(() => rmSync(directory, { recursive: true, force: true }));
  const original = join(directory, "server");
  const disk = join(directory, "disk.img");

  step(`A server's file system: ext4 on a SCSI disk, with ${mib} MiB of files`);
  mkdirSync(original);
  makeFiles(original, mib);
  makeFileSystem(disk, original, mib);

  step("The bridge: gantryd with that disk and a tape drive, and an MQTT server");
  const home = new BrokerHome(join(directory, "broker"));
  const { kid, name, publicKey } = home.init("demo-broker");
  const port = await startMqtt();
  const daemon = startDaemon(directory, configuration(directory, port, { kid, name, publicKey }));
  endings.push(() => daemon.stop());
  const session = new BridgeSession(home, BRIDGE, { host: "127.0.0.1", port, clientId: "demo-broker" });
  endings.push(() => session.close());
  await orDaemonLog(directory, daemon, session.connect(20_000));
  say(`   ${BRIDGE} is online`);

  step("The agent asks the file system where the files lie; nothing of them is read");
  const list = join(directory, "backup.glist");
  const made = await writeGlist(list, `list-${Date.now()}`, await listImage({ image: disk }));
  say(`   ${made.members} members, ${made.extents} extents, ${byteSize(Number(made.bytes))} in ${made.chunks} chunks`);

  step("Backup: a signed key, the block list, and the bridge copies the blocks to tape by itself");
  const backup = await job(session, home, "backup", list, made.members);

  step("Verify: the bridge reads the tape back and compares every digest");
  const verify = await job(session, home, "verify", undefined, made.members);

  step("Disaster: the file system is made anew, and Gantry restores the files onto the disk");
  makeFileSystem(disk, undefined, mib);
  const glist = await Glist.open(list);
  const prepared = await prepareImage({
    image: disk,
    members: restoreMembers(glist.chunks(), glist.header.blockBytes),
  });
  const back = join(directory, "restore.glist");
  await writeGlist(back, `back-${Date.now()}`, prepared);
  await glist.close();
  const restore = await job(session, home, "restore", back, made.members);
  const restored = join(directory, "restored");
  readFileSystem(disk, restored);
  const byGantry = await compareFolders(original, restored, ["lost+found"]);

  step("Restore without Gantry: plain `tar` reads the tape");
  const untarred = join(directory, "untarred");
  await untar(join(directory, "tapes", `${CARTRIDGE}.tap`), untarred);
  const byTar = await compareFolders(original, untarred, [".gantry"]);

  return summary([backup, verify, restore], byGantry, byTar);
}

/** Removes what cannot be compared (lost+found) and makes ext4, filled from a folder. */
function makeFileSystem(image: string, from: string | undefined, dataMib: number): void {
  writeFileSync(image, "", { flag: "a" });
  truncateSync(image, (dataMib + 256) * 1024 * 1024);
  const fill = from === undefined ? [] : ["-d", from];
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", ...fill, image], {
    stdio: ["ignore", "ignore", "pipe"],
    env: toolEnv(),
  });
}

/** All files of the file system into a folder, read by e2fsprogs; the file system must be sound. */
function readFileSystem(image: string, to: string): void {
  mkdirSync(to);
  execFileSync("e2fsck", ["-fn", image], { stdio: ["ignore", "ignore", "pipe"], env: toolEnv() });
  execFileSync("debugfs", ["-R", `rdump / ${to}`, image], { stdio: ["ignore", "ignore", "ignore"], env: toolEnv() });
}

/** e2fsprogs live in sbin, which is not in everybody's path. */
const toolEnv = (): NodeJS.ProcessEnv => ({
  ...process.env,
  PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
  LC_ALL: "C.UTF-8",
});

async function startMqtt(): Promise<number> {
  const broker = await Aedes.createBroker();
  const server: Server = createServer((socket) => broker.handle(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => new Promise<void>((resolve) => broker.close(() => server.close(() => resolve()))));
  return (server.address() as { port: number }).port;
}

function configuration(
  directory: string,
  port: number,
  issuer: { kid: string; name: string; publicKey: string },
): string {
  return `[bridge]
id = "${BRIDGE}"
state_dir = "${join(directory, "state")}"

[control]
url = "mqtt://127.0.0.1:${port}"

[keys]
issuers = [{ kid = "${issuer.kid}", issuer = "${issuer.name}", public_key = "${issuer.publicKey}" }]
clock = "assume"

[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "${join(directory, "disk.img")}"

[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(directory, "tapes")}"
`;
}

async function job(
  session: BridgeSession,
  home: BrokerHome,
  type: "backup" | "verify" | "restore",
  listFile: string | undefined,
  members: number,
): Promise<JobReport> {
  const jobId = `demo-${type}`;
  const key = issueKey(home, {
    bridge: BRIDGE,
    holder: `job:${jobId}`,
    device: type === "verify" ? ["tape0"] : ["disk0", "tape0"],
    right: ["read", "write", "media-control"],
    priority: 100,
    cartridge: [CARTRIDGE],
    lifeMs: 3_600_000,
  });
  await session.install(key);
  const list = listFile === undefined ? undefined : await Glist.open(listFile);
  if (list !== undefined) await session.sendList(list, "disk0");
  const bar = new JobBar(jobId, asJson);
  const report = await session.run(
    {
      jobId,
      type,
      keys: [key.content.id],
      ...(list === undefined
        ? {}
        : { disk: { device: "disk0" }, listId: list.header.listId, volume: list.header.volume }),
      tape: { device: "tape0", cartridges: [CARTRIDGE] },
    },
    { onProgress: (progress) => bar.update(progress) },
  );
  bar.stop();
  await list?.close();
  say(
    `   ${report.state}: ${byteSize(Number(report.bytesDone))} at ${byteSize(Number(report.bytesPerS))}/s, ${report.membersDone} of ${members} members with data, tape waited ${report.tapeWaits} times`,
  );
  if (report.state !== "succeeded") throw new Error(`${jobId} ended as ${report.state}: ${report.failure?.message}`);
  return report;
}

/** `tar -x` from the tape's blocks; what tar complains about is an error of ours. */
async function untar(cartridge: string, to: string): Promise<void> {
  mkdirSync(to);
  const tar = spawn("tar", ["-x", "-p", "-f", "-", "-C", to], { stdio: ["pipe", "ignore", "inherit"], env: toolEnv() });
  const ended = new Promise<number | null>((resolve) => tar.on("exit", resolve));
  await pipeline(tapeData(cartridge), tar.stdin);
  const code = await ended;
  if (code !== 0) throw new Error(`tar ended with ${code}`);
}

/** A daemon that died says why in its log; waiting for it would only time out. */
async function orDaemonLog(directory: string, daemon: Daemon, wait: Promise<void>): Promise<void> {
  const died = new Promise<never>((_resolve, reject) =>
    daemon.process.once("exit", () =>
      reject(new Error(`gantryd ended:\n${readFileSync(join(directory, "gantryd.log"), "utf8")}`)),
    ),
  );
  await Promise.race([wait, died]);
}

function summary(
  reports: readonly JobReport[],
  byGantry: { files: number; differences: readonly string[] },
  byTar: { files: number; differences: readonly string[] },
): boolean {
  const [backup] = reports;
  if (backup === undefined) return false;
  const seconds = (backup.endedMs - (backup.startedMs ?? backup.endedMs)) / 1000;
  const result = {
    bytes: Number(backup.bytesDone),
    seconds,
    files: byGantry.files,
    restored_identical: byGantry.differences.length === 0,
    tar_identical: byTar.differences.length === 0,
    tape_waits: Number(backup.tapeWaits),
  };
  if (asJson) console.log(JSON.stringify(result));
  else {
    for (const difference of [...byGantry.differences, ...byTar.differences].slice(0, 20))
      say(`   DIFFERS: ${difference}`);
    console.log(`
Server-free backup, end to end
  copied           ${byteSize(result.bytes)} of ${result.files} files in ${seconds.toFixed(2)} s; the tape waited ${result.tape_waits} times
  bytes through the server or the broker   none: they only sent keys and block lists
  restored by Gantry   ${result.restored_identical ? "every file identical" : "DIFFERENT"}
  restored by tar      ${result.tar_identical ? "every file identical" : "DIFFERENT"}`);
  }
  return result.restored_identical && result.tar_identical && result.files > 0;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(`demo: ${messageOf(error)}`);
  process.exitCode = 1;
} finally {
  for (const end of endings.reverse()) await end();
}
