#!/usr/bin/env node
// npm run test:image -- [--board NAME] [--cuts N] [--seed N] [--only PART]… [--no-build] [--keep] [--json]: starts the image
// in QEMU by its own boot loader and looks whether everything is as board/README.md says. Parts: start, footprint, uefi,
// cuts, updates, interrupted. Exit code 1 when anything did not hold.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { packageRoot } from "../../src/native/addon.js";
import { messageOf } from "../../src/sys/errors.js";
import { Lot } from "../kill/random.js";
import { cuts } from "./cuts.js";
import { firstStart, portMap } from "./first-start.js";
import { bareShell, type Figures, keep, memory, sizes } from "./footprint.js";
import { Bench } from "./lib/bench.js";
import { makeDisk, provision, setEnvironment } from "./lib/disk.js";
import { Findings } from "./lib/test.js";
import { Vm } from "./lib/vm.js";
import { interrupted, updates } from "./updates.js";

const PARTS = ["start", "footprint", "uefi", "cuts", "updates", "interrupted"];
/** An update, where it was not measured. */
const INSTALL_MS = 5000;
const ROOT_SHELL = "systemd.wants=gantry-rescue@ttyS1.service";
const NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nNTP=10.0.2.2\n[DHCPv4]\nUseNTP=no\n";

const { values } = parseArgs({
  options: {
    board: { type: "string", default: "qemu-x86_64" },
    cuts: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    only: { type: "string", multiple: true, default: PARTS },
    "no-build": { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const { board } = values;
const images = join(packageRoot(), "build", "image", board);
const cache =
  process.env.GANTRY_IMAGE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "gantry-image");
process.env.GANTRY_IMAGE_KEYS = join(cache, "keys");
const wanted = (part: string): boolean => values.only.includes(part);
const find = new Findings(values.json);
const figures: Figures = new Map();
const folder = mkdtempSync(join(tmpdir(), "gantry-image-"));
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

async function main(): Promise<void> {
  if (!values["no-build"]) {
    const built = spawnSync(join(packageRoot(), "tools/image/build.sh"), [board], { stdio: ["ignore", 2, 2] });
    if (built.status !== 0) throw new Error("the image could not be built");
  }
  const bench = await Bench.start(folder);
  const disk = await makeDisk(join(images, `gantry-${board}.img`), join(folder, "disk.img"));
  const key = readFileSync(join(folder, "key.pub"));
  await provision(disk, folder, {
    "admin.pub": key,
    "technician.pub": key,
    "config/gantry.toml": bench.configuration,
    "network/10-bench.network": NETWORK,
  });
  await setEnvironment(disk, folder, ROOT_SHELL);
  const ports = await portMap(bench);
  const options = { disk, folder, forward: ports };
  await sizes(images, board, figures, find);

  find.step("the first start");
  let vm = await Vm.start(options);
  const time = await firstStart(vm, bench, ports, find).finally(() => vm.kill());
  if (wanted("footprint")) {
    find.step("footprint");
    vm = await Vm.start(options);
    await bench.online(300_000, bench.bootId);
    await vm.rootShell();
    await vm.run("systemctl is-system-running --wait; sleep 10", { timeoutMs: 300_000, anyCode: true });
    const readyS = await memory(vm, figures, find);
    await vm.kill();
    const bareS = await bareShell(options, disk);
    await setEnvironment(disk, folder, ROOT_SHELL);
    const ratio = `${readyS.toFixed(1)} s against ${bareS.toFixed(1)} s: ${(readyS / bareS).toFixed(1)} times (emulated: 25 to 40 times slower than a machine)`;
    find.tell("kernel start to daemon ready, against a bare shell", ratio);
    figures.set('kernel start to the daemon\'s "ready", against the same kernel to a bare shell', ratio);
  }
  if (wanted("uefi")) {
    find.step("UEFI");
    vm = await Vm.start({ ...options, uefi: true });
    const boot = await bench.online(400_000, bench.bootId).catch(messageOf);
    await vm.rootShell();
    const efi = await vm.run("[ -d /sys/firmware/efi ] && echo efi", { anyCode: true });
    find.check("it starts by UEFI, too", efi === "efi", boot);
    await vm.kill();
  }
  const lot = new Lot(Number(values.seed));
  if (wanted("cuts")) await cuts(options, bench, Number(values.cuts), lot, find);
  let installMs = INSTALL_MS;
  if (wanted("updates")) installMs = await updates(options, bench, images, board, find);
  if (wanted("interrupted")) await interrupted(options, bench, images, board, installMs, lot, find);
  time.close();
  await bench.stop();
  if (wanted("footprint")) await keep(board, figures);
}

try {
  await main();
} catch (error) {
  find.check(
    "the test ran to its end",
    false,
    error instanceof Error ? (error.stack ?? error.message) : messageOf(error),
  );
}
for (const [name, value] of figures) find.rows.push({ what: name, value });
if (values.json) console.log(JSON.stringify({ board, failed: find.failed, rows: find.rows }));
else console.log(find.failed ? "FAILED" : "everything held");
if (values.keep) console.error(`kept: ${folder}`);
else rmSync(folder, { recursive: true, force: true });
process.exit(find.failed ? 1 : 0);
