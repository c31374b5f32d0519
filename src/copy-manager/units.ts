// The logical units that copies use: what they are, and handles that stay open between copies that follow one another
// closely, since opening costs more than copying a megabyte. One handle serves one copy at a time; several copies of one
// device have several.
import { openDisk } from "../device/disk.js";
import { senseOf } from "../device/failure.js";
import type { DeviceRegistry } from "../device/registry.js";
import type { ScsiUnit } from "../device/scsi-unit.js";
import { openTapeAsItIs, type TapeDrive } from "../device/tape-drive.js";
import type { CopyLu, ScsiAnswer } from "../native/types.js";
import type { Timers } from "../sys/clock.js";
import { inquiry, testUnitReady } from "../wire/cdb.js";
import { VPD } from "../wire/inquiry.js";
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { type BinaryDesignator, decodeDesignators } from "../wire/xcopy/designator.js";
import type { CopyUnit } from "./steps.js";

/** Devices of SPC-2 look at the low byte of an allocation length only, which is 252 here. */
const IDENTIFICATION_BYTES = 1020;
const LOGICAL_UNIT = 0;
const IDLE_MS = 2000;

export interface Leased {
  readonly facts: CopyUnit;
  readonly unit: ScsiUnit;
  readonly copyLu: CopyLu;
  /** Of a tape. */
  readonly drive?: TapeDrive;
}

export interface CopyUnitsOptions {
  readonly devices: Pick<DeviceRegistry, "config" | "openUnit">;
  readonly timers: Timers;
  /** Largest block of a tape that there is memory for. */
  readonly tapeBlockBytes: number;
}

export class CopyUnits {
  readonly #options: CopyUnitsOptions;
  readonly #designators = new Map<string, Promise<readonly BinaryDesignator[]>>();
  readonly #idle = new Map<string, Leased[]>();
  readonly #blockBytes = new Map<string, number>();
  #transferBytes = Number.MAX_SAFE_INTEGER;
  #timer: (() => void) | undefined;
  #stopped = false;

  constructor(options: CopyUnitsOptions) {
    this.#options = options;
  }

  /** By what names the logical unit itself goes (SPC-4 7.8.6); none while it cannot be asked. */
  designators(device: string): Promise<readonly BinaryDesignator[]> {
    const known = this.#designators.get(device);
    if (known !== undefined) return known;
    const asked = this.#names(device).catch(() => {
      // It is asked again with the next copy.
      this.#designators.delete(device);
      return [];
    });
    this.#designators.set(device, asked);
    return asked;
  }

  /** Of a disk that was opened once. */
  blockBytes(device: string): number {
    return this.#blockBytes.get(device) ?? 1;
  }

  /** A handle for one copy, until it is given back. Rejects with what the device says: DEVICE_… */
  async lease(device: string): Promise<Leased> {
    // Looked up each time: others lease and give back meanwhile.
    for (let leased = this.#takeIdle(device); leased !== undefined; leased = this.#takeIdle(device)) {
      if (await isAsItWas(leased)) return leased;
      // It may be another device by now, with another name.
      this.#designators.delete(device);
      await leased.unit.close();
    }
    return this.#open(device);
  }

  /** Bytes that every disk which was opened takes with one command. */
  get transferBytes(): number {
    return this.#transferBytes;
  }

  /** @param sound false: the last command on it did not end well, and nobody knows why */
  async giveBack(leased: Leased, sound: boolean): Promise<void> {
    if (!sound || this.#stopped) return leased.unit.close();
    const { device } = leased.facts;
    this.#idle.set(device, [...(this.#idle.get(device) ?? []), leased]);
    this.#timer?.();
    this.#timer = this.#options.timers.after(IDLE_MS, () => void this.#closeIdle().catch(() => undefined));
  }

  /** The device is another now, or will be: what is idle of it is closed. */
  async forget(device: string): Promise<void> {
    this.#designators.delete(device);
    const idle = this.#idle.get(device) ?? [];
    this.#idle.delete(device);
    await Promise.all(idle.map(({ unit }) => unit.close()));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#closeIdle();
  }

  #takeIdle(device: string): Leased | undefined {
    return this.#idle.get(device)?.pop();
  }

  async #closeIdle(): Promise<void> {
    this.#timer?.();
    this.#timer = undefined;
    const idle = [...this.#idle.values()].flat();
    this.#idle.clear();
    await Promise.all(idle.map(({ unit }) => unit.close()));
  }

  async #open(device: string): Promise<Leased> {
    const unit = await this.#options.devices.openUnit(device);
    try {
      const leased = await (this.#options.devices.config(device).type === "tape"
        ? openTape(unit, this.#options.tapeBlockBytes)
        : openBlocks(unit));
      this.#blockBytes.set(device, leased.facts.blockBytes);
      const { maxIoBytes, lu } = leased.copyLu;
      if (leased.facts.type === "disk")
        this.#transferBytes = Math.min(this.#transferBytes, maxIoBytes || lu.maxTransferBytes, lu.maxTransferBytes);
      return leased;
    } catch (error) {
      await unit.close();
      throw error;
    }
  }

  async #names(device: string): Promise<readonly BinaryDesignator[]> {
    const { data } = await this.ask(device, inquiry(IDENTIFICATION_BYTES, VPD.IDENTIFICATION), IDENTIFICATION_BYTES);
    return decodeDesignators(data).filter(({ association }) => association === LOGICAL_UNIT);
  }

  /** The device's own answer to a command that needs no medium, past unit attentions. Rejects when it is not reached. */
  async ask(device: string, cdb: Uint8Array, dataIn: number): Promise<ScsiAnswer> {
    const unit = await this.#options.devices.openUnit(device);
    try {
      return await unit.command(cdb, { dataIn, accept: (answer) => senseOf(answer)?.key !== SENSE_KEY.UNIT_ATTENTION });
    } finally {
      await unit.close();
    }
  }
}

/** A unit attention waits for whoever has not used a unit for a while: it may have another medium, or other blocks. */
async function isAsItWas({ unit }: Leased): Promise<boolean> {
  try {
    const { outcome, status } = await unit.lu.execute(testUnitReady());
    return outcome === "delivered" && status === STATUS.GOOD;
  } catch {
    return false;
  }
}

async function openBlocks(unit: ScsiUnit): Promise<Leased> {
  const { blockBytes, blocks, copyLu } = await openDisk(unit);
  return { unit, copyLu, facts: { device: unit.name, type: "disk", blockBytes, blocks, maxBlockBytes: 0 } };
}

/** A block has to go through drive, transport and ring as one. */
async function openTape(unit: ScsiUnit, most: number): Promise<Leased> {
  const drive = await openTapeAsItIs(unit);
  const { copyLu } = drive;
  const maxBlockBytes = Math.min(drive.maxBlockBytes, unit.lu.maxTransferBytes, most);
  return { unit, copyLu, drive, facts: { device: unit.name, type: "tape", blockBytes: 0, blocks: 0n, maxBlockBytes } };
}
