// An iSCSI target of the test's own: Debian's tgtd on a loopback port, with disks and tape drives over files. It
// needs no privileges, since its control socket lies in its own directory.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { freePort } from "./mosquitto.js";

const run = promisify(execFile);

export interface Chap {
  readonly user: string;
  readonly secret: string;
}

export interface TgtdOptions {
  /** MiB of each disk. */
  readonly disks?: readonly number[];
  /** MiB of the cartridge in each tape drive. */
  readonly tapes?: readonly number[];
  /** What initiators must know. */
  readonly chap?: Chap;
  /** What the target proves itself with. */
  readonly targetChap?: Chap;
  /** Negotiable keys, as tgtadm names them, e.g. HeaderDigest: "CRC32C". */
  readonly keys?: Readonly<Record<string, string>>;
}

export interface TgtdUnit {
  readonly type: "disk" | "tape";
  readonly lun: number;
  /** The file behind it; a tape's is in tgt's own format. */
  readonly file: string;
}

export interface Tgtd {
  /** host:port */
  readonly portal: string;
  readonly target: string;
  readonly pid: number;
  /** Disks first, then tapes, in the order of the options; LUN 0 is tgtd's own. */
  readonly units: readonly TgtdUnit[];
  /** Runs tgtadm against it. */
  admin(...args: string[]): Promise<void>;
  /** Ends it without a farewell; start() brings it back on the same port, with the same files. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends it without a farewell and removes its files. */
  close(): Promise<void>;
}

/** Debian puts the programs into /usr/sbin, which is not in everybody's PATH. */
const SBIN = "/usr/sbin";
const TARGET = "iqn.2024-01.test.gantry:target";

export async function startTgtd(options: TgtdOptions): Promise<Tgtd> {
  const dir = await mkdtemp(path.join(os.tmpdir(), "gantry-tgtd-"));
  const env = { ...process.env, TGT_IPC_SOCKET: path.join(dir, "socket") };
  const portal = `127.0.0.1:${await freePort()}`;
  let daemon: ChildProcess | undefined;
  let log = "";
  const admin = async (...args: string[]): Promise<void> => {
    await run(`${SBIN}/tgtadm`, ["-C", "1", ...args], { env });
  };
  const kill = async (): Promise<void> => {
    if (daemon !== undefined) await end(daemon);
  };
  const start = async (): Promise<TgtdUnit[]> => {
    const started = spawn(`${SBIN}/tgtd`, ["-f", "-C", "1", "--iscsi", `portal=${portal}`], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    daemon = started;
    for (const stream of [started.stdout, started.stderr]) stream.on("data", (data) => (log += String(data)));
    await answering(admin, started);
    return configure(admin, dir, options);
  };
  const close = async (): Promise<void> => {
    await kill();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const units = await start();
    return {
      portal,
      target: TARGET,
      get pid() {
        return daemon?.pid ?? 0;
      },
      units,
      admin,
      kill,
      start: async () => void (await start()),
      close,
    };
  } catch (error) {
    await close();
    throw new Error(`tgtd could not be set up: ${log}`, { cause: error });
  }
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.pid === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
  daemon.kill("SIGKILL");
  await once(daemon, "exit");
}

type Admin = Tgtd["admin"];

async function answering(admin: Admin, daemon: ChildProcess): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await admin("--op", "show", "--mode", "sys");
      return;
    } catch (error) {
      if (attempt >= 200 || daemon.pid === undefined || daemon.exitCode !== null) throw error;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

async function configure(admin: Admin, dir: string, options: TgtdOptions): Promise<TgtdUnit[]> {
  const iscsi = (...args: string[]): Promise<void> => admin("--lld", "iscsi", ...args);
  await iscsi("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET);
  const units: TgtdUnit[] = [];
  const add = async (type: TgtdUnit["type"], file: string): Promise<void> => {
    const lun = units.length + 1;
    const unit = ["--mode", "logicalunit", "--tid", "1", "--lun", String(lun), "-b", file, `--device-type=${type}`];
    await iscsi("--op", "new", ...unit);
    units.push({ type, lun, file });
  };
  for (const [index, mebibytes] of (options.disks ?? []).entries()) {
    const file = path.join(dir, `disk${index}`);
    await writeFile(file, "", { flag: "a" });
    await truncate(file, mebibytes * 1024 * 1024);
    await add("disk", file);
  }
  for (const [index, mebibytes] of (options.tapes ?? []).entries()) {
    const file = path.join(dir, `TAPE${index}`); // tgt wants a cartridge's file to be named as its bar code
    const image = ["--op", "new", "--device-type", "tape", "--type", "data", "--thin-provisioning", "--file", file];
    if (!existsSync(file))
      await run(`${SBIN}/tgtimg`, [...image, "--barcode", `TAPE${index}`, "--size", String(mebibytes)]);
    await add("tape", file);
  }
  if (options.chap !== undefined) await account(iscsi, options.chap, false);
  if (options.targetChap !== undefined) await account(iscsi, options.targetChap, true);
  for (const [name, value] of Object.entries(options.keys ?? {}))
    await iscsi("--op", "update", "--mode", "target", "--tid", "1", "--name", name, "--value", value);
  await iscsi("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL");
  return units;
}

async function account(iscsi: Admin, chap: Chap, outgoing: boolean): Promise<void> {
  await iscsi("--mode", "account", "--op", "new", "--user", chap.user, "--password", chap.secret);
  const bind = ["--mode", "account", "--op", "bind", "--tid", "1", "--user", chap.user];
  await iscsi(...bind, ...(outgoing ? ["--outgoing"] : []));
}
