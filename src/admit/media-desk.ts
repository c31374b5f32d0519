// Cartridges on people's word: into an emulated drive that servers use, and out of it. Jobs load what they need
// themselves. Nothing is taken from under a job, nor from a server that has reserved the drive.
import type { DeviceRegistry } from "../device/registry.js";
import { GantryError } from "../sys/errors.js";
import type { ReservationDesk } from "./reservations/desk.js";

export interface MediaDeskOptions {
  readonly devices: Pick<DeviceRegistry, "config" | "load" | "unload">;
  readonly reservations: Pick<ReservationDesk, "list">;
  /** Jobs that have the drive now. */
  readonly jobsOn: (device: string) => readonly string[];
}

export class MediaDesk {
  readonly #options: MediaDeskOptions;

  constructor(options: MediaDeskOptions) {
    this.#options = options;
  }

  /**
   * @param create makes a blank cartridge when there is none of that name
   * @throws DEVICE_UNKNOWN, DEVICE_IN_USE, MEDIA_MISSING
   */
  async load(device: string, cartridge: string, create: boolean): Promise<void> {
    this.#free(device);
    await this.#options.devices.load(device, cartridge, create);
  }

  /** @throws DEVICE_UNKNOWN, DEVICE_IN_USE */
  async unload(device: string): Promise<void> {
    this.#free(device);
    await this.#options.devices.unload(device);
  }

  #free(device: string): void {
    const { devices, jobsOn, reservations } = this.#options;
    devices.config(device);
    const [job] = jobsOn(device);
    if (job !== undefined) throw inUse(device, `job ${job} has it`);
    const facts = reservations.list().find((one) => one.device === device && one.kind !== "none");
    if (facts !== undefined) throw inUse(device, `${facts.holders.join(", ") || "somebody"} has reserved it`);
  }
}

const inUse = (device: string, why: string): GantryError =>
  new GantryError("DEVICE_IN_USE", `The cartridge in ${device} stays where it is: ${why}.`, { details: { device } });
