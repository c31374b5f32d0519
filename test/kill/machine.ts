// What is killed: a daemon alone, or all of a machine at once: daemon with its emulated devices, MQTT server and, where
// wanted, an iSCSI target, in one process group that one SIGKILL ends. Everything that it writes lies in one folder.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { TestBridge } from "../lib/bridge.js";
import { freePort } from "../lib/mosquitto.js";
import { GROUP_VARIABLE, MARKS_VARIABLE, type Marks, MOMENT_VARIABLE, type Moment } from "./moment.js";

const GANTRYD = fileURLToPath(new URL("../../src/main.js", import.meta.url));
const HOOK = new URL("./hook.js", import.meta.url).href;
const TARGET = "iqn.2024-01.test.gantry:target";
const GONE_MS = 20_000;

export interface MachineOptions {
  readonly directory: string;
  readonly image: string;
  /** The whole machine is killed, not the daemon alone. */
  readonly group: boolean;
  /** Emulated devices lose with the process what was not synchronised. */
  readonly volatile: boolean;
  /** MQTT messages are kept over a kill. */
  readonly persistence: boolean;
  /** The disk "target" is a logical unit of tgtd's. */
  readonly tgtd: boolean;
  readonly capacityMib: number;
  /** Lines for [jobs]. */
  readonly jobs: string;
}

/** Every process group that was started and not ended, so that none outlives the campaign. */
const groups = new Set<number>();
process.on("exit", () => {
  for (const group of groups) endGroup(group);
});

function endGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // It is gone.
  }
}

class Launched extends TestBridge {
  machine: Machine | undefined;

  override launch(): void {
    this.machine?.launch();
  }

  override async close(): Promise<void> {
    await this.session.close();
  }
}

export class Machine {
  readonly options: MachineOptions;
  readonly bridge: Launched;
  readonly port: number;
  readonly #iscsiPort: number;
  #daemon: ChildProcess | undefined;
  #server: ChildProcess | undefined;
  #moment: Moment | undefined;

  private constructor(options: MachineOptions, port: number, iscsiPort: number) {
    this.options = options;
    this.port = port;
    this.#iscsiPort = iscsiPort;
    this.bridge = new Launched({
      directory: options.directory,
      mqttPort: port,
      devices: this.#devices(),
      jobs: `concurrent = 1\ncheckpoint_mib = 1\nresume_limit = 1000\n${options.jobs}`,
      memory: "arena_mib = 8",
      server: { backoff: { minMs: 20, maxMs: 100 } },
    });
    this.bridge.machine = this;
  }

  static async make(options: MachineOptions): Promise<Machine> {
    mkdirSync(join(options.directory, "mosquitto"), { recursive: true });
    const port = await freePort();
    const machine = new Machine(options, port, await freePort());
    const persistence = options.persistence
      ? [`persistence true`, `persistence_location ${join(options.directory, "mosquitto")}/`, "autosave_interval 1"]
      : ["persistence false"];
    const lines = ["user root", `listener ${port} 127.0.0.1`, "allow_anonymous true", ...persistence, ""];
    writeFileSync(machine.#path("mosquitto.conf"), lines.join("\n"));
    if (!options.group) machine.#server = machine.#spawn(machine.#serverCommand());
    return machine;
  }

  #path(name: string): string {
    return join(this.options.directory, name);
  }

  tape(cartridge: string): string {
    return this.#path(`tapes/${cartridge}.tap`);
  }

  get target(): string {
    return this.#path("target.img");
  }

  get log(): string {
    return existsSync(this.#path("gantryd.log")) ? readFileSync(this.#path("gantryd.log"), "utf8") : "";
  }

  #devices(): string {
    const { volatile, capacityMib, image, tgtd } = this.options;
    const device = (name: string, type: string, path: string, more = ""): string =>
      `[[device]]\nname = "${name}"\ntype = "${type}"\ntransport = "virtual"\npath = "${path}"\nvolatile_cache = ${volatile}\n${more}`;
    const target = tgtd
      ? `[[device]]\nname = "target"\ntype = "disk"\ntransport = "iscsi"\nportal = "127.0.0.1:${this.#iscsiPort}"\ntarget = "${TARGET}"\nlun = 1\nconnect_timeout_s = 2\n`
      : device("target", "disk", this.target);
    return [
      device("disk0", "disk", image, "read_only = true\n"),
      target,
      device("tape0", "tape", this.#path("tapes"), `capacity_mib = ${capacityMib}\nearly_warning_kib = 256\n`),
      device("tape1", "tape", this.#path("other-tapes")),
    ].join("");
  }

  #serverCommand(): string {
    return `exec /usr/sbin/mosquitto -c '${this.#path("mosquitto.conf")}' >>'${this.#path("mosquitto.log")}' 2>&1`;
  }

  #targetCommand(): string {
    const socket = `TGT_IPC_SOCKET='${this.#path("tgt")}'`;
    const admin = `${socket} /usr/sbin/tgtadm -C 1 --lld iscsi`;
    return [
      `(${socket} exec /usr/sbin/tgtd -f -C 1 --iscsi portal=127.0.0.1:${this.#iscsiPort} >>'${this.#path("tgtd.log")}' 2>&1) &`,
      `(until ${admin} --op show --mode sys >/dev/null 2>&1; do sleep 0.05; done`,
      `${admin} --op new --mode target --tid 1 -T ${TARGET}`,
      `${admin} --op new --mode logicalunit --tid 1 --lun 1 -b '${this.target}' --device-type=disk`,
      `${admin} --op bind --mode target --tid 1 -I ALL) >>'${this.#path("tgtd.log")}' 2>&1 &`,
    ].join("\n");
  }

