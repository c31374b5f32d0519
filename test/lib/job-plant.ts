// What flow tests of jobs start from: an MQTT server, a bridge with devices over files, and all of it gone when the
// test ends, however it ends.
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { type App, startApp } from "../../src/app.js";
import type { JobReport } from "../../src/job.js";
import { native } from "../../src/native/index.js";
import { type Clock, systemClock } from "../../src/sys/clock.js";
import { parseConfig } from "../../src/sys/config.js";
import { silentLogger } from "../../src/sys/log.js";
import { type BridgeOptions, TestBridge } from "./bridge.js";
import { type Mosquitto, startMosquitto } from "./mosquitto.js";
import { tmpDir } from "./tmp.js";

/** Tables of the configuration for emulated devices. */
export interface VirtualDevices {
  readonly disks?: Readonly<Record<string, { readonly path: string; readonly blockBytes?: 512 | 4096 }>>;
  readonly tapes?: Readonly<
    Record<string, { readonly path: string; readonly capacityMib?: number; readonly earlyWarningKib?: number }>
  >;
}

export function deviceTables({ disks = {}, tapes = {} }: VirtualDevices): string {
  const disk = Object.entries(disks).map(
    ([name, { path, blockBytes = 512 }]) => `[[device]]
name = "${name}"
type = "disk"
transport = "virtual"
path = "${path}"
block_bytes = ${blockBytes}
`,
  );
  const tape = Object.entries(tapes).map(
    ([name, { path, capacityMib = 0, earlyWarningKib = 0 }]) => `[[device]]
name = "${name}"
type = "tape"
transport = "virtual"
path = "${path}"
capacity_mib = ${capacityMib}
early_warning_kib = ${earlyWarningKib}
`,
  );
  return [...disk, ...tape].join("");
}

export interface PlantOptions {
  /** Makes what the devices stand on, and their tables. */
  readonly devices: (directory: string) => string | Promise<string>;
  readonly jobs?: string;
  readonly memory?: string;
  /** The daemon in another form than the tree of modules. */
  readonly program?: string;
}

export interface Plant<B extends TestBridge = TestBridge> {
  readonly directory: string;
  readonly bridge: B;
  readonly mosquitto: Mosquitto;
}

/** gantryd as a process of its own, online. */
export function startPlant(t: ExecutionContext<unknown>, options: PlantOptions): Promise<Plant> {
  return plant(t, options, (bridge) => new TestBridge(bridge));
}

/** The daemon's parts in the test's own process, where emulated devices can be given faults. */
export function startPlantInside(t: ExecutionContext<unknown>, options: PlantOptions): Promise<Plant<InsideBridge>> {
  return plant(t, options, (bridge) => new InsideBridge(bridge));
}

async function plant<B extends TestBridge>(
  t: ExecutionContext<unknown>,
  { devices, jobs, memory, program }: PlantOptions,
  make: (options: BridgeOptions) => B,
): Promise<Plant<B>> {
  const directory = await tmpDir(t, "job");
  const mosquitto = await startMosquitto();
  t.teardown(() => mosquitto.close());
  const bridge = make({
    directory,
    mqttPort: mosquitto.port,
    devices: await devices(directory),
    ...(jobs === undefined ? {} : { jobs }),
    ...(memory === undefined ? {} : { memory }),
    ...(program === undefined ? {} : { program }),
  });
  t.teardown(() => bridge.close());
  await bridge.start();
  return { directory, bridge, mosquitto };
}

export class InsideBridge extends TestBridge {
  #app: Promise<App> | undefined;
  /** A test may set it. */
  clock: Clock = systemClock;

  override launch(): void {
    const config = parseConfig(this.configuration(), "test.toml");
    this.#app = startApp({ config, native, log: silentLogger(), clock: this.clock });
    // Whoever waits for the app hears of it; the waiting session alone would only time out.
    this.#app.catch(() => undefined);
  }

  async app(): Promise<App> {
    if (this.#app === undefined) throw new Error("the bridge was not started");
    return this.#app;
  }

  override async stop(): Promise<number | null> {
    const app = await this.#app;
    this.#app = undefined;
    await app?.stop();
    return 0;
  }

  override async close(): Promise<void> {
    await this.session.close();
    await this.stop();
    await super.close();
  }
}

export const tapFile = (directory: string, cartridge: string): string => join(directory, "tapes", `${cartridge}.tap`);

/** A report that is no success says why in the test's own failure. */
export function succeeded(t: ExecutionContext<unknown>, report: JobReport): void {
  t.is(report.state, "succeeded", `${report.jobId}: ${report.failure?.code} ${report.failure?.message}`);
}

export function failedWith(t: ExecutionContext<unknown>, report: JobReport, code: string, words?: RegExp): void {
  t.is(report.state, "failed", `${report.jobId}: ${report.failure?.code} ${report.failure?.message}`);
  t.is(report.failure?.code, code, report.failure?.message);
  if (words !== undefined) t.regex(report.failure?.message ?? "", words);
}
