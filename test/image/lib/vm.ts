// The image in a virtual machine, started by its own boot loader. Killing QEMU is what pulls the plug: what the guest had
// not yet given to its disk is gone. What it had given without flushing is gone only with a VolatileDisk.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectSoon } from "../../vm/lib/qmp.js";
import type { Disk } from "./disk.js";

const OVMF = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" };

/** No machine outlives the test, however that ends. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export interface VmOptions {
  readonly disk: Disk;
  /** For sockets and the console's text. */
  readonly folder: string;
  /** Ports of the host's loopback address, by ports of the machine. */
  readonly forward?: ReadonlyMap<number, number>;
  readonly uefi?: boolean;
}

export class Vm {
  readonly startedMs = performance.now();
  readonly #child: ChildProcess;
  readonly #options: VmOptions;
  #root: Socket | undefined;
  #heard = "";
  #asked = 0;

  private constructor(child: ChildProcess, options: VmOptions) {
    this.#child = child;
    this.#options = options;
  }

  static async start(options: VmOptions): Promise<Vm> {
    await rm(join(options.folder, "console.sock"), { force: true });
    const child = spawn("qemu-system-x86_64", await commandLine(options), { stdio: ["ignore", "ignore", "pipe"] });
    running.add(child);
    child.once("exit", () => running.delete(child));
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const vm = new Vm(child, options);
    await sleep(100);
    if (child.exitCode !== null) throw new Error(`QEMU ended: ${said}`);
    return vm;
  }

  /** What was said on the first serial port. */
  console(): Promise<string> {
    return readFile(join(this.#options.folder, "console"), "utf8");
  }

  /** Types on the first serial port. */
  async type(text: string): Promise<void> {
    const socket = connect(join(this.#options.folder, "console.sock"));
    await once(socket, "connect");
    socket.end(text);
    await once(socket, "close");
  }

  /** Waits for root's shell: gantry-rescue@ttyS1, or on the first serial port that of init=/bin/sh. */
  async rootShell(port: "root" | "console.sock" = "root", timeoutMs = 300_000): Promise<void> {
    if (this.#root === undefined) {
      const socket = await connectSoon(join(this.#options.folder, port), () => this.#child.exitCode !== null);
      socket.setEncoding("utf8").on("data", (text: string) => {
        this.#heard += text;
      });
      socket.on("error", () => {});
      this.#root = socket;
    }
    const until = performance.now() + timeoutMs;
    for (;;) {
      const from = this.#heard.length;
      this.#root.write('\nstty -echo 2>/dev/null; echo SHE""LL\n');
      await sleep(1000);
      if (this.#heard.slice(from).includes("SHELL\r\n")) return;
      if (performance.now() > until || this.#child.exitCode !== null)
        throw new Error(`There is no root shell:\n${this.#heard.slice(-1000)}\n${(await this.console()).slice(-2000)}`);
    }
  }

  /** Runs a command line as root; resolves with its output. @throws Error when it fails, or says nothing in time */
  async run(command: string, { timeoutMs = 120_000, anyCode = false } = {}): Promise<string> {
    const mark = `END-${++this.#asked}`;
    const from = this.#heard.length;
    // What was said before this belongs to others.
    const begin = `BEGIN-${this.#asked}-`;
    this.#root?.write(
      `echo "${begin.slice(0, 2)}""${begin.slice(2)}"\n( ${command}\n) 2>&1; echo "${mark.slice(0, 2)}""${mark.slice(2)}-$?-"\n`,
    );
    const until = performance.now() + timeoutMs;
    for (;;) {
      const match = new RegExp(`${mark}-(\\d+)-`).exec(this.#heard.slice(from));
      if (match !== null) {
        const output = this.#heard
          .slice(from, from + match.index)
          .replace(new RegExp(`^[\\s\\S]*${begin}`), "")
          .replaceAll("\r", "")
          .replace(/^(?:# |> )+/gm, "");
        if (match[1] !== "0" && !anyCode) throw new Error(`Exit code ${match[1]}: ${command}\n${output}`);
        return output.trim();
      }
      if (performance.now() > until) throw new Error(`No answer: ${command}\n${this.#heard.slice(from)}`);
      await sleep(50);
    }
  }

  /** Pulls the plug. */
  async kill(): Promise<void> {
    this.#root?.destroy();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}

async function commandLine({ disk, folder, forward = new Map(), uefi = false }: VmOptions): Promise<readonly string[]> {
  const forwards = [...forward].map(([guest, host]) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join("");
  const firmware: string[] = [];
  if (uefi) {
    const variables = join(folder, "uefi-variables");
    await writeFile(variables, await readFile(OVMF.variables));
    firmware.push("-drive", `if=pflash,format=raw,readonly=on,file=${OVMF.code}`);
    firmware.push("-drive", `if=pflash,format=raw,file=${variables}`);
  }
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg,thread=multi", "-cpu", "max"],
    ...["-smp", "2", "-m", "1024", "-rtc", "base=utc,clock=host", ...firmware],
    ...[
      "-chardev",
      `socket,id=console,path=${join(folder, "console.sock")},server=on,wait=off,logfile=${join(folder, "console")}`,
    ],
    ...["-serial", "chardev:console", "-serial", `unix:${join(folder, "root")},server=on,wait=off`],
    ...["-drive", `if=none,id=disk,${drive(disk)},format=raw`, "-device", "virtio-blk-pci,drive=disk"],
    ...["-device", "i6300esb", "-device", "virtio-rng-pci"],
    ...["-netdev", `user,id=net${forwards}`, "-device", "virtio-net-pci,netdev=net,romfile="],
  ];
}

function drive({ file, served }: Disk): string {
  return served === undefined ? `file=${file}` : `file.driver=nbd,file.server.type=unix,file.server.path=${served}`;
}
