// What a run of the model of the engine (copy-model-engine.ts) reads: the bytes of its stream, as far as they are there.
import type { DoneEvent } from "../../src/copy/copy-run.js";
import { type CopyOptions, Op } from "../../src/native/types.js";
import { SENSE_KEY } from "../../src/wire/names.js";
import { fixedSense } from "../../src/wire/sense-encode.js";
import { type Seg, toMark } from "./copy-model-program.js";
import { deviceOf, type ModelPlant } from "./copy-model-unit.js";
import { get } from "./copy-steps.js";

export type Failed = NonNullable<DoneEvent["failed"]>;
export type Ending = Pick<DoneEvent, "result" | "streamOffset"> & { readonly failed?: Failed };

export const ENDED = {
  result: "tape-ended" as const,
  failed: {
    ...{ lu: 0, side: "source" as const, outcome: "delivered" as const, status: 2, cdb: new Uint8Array(6) },
    sense: fixedSense(SENSE_KEY.BLANK_CHECK, 0x00, 0x05),
  },
};

export class Reader {
  readonly parts: Uint8Array[] = [];
  ended: Omit<Ending, "streamOffset"> | undefined;
  #rest: Uint8Array = new Uint8Array(0);
  readonly #plant: ModelPlant;
  readonly #options: CopyOptions;
  readonly #inline: Uint8Array;

  constructor(plant: ModelPlant, options: CopyOptions, inline: Uint8Array) {
    this.#plant = plant;
    this.#options = options;
    this.#inline = inline;
  }

  /** @returns whether it was all there */
  read(seg: Seg): boolean {
    const { op, addr, bytes, lu, skip } = seg;
    const count = toMark(seg) ? 0 : Number(bytes);
    if (op === Op.INLINE) this.parts.push(this.#inline.subarray(Number(addr), Number(addr) + count));
    else if (op === Op.ZEROS) this.parts.push(new Uint8Array(count));
    else {
      const unit = this.#options.lus[lu];
      if (unit === undefined) throw new Error(`no unit ${lu}`);
      const device = deviceOf(unit.lu);
      this.#plant.touched(device, "read");
      if (op === Op.TAPE) return this.#tape(device, count);
      const { block, data } = get(this.#plant.disks, device);
      const from = Number(addr) * block + skip;
      this.parts.push(data.slice(from, from + count));
    }
    return true;
  }

  #tape(device: string, bytes: number): boolean {
    const tape = get(this.#plant.tapes, device);
    const most = this.#options.sourceBlockBytes || this.#options.tapeBlockBytes;
    for (let left = bytes; ; ) {
      const taken = this.#rest.subarray(0, left);
      this.parts.push(taken);
      this.#rest = this.#rest.subarray(taken.length);
      left -= taken.length;
      if (left === 0) return true;
      const object = tape.objects[tape.at];
      if (object !== undefined && object !== "mark" && object.length > most) {
        this.ended = { result: "block-too-large" };
        return false;
      }
      if (object !== undefined) tape.at++;
      if (object === undefined || object === "mark") {
        this.ended = object === undefined ? ENDED : { result: "tape-ended" };
        return false;
      }
      this.#rest = object;
    }
  }
}
