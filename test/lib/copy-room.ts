// A copy manager among models: a data plane that only keeps answers, an engine, disks and tapes in memory, and two nexuses,
// of which one may do everything with what it sees and the other may read one disk. What goes wrong is kept in `faults`.
import { gateMask, maskOf } from "../../src/admit/opcodes.js";
import { CopyManager } from "../../src/copy-manager/manager.js";
import { CopyMemory } from "../../src/copy-manager/memory.js";
import type { SeenPath } from "../../src/copy-manager/resolver.js";
import { Tokens } from "../../src/copy-manager/tokens.js";
import { CopyUnits } from "../../src/copy-manager/units.js";
import type { DeviceRegistry } from "../../src/device/registry.js";
import { ScsiUnit } from "../../src/device/scsi-unit.js";
import type { Punt } from "../../src/plane.js";
import { ManualClock } from "../../src/sys/clock.js";
import { GantryError } from "../../src/sys/errors.js";
import { type Logger, silentLogger } from "../../src/sys/log.js";
import { STATUS } from "../../src/wire/names.js";
import { ModelEngine } from "./copy-model-engine.js";
import { ModelLu, type ModelPlant, type Touch } from "./copy-model-unit.js";
import type { Disk, Tape } from "./copy-steps.js";

export const DEVICES = ["disk0", "big0", "tape0", "tape1", "hidden"] as const;
export type Device = (typeof DEVICES)[number];
export const FULL = 1;
export const READER = 2;
/** LUNs of both nexuses. */
export const LUN: Readonly<Record<Exclude<Device, "hidden">, number>> = { disk0: 0, big0: 1, tape0: 2, tape1: 3 };
export const DISK_BYTES = 64 * 1024;
export const MEMORY = 8 << 20;
const ALL = 0xffff;
const SILENT = silentLogger();

export interface Answer {
  readonly status: number;
  readonly sense: Uint8Array;
  readonly data: Uint8Array;
}

const isTape = (device: string): boolean => device.startsWith("tape");
const EVERYTHING: readonly Touch[] = ["read", "write", "position", "look"];
/** What each nexus may have done to which device; by itself, so that it does not repeat the resolver. */
const MAY: Readonly<Record<number, Readonly<Record<string, readonly Touch[]>>>> = {
  [FULL]: { disk0: EVERYTHING, big0: EVERYTHING, tape0: EVERYTHING, tape1: EVERYTHING },
  // Of what it sees and may not use the manager asks names and sizes for itself.
  [READER]: { disk0: ["read", "look"], big0: ["look"], tape0: ["look"] },
};

function pathsOf(nexus: number): Map<number, SeenPath> {
  const verdict = (gate: number, reservation = ALL) => ({ gate, reservation, visible: true, writeProtected: false });
  const path = (device: Device, unit: number, given: SeenPath["verdict"]): [number, SeenPath] => [
    LUN[device as keyof typeof LUN],
    { device, unit, verdict: given },
  ];
  if (nexus === FULL)
    return new Map((Object.keys(LUN) as Device[]).map((device, index) => path(device, index, verdict(ALL))));
  return new Map([
    path("disk0", 0, { ...verdict(gateMask("disk", new Set(["read"]))), writeProtected: true }),
    path("big0", 1, verdict(maskOf("identify", "status"))),
    // Reserved for somebody else, but for those classes that no reservation stops.
    path("tape0", 2, verdict(gateMask("tape", new Set(["read", "write"])), ALL & ~maskOf("position", "read", "write"))),
    path("tape1", 3, { ...verdict(ALL), visible: false }),
  ]);
}

export interface RoomOptions {
  readonly memoryBytes?: number;
  readonly log?: Logger;
}

export class Room {
  readonly clock = new ManualClock();
  readonly plant: ModelPlant;
  readonly engine: ModelEngine;
  readonly units: CopyUnits;
  readonly memory: CopyMemory;
  readonly tokens: Tokens;
  readonly manager: CopyManager;
  readonly faults: string[] = [];
  readonly answers = new Map<bigint, Answer>();
  readonly told: { device: string; from: number; to: number }[] = [];
  readonly reserved: string[] = [];
  readonly paths = new Map([FULL, READER].map((nexus) => [nexus, pathsOf(nexus)]));
  /** Whose command is under way. */
  asker = FULL;
  /** Units that are open. */
  open = 0;
  /** The device cannot be opened. */
  broken: string | undefined;
  /** What is thrown then. */
  breaks: Error = new GantryError("DEVICE_PATH_FAILED", "The device cannot be reached.");
  reserveStatus: number = STATUS.GOOD;
  #serial = 0n;
  #draws = 0;

