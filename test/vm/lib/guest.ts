// A Linux of its own for tests: real drivers above devices that the host or the guest itself has.
import { createHash } from "node:crypto";
import { mkdir, rename, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ended, GuestProcess } from "./agent.js";
import { guestImage } from "./image.js";
import { MACHINE, Machine } from "./machine.js";
import { FUNCTIONS } from "./shell.js";

export interface RunOptions {
  readonly timeoutMs?: number;
  /** Resolves with whatever exit code; otherwise one that is not 0 rejects. */
  readonly anyCode?: boolean;
}

export interface Output extends Ended {
  readonly out: string;
  readonly err: string;
}

/** What a saved machine was made ready for. The script runs once, in a freshly booted guest. */
export interface Preparation {
  readonly name: string;
  readonly script: string;
}

const KERNEL_TROUBLE = /(BUG:|Oops|general protection|kernel panic).*/i;
const MOUNT = "9p -o trans=virtio,version=9p2000.L,msize=512000";

export class Guest {
  readonly #machine: Machine;
  #devices = 0;

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** A guest that has run the preparation's script: from a saved machine when there is one, else it makes that. */
  static async prepared(preparation: Preparation): Promise<Guest> {
    const image = await guestImage();
    const digest = createHash("sha256").update(preparation.script).digest("hex").slice(0, 12);
    const file = join(image.folder, `${preparation.name}-${digest}.state`);
    if (!(await exists(file))) await save(preparation, file);
    const machine = await Machine.start(image, MACHINE, file);
    const guest = new Guest(machine);
    await guest.#meet();
    return guest;
  }

  /** A guest that boots now. */
  static async booted(): Promise<Guest> {
    const guest = new Guest(await Machine.start(await guestImage(), MACHINE));
    await guest.#meet();
    return guest;
  }

  /** A folder of the host that the guest has, writable, as /host. */
  get folder(): string {
    return join(this.#machine.folder, "host");
  }

  /** Runs a bash script (with `-euo pipefail`). @throws Error with its output when it fails or takes too long */
  async run(script: string, options: RunOptions = {}): Promise<Output> {
    const process = this.start(script);
    const timeoutMs = options.timeoutMs ?? 120_000;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      process.kill(9);
    }, timeoutMs);
    const ended = await process.end();
    clearTimeout(timer);
    const [out, err] = [String(process.out), String(process.err)];
    if (late) throw new Error(`After ${timeoutMs} ms it had not ended: ${script}\n${out}${err}`);
    if (ended.code !== 0 && options.anyCode !== true)
      throw new Error(`Exit code ${ended.code}, signal ${ended.signal}: ${script}\n${out}${err}`);
    return { ...ended, out, err };
  }

  /** Starts a script that goes on by itself. */
  start(script: string): GuestProcess {
    return this.#machine.agent.start(FUNCTIONS + script);
  }

  /** QEMU as the initiator: a logical unit of an iSCSI target of the host becomes one of the guest's virtio SCSI host. */
  async addIscsi(unit: { portal: string; target: string; lun: number; initiator: string }): Promise<string> {
    const id = `unit${++this.#devices}`;
    await this.#machine.qmp.command("blockdev-add", {
      driver: "iscsi",
      transport: "tcp",
      portal: unit.portal,
      target: unit.target,
      lun: unit.lun,
      "initiator-name": unit.initiator,
      "node-name": `${id}-node`,
      "read-only": false,
    });
    await this.#plug(id, { driver: "scsi-generic", drive: `${id}-node` });
    return id;
  }

  /** A disk of QEMU's own, on a file of the host. */
  async addDisk(file: string, facts: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const id = `unit${++this.#devices}`;
    await this.#machine.qmp.command("blockdev-add", {
      driver: "file",
      filename: file,
      "node-name": `${id}-node`,
    });
    await this.#plug(id, { driver: "scsi-hd", drive: `${id}-node`, serial: id, ...facts });
    return id;
  }

  /** An empty disk of QEMU's own, whose unit serial number is its name. */
  async newDisk(name: string, mib: number): Promise<string> {
    const file = join(this.#machine.folder, `${name}.img`);
    await writeFile(file, "");
    await truncate(file, mib << 20);
    return this.addDisk(file, { serial: name });
  }

  /** Takes a device out, as pulling the cable. */
  async remove(id: string): Promise<void> {
    await this.#machine.qmp.command("device_del", { id });
  }

  /** Connections to a port of the host's loopback address reach a port of the guest. */
  async forward(hostPort: number, guestPort: number): Promise<void> {
    await this.#machine.qmp.command("human-monitor-command", {
      "command-line": `hostfwd_add net tcp:127.0.0.1:${hostPort}-:${guestPort}`,
    });
  }

  /** The kernel's own words. */
  console(): Promise<string> {
    return this.#machine.console();
  }

  /** Ends it. @throws Error when its kernel had a bug or an oops; what it only warns of is not on the console */
  async stop(): Promise<void> {
    const complaints = KERNEL_TROUBLE.exec(await this.console())?.[0];
    await this.#machine.kill();
    if (complaints !== undefined) throw new Error(`The guest's kernel was in trouble: ${complaints}`);
  }

  async #plug(id: string, device: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#machine.qmp.command("device_add", {
      id,
      bus: "scsi.0",
      "scsi-id": this.#devices,
      lun: 0,
      ...device,
    });
  }

  /** Shares folders with it, and sets its clock, which stood still while it was saved. */
  async #meet(): Promise<void> {
    await mkdir(this.folder);
    await this.#machine.qmp.command("device_add", {
      driver: "virtio-9p-pci",
      fsdev: "host",
      mount_tag: "host",
      id: "share-host",
    });
    await this.#machine.qmp.command("device_add", {
      driver: "virtio-9p-pci",
      fsdev: "tree",
      mount_tag: "tree",
      id: "share-tree",
    });
    await this.run(
      `date -u -s @${(Date.now() / 1000).toFixed(3)} >/dev/null
      for tag in tree host; do
        cache=none; [ $tag = host ] || cache=loose,ro
        for try in $(seq 100); do mount -t ${MOUNT},cache=$cache $tag /$tag 2>/dev/null && break; sleep 0.05; done
      done
      mountpoint -q /tree && mount --bind /host/host /host`,
      { timeoutMs: 30_000 },
    );
  }
}

async function save({ name, script }: Preparation, file: string): Promise<void> {
  const machine = await Machine.start(await guestImage(), MACHINE);
  try {
    const process = machine.agent.start(FUNCTIONS + script);
    const { code } = await process.end();
    if (code !== 0)
      throw new Error(`Preparation ${name} failed: ${process.out}${process.err}${await machine.console()}`);
    const { qmp } = machine;
    const part = `${file}.${process.id}.${machine.pid}`;
    await qmp.command("stop");
    await qmp.command("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
    await qmp.command("migrate", { uri: `exec:cat > '${part}'` });
    for (;;) {
      const state = (await qmp.command("query-migrate")) as { status?: string; "error-desc"?: string };
      if (state.status === "completed") break;
      if (state.status === "failed") throw new Error(`The guest could not be saved: ${state["error-desc"]}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // Others may have saved the same meanwhile; whose comes last is the one that stays, and both are good.
    await rename(part, file);
  } finally {
    await machine.kill();
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
