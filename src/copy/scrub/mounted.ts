// The drive of a scrub with one of the job's cartridges in it at a time.
import type { TapeDrive } from "../../device/tape-drive.js";
import { GantryError } from "../../sys/errors.js";
import type { JobContext } from "../job-context.js";

export class Mounted {
  readonly #context: JobContext;
  /** One empty name for whatever is in the drive. */
  readonly cartridges: readonly string[];
  #drive: TapeDrive | undefined;
  #index = -1;

  constructor(context: JobContext) {
    this.#context = context;
    const named = context.record.spec.tape?.cartridges ?? [];
    this.cartridges = named.length === 0 ? [""] : named;
  }

  get index(): number {
    return this.#index;
  }

  get drive(): TapeDrive {
    if (this.#drive === undefined) throw new GantryError("INTERNAL", "A scrub reads before a cartridge is loaded.");
    return this.#drive;
  }

  /** The drive, with the job's cartridge of this number in it. Throws JOB_CANCELLED, MEDIA_MISSING, DEVICE_… */
  async mount(index: number): Promise<TapeDrive> {
    if (this.#drive !== undefined && this.#index === index) return this.#drive;
    await this.close();
    const { devices, record, control, meter } = this.#context;
    if (control.cancelled) throw new GantryError("JOB_CANCELLED", "The job was cancelled.");
    const device = record.spec.tape?.device ?? "";
    const cartridge = this.cartridges[index] ?? "";
    meter.cartridge = cartridge;
    if (cartridge !== "") await devices.load(device, cartridge, false);
    this.#drive = await devices.openTape(device, control);
    this.#index = index;
    return this.#drive;
  }

  async close(): Promise<void> {
    const drive = this.#drive;
    this.#drive = undefined;
    await drive?.close();
  }
}
