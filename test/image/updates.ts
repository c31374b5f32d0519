// Updates by the shell: a good one is installed, those that are not signed as they should be are refused, those that do not
// work go back to the version before by themselves, and a power cut in the middle of one changes nothing.
import { execFile } from "node:child_process";
import { chmod, cp, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { packageRoot } from "../../src/native/addon.js";
import type { Lot } from "../kill/random.js";
import { type Bench, BRIDGE } from "./lib/bench.js";
import { slotDigest } from "./lib/disk.js";
import type { Findings } from "./lib/test.js";
import { Vm, type VmOptions } from "./lib/vm.js";
import { VolatileDisk } from "./lib/volatile-disk.js";

const run = promisify(execFile);
const ONLINE_MS = 300_000;
/** The update, in the administrator's folder. */
const COPY = "update.raucb";
/** Three starts that hang until the watchdog bites, and one of the version before. */
const ROLLBACK_MS = 900_000;

/** How often the power is cut in the middle of an update. */
const INTERRUPTED = 3;

interface Variant {
  readonly version: string;
  /** What is different from the version that was built. */
  readonly edit?: (root: string) => Promise<void>;
  readonly keys?: string;
}

/** @returns how long an update takes, milliseconds */
export async function updates(
  options: VmOptions,
  bench: Bench,
  images: string,
  board: string,
  find: Findings,
): Promise<number> {
  const make = (variant: Variant): Promise<string> => makeUpdate(images, board, bench.folder, variant);
  const good = await make({ version: "9.0.1" });
  const silent = await make({
    version: "9.0.2",
    edit: (root) => writeFile(join(root, "usr/lib/gantry/gantryd.js"), "process.exit(1);\n"),
  });
  const hanging = await make({ version: "9.0.3", edit: hang });
  const foreign = await make({ version: "9.0.4", keys: await foreignKeys(bench.folder) });
  const torn = join(bench.folder, "torn.raucb");
  await cp(good, torn);
  await overwrite(torn);

  let installMs = 0;
  const vm = await Vm.start(options);
  try {
    await bench.online(ONLINE_MS, bench.bootId);
    await vm.rootShell();
    for (const [file, what] of [
      [foreign, "an update that somebody else signed is refused"],
      [torn, "an update with other bytes is refused"],
    ] as const) {
      const { code, err } = await install(bench, file);
      find.check(what, code !== 0, err.trim().split("\n").at(-1)?.slice(-120) ?? "");
    }
    find.check("nothing has changed after those", (await version(vm)).startsWith("A "), await version(vm));

    const installed = await install(bench, good);
    installMs = installed.ms;
    find.check("an update is installed", installed.code === 0, installed.err.trim());
    await restart(vm, bench);
    find.check("it runs from the other slot", (await version(vm)) === "B 9.0.1", await version(vm));
    await well(vm, "9.0.1");
    find.check("it was found well", (await variables(vm)).includes("B_TRY=0"));
    const job = await bench.jobState("first");
    find.check("jobs and configuration are as they were", job === "succeeded", job);

    await install(bench, silent);
    await restart(vm, bench, false);
    await back(vm, bench, find, "an update whose daemon does not start goes back by itself");

    await install(bench, hanging);
    await restart(vm, bench, false);
    await back(vm, bench, find, "an update that hangs is reset by the watchdog, and goes back by itself");
  } finally {
    await vm.kill();
  }
  return installMs;
}

/** The power goes while an update is written to the other slot, and the disk loses what was not flushed. */
export async function interrupted(
  machine: VmOptions,
  bench: Bench,
  images: string,
  board: string,
  installMs: number,
  lot: Lot,
  find: Findings,
): Promise<void> {
  const bundle = await makeUpdate(images, board, bench.folder, { version: "9.0.5" });
  const served = join(bench.folder, "disk.sock");
  const disk = await VolatileDisk.start(machine.disk.file, served);
  const options = { ...machine, disk: { ...machine.disk, served } };
  const digests = { A: await slotDigest(machine.disk, "A"), B: await slotDigest(machine.disk, "B") };
  const start = async (): Promise<Vm> => {
    const before = bench.bootId;
    const started = await Vm.start(options);
    await bench.online(ONLINE_MS, before);
    await started.rootShell();
    return started;
  };
  let vm = await start();
  try {
    const runs = await version(vm);
    const other = runs.startsWith("A ") ? "B" : "A";
    for (let cut = 1; cut <= INTERRUPTED; cut++) {
      await bench.copy(bundle, COPY);
      const installing = installCopy(bench);
      // One early, one later, one late; not too near to the end: it may be over before it says so.
      const after = (installMs * 0.8 * (cut - 1 + lot.next())) / INTERRUPTED;
      await sleep(after);
      await vm.kill();
      const { code } = await installing;
      const { sectors, of } = await disk.cut(lot);
      const whole = (await slotDigest(machine.disk, other)) === digests[other];
      vm = await start();
      const found = await version(vm);
      const given = whole || (await variables(vm)).includes(`${other}_OK=0`);
      find.check(
        `a power cut in the middle of an update leaves the version that ran (${cut} of ${INTERRUPTED})`,
        code !== 0 && found === runs && given,
        [
          `${found} after ${(after / 1000).toFixed(1)} of ${(installMs / 1000).toFixed(1)} s`,
          `${sectors} of ${of} cached sectors lost`,
          `the other slot ${whole ? "is as it was" : given ? "is not to be started" : "is torn, and may be started"}`,
        ].join("; "),
      );
    }
    const again = await install(bench, bundle);
    find.check("that update can be installed afterwards", again.code === 0, again.err.trim().split("\n").at(-1));
    await restart(vm, bench);
    find.check("and runs", (await version(vm)) === `${other} 9.0.5`, await version(vm));
    await well(vm, "9.0.5");
  } finally {
    await vm.kill();
    await disk.stop();
  }
}

/** The service manager is replaced by something that never does anything. */
async function hang(root: string): Promise<void> {
  const file = join(root, "usr/lib/systemd/systemd");
  await rm(file);
  await writeFile(file, "#!/bin/sh\nwhile :; do sleep 60; done\n");
  await chmod(file, 0o755);
}

interface Installed {
  readonly code: number;
  readonly err: string;
  readonly ms: number;
}

async function install(bench: Bench, file: string): Promise<Installed> {
  await bench.copy(file, COPY);
  return installCopy(bench);
}

async function installCopy(bench: Bench): Promise<Installed> {
  const from = performance.now();
  const { code, out, err } = await bench.ssh(`update install /var/lib/admin/${COPY} --confirm ${BRIDGE}`);
  return { code, err: `${out}${err}`, ms: performance.now() - from };
}

async function restart(vm: Vm, bench: Bench, wait = true): Promise<void> {
  const before = bench.bootId;
  const { code, err } = await bench.ssh(`reboot --confirm ${BRIDGE}`);
  if (code !== 0) throw new Error(`reboot: ${err}`);
  if (!wait) return;
  await bench.online(ONLINE_MS, before);
  await vm.rootShell();
}

async function back(vm: Vm, bench: Bench, find: Findings, what: string): Promise<void> {
  const from = performance.now();
  await bench.online(ROLLBACK_MS, bench.bootId);
  await vm.rootShell();
  const found = await version(vm);
  find.check(what, found === "B 9.0.1", `${found} after ${((performance.now() - from) / 1000).toFixed(0)} s`);
  await well(vm, "9.0.1");
}

const version = (vm: Vm): Promise<string> =>
  vm.run(". /usr/lib/os-release; echo $(sed -n 's/.*rauc.slot=\\([AB]\\).*/\\1/p' /proc/cmdline) $IMAGE_VERSION");
const variables = (vm: Vm): Promise<string> => vm.run("grub-editenv /run/gantry-boot/grub/grubenv list");

async function well(vm: Vm, of: string): Promise<void> {
  for (let tries = 0; tries < 180; tries++) {
    if ((await vm.run(`systemctl is-active gantry-health`, { anyCode: true })) === "active") return;
    await sleep(1000);
  }
  throw new Error(`${of} was not found well`);
}

async function makeUpdate(
  images: string,
  board: string,
  work: string,
  { version, edit, keys }: Variant,
): Promise<string> {
  const root = join(work, "root");
  const squashfs = join(work, "rootfs.squashfs");
  const bundle = join(work, `${version}.raucb`);
  await rm(root, { recursive: true, force: true });
  await rm(squashfs, { force: true });
  await run("unsquashfs", ["-q", "-n", "-d", root, join(images, "rootfs.squashfs")]);
  const release = join(root, "usr/lib/os-release");
  await writeFile(
    release,
    (await readFile(release, "utf8")).replace(/^IMAGE_VERSION=.*$/m, `IMAGE_VERSION=${version}`),
  );
  await edit?.(root);
  await run("mksquashfs", [
    root,
    squashfs,
    "-comp",
    "gzip",
    "-Xcompression-level",
    "1",
    "-noappend",
    "-quiet",
    "-no-progress",
  ]);
  const folder = keys ?? process.env.GANTRY_IMAGE_KEYS ?? "";
  const env = {
    ...process.env,
    BUILD_ID: version,
    BOARD_KEY: join(folder, "key.pem"),
    BOARD_CERT: join(folder, "cert.pem"),
  };
  await run(join(packageRoot(), "tools/image/bundle.sh"), [board, version, squashfs, bundle], { env });
  await rm(root, { recursive: true, force: true });
  return bundle;
}

async function foreignKeys(work: string): Promise<string> {
  const folder = join(work, "foreign");
  await mkdir(folder, { recursive: true });
  await run(join(packageRoot(), "tools/image/keys.sh"), [folder]);
  return folder;
}

/** A few bytes in the middle, where the root file system is. */
async function overwrite(file: string): Promise<void> {
  const handle = await open(file, "r+");
  const { size } = await handle.stat();
  await handle.write(Buffer.alloc(64, 0x5a), 0, 64, Math.floor(size / 2));
  await handle.close();
}
