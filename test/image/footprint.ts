// What the image takes: room, memory, and time to be ready. Only sizes can fail; times in an emulated machine are told
// relative to the same kernel with nothing but a shell.
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../src/native/addon.js";
import { type Disk, setEnvironment } from "./lib/disk.js";
import type { Findings } from "./lib/test.js";
import { Vm, type VmOptions } from "./lib/vm.js";

const MIB = 1024 * 1024;
const IMAGE_MIB = 110;
const DAEMON_MIB = 30;
const START = "<!-- footprint -->";
const END = "<!-- end of footprint -->";

export type Figures = Map<string, string>;

export async function sizes(images: string, board: string, figures: Figures, find: Findings): Promise<void> {
  const size = async (name: string): Promise<number> => (await stat(join(images, name))).size / MIB;
  const image = await size(`gantry-${board}.img.zst`);
  find.check(`the image is at most ${IMAGE_MIB} MiB`, image <= IMAGE_MIB, `${image.toFixed(1)} MiB`);
  figures.set("image, compressed", `${image.toFixed(1)} MiB (at most ${IMAGE_MIB})`);
  figures.set("update", `${(await size(`gantry-${board}.raucb`)).toFixed(1)} MiB`);
  figures.set("root file system (squashfs)", `${(await size("rootfs.squashfs")).toFixed(1)} MiB`);
}

/** In a machine that has been idle since it started. */
export async function memory(vm: Vm, figures: Figures, find: Findings): Promise<number> {
  const field = async (file: string, name: string): Promise<number> =>
    Number(await vm.run(`awk '$1 == "${name}:" { print $2 }' ${file}`)) / 1024;
  const used = (await field("/proc/meminfo", "MemTotal")) - (await field("/proc/meminfo", "MemAvailable"));
  figures.set("memory in use after the start", `${used.toFixed(0)} MiB`);
  const daemon = await field("/proc/$(systemctl show -P MainPID gantryd)/status", "VmRSS");
  await vm.run("node -e 'setInterval(() => {}, 1e6)' >/dev/null 2>&1 & echo $! >/run/bare; sleep 8");
  const bare = await field("/proc/$(cat /run/bare)/status", "VmRSS");
  await vm.run("kill $(cat /run/bare)");
  const over = daemon - bare;
  find.check(
    `the idle daemon needs at most ${DAEMON_MIB} MiB more than node alone`,
    over <= DAEMON_MIB,
    `${over.toFixed(1)} MiB`,
  );
  figures.set(
    "resident memory of the idle daemon",
    `${daemon.toFixed(1)} MiB; bare node: ${bare.toFixed(1)} MiB; difference ${over.toFixed(1)} MiB (at most ${DAEMON_MIB})`,
  );
  return (
    Number(/^\d+$/m.exec(await vm.run("systemctl show -P ActiveEnterTimestampMonotonic gantryd | cat"))?.[0]) / 1e6
  );
}

/** Seconds from the kernel's start to a shell that is the only process. */
export async function bareShell(options: VmOptions, disk: Disk): Promise<number> {
  await setEnvironment(disk, options.folder, "init=/bin/sh");
  const vm = await Vm.start({ ...options, disk });
  try {
    // The first answer is the first moment at which the shell reads.
    await vm.rootShell("console.sock");
    return Number((await vm.run("cut -d' ' -f1 /proc/uptime")).split("\n").at(-1));
  } finally {
    await vm.kill();
  }
}

/** Puts the figures into board/README.md, between its marks. */
export async function keep(board: string, figures: Figures): Promise<void> {
  const file = join(packageRoot(), "board", "README.md");
  const text = await readFile(file, "utf8");
  const [from, to] = [text.indexOf(START), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} has no place for the figures`);
  const rows = [...figures].map(([name, value]) => `| ${name} | ${value} |`).join("\n");
  const table = `${START}\n| ${board} | measured |\n|---|---|\n${rows}\n`;
  await writeFile(file, text.slice(0, from) + table + text.slice(to));
}
