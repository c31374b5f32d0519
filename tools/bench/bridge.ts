// A gantryd of the benchmark's own with an MQTT server, to be asked what it needs.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BrokerHome } from "../broker/home.js";
import { issueKey } from "../broker/key-commands.js";
import { BridgeSession } from "../broker/session.js";
import { type Daemon, startDaemon } from "../demo/daemon.js";
import { freePort } from "./copy-iscsi.js";

const MOSQUITTO = "/usr/sbin/mosquitto";
const BRIDGE = "bench-bridge";
const ONLINE_MS = 30_000;
const READY_MS = 30_000;
const KEY_LIFE_MS = 3_600_000;
export const DISK_BLOCK_BYTES = 4096;

export class BenchBridge {
  readonly #home: BrokerHome;
  readonly #mqtt: ChildProcess;
  readonly session: BridgeSession;
  #daemon: Daemon | undefined;

  private constructor(
    readonly folder: string,
    home: BrokerHome,
    mqtt: ChildProcess,
    readonly port: number,
  ) {
    this.#home = home;
    this.#mqtt = mqtt;
    this.session = new BridgeSession(home, BRIDGE, { host: "127.0.0.1", port, clientId: "bench-broker" });
  }

  /** The MQTT server and the broker's keys; the bridge is started by itself. */
  static async make(folder: string): Promise<BenchBridge> {
    mkdirSync(folder, { recursive: true });
    const home = new BrokerHome(join(folder, "broker"));
    home.init("bench-broker");
    const port = await freePort();
    const file = join(folder, "mosquitto.conf");
    const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", "persistence false", "log_type error"];
    // Without it the server holds back small messages for up to 40 ms (RFC 896 on top of RFC 1122 4.2.3.2).
    lines.push("set_tcp_nodelay true", "");
    writeFileSync(file, lines.join("\n"));
    const mqtt = spawn(MOSQUITTO, ["-c", file], { stdio: "ignore" });
    mqtt.on("error", () => {});
    await listening(port);
    return new BenchBridge(folder, home, mqtt, port);
  }

  get pid(): number {
    return this.#daemon?.process.pid ?? 0;
  }

  /**
   * Starts the daemon, or its bundle, with `more` at the end of its configuration; resolves with the milliseconds until
   * it said that it is ready.
   */
  async start(disk: string, program?: string, more = ""): Promise<number> {
    const log = join(this.folder, "gantryd.log");
    writeFileSync(log, "");
    const start = performance.now();
    const daemon = startDaemon(this.folder, this.#configuration(disk) + more, program);
    this.#daemon = daemon;
    const { stdout } = daemon.process;
    return new Promise((resolve, reject) => {
      let said = "";
      const timer = setTimeout(() => reject(new Error(`gantryd is not ready:\n${said}`)), READY_MS);
      stdout?.on("data", (data) => {
        said += String(data);
        if (!said.includes('"msg":"ready"')) return;
        clearTimeout(timer);
        resolve(performance.now() - start);
      });
      daemon.process.once("exit", () => reject(new Error(`gantryd ended:\n${said}${readFileSync(log, "utf8")}`)));
    });
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  async online(): Promise<void> {
    await this.session.connect(ONLINE_MS);
  }

  /** A key for a backup, installed. */
  async key(jobId: string): Promise<Uint8Array> {
    const key = issueKey(this.#home, {
      bridge: BRIDGE,
      holder: `job:${jobId}`,
      device: ["disk0", "tape0"],
      right: ["read", "write", "media-control"],
      priority: 100,
      lifeMs: KEY_LIFE_MS,
    });
    await this.session.install(key);
    return key.content.id;
  }

  /** A server's key for reading and writing the devices, installed. */
  async grant(initiator: string, device: readonly string[]): Promise<void> {
    const right = ["read", "write", "exclusive"];
    const holder = `initiator:${initiator}`;
    await this.session.install(
      issueKey(this.#home, { bridge: BRIDGE, holder, device, right, priority: 100, lifeMs: KEY_LIFE_MS }),
    );
  }

  async close(): Promise<void> {
    await this.session.close();
    await this.stop();
    this.#mqtt.kill("SIGKILL");
  }

  #configuration(disk: string): string {
    const { kid, name, publicKey } = this.#home.facts();
    return `[bridge]
id = "${BRIDGE}"
state_dir = "${join(this.folder, "state")}"
[control]
url = "mqtt://127.0.0.1:${this.port}"
[keys]
issuers = [{ kid = "${kid}", issuer = "${name}", public_key = "${publicKey}" }]
clock = "assume"
[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
block_bytes = ${DISK_BLOCK_BYTES}
path = "${disk}"
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(this.folder, "tapes")}"
`;
  }
}

async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    const up = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (up) return;
    await sleep(10);
  }
  throw new Error(`${MOSQUITTO} does not start`);
}