  constructor({ memoryBytes = MEMORY, log = SILENT }: RoomOptions = {}) {
    this.plant = plantOf((device, how) => {
      if (!MAY[this.asker]?.[device]?.includes(how)) this.faults.push(`${how} of ${device} by nexus ${this.asker}`);
    });
    this.engine = new ModelEngine(this.plant);
    this.memory = new CopyMemory({ native: this.engine, timers: this.clock, bytes: memoryBytes });
    const { tapeBlockBytes } = this.memory;
    this.units = new CopyUnits({ devices: this.#devices(), timers: this.clock, tapeBlockBytes });
    // Tokens come out the same in every room, so that a list can present one.
    this.tokens = new Tokens({ clock: this.clock, random: (bytes) => new Uint8Array(bytes).fill(++this.#draws) });
    const { engine, memory, units, tokens, clock } = this;
    this.manager = new CopyManager({
      plane: { answer: (...args) => this.#answered(...args), pass: (punt) => this.#answered(punt, 0) },
      isEmulated: () => true,
      plant: {
        ...{ native: engine, memory, units, tokens, tuning: () => ({}) },
        ...{ targetName: () => "iqn.2024-01.org.example:t", settleWrites: () => undefined },
      },
      session: (nexus) => {
        const paths = this.paths.get(nexus);
        return paths && { text: `nexus ${nexus}`, initiator: `iqn.2024-01.org.example:${nexus}`, paths: () => paths };
      },
      typeOf: (device) => (isTape(device) ? "tape" : "disk"),
      reserveOut: async (nexus, device) => {
        if (nexus !== this.asker || nexus !== FULL) this.faults.push(`${device} is reserved by nexus ${nexus}`);
        this.reserved.push(device);
        return { status: this.reserveStatus, sense: new Uint8Array(0) };
      },
      onWrote: (device, extents) => {
        const block = this.plant.disks.get(device)?.block ?? 0;
        for (const { lba, blocks } of extents)
          this.told.push({ device, from: Number(lba) * block, to: Number(lba + blocks) * block });
      },
      onBegin: () => undefined,
      onEnd: () => undefined,
      clock,
      log,
    });
  }

  /** Hands a command up; it may be answered by settle(), or later. @returns its number */
  punt(nexus: number, lun: number, cdb: Uint8Array, data: Uint8Array = new Uint8Array(0)): bigint {
    const id = ++this.#serial;
    this.asker = nexus;
    const unit = this.paths.get(nexus)?.get(lun)?.unit ?? 0;
    const punt: Punt = { id, nexus, lun, unit, cdb, data, room: 65_536 };
    this.manager.onPunt(punt);
    return id;
  }

  async send(nexus: number, lun: number, cdb: Uint8Array, data?: Uint8Array): Promise<Answer | undefined> {
    const id = this.punt(nexus, lun, cdb, data);
    await settle();
    return this.answers.get(id);
  }

  /** Rights are as at the beginning, and what is told from now on is of the next command. */
  renew(): void {
    for (const nexus of [FULL, READER]) this.paths.set(nexus, pathsOf(nexus));
    this.told.splice(0);
    this.engine.written.splice(0);
  }

  /** Time passes until nothing is kept for the next copy. */
  async rest(): Promise<void> {
    this.clock.advance(20_000);
    await settle();
  }

  #answered(id: bigint, status: number, sense?: Uint8Array, data?: Uint8Array): void {
    if (this.answers.has(id)) this.faults.push(`command ${id} is answered twice`);
    const none = new Uint8Array(0);
    this.answers.set(id, { status, sense: sense ?? none, data: data ?? none });
  }

  /** Units beside those of the manager. @param opened told which device is */
  unitsWith(opened: (device: string) => void): CopyUnits {
    const devices = this.#devices();
    const openUnit: typeof devices.openUnit = (device) => {
      opened(device);
      return devices.openUnit(device);
    };
    const { tapeBlockBytes } = this.memory;
    return new CopyUnits({ devices: { ...devices, openUnit }, timers: this.clock, tapeBlockBytes });
  }

  #devices(): Pick<DeviceRegistry, "config" | "openUnit"> {
    return {
      config: (device) =>
        ({ name: device, type: isTape(device) ? "tape" : "disk" }) as ReturnType<DeviceRegistry["config"]>,
      openUnit: async (device) => {
        if (device === this.broken) throw this.breaks;
        this.open++;
        return new ScsiUnit(device, new ModelLu(this.plant, device, () => void this.open--));
      },
    };
  }
}

/** All that goes on by itself is over. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const disk = (block: number, seed: number): Disk => ({
  block,
  data: Uint8Array.from({ length: DISK_BYTES }, (_, at) => (at * 7 + (at >> 8) * 13 + seed) & 0xff),
});
const DISKS = { disk0: disk(512, 1), big0: disk(4096, 2), hidden: disk(512, 3) };
const BLOCKS = [2048, 2048, 2048, 100, 512, 8192, 2048, 2048].map((bytes, index) =>
  new Uint8Array(bytes).fill(index + 1),
);

const tape = (at: number): Tape => ({
  objects: [...BLOCKS.slice(0, 4), "mark", ...BLOCKS.slice(4), "mark", "mark", ...BLOCKS.slice(0, 2)],
  at,
});

function plantOf(touched: ModelPlant["touched"]): ModelPlant {
  return {
    disks: new Map(Object.entries(DISKS).map(([name, { block, data }]) => [name, { block, data: data.slice() }])),
    tapes: new Map([
      ["tape0", tape(0)],
      ["tape1", tape(3)],
    ]),
    maxBlockBytes: new Map([
      ["tape0", 4 << 20],
      ["tape1", 64 << 10],
    ]),
    touched,
  };
}
