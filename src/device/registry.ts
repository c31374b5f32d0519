// The devices of the configuration: knows them by name and how they are reached, and opens logical units of them, which
// live as long as their job.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EmulatedDevice, LuTarget, Native } from "../native/types.js";
import { type Clock, systemClock, systemTimers, type Timers } from "../sys/clock.js";
import type { Config, DeviceConfig } from "../sys/config.js";
import { GantryError, messageOf } from "../sys/errors.js";
import type { Logger } from "../sys/log.js";
import { inquiry } from "../wire/cdb.js";
import { VPD } from "../wire/inquiry.js";
import { STATUS } from "../wire/names.js";
import { DevicePaths, type PathFacts } from "./discovery/device-paths.js";
import { Discovery } from "./discovery/discovery.js";
import { identityOf } from "./discovery/identity.js";
import type { Places, ScsiNode } from "./discovery/sysfs.js";
import { type OpenDisk, openDisk } from "./disk.js";
import { type Cartridges, EmulatedDevices } from "./emulated.js";
import { OwnCommands } from "./own-commands.js";
import { repeatable } from "./repeatable.js";
import { ScsiUnit, type Wanted } from "./scsi-unit.js";
import { openTapeDrive, type TapeDrive } from "./tape-drive.js";

/** What VPD pages may have; devices of SPC-2 look at the low byte only, which is 252. */
const PAGE_BYTES = 1020;
/** The kernel's target as a host of the same machine. */
const LOOPBACK = "tcm_loop";

export interface RegistryRoom {
  readonly places: Places;
  /** Names of the targets that this bridge is itself. */
  readonly ownTargets: () => readonly string[];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Pick<Logger, "debug" | "info" | "warn" | "error">;
}

const SYSTEM: RegistryRoom = {
  places: { sys: "/sys", dev: "/dev" },
  ownTargets: () => [],
  clock: systemClock,
  timers: systemTimers,
  log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
};

export class DeviceRegistry {
  readonly #native: Native;
  readonly #configs: ReadonlyMap<string, DeviceConfig>;
  readonly #emulated: EmulatedDevices;
  /** What jobs and the bridge itself send to devices. */
  readonly own: OwnCommands;
  readonly #room: RegistryRoom;
  /** Of the devices that are configured by identity. */
  readonly #paths = new Map<string, DevicePaths>();
  readonly #reachable = new Set<(device: string) => void>();
  #discovery: Discovery | undefined;

