// A whole bridge inside the guest: gantryd as the bundle, on real nodes, with a Mosquitto of its own; the broker's
// session is the test's, through a forwarded port.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeBundle } from "../../../tools/bundle/bundle.js";
import { type BridgeOptions, TestBridge } from "../../lib/bridge.js";
import { freePort } from "../../lib/mosquitto.js";
import type { GuestProcess } from "./agent.js";
import type { Guest } from "./guest.js";

const MQTT_PORT = 1883;
/** Where its state is in the guest: in memory there, because the store maps its file, which a shared folder cannot. */
const STATE = "/tmp/gantry";
export const SOCKET = `${STATE}/state/gantry.sock`;

/** What ends things when a test ends, or, for things that several tests share, when a file of tests ends. */
export interface Endings {
  teardown(end: () => unknown): void;
}

/** Endings of what `test.before` starts; run them in `test.after.always`. */
export class SharedEndings implements Endings {
  readonly #ends: (() => unknown)[] = [];

  teardown(end: () => unknown): void {
    this.#ends.unshift(end);
  }

  async run(): Promise<void> {
    for (const end of this.#ends) await end();
  }
}

export class GuestBridge extends TestBridge {
  readonly guest: Guest;
  #process: GuestProcess | undefined;

  constructor(guest: Guest, options: BridgeOptions) {
    super(options);
    this.guest = guest;
  }

  /** @param devices tables of the configuration */
  static async start(t: Endings, guest: Guest, devices: string, jobs = ""): Promise<GuestBridge> {
    const directory = join(guest.folder, "bridge");
    mkdirSync(directory);
    await makeBundle(join(directory, "bundle"));
    const mqttPort = await freePort();
    await guest.forward(mqttPort, MQTT_PORT);
    await guest.run(`printf 'listener ${MQTT_PORT}\\nallow_anonymous true\\n' >/tmp/mosquitto.conf
      setsid mosquitto -d -c /tmp/mosquitto.conf </dev/null >/dev/null 2>&1`);
    const control = `url = "mqtt://127.0.0.1:${MQTT_PORT}"`;
    const bridge = new GuestBridge(guest, { directory, mqttPort, devices, control, jobs });
    t.teardown(() => bridge.close());
    await bridge.start();
    return bridge;
  }

  override configuration(): string {
    return (
      super
        .configuration()
        .replace(join(this.options.directory, "state"), `${STATE}/state`)
        // Its clock and the test's are set by each other, not exactly.
        .replace('clock = "assume"', 'clock = "assume"\nleeway_s = 60')
    );
  }

  override launch(): void {
    writeFileSync(join(this.options.directory, "gantry.toml"), this.configuration());
    this.#process = this.guest.start(`mkdir -p ${STATE}
      cd ${STATE}
      exec node /host/bridge/bundle/gantryd.js --config /host/bridge/gantry.toml >>/host/bridge/gantryd.log 2>&1`);
  }

  /** Process number in the guest. */
  async guestPid(): Promise<number> {
    return Number((await this.guest.run("pgrep -f gantryd.js | head -1")).out);
  }

  override async kill(): Promise<void> {
    this.#process?.kill(9);
    await this.#process?.end();
  }

  override async stop(): Promise<number | null> {
    this.#process?.kill(15);
    return (await this.#process?.end())?.code ?? null;
  }

  override async close(): Promise<void> {
    await this.session.close();
    await this.stop();
    await super.close();
  }

  /** The `gantry` program, in the guest. */
  async shell(...words: readonly string[]): Promise<string> {
    return (await this.guest.run(`node /host/bridge/bundle/gantry.js --socket ${SOCKET} ${words.join(" ")}`)).out;
  }
}

export const sgTable = (name: string, type: "disk" | "tape" | "changer", path: string, more = ""): string =>
  `[[device]]
name = "${name}"
type = "${type}"
transport = "sg"
path = "${path}"
${more}
`;
