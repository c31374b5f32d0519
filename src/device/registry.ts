// The devices of the configuration: knows them by name, opens logical units of them, loads cartridges into
// emulated drives. Emulated devices live as long as the registry; logical units as long as their job.
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf } from "../native/failure.js";
import type { EmulatedDevice, EmulatedTape, LuTarget, Native } from "../native/types.js";
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
import { repeatable } from "./repeatable.js";
import { ScsiUnit, type Wanted } from "./scsi-unit.js";
import { openTapeDrive, type TapeDrive } from "./tape-drive.js";

const MIB = 1024n * 1024n;
const CARTRIDGE_ENDING = ".tap";

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

type VirtualConfig = Extract<DeviceConfig, { transport: "virtual" }>;

export class DeviceRegistry {
  readonly #native: Native;
  readonly #configs: ReadonlyMap<string, DeviceConfig>;
  readonly #emulated = new Map<string, EmulatedDevice>();
  /** Cartridge in each emulated drive. */
  readonly #loaded = new Map<string, string>();
  readonly #room: RegistryRoom;
  /** Of the devices that are configured by identity. */
  readonly #paths = new Map<string, DevicePaths>();
  readonly #reachable = new Set<(device: string) => void>();
  #discovery: Discovery | undefined;

  constructor(native: Native, devices: Config["device"], room: Partial<RegistryRoom> = {}) {
    this.#native = native;
    this.#room = { ...SYSTEM, ...room };
    this.#configs = new Map(devices.map((device) => [device.name, device]));
  }

  /** Makes the emulated devices. Throws DEVICE_UNUSABLE, with the configuration's name of the device. */
  start(): void {
    for (const config of this.#configs.values()) {
      if (config.transport === "virtual") this.#emulated.set(config.name, this.#emulate(config));
    }
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

  /** Loads the cartridges that the configuration puts into drives; one that is not there is made. Throws as load(). */
  async loadConfigured(): Promise<void> {
    for (const { name, transport, ...config } of this.#configs.values())
      if (transport === "virtual" && "cartridge" in config && config.cartridge !== undefined)
        await this.load(name, config.cartridge, true);
  }

  /** Cartridges are taken out first, so that nothing is left to be flushed and the next load needs no scan. */
  async stop(): Promise<void> {
    this.#discovery?.stop();
    for (const paths of this.#paths.values()) paths.stop();
    for (const [drive, device] of this.#emulated) {
      // What a cartridge says against it was said to whoever wrote on it; the drive is closed all the same.
      if (this.#loaded.delete(drive)) await (device as EmulatedTape).unload().catch(() => {});
      device.close();
    }
    this.#emulated.clear();
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

  /** Cartridges that an emulated drive can load, and which is in it. Real drives: nothing is known. */
  cartridges(name: string): { readonly names: readonly string[]; readonly loaded: string | undefined } {
    const config = this.config(name);
    if (config.transport !== "virtual" || config.type !== "tape") return { names: [], loaded: undefined };
    const names = readdirSync(config.path)
      .filter((file) => file.endsWith(CARTRIDGE_ENDING))
      .map((file) => basename(file, CARTRIDGE_ENDING));
    return { names: names.sort(), loaded: this.#loaded.get(name) };
  }

  /**
   * Puts a cartridge into a drive (and takes out another one). Throws MEDIA_MISSING when the cartridge is not
   * there, or when the drive has nobody who could load it.
   * @param create makes a blank cartridge when there is none of that name
   */
  async load(drive: string, cartridge: string, create: boolean): Promise<void> {
    const config = this.config(drive);
    const device = this.#emulated.get(drive);
    if (config.transport !== "virtual" || config.type !== "tape" || device === undefined) {
      throw new GantryError(
        "MEDIA_MISSING",
        `Cartridge ${cartridge} cannot be loaded: nobody loads cartridges into ${drive}. Load it by hand and name no cartridges in the job.`,
        { details: { device: drive, cartridge } },
      );
    }
    if (this.#loaded.get(drive) === cartridge) return;
    const path = join(config.path, cartridge + CARTRIDGE_ENDING);
    if (!create && !existsSync(path)) {
      throw new GantryError(
        "MEDIA_MISSING",
        `Cartridge ${cartridge} is not among those of ${drive} (${config.path}).`,
        {
          details: { device: drive, cartridge },
        },
      );
    }
    const tape = device as EmulatedTape;
    if (this.#loaded.has(drive)) await takeOut(drive, tape);
    this.#loaded.delete(drive);
    await tape.load({
      path,
      capacityBytes: BigInt(config.capacity_mib) * MIB,
      ...(config.early_warning_kib > 0 ? { earlyWarningBytes: BigInt(config.early_warning_kib) * 1024n } : {}),
    });
    this.#loaded.set(drive, cartridge);
  }

  /** Takes out what was loaded by name, so that nobody else writes on it; a drive that nobody loads is left as it is. */
  async unload(drive: string): Promise<void> {
    const device = this.#emulated.get(drive);
    if (device === undefined || !this.#loaded.has(drive)) return;
    await takeOut(drive, device as EmulatedTape);
    this.#loaded.delete(drive);
  }

  #emulate(config: VirtualConfig): EmulatedDevice {
    const serial = config.serial ?? config.name;
    try {
      if (config.type === "tape") {
        mkdirSync(config.path, { recursive: true });
        return this.#native.openTape({ serial, volatileCache: config.volatile_cache });
      }
      const blocks = config.size_mib === undefined ? 0n : (BigInt(config.size_mib) * MIB) / BigInt(config.block_bytes);
      const disk = this.#native.openDisk({
        path: config.path,
        blockBytes: config.block_bytes,
        blocks: existsSync(config.path) ? 0n : blocks,
        serial,
        thin: config.thin,
        readOnly: config.read_only,
        volatileCache: config.volatile_cache,
        removable: config.removable,
        physicalBlockBytes: Math.max(config.physical_block_bytes, config.block_bytes),
      });
      disk.pace(BigInt(config.pace_kib_s) * 1024n);
      return disk;
    } catch (error) {
      throw new GantryError("DEVICE_UNUSABLE", `Device ${config.name} cannot be opened: ${messageOf(error)}`, {
        cause: error,
        details: { device: config.name },
      });
    }
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
      return new ScsiUnit(name, await this.#native.openLu(this.#target(config)), wanted);
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

async function takeOut(drive: string, tape: EmulatedTape): Promise<void> {
  try {
    await tape.unload();
  } catch (error) {
    if (errnoOf(error) !== "EBUSY") throw error;
    throw new GantryError(
      "DEVICE_IN_USE",
      `The cartridge in ${drive} stays where it is: a server prevents that it is removed (PREVENT ALLOW MEDIUM REMOVAL).`,
      { details: { device: drive }, cause: error },
    );
  }
}