  constructor(native: Native, devices: Config["device"], room: Partial<RegistryRoom> = {}) {
    this.#native = native;
    this.#emulated = new EmulatedDevices(native);
    this.#room = { ...SYSTEM, ...room };
    this.#configs = new Map(devices.map((device) => [device.name, device]));
    this.own = new OwnCommands(native, [...this.#configs.keys()]);
  }

  /** Makes the emulated devices. Throws DEVICE_UNUSABLE, with the configuration's name of the device. */
  start(): void {
    for (const config of this.#configs.values()) if (config.transport === "virtual") this.#emulated.make(config);
  }

  /** Finds the devices that are configured by identity, and goes on looking for them. What is not there yet may come. */
  async discover(): Promise<void> {
    const { clock, timers, log, places } = this.#room;
    for (const config of this.#configs.values()) {
      if (config.transport !== "sg" || config.identity === undefined) continue;
      const { name: device, identity: words } = config;
      const identity = identityOf(words);
      if (identity === undefined) throw new GantryError("CONFIG_INVALID", `${words} is no identity of a device.`);
      const target = {
        again: repeatable(config.type),
        reservedBytes: config.max_io_kib * 1024,
        directIo: config.direct_io,
      };
      this.#paths.set(device, new DevicePaths({ device, words, identity, target, clock, timers, log }));
    }
    if (this.#paths.size === 0) return;
    this.#discovery = new Discovery({
      places,
      timers,
      log,
      ask: (path) => this.#askPages(path),
      listen: (onChange) => this.#native.listenForDevices(onChange),
      onChange: (all) => {
        const nodes = all.filter((node) => !this.#isOurs(node));
        for (const [device, paths] of this.#paths)
          if (paths.update(nodes)) for (const listener of this.#reachable) listener(device);
      },
    });
    await this.#discovery.start();
    this.#lookAtBsg();
  }

  /** Calls back when a device can be reached that could not, or over more paths. Returns what ends that. */
  onReachable(listener: (device: string) => void): () => void {
    this.#reachable.add(listener);
    return () => this.#reachable.delete(listener);
  }

  /** The paths to devices that are configured by identity, as they are now. */
  paths(): readonly PathFacts[] {
    return [...this.#paths.values()].flatMap((paths) => paths.facts());
  }

  async stop(): Promise<void> {
    this.#discovery?.stop();
    for (const paths of this.#paths.values()) paths.stop();
    await this.#emulated.stop();
  }

  /** Throws DEVICE_UNKNOWN. */
  config(name: string): DeviceConfig {
    const config = this.#configs.get(name);
    if (config !== undefined) return config;
    const known = [...this.#configs.keys()].join(", ");
    throw new GantryError(
      "DEVICE_UNKNOWN",
      `There is no device "${name}" on this bridge; it has ${known === "" ? "none" : known}.`,
      {
        details: { device: name },
      },
    );
  }

  all(): readonly DeviceConfig[] {
    return [...this.#configs.values()];
  }

  /** The emulated device behind a name, for tests and drills; undefined for real ones. */
  emulated(name: string): EmulatedDevice | undefined {
    return this.#emulated.get(name);
  }

  /** As EmulatedDevices.loadConfigured. */
  loadConfigured(): Promise<void> {
    return this.#emulated.loadConfigured();
  }

  /** As EmulatedDevices.cartridges. Throws DEVICE_UNKNOWN, too. */
  cartridges(name: string): Cartridges {
    this.config(name);
    return this.#emulated.cartridges(name);
  }

  /** As EmulatedDevices.load. Throws DEVICE_UNKNOWN, too. */
  async load(drive: string, cartridge: string, create: boolean): Promise<void> {
    this.config(drive);
    await this.#emulated.load(drive, cartridge, create);
  }

  /** As EmulatedDevices.unload. */
  unload(drive: string): Promise<void> {
    return this.#emulated.unload(drive);
  }

  /** Throws JOB_CANCELLED when the device is becoming ready and is not wanted any more. */
  async openDisk(name: string, wanted?: Wanted): Promise<OpenDisk> {
    const unit = await this.#openUnit(name, wanted);
    return closingOnError(unit, () => openDisk(unit));
  }

  /** As openDisk. */
  async openTape(name: string, wanted?: Wanted): Promise<TapeDrive> {
    const unit = await this.#openUnit(name, wanted);
    return closingOnError(unit, () => openTapeDrive(unit));
  }

  async openUnit(name: string): Promise<ScsiUnit> {
    return this.#openUnit(name);
  }

  /** A unit that this bridge serves and this machine sees goes by the device's name, and would lead round in a circle. */
  #isOurs({ driver, target }: ScsiNode): boolean {
    return driver === LOOPBACK || (target !== undefined && this.#room.ownTargets().includes(target));
  }

  /** Commands go over sg; whether this kernel would take them by io_uring is worth knowing, and nothing more. */
  #lookAtBsg(): void {
    const { log, places } = this.#room;
    const [path] = this.paths();
    if (path === undefined) return;
    const node = join(places.dev, "bsg", path.address);
    log.debug({ node, ioUring: this.#native.bsgUring(node) }, "whether bsg nodes take commands by io_uring");
  }

  /** What the kernel did not ask of a device itself; one that does not answer is asked again later. */
  async #askPages(path: string): Promise<{ identification?: Uint8Array; serial?: Uint8Array }> {
    const lu = await this.#native.openLu({ transport: "sg", path });
    const page = async (code: number): Promise<Uint8Array | undefined> => {
      const { outcome, status, data } = await lu.execute(inquiry(PAGE_BYTES, code), { dataIn: PAGE_BYTES });
      return outcome === "delivered" && status === STATUS.GOOD ? data : undefined;
    };
    try {
      const identification = await page(VPD.IDENTIFICATION);
      const serial = await page(VPD.SERIAL);
      return { ...(identification && { identification }), ...(serial && { serial }) };
    } finally {
      await lu.close();
    }
  }

  async #openUnit(name: string, wanted?: Wanted): Promise<ScsiUnit> {
    const config = this.config(name);
    try {
      return new ScsiUnit(name, await this.#native.openLu(this.#target(config), this.own.tapped(name)), wanted);
    } catch (error) {
      throw new GantryError("DEVICE_PATH_FAILED", `Device ${name} cannot be opened: ${messageOf(error)}`, {
        cause: error,
        details: { device: name },
      });
    }
  }

  /** How a device is reached, with its secrets as they are now. Throws DEVICE_UNKNOWN, DEVICE_UNUSABLE. */
  target(name: string): LuTarget {
    return this.#target(this.config(name));
  }

  #target(config: DeviceConfig): LuTarget {
    if (config.transport === "sg") {
      const paths = this.#paths.get(config.name);
      if (paths !== undefined) return paths.target();
      if (config.path === undefined)
        throw new GantryError("DEVICE_UNUSABLE", `Device ${config.name} was not looked for.`);
      return {
        transport: "sg",
        path: config.path,
        reservedBytes: config.max_io_kib * 1024,
        directIo: config.direct_io,
      };
    }
    if (config.transport === "iscsi") {
      const chap = credentials(config.chap_user, config.chap_secret_file);
      const targetChap = credentials(config.target_chap_user, config.target_chap_secret_file);
      return {
        transport: "iscsi",
        portal: config.portal,
        target: config.target,
        lun: config.lun,
        initiator: config.initiator,
        ...(chap === undefined ? {} : { chap }),
        ...(targetChap === undefined ? {} : { targetChap }),
        headerDigest: config.header_digest,
        connectTimeoutMs: config.connect_timeout_s * 1000,
      };
    }
    const device = this.#emulated.get(config.name);
    if (device === undefined) throw new GantryError("DEVICE_UNUSABLE", `Device ${config.name} was not started.`);
    return { transport: "virtual", device };
  }
}

/** The secret is read when it is needed, so that it can be changed without a restart. */
function credentials(
  user: string | undefined,
  secretFile: string | undefined,
): { user: string; secret: string } | undefined {
  if (user === undefined || secretFile === undefined) return undefined;
  return { user, secret: readFileSync(secretFile, "utf8").split("\n")[0] ?? "" };
}

async function closingOnError<T>(unit: ScsiUnit, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    await unit.close();
    throw error;
  }
}
