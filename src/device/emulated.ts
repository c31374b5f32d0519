// The devices that this bridge emulates: they live as long as the daemon, and so do the cartridges in their drives.
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { errnoOf } from "../native/failure.js";
import type { EmulatedDevice, EmulatedTape, Native } from "../native/types.js";
import type { DeviceConfig } from "../sys/config.js";
import { GantryError, messageOf } from "../sys/errors.js";

const MIB = 1024n * 1024n;
const CARTRIDGE_ENDING = ".tap";

type VirtualConfig = Extract<DeviceConfig, { transport: "virtual" }>;

interface Drive {
  readonly config: VirtualConfig;
  readonly tape: EmulatedTape;
}

export interface Cartridges {
  readonly names: readonly string[];
  /** The one in the drive. */
  readonly loaded: string | undefined;
}

export class EmulatedDevices {
  readonly #native: Pick<Native, "openTape" | "openDisk">;
  readonly #devices = new Map<string, EmulatedDevice>();
  readonly #drives = new Map<string, Drive>();
  /** Cartridge in each drive. */
  readonly #loaded = new Map<string, string>();

  constructor(native: Pick<Native, "openTape" | "openDisk">) {
    this.#native = native;
  }

  /** Makes a device. Throws DEVICE_UNUSABLE. */
  make(config: VirtualConfig): void {
    try {
      if (config.type === "tape") {
        mkdirSync(config.path, { recursive: true });
        const tape = this.#native.openTape({
          serial: config.serial ?? config.name,
          volatileCache: config.volatile_cache,
        });
        this.#drives.set(config.name, { config, tape });
        this.#devices.set(config.name, tape);
      } else this.#devices.set(config.name, this.#disk(config));
    } catch (error) {
      throw new GantryError("DEVICE_UNUSABLE", `Device ${config.name} cannot be opened: ${messageOf(error)}`, {
        cause: error,
        details: { device: config.name },
      });
    }
  }

  get(name: string): EmulatedDevice | undefined {
    return this.#devices.get(name);
  }

  /** Loads the cartridges that the configuration puts into drives; one that is not there is made. Throws as load(). */
  async loadConfigured(): Promise<void> {
    for (const [name, { config }] of this.#drives)
      if (config.cartridge !== undefined) await this.load(name, config.cartridge, true);
  }

  /** Cartridges are taken out first, so that nothing is left to be flushed and the next load needs no scan. */
  async stop(): Promise<void> {
    // What a cartridge says against it was said to whoever wrote on it; the drive is closed all the same.
    for (const [name, { tape }] of this.#drives) if (this.#loaded.delete(name)) await tape.unload().catch(() => {});
    for (const device of this.#devices.values()) device.close();
    this.#devices.clear();
    this.#drives.clear();
  }

  /** Cartridges that a drive can load, and which is in it. Real drives: nothing is known. */
  cartridges(name: string): Cartridges {
    const drive = this.#drives.get(name);
    if (drive === undefined) return { names: [], loaded: undefined };
    const names = readdirSync(drive.config.path)
      .filter((file) => file.endsWith(CARTRIDGE_ENDING))
      .map((file) => basename(file, CARTRIDGE_ENDING));
    return { names: names.sort(), loaded: this.#loaded.get(name) };
  }

  /**
   * Puts a cartridge into a drive (and takes out another one). Throws MEDIA_MISSING when the cartridge is not
   * there, or when the drive has nobody who could load it.
   * @param create makes a blank cartridge when there is none of that name
   */
  async load(name: string, cartridge: string, create: boolean): Promise<void> {
    const drive = this.#drives.get(name);
    if (drive === undefined) {
      throw new GantryError(
        "MEDIA_MISSING",
        `Cartridge ${cartridge} cannot be loaded: nobody loads cartridges into ${name}. Load it by hand and name no cartridges in the job.`,
        { details: { device: name, cartridge } },
      );
    }
    if (this.#loaded.get(name) === cartridge) return;
    const { config, tape } = drive;
    const path = join(config.path, cartridge + CARTRIDGE_ENDING);
    if (!create && !existsSync(path)) {
      throw new GantryError("MEDIA_MISSING", `Cartridge ${cartridge} is not among those of ${name} (${config.path}).`, {
        details: { device: name, cartridge },
      });
    }
    await this.unload(name);
    await tape.load({
      path,
      capacityBytes: BigInt(config.capacity_mib) * MIB,
      ...(config.early_warning_kib > 0 ? { earlyWarningBytes: BigInt(config.early_warning_kib) * 1024n } : {}),
    });
    this.#loaded.set(name, cartridge);
  }

  /** Takes out what was loaded by name, so that nobody else writes on it; a drive that nobody loads is left as it is. */
  async unload(name: string): Promise<void> {
    const drive = this.#drives.get(name);
    if (drive === undefined || !this.#loaded.has(name)) return;
    await takeOut(name, drive.tape);
    this.#loaded.delete(name);
  }

  #disk(config: VirtualConfig): EmulatedDevice {
    const blocks = config.size_mib === undefined ? 0n : (BigInt(config.size_mib) * MIB) / BigInt(config.block_bytes);
    const disk = this.#native.openDisk({
      path: config.path,
      blockBytes: config.block_bytes,
      blocks: existsSync(config.path) ? 0n : blocks,
      serial: config.serial ?? config.name,
      thin: config.thin,
      readOnly: config.read_only,
      volatileCache: config.volatile_cache,
      removable: config.removable,
      physicalBlockBytes: Math.max(config.physical_block_bytes, config.block_bytes),
    });
    disk.pace(BigInt(config.pace_kib_s) * 1024n);
    return disk;
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
