// The devices that servers may reach, as units of the data plane: each has a number there as long as it is in a LUN
// map. Emulated devices are there at once; a real one when its link stands, and again after it was lost.
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { DeviceRegistry } from "../device/registry.js";
import type { NativePlane } from "../native/types.js";
import type { Timers } from "../sys/clock.js";
import type { DeviceConfig } from "../sys/config.js";
import type { Logger } from "../sys/log.js";

const UNITS_MAX = 256;
/** statfs(2) of file systems that keep their files in memory, so that nothing there is waited for. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** Of commands to real devices: ordinary ones, and those that may take as long as a tape, a format or a robot. */
const TIMEOUTS_MS = {
  disk: { ordinary: 60_000, slow: 24 * 3_600_000 },
  tape: { ordinary: 900_000, slow: 6 * 3_600_000 },
  // The robot may have to look at every slot, and an import station waits for people.
  changer: { ordinary: 900_000, slow: 3_600_000 },
} as const;

const RETRY_MS = { first: 500, most: 30_000 } as const;

export interface UnitsOptions {
  readonly plane: Pick<NativePlane, "addDevice" | "addLu" | "removeUnit">;
  readonly devices: Pick<DeviceRegistry, "config" | "emulated" | "target" | "onReachable">;
  readonly timers: Timers;
  readonly log: Pick<Logger, "info" | "warn">;
  /** A unit can be reached now, or cannot any more: paths to it have to be set, or are gone. */
  readonly onChange: (device: string) => void;
}

interface Unit {
  readonly device: string;
  readonly number: number;
  state: "opening" | "ready" | "leaving";
  /** Of one that leaves: it is opened again when it has left. */
  again: boolean;
  problem: string | undefined;
  failures: number;
  cancel: (() => void) | undefined;
}

export interface UnitFacts {
  readonly device: string;
  readonly unit: number;
  readonly ready: boolean;
  readonly problem?: string;
}

export class Units {
  readonly #options: UnitsOptions;
  readonly #units = new Map<string, Unit>();
  readonly #numbers = new Set<number>();
  readonly #unlisten: () => void;
  #stopped = false;

  constructor(options: UnitsOptions) {
    this.#options = options;
    this.#unlisten = options.devices.onReachable((device) => this.#tryNow(device));
  }

  /** The number of a device that can be reached now. */
  number(device: string): number | undefined {
    const unit = this.#units.get(device);
    return unit?.state === "ready" ? unit.number : undefined;
  }

