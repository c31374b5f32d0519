// Third-party copies of one bridge: the copy manager with what it runs on, and the data plane as the arbiter is to see it,
// in which a copy counts as a command of whoever asked for it: what is drained or aborted waits for copies, too.
import { randomBytes } from "node:crypto";
import type { PathKeeper, ThirdParty } from "./admit/paths.js";
import { copyTuning } from "./copy/engine-options.js";
import type { CopyBook } from "./copy-manager/book.js";
import { CopyManager } from "./copy-manager/manager.js";
import { CopyMemory } from "./copy-manager/memory.js";
import { Tokens } from "./copy-manager/tokens.js";
import { CopyUnits } from "./copy-manager/units.js";
import type { DeviceRegistry } from "./device/registry.js";
import type { Native } from "./native/types.js";
import type { Plane, Punt, WrittenExtent } from "./plane.js";
import type { Clock, Timers } from "./sys/clock.js";
import type { Config } from "./sys/config.js";
import type { Logger } from "./sys/log.js";
import { STATUS } from "./wire/names.js";

const MIB = 1 << 20;

export interface CopiesOptions {
  readonly native: Native;
  readonly devices: DeviceRegistry;
  readonly plane: Plane;
  readonly config: () => Config;
  readonly keeper: () => PathKeeper;
  /** What servers wrote on the disk until now is told by wrote() before it returns. */
  readonly settleWrites: (device: string) => void;
  /** A copy wrote on a disk. */
  readonly onWrote: (device: string, extents: readonly WrittenExtent[]) => void;
  /** Told of every copy. */
  readonly book?: Pick<CopyBook, "begun" | "ended" | "refused">;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
}

type ReserveAnswer = { readonly status: number; readonly sense: Uint8Array };

export class Copies {
  readonly manager: CopyManager;
  /** For the arbiter. */
  readonly plane: Pick<Plane, "attention" | "abort" | "answer" | "pass" | "drain">;
  readonly #options: CopiesOptions;
  readonly #units: CopyUnits;
  readonly #memory: CopyMemory;
  readonly #tokens: Tokens;
  /** Commands to the arbiter that no server sent; their numbers are below those of all punts. */
  readonly #own = new Map<bigint, (answer: ReserveAnswer) => void>();
  #serial = 0n;

  constructor(options: CopiesOptions) {
    this.#options = options;
    const { native, devices, plane, clock, timers, log, settleWrites } = options;
    this.#memory = new CopyMemory({ native, timers, bytes: options.config().memory.copies_mib * MIB });
    this.#units = new CopyUnits({ devices, timers, tapeBlockBytes: this.#memory.tapeBlockBytes });
    this.#tokens = new Tokens({ clock, random: (bytes) => randomBytes(bytes) });
    this.plane = {
      attention: (...args) => plane.attention(...args),
      pass: (punt) => plane.pass(punt),
      answer: (punt, status, sense, data) => this.#answer(punt, status, sense, data),
      abort: async (unit, what) => {
        await Promise.all([plane.abort(unit, what), this.manager.drained(unit)]);
      },
      drain: async (unit, classes, nexus) => {
        await Promise.all([plane.drain(unit, classes, nexus), this.manager.drained(unit)]);
      },
    };
    this.manager = new CopyManager({
      plane,
      plant: {
        native,
        memory: this.#memory,
        units: this.#units,
        tuning: () => copyTuning(options.config().jobs),
        tokens: this.#tokens,
        targetName: () => options.config().target[0]?.name ?? options.config().bridge.id,
        settleWrites,
      },
      session: (nexus) => options.keeper().seen(nexus),
      typeOf: (device) => devices.config(device).type,
      isEmulated: (device) => devices.emulated(device) !== undefined,
      reserveOut: (nexus, device, cdb, list) => this.#reserveOut(nexus, device, cdb, list),
      onWrote: options.onWrote,
      onBegin: (...begun) => options.book?.begun(...begun),
      onEnd: (...ended) => options.book?.ended(...ended),
      onRefused: (refused) => options.book?.refused(refused),
      clock,
      log,
    });
  }

  get thirdParty(): ThirdParty {
    return this.manager;
  }

  /** Blocks were written by somebody else than a copy: tokens that stand for them are void. */
  wrote(device: string, extents: readonly WrittenExtent[]): void {
    this.#tokens.wrote(device, extents);
  }

  async stop(): Promise<void> {
    await this.manager.close();
    await this.#units.stop();
    this.#memory.stop();
  }

  #answer(punt: bigint, status: number, sense?: Uint8Array, data?: Uint8Array): void {
    const own = this.#own.get(punt);
    this.#own.delete(punt);
    if (own === undefined) this.#options.plane.answer(punt, status, sense, data);
    else own({ status, sense: sense ?? new Uint8Array(0) });
  }

  /** As if the server had sent it itself. */
  #reserveOut(nexus: number, device: string, cdb: Uint8Array, data: Uint8Array): Promise<ReserveAnswer> {
    const keeper = this.#options.keeper();
    const found = [...(keeper.seen(nexus)?.paths() ?? [])].find(([, path]) => path.device === device);
    if (found === undefined) return Promise.resolve({ status: STATUS.BUSY, sense: new Uint8Array(0) });
    const [lun, { unit }] = found;
    const id = --this.#serial;
    return new Promise((resolve) => {
      this.#own.set(id, resolve);
      const punt: Punt = { id, nexus, lun, unit, cdb, data, room: 0 };
      keeper.room.onPunt(punt);
    });
  }
}
