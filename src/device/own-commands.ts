// What the bridge itself sends to devices, for copy jobs above all, recorded for whoever looks for a fault. What servers send
// is recorded by the data plane.
import type { Tap, Tapped, TappedRecord } from "../native/records.js";
import type { Native } from "../native/types.js";

/** A command with the name of the device that it was sent to. */
export interface OwnCommand extends Omit<TappedRecord, "tag"> {
  readonly device: string;
}

export class OwnCommands {
  readonly #native: Pick<Native, "openTap">;
  /** A device's place in here is its tag. */
  readonly #devices: readonly string[];
  #tap: Tap | undefined;

  constructor(native: Pick<Native, "openTap">, devices: readonly string[]) {
    this.#native = native;
    this.#devices = devices;
  }

  /** For opening a unit of the device. */
  tapped(device: string): Tapped {
    this.#tap ??= this.#native.openTap();
    return { tap: this.#tap, tag: this.#devices.indexOf(device) };
  }

  /** Records what is sent to these devices from now on and to no others; none: nothing. */
  record(devices: readonly string[]): void {
    this.#tap ??= this.#native.openTap();
    this.#tap.record(devices.map((device) => this.#devices.indexOf(device)).filter((tag) => tag >= 0));
  }

  /** What was recorded since the last time; lost: how many there was no room for. */
  take(): { readonly commands: readonly OwnCommand[]; readonly lost: bigint } {
    const { records, lost } = this.#tap?.take() ?? { records: [], lost: 0n };
    return { commands: records.map(({ tag, ...record }) => ({ ...record, device: this.#devices[tag] ?? "" })), lost };
  }
}
