// A whole bridge for flow tests: gantryd as a process with a configuration of its own, a broker's key pair, and a
// session over a real MQTT server. It can be killed and started again on the same state.
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { KeyRequest } from "../../src/admit/issuer.js";
import type { ServerOptions } from "../../src/control/link.js";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobReport, JobSpec } from "../../src/job.js";
import { Glist } from "../../tools/agent/glist.js";
import { BrokerHome } from "../../tools/broker/home.js";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BridgeSession, type Watcher } from "../../tools/broker/session.js";
import { type Daemon, startDaemon } from "../../tools/demo/daemon.js";

export const BRIDGE = "test-bridge";
const ONLINE_MS = 60_000;

export interface BridgeOptions {
  readonly directory: string;
  readonly mqttPort: number;
  /** Tables of devices, TOML. */
  readonly devices: string;
  /** Lines for [jobs]. */
  readonly jobs?: string;
  readonly memory?: string;
  /** The daemon in another form than the tree of modules. */
  readonly program?: string;
  /** Lines for [control], instead of a plain connection to the port. */
  readonly control?: string;
  /** How the broker's session reaches the server, where that is not a plain connection. */
  readonly server?: Partial<ServerOptions>;
}

export class TestBridge {
  readonly options: BridgeOptions;
  readonly home: BrokerHome;
  session: BridgeSession;
  #daemon: Daemon | undefined;
  #sessions = 0;

  constructor(options: BridgeOptions) {
    this.options = options;
    this.home = new BrokerHome(join(options.directory, "broker"));
    if (!this.home.exists) this.home.init("test-broker");
    this.session = this.#newSession();
  }

  /** Starts the daemon, and a new session, and waits until the bridge is online. */
  async start(): Promise<void> {
    mkdirSync(this.options.directory, { recursive: true });
    this.launch();
    await this.session.close();
    this.session = this.#newSession();
    await this.#orItsLog(this.session.connect(ONLINE_MS));
  }

  /** A daemon that does not come up says why in its log; waiting for it alone would only time out. */
  async #orItsLog(wait: Promise<void>): Promise<void> {
    try {
      await wait;
    } catch (error) {
      const log = join(this.options.directory, "gantryd.log");
      throw new Error(existsSync(log) ? readFileSync(log, "utf8") : "no log", { cause: error });
    }
  }

  /** Starts the daemon only. */
  launch(): void {
    this.#daemon = startDaemon(this.options.directory, this.configuration(), this.options.program);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.process.exitCode !== null || daemon.process.signalCode !== null) return;
    const gone = new Promise((resolve) => daemon.process.once("exit", resolve));
    daemon.process.kill("SIGKILL");
    await gone;
  }

  get pid(): number {
    return this.#daemon?.process.pid ?? 0;
  }

  /** Ends everything of it; to be called in teardown. */
  async close(): Promise<void> {
    await this.session.close();
    if (
      this.#daemon !== undefined &&
      this.#daemon.process.exitCode === null &&
      this.#daemon.process.signalCode === null
    ) {
      await this.#daemon.stop();
    }
    rmSync(this.options.directory, { recursive: true, force: true });
  }

  async stop(): Promise<number | null> {
    return this.#daemon === undefined ? null : this.#daemon.stop();
  }

  configuration(): string {
    const { directory, mqttPort, devices, jobs = "", memory = "" } = this.options;
    const control = this.options.control ?? `url = "mqtt://127.0.0.1:${mqttPort}"`;
    const { kid, name, publicKey } = this.home.facts();
    return `[bridge]
id = "${BRIDGE}"
state_dir = "${join(directory, "state")}"
[memory]
${memory}
[control]
${control}
[keys]
issuers = [{ kid = "${kid}", issuer = "${name}", public_key = "${publicKey}" }]
clock = "assume"
[jobs]
${jobs}
${devices}`;
  }

  /** A key for one job, installed. */
  async key(
    jobId: string,
    devices: readonly string[],
    more: Partial<KeyRequest> & { cartridge?: readonly string[]; right?: readonly string[]; lifeMs?: number } = {},
  ): Promise<Uint8Array> {
    const key = issueKey(this.home, {
      bridge: BRIDGE,
      holder: `job:${jobId}`,
      device: devices,
      right: more.right ?? ["read", "write", "media-control"],
      priority: more.priority ?? 255,
      ...(more.cartridge === undefined ? {} : { cartridge: more.cartridge }),
      lifeMs: more.lifeMs ?? 3_600_000,
    });
    await this.session.install(key);
    return key.content.id;
  }

  async sendList(file: string, device: string): Promise<Pick<JobSpec, "listId" | "volume">> {
    const list = await Glist.open(file);
    try {
      await this.session.sendList(list, device);
      return { listId: list.header.listId, volume: list.header.volume };
    } finally {
      await list.close();
    }
  }

  /** Key, list and job in one; resolves with the report. */
  async run(
    spec: Omit<CommandToSend<"job.submit">, "keys">,
    list?: { file: string; device: string },
    watcher?: Watcher,
  ): Promise<JobReport> {
    const devices = [spec.disk?.device, spec.toDisk?.device, spec.tape?.device].filter((name) => name !== undefined);
    const key = await this.key(spec.jobId, devices);
    const listed = list === undefined ? {} : await this.sendList(list.file, list.device);
    return this.session.run({ ...spec, ...listed, keys: [key] } as CommandToSend<"job.submit">, watcher);
  }

  #newSession(): BridgeSession {
    const clientId = `test-broker-${process.pid}-${++this.#sessions}`;
    const { mqttPort: port, server } = this.options;
    return new BridgeSession(this.home, BRIDGE, { host: "127.0.0.1", port, clientId, ...server });
  }
}

/** Tables for an emulated disk and an emulated tape drive. */
export function virtualDevices(directory: string, disk: string, more = ""): string {
  return `[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "${disk}"
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(directory, "tapes")}"
${more}`;
}