  /** The device behind a number. */
  device(number: number): string | undefined {
    return [...this.#units.values()].find((unit) => unit.number === number)?.device;
  }

  facts(): readonly UnitFacts[] {
    return [...this.#units.values()].map(({ device, number, state, problem }) => ({
      device,
      unit: number,
      ready: state === "ready",
      ...(problem === undefined ? {} : { problem }),
    }));
  }

  /** Exactly these devices are wanted from now on; what is missing is opened, the rest is let go of. */
  want(devices: ReadonlySet<string>): void {
    for (const unit of this.#units.values()) if (!devices.has(unit.device)) this.#remove(unit, false);
    for (const device of devices) {
      const known = this.#units.get(device);
      if (known !== undefined) {
        known.again = true;
        continue;
      }
      const number = this.#freeNumber();
      if (number === undefined) {
        this.#options.log.warn({ device }, "more devices are in LUN maps than the bridge has places for");
        continue;
      }
      const unit: Unit = {
        device,
        number,
        state: "opening",
        again: false,
        problem: undefined,
        failures: 0,
        cancel: undefined,
      };
      this.#numbers.add(number);
      this.#units.set(device, unit);
      this.#open(unit);
    }
  }

  /** The plane says that a unit's link is gone for good: it is opened anew. */
  down(number: number): void {
    const unit = [...this.#units.values()].find((one) => one.number === number);
    if (unit?.state !== "ready") return;
    this.#options.log.warn({ device: unit.device }, "the link to a device is lost; it is opened again");
    this.#remove(unit, true);
  }

  /** Nothing is opened any more; the plane is closed next. */
  stop(): void {
    this.#stopped = true;
    this.#unlisten();
    for (const unit of this.#units.values()) unit.cancel?.();
  }

  #freeNumber(): number | undefined {
    for (let number = 0; number < UNITS_MAX; number++) if (!this.#numbers.has(number)) return number;
    return undefined;
  }

  #open(unit: Unit): void {
    const { devices, plane } = this.#options;
    const emulated = devices.emulated(unit.device);
    if (emulated !== undefined) {
      plane.addDevice(unit.number, emulated, inMemory(devices.config(unit.device)));
      this.#ready(unit);
      return;
    }
    void this.#openReal(unit).then(
      () => this.#ready(unit),
      (error: unknown) => this.#failed(unit, error),
    );
  }

  async #openReal(unit: Unit): Promise<void> {
    const { devices, plane } = this.#options;
    const target = devices.target(unit.device);
    if (target.transport === "virtual") throw new Error(`${unit.device} was not started`);
    const { ordinary, slow } = TIMEOUTS_MS[devices.config(unit.device).type];
    await plane.addLu(unit.number, target, ordinary, slow);
  }

  #ready(unit: Unit): void {
    // While it was being opened it may have left the LUN maps, and come back.
    if (unit.state === "leaving" && !unit.again) {
      unit.state = "ready";
      this.#remove(unit, false);
      return;
    }
    unit.state = "ready";
    unit.problem = undefined;
    unit.failures = 0;
    this.#options.onChange(unit.device);
  }

  #failed(unit: Unit, error: unknown): void {
    if ((unit.state === "leaving" && !unit.again) || this.#stopped) {
      this.#forget(unit);
      return;
    }
    unit.state = "opening";
    unit.problem = error instanceof Error ? error.message : String(error);
    const waitMs = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(unit.failures, 10));
    if (unit.failures === 0)
      this.#options.log.warn({ device: unit.device, error }, "a device cannot be reached; it is tried again");
    unit.failures += 1;
    unit.cancel = this.#options.timers.after(waitMs, () => {
      unit.cancel = undefined;
      this.#open(unit);
    });
  }

  /** A device has appeared: one that waits for its next try does not wait any longer. */
  #tryNow(device: string): void {
    const unit = this.#units.get(device);
    if (unit?.state !== "opening" || unit.cancel === undefined) return;
    unit.cancel();
    unit.cancel = undefined;
    this.#open(unit);
  }

  #remove(unit: Unit, again: boolean): void {
    unit.again = again;
    if (unit.state === "leaving") return;
    const waiting = unit.cancel;
    unit.cancel = undefined;
    waiting?.();
    const { state } = unit;
    unit.state = "leaving";
    // One that waits for its next try is nowhere yet; one that is being opened is removed when that has ended.
    if (state === "opening") {
      if (waiting !== undefined) this.#forget(unit);
      return;
    }
    this.#options.onChange(unit.device);
    const gone = (): void => {
      if (!unit.again || this.#stopped) {
        this.#forget(unit);
        return;
      }
      unit.state = "opening";
      this.#open(unit);
    };
    this.#options.plane.removeUnit(unit.number).then(gone, (error: unknown) => {
      this.#options.log.warn({ device: unit.device, error }, "a device could not be let go of");
    });
  }

  #forget(unit: Unit): void {
    this.#numbers.delete(unit.number);
    if (this.#units.get(unit.device) === unit) this.#units.delete(unit.device);
  }
}

/**
 * Whether commands of an emulated disk never wait: its file is in memory, and nothing holds it back. Only such a disk
 * may be served on the front end's own thread, where all sessions would wait with it.
 */
function inMemory(config: DeviceConfig): boolean {
  if (config.transport !== "virtual" || config.type !== "disk" || config.pace_kib_s > 0) return false;
  try {
    return (
      IN_MEMORY.includes(statfsSync(dirname(config.path)).type) && IN_MEMORY.includes(statfsSync(config.path).type)
    );
  } catch {
    return false;
  }
}
