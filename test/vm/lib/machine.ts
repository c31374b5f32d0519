// One QEMU with the test guest in it: its command line, its two sockets, its end. What is done with a guest is guest.ts.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentLink } from "./agent.js";
import type { GuestImage } from "./image.js";
import { connectSoon, Qmp } from "./qmp.js";

/** Measured against others: each of these words saves start-up time or keeps the console quiet. */
const KERNEL_WORDS =
  "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check audit=0 apparmor=0 cryptomgr.notests nowatchdog random.trust_cpu=on";
const BOOT_MS = 90_000;

export interface MachineOptions {
  readonly memoryMib: number;
  readonly processors: number;
}

export const MACHINE: MachineOptions = { memoryMib: 2048, processors: 2 };

export class Machine {
  readonly folder: string;
  readonly qmp: Qmp;
  readonly agent: AgentLink;
  readonly #child: ChildProcess;

  private constructor(folder: string, child: ChildProcess, qmp: Qmp, agent: AgentLink) {
    this.folder = folder;
    this.#child = child;
    this.qmp = qmp;
    this.agent = agent;
  }

  /**
   * @param state a saved machine of the same image and options, which goes on where it was; undefined: boots
   * @throws Error with what the console and QEMU said
   */
  static async start(image: GuestImage, options: MachineOptions, state?: string): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), "gantry-vm-"));
    const child = spawn("qemu-system-x86_64", commandLine(image, options, folder, state), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    let ended = false;
    child.on("exit", () => {
      ended = true;
    });
    child.on("error", (error) => {
      ended = true;
      said += error.message;
    });
    try {
      const qmp = await Qmp.connect(join(folder, "qmp"), () => ended);
      const agent = new AgentLink(await connectSoon(join(folder, "agent"), () => ended));
      if (state !== undefined) await goOn(qmp);
      await agent.ready(BOOT_MS);
      return new Machine(folder, child, qmp, agent);
    } catch (error) {
      child.kill("SIGKILL");
      const console = await readFile(join(folder, "console"), "utf8").catch(() => "");
      await rm(folder, { recursive: true, force: true });
      throw new Error(`The test guest did not start: ${said}\n${console.slice(-3000)}`, { cause: error });
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What its kernel said on the serial console. */
  console(): Promise<string> {
    return readFile(join(this.folder, "console"), "utf8");
  }

  /** As pulling the plug. */
  async kill(): Promise<void> {
    this.qmp.close();
    this.agent.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exit = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await exit;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A saved machine was stopped when it was saved; it may go on as soon as all of it is there. */
async function goOn(qmp: Qmp): Promise<void> {
  for (;;) {
    const { status } = (await qmp.command("query-status")) as { status: string };
    if (status === "running") return;
    if (status === "paused" || status === "postmigrate") break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await qmp.command("cont");
}

function commandLine(image: GuestImage, options: MachineOptions, folder: string, state?: string): readonly string[] {
  const file = (name: string): string => join(image.folder, name);
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-accel", "tcg,thread=multi", "-cpu", "max"],
    ...["-smp", String(options.processors), "-m", `${options.memoryMib}M`],
    ...["-bios", "qboot.rom", "-kernel", file("vmlinux"), "-initrd", file("initrd.gz"), "-append", KERNEL_WORDS],
    ...["-rtc", "base=utc,clock=host"],
    ...["-chardev", `file,id=console,path=${join(folder, "console")}`, "-serial", "chardev:console"],
    ...["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=gantry"],
    ...["-chardev", `socket,id=agent,path=${join(folder, "agent")},server=on,wait=off`],
    ...["-qmp", `unix:${join(folder, "qmp")},server=on,wait=off`],
    ...["-drive", `if=none,id=root,file=${file("root.sqfs")},format=raw,readonly=on`],
    ...["-device", "virtio-blk-pci,drive=root"],
    ...["-device", "virtio-scsi-pci,id=scsi"],
    ...["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
    // Shares are plugged in later: while one is mounted, a machine cannot be saved.
    ...["-fsdev", `local,id=host,path=${folder},security_model=none,multidevs=remap`],
    ...["-fsdev", `local,id=tree,path=${process.cwd()},security_model=none,readonly=on,multidevs=remap`],
    ...(state === undefined ? [] : ["-incoming", `exec:cat '${state}'`]),
  ];
}
