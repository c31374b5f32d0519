// What stands around the bridge under test: an MQTT server and a broker, an administrator with an SSH key, a time server,
// and the bridge's own configuration.
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import { BridgeClient } from "../../../src/control/client.js";
import type { StateMessage } from "../../../src/control/messages/events.js";
import { BrokerHome } from "../../../tools/broker/home.js";
import { issueKey } from "../../../tools/broker/key-commands.js";
import { sendChunkedList } from "../../kill/lists.js";
import { freePort } from "../../lib/mosquitto.js";
import { run } from "./disk.js";

export const BRIDGE = "bench";
const LIFE_MS = 12 * 3_600_000;
const CHUNKS = 8;

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Bench {
  readonly folder: string;
  readonly home: BrokerHome;
  readonly sshPort: number;
  readonly client: BridgeClient;
  readonly #mqttPort: number;
  readonly #close: () => Promise<void>;
  #state: StateMessage | undefined;
  #keyId: Uint8Array | undefined;

  private constructor(folder: string, ports: { mqtt: number; ssh: number }, close: () => Promise<void>) {
    this.folder = folder;
    this.#mqttPort = ports.mqtt;
    this.sshPort = ports.ssh;
    this.#close = close;
    this.home = new BrokerHome(join(folder, "broker"));
    this.home.init("bench-broker");
    this.client = new BridgeClient({
      bridgeId: BRIDGE,
      server: { host: "127.0.0.1", port: ports.mqtt, clientId: "bench-broker" },
      onBridge: (state) => {
        this.#state = state;
      },
    });
  }

  static async start(folder: string): Promise<Bench> {
    const broker = await Aedes.createBroker();
    const server: Server = createServer((socket) => broker.handle(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const mqtt = (server.address() as { port: number }).port;
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "key")]);
    const close = (): Promise<void> => new Promise((resolve) => broker.close(() => server.close(() => resolve())));
    const bench = new Bench(folder, { mqtt, ssh: await freePort() }, close);
    bench.client.start();
    return bench;
  }

  get configuration(): string {
    const { kid, name, publicKey } = this.home.facts();
    return `[bridge]
id = "${BRIDGE}"
state_dir = "/var/lib/gantry"

[control]
url = "mqtt://10.0.2.2:${this.#mqttPort}"
keepalive_s = 5

[keys]
issuers = [{ kid = "${kid}", issuer = "${name}", public_key = "${publicKey}" }]

[jobs]
# The test asks for every one of them in the end.
keep_reports = 100000

[shell]
socket = "/run/gantry/gantry.sock"
technician_group = "technician"

[board]
update = ["/usr/lib/gantry/update"]
reboot = ["/usr/bin/touch", "/run/gantry/reboot"]

[iscsi]
portals = ["0.0.0.0:3260"]
authentication = "none-anywhere"

[[target]]
name = "iqn.2024-01.org.example:shared"
luns = [{ lun = 0, device = "disk0" }]

[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "/var/lib/gantry/disk.img"
size_mib = 8

[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "/var/lib/gantry/tapes"
`;
  }

  /** Which boot of the daemon said last that it is online; undefined while none is. */
  get bootId(): string | undefined {
    return this.#state?.online === true ? this.#state.bootId : undefined;
  }

  /** Resolves when a daemon that was started after this one is online. */
  async online(timeoutMs: number, before?: string): Promise<string> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const now = this.bootId;
      if (now !== undefined && now !== before) return now;
      if (performance.now() > until) throw new Error(`The bridge was not online within ${timeoutMs / 1000} s.`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** One key for all jobs. */
  async installKey(): Promise<void> {
    const key = issueKey(this.home, {
      bridge: BRIDGE,
      holder: "mover",
      device: ["disk0", "tape0"],
      right: ["read", "write", "media-control"],
      priority: 100,
      lifeMs: LIFE_MS,
    });
    this.#keyId = key.content.id;
    await this.client.send("key.install", { key: key.token });
  }

  /** Resolves when the bridge has acknowledged the job. Jobs may share a list: a bridge keeps 64. */
  async submit(jobId: string, listId = `list-${jobId}`): Promise<void> {
    await sendChunkedList(this.client, listId, CHUNKS, () => {});
    await this.client.send("job.submit", {
      jobId,
      type: "backup",
      keys: this.#keyId === undefined ? [] : [this.#keyId],
      disk: { device: "disk0" },
      listId,
      volume: { id: "v", generation: "g", sequence: 1n },
      tape: { device: "tape0", cartridges: [jobId.toUpperCase()] },
    });
  }

  /** State of a job that the bridge knows, or the code of its refusal. */
  async jobState(jobId: string): Promise<string> {
    const { progress, report } = await this.client.send("job.get", { jobId });
    if (report?.failure !== undefined) return `${report.state}: ${report.failure.message}`;
    return report?.state ?? progress.state;
  }

  /** What the shell says to an administrator (or a technician) who logs in by SSH. Strict about the host's key. */
  ssh(words: string, user = "admin"): Promise<Said> {
    return this.#call("ssh", ["-p", String(this.sshPort), ...this.#sshOptions(), `${user}@127.0.0.1`, words]);
  }

  /** Brings a file to the administrator's folder on the bridge. */
  async copy(file: string, name: string): Promise<void> {
    const args = [
      "-q",
      "-P",
      String(this.sshPort),
      ...this.#sshOptions(),
      file,
      `admin@127.0.0.1:/var/lib/admin/${name}`,
    ];
    const { code, err } = await this.#call("scp", args);
    if (code !== 0) throw new Error(`scp: ${err}`);
  }

  async stop(): Promise<void> {
    await this.client.stop();
    await this.#close();
  }

  #sshOptions(): readonly string[] {
    const options = {
      BatchMode: "yes",
      IdentitiesOnly: "yes",
      StrictHostKeyChecking: "accept-new",
      UserKnownHostsFile: join(this.folder, "known_hosts"),
      ConnectTimeout: "60",
      LogLevel: "ERROR",
    };
    return [
      "-i",
      join(this.folder, "key"),
      ...Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]),
    ];
  }

  #call(program: string, args: readonly string[]): Promise<Said> {
    return new Promise((resolve) => {
      execFile(program, args, { encoding: "utf8", timeout: 600_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, out, err }),
      );
    });
  }
}
