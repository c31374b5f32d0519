// Logical units in memory for the copy manager: what it asks of a disk or a tape drive by commands, and what the model of
// the engine (copy-model-engine.ts) reads and writes of them.
import type { ExecuteOptions, Lu, ScsiAnswer } from "../../src/native/types.js";
import { putUint } from "../../src/wire/bytes.js";
import { OPCODE } from "../../src/wire/cdb.js";
import { SENSE_KEY, STATUS } from "../../src/wire/names.js";
import { fixedSense } from "../../src/wire/sense-encode.js";
import { type BinaryDesignator, DESIGNATOR, encodeDesignator } from "../../src/wire/xcopy/designator.js";
import { get, type Plant, writeObjects } from "./copy-steps.js";

export type Touch = "read" | "write" | "position" | "look";

export interface ModelPlant extends Plant {
  /** By name; disks have none. */
  readonly maxBlockBytes: ReadonlyMap<string, number>;
  /** Told of everything that happens to a device. */
  readonly touched: (device: string, how: Touch) => void;
}

/** Less than what one of the drives says that it takes. */
const MAX_TRANSFER = 3 << 20;

/** The designator of the logical unit: by its place among all. */
export function nameOf(plant: Plant, device: string): BinaryDesignator {
  const place = [...plant.disks.keys(), ...plant.tapes.keys()].indexOf(device);
  const value = Uint8Array.of(0x50, 0x01, 0x12, 0x23, 0x34, 0x45, 0x56, place);
  return { codeSet: 1, association: 0, type: DESIGNATOR.NAA, value };
}

const DEVICE = new WeakMap<Lu, string>();

/** @throws Error it is none of ours */
export function deviceOf(lu: Lu): string {
  const device = DEVICE.get(lu);
  if (device === undefined) throw new Error("a unit that is no model");
  return device;
}

const ILLEGAL = fixedSense(SENSE_KEY.ILLEGAL_REQUEST, 0x20, 0x00);
const NO_FIELD = fixedSense(SENSE_KEY.ILLEGAL_REQUEST, 0x24, 0x00);
const BLANK = fixedSense(SENSE_KEY.BLANK_CHECK, 0x00, 0x05);
const FILEMARK = fixedSense(SENSE_KEY.NO_SENSE, 0x00, 0x01);
FILEMARK[2] = 0x80;

type Told = Uint8Array | { readonly status: number; readonly sense: Uint8Array };
const check = (sense: Uint8Array): Told => ({ status: STATUS.CHECK_CONDITION, sense });
const NOTHING = new Uint8Array(0);

export class ModelLu implements Lu {
  readonly transport = "virtual";
  readonly maxTransferBytes = MAX_TRANSFER;
  readonly maxQueue = 16;
  closed = false;
  readonly #plant: ModelPlant;
  readonly #device: string;
  readonly #onClose: () => void;

  constructor(plant: ModelPlant, device: string, onClose: () => void) {
    this.#plant = plant;
    this.#device = device;
    this.#onClose = onClose;
    DEVICE.set(this, device);
  }

  async execute(cdb: Uint8Array, { dataIn = 0 }: ExecuteOptions = {}): Promise<ScsiAnswer> {
    if (this.closed) throw new Error(`${this.#device} is used after it was closed`);
    const told = this.#plant.tapes.has(this.#device) ? this.#tape(cdb) : this.#disk(cdb);
    const [status, sense, data] =
      told instanceof Uint8Array ? [STATUS.GOOD, NOTHING, told.slice(0, dataIn)] : [told.status, told.sense, NOTHING];
    const rest = { residual: dataIn - data.length, hostStatus: 0, driverStatus: 0 };
    return { outcome: "delivered", status, sense, data, ...rest };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#onClose();
  }

  #touch(how: Touch): void {
    this.#plant.touched(this.#device, how);
  }

  #both(cdb: Uint8Array): Told {
    this.#touch("look");
    if (cdb[0] === OPCODE.TEST_UNIT_READY) return NOTHING;
    if (cdb[0] !== OPCODE.INQUIRY) return check(ILLEGAL);
    if ((cdb[1] ?? 0) === 0) {
      const data = new Uint8Array(96).fill(0x20, 8);
      data.set([this.#plant.tapes.has(this.#device) ? 1 : 0, 0, 6, 2, 91]);
      return data;
    }
    if (cdb[2] === 0x00) return Uint8Array.of(0, 0x00, 0, 2, 0x00, 0x83);
    if (cdb[2] !== 0x83) return check(NO_FIELD);
    const name = encodeDesignator(nameOf(this.#plant, this.#device));
    return Uint8Array.of(0, 0x83, 0, name.length, ...name);
  }

  #disk(cdb: Uint8Array): Told {
    if (cdb[0] !== OPCODE.SERVICE_ACTION_IN_16) return this.#both(cdb);
    this.#touch("look");
    const { block, data } = get(this.#plant.disks, this.#device);
    const capacity = new Uint8Array(32);
    putUint(capacity, 0, 8, BigInt(data.length / block - 1), "last block");
    putUint(capacity, 8, 4, block, "block length");
    return capacity;
  }

  #tape(cdb: Uint8Array): Told {
    const tape = get(this.#plant.tapes, this.#device);
    switch (cdb[0]) {
      case OPCODE.READ_BLOCK_LIMITS: {
        this.#touch("look");
        const limits = new Uint8Array(6);
        putUint(limits, 1, 3, this.#plant.maxBlockBytes.get(this.#device) ?? 0, "largest block");
        limits[5] = 1;
        return limits;
      }
      case OPCODE.READ_POSITION: {
        this.#touch("look");
        const position = new Uint8Array(32);
        if (tape.at === 0) position[0] = 0x80;
        putUint(position, 8, 8, tape.at, "object");
        return position;
      }
      case OPCODE.WRITE_FILEMARKS_6:
        this.#touch("write");
        writeObjects(tape, new Array<"mark">(Math.min(uint24(cdb, 2), 1000)).fill("mark"));
        return NOTHING;
      case OPCODE.LOCATE_10: {
        this.#touch("position");
        const object = (uint24(cdb, 3) * 256 + (cdb[6] ?? 0)) >>> 0;
        tape.at = Math.min(object, tape.objects.length);
        return object > tape.objects.length ? check(BLANK) : NOTHING;
      }
      case OPCODE.SPACE_6:
        this.#touch("position");
        return this.#space((cdb[1] ?? 0) & 0x0f, (uint24(cdb, 2) << 8) >> 8);
      default:
        return this.#both(cdb);
    }
  }

  #space(code: number, count: number): Told {
    const tape = get(this.#plant.tapes, this.#device);
    if (code === 3) {
      tape.at = tape.objects.length;
      return NOTHING;
    }
    if (code > 1) return check(NO_FIELD);
    for (let left = Math.abs(count); left > 0; ) {
      const next = count > 0 ? tape.at : tape.at - 1;
      const object = tape.objects[next];
      if (object === undefined) return check(count > 0 ? BLANK : FILEMARK);
      tape.at += Math.sign(count);
      if (code === 0 && object === "mark") return check(FILEMARK);
      if (code === 0 || object === "mark") left--;
    }
    return NOTHING;
  }
}

const uint24 = (cdb: Uint8Array, at: number): number =>
  ((cdb[at] ?? 0) << 16) | ((cdb[at + 1] ?? 0) << 8) | (cdb[at + 2] ?? 0);