  #daemonCommand(): string {
    const { directory } = this.options;
    const config = this.#path("gantry.toml");
    mkdirSync(directory, { recursive: true });
    writeFileSync(config, this.bridge.configuration());
    return `exec '${process.execPath}' --import '${HOOK}' '${GANTRYD}' --config '${config}' >>'${this.#path("gantryd.log")}' 2>&1`;
  }

  #spawn(script: string): ChildProcess {
    const { options } = this;
    const child = spawn("/bin/sh", ["-c", script], {
      detached: true,
      stdio: "ignore",
      env: {
        ...process.env,
        [MOMENT_VARIABLE]: JSON.stringify(this.#moment ?? null),
        [MARKS_VARIABLE]: this.#path("marks"),
        ...(options.group ? { [GROUP_VARIABLE]: "1" } : {}),
      },
    });
    if (child.pid === undefined) throw new Error("no process could be started");
    groups.add(child.pid);
    return child;
  }

  /** @param moment a named step that the daemon is to be killed at. */
  launch(moment?: Moment): void {
    this.#moment = moment;
    // What an earlier life left there must not be taken for this one's.
    closeSync(openSync(this.#path("marks"), "w"));
    const { group, tgtd } = this.options;
    const daemon = this.#daemonCommand();
    const parts = [`(${this.#serverCommand()}) &`, ...(tgtd ? [this.#targetCommand()] : []), `(${daemon}) &`, "wait"];
    this.#daemon = this.#spawn(group ? parts.join("\n") : daemon);
  }

  get running(): boolean {
    return this.#daemon !== undefined && this.#daemon.exitCode === null && this.#daemon.signalCode === null;
  }

  /** What the daemon was at last; undefined when it had not even begun to say. */
  marks(): Marks | undefined {
    try {
      return JSON.parse(readFileSync(this.#path("marks"), "utf8")) as Marks;
    } catch {
      return undefined;
    }
  }

  /** SIGKILL to all that is to be killed, at one instant. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon?.pid !== undefined && this.running) endGroup(daemon.pid);
    await this.gone();
  }

  /** Waits until the last process of the group holds nothing any more. */
  async gone(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon?.pid === undefined) return;
    const deadline = performance.now() + GONE_MS;
    while (this.running || groupLives(daemon.pid)) {
      if (performance.now() > deadline) throw new Error("a killed process does not go away");
      await sleep(5);
    }
    groups.delete(daemon.pid);
  }

  /** SIGTERM to the daemon, then whatever else there is is ended. Rejects when it does not say that it stopped. */
  async stop(): Promise<void> {
    const before = this.log.split('"stopped"').length;
    const pid = this.marks()?.pid ?? 0;
    if (pid === 0 || !this.running) throw new Error(`the daemon does not run:\n${this.log.slice(-2000)}`);
    process.kill(pid, "SIGTERM");
    const deadline = performance.now() + GONE_MS;
    while (this.options.group ? alive(pid) : this.running) {
      if (performance.now() > deadline) throw new Error("the daemon does not stop");
      await sleep(10);
    }
    const stopped = this.log.split('"stopped"').length;
    await this.kill();
    if (stopped <= before) throw new Error(`the daemon did not stop well:\n${this.log.slice(-2000)}`);
  }

  /** Ends everything. @param keep leaves the folder, for somebody to look into. */
  async close(keep: boolean): Promise<void> {
    await this.bridge.close();
    await this.kill();
    const server = this.#server?.pid;
    if (server !== undefined) {
      endGroup(server);
      while (groupLives(server)) await sleep(5);
      groups.delete(server);
    }
    if (!keep) rmSync(this.options.directory, { recursive: true, force: true });
  }
}

/** A zombie holds nothing; whoever is to take note of its end may take his time. */
function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !"ZX".includes(stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3));
  } catch {
    return false;
  }
}

function groupLives(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch {
    return false;
  }
  return processesOf(group).some(alive);
}

function processesOf(group: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        // pid (comm) state ppid pgrp: proc(5).
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) === group;
      } catch {
        return false;
      }
    });
}
