// The engine as the copy manager sees it, on devices in memory (copy-model-unit.ts): it takes programs and hands out events.
// What the real one would refuse, and what would go wrong in it unseen, is kept as a fault.
import type { DoneEvent } from "../../src/copy/copy-run.js";
import { invalid } from "../../src/native/failure.js";
import { type Arena, type Copy, type CopyEvent, type CopyOptions, type CopyStats, Op } from "../../src/native/types.js";
import { AS_GATHERED, HELD, type Seg, unpack, wrongOptions, wrongOrder, wrongProgram } from "./copy-model-program.js";
import { ENDED, type Ending, Reader } from "./copy-model-reader.js";
import { deviceOf, type ModelPlant } from "./copy-model-unit.js";
import { get, writeObjects } from "./copy-steps.js";

/** How the next run ends, whatever it was to do; half of it is done. */
export interface Mishap {
  /** So many runs go well before. */
  readonly after?: number;
  readonly result: DoneEvent["result"];
  readonly side?: "source" | "destination";
  readonly status?: number;
  readonly sense?: Uint8Array;
}

export interface Written {
  readonly device: string;
  /** Bytes. */
  readonly from: number;
  readonly to: number;
}

export class ModelEngine {
  readonly plant: ModelPlant;
  /** What no copy manager may ask of an engine. */
  readonly faults: string[] = [];
  readonly written: Written[] = [];
  arenas = 0;
  runs = 0;
  /** Of arenas, by runs that are not closed. */
  bytesInUse = 0;
  mishap: Mishap | undefined;
  /** Runs wait for release(). */
  holds = false;
  #waiting: ModelCopy[] = [];

  constructor(plant: ModelPlant) {
    this.plant = plant;
  }

  readonly createArena = (bytes: bigint): Arena => {
    this.arenas++;
    return {
      bytes,
      freeBytes: () => bytes - BigInt(this.bytesInUse),
      close: () => {
        if (this.bytesInUse > 0) this.faults.push("an arena is closed under a run");
        this.arenas--;
      },
    };
  };

  readonly startCopy = (options: CopyOptions, onEvents: () => void): Copy => {
    const problem = wrongOptions(options);
    if (problem !== undefined) throw this.fault(problem);
    if (options.arena.freeBytes() < BigInt(options.ringBytes)) throw this.fault("the arena has no room for the ring");
    this.runs++;
    return new ModelCopy(this, options, onEvents);
  };

  get waiting(): number {
    return this.#waiting.length;
  }

  release(): void {
    this.holds = false;
    for (const copy of this.#waiting.splice(0)) copy.carryOut();
  }

  started(copy: ModelCopy): void {
    if (this.holds) this.#waiting.push(copy);
    else copy.carryOut();
  }

  ended(copy: ModelCopy): void {
    this.#waiting = this.#waiting.filter((one) => one !== copy);
  }

  takeMishap(): Mishap | undefined {
    const { mishap } = this;
    const after = mishap?.after ?? 0;
    this.mishap = mishap !== undefined && after > 0 ? { ...mishap, after: after - 1 } : undefined;
    return after > 0 ? undefined : mishap;
  }

  fault(problem: string) {
    this.faults.push(problem);
    return invalid(problem);
  }
}

const STAGE = { bytes: 0n, commands: 0n, retries: 0n, busyNs: 0n, waitNs: 0n };

class ModelCopy implements Copy {
  readonly #engine: ModelEngine;
  readonly #options: CopyOptions;
  readonly #onEvents: () => void;
  readonly #events: CopyEvent[] = [];
  #program: { gather: Seg[]; scatter: Seg[]; inline: Uint8Array } | undefined;
  #done = false;
  #closed = false;

  constructor(engine: ModelEngine, options: CopyOptions, onEvents: () => void) {
    this.#engine = engine;
    this.#options = options;
    this.#onEvents = onEvents;
    engine.bytesInUse += options.ringBytes;
  }

  append(gatherBytes: Uint8Array, scatterBytes: Uint8Array, inline: Uint8Array): boolean {
    if (this.#program !== undefined) throw this.#engine.fault("the model takes programs of one piece");
    const [gather, scatter] = [unpack(gatherBytes), unpack(scatterBytes)];
    const problem =
      wrongProgram(this.#options, gather, scatter, inline.length) ?? wrongOrder(this.#options, gather, scatter);
    if (problem !== undefined) throw this.#engine.fault(problem);
    this.#program = { gather, scatter, inline };
    return true;
  }

  finish(): void {
    if (!this.#done) this.#engine.started(this);
  }

  pause(): void {}
  resume(): void {}
  rate(): void {}

  cancel(): void {
    this.#end({ result: "cancelled", streamOffset: 0n });
  }

  take(): CopyEvent[] {
    return this.#events.splice(0);
  }

  /** Of a run that waits: it has done nothing, with a command. */
  stats(): CopyStats {
    const times = { tapeWaits: 0n, tapeWaitNs: 0n, throttleNs: 0n, elapsedNs: 0n };
    return { gather: { ...STAGE, commands: 1n }, scatter: STAGE, ...times, streamOffset: 0n, mediumErrors: 0n };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#engine.ended(this);
    this.#engine.bytesInUse -= this.#options.ringBytes;
  }

  carryOut(): void {
    if (this.#done) return;
    const { gather = [], scatter = [], inline = new Uint8Array(0) } = this.#program ?? {};
    const mishap = this.#engine.takeMishap();
    if (scatter.some(({ flags }) => (flags & AS_GATHERED) !== 0)) this.#end(this.#image(gather, scatter, mishap));
    else this.#end(this.#stream(gather, scatter, inline, mishap));
  }

  #end({ result, streamOffset, failed }: Ending): void {
    if (this.#done) return;
    this.#done = true;
    const rest = { object: 0n, digest: new Uint8Array(124), error: 0, ...(failed && { failed }) };
    this.#events.push({ type: "done", result, streamOffset, ...rest });
    queueMicrotask(this.#onEvents);
  }

  #stream(gather: readonly Seg[], scatter: readonly Seg[], inline: Uint8Array, mishap: Mishap | undefined): Ending {
    const reader = new Reader(this.#engine.plant, this.#options, inline);
    for (const seg of gather) if (!reader.read(seg)) break;
    const all = Buffer.concat(reader.parts);
    const stream = mishap === undefined ? all : all.subarray(0, all.length >> 1);
    const done = this.#scatter(scatter, stream);
    if (mishap !== undefined) return { ...this.#failed(mishap), streamOffset: BigInt(done) };
    return { ...(reader.ended ?? { result: "ok" }), streamOffset: BigInt(done) };
  }

  #failed({ result, side = "source", status = 0, sense = new Uint8Array(0) }: Mishap): Omit<Ending, "streamOffset"> {
    const outcome = result === "transport-error" ? "transport" : "delivered";
    return { result, failed: { lu: 0, side, outcome, status, sense, cdb: new Uint8Array(10) } };
  }

  /** @returns how many bytes are on the destination */
  #scatter(scatter: readonly Seg[], stream: Buffer): number {
    let at = 0;
    const onTape: Buffer[] = [];
    let tape: string | undefined;
    for (const seg of scatter) {
      const data = stream.subarray(at, Math.min(stream.length, at + Number(seg.bytes)));
      if (seg.op === Op.EXTENT) this.#extent(seg, data);
      if (seg.op === Op.TAPE) {
        tape = deviceOf(this.#unit(seg).lu);
        onTape.push(data);
      }
      if (seg.op === Op.HOLD && data.length > 0) this.#tell(seg.addr, data);
      if ((seg.flags & HELD) !== 0 && data.length > 0) this.#tell(BigInt(at), data);
      at += data.length;
    }
    if (tape === undefined) return at;
    const { tapeBlockBytes } = this.#options;
    const bytes = Buffer.concat(onTape);
    const whole = bytes.length - (bytes.length % tapeBlockBytes);
    const blocks: Uint8Array[] = [];
    for (let from = 0; from < whole; from += tapeBlockBytes) blocks.push(bytes.subarray(from, from + tapeBlockBytes));
    this.#engine.plant.touched(tape, "write");
    writeObjects(get(this.#engine.plant.tapes, tape), blocks);
    return whole;
  }

  #tell(cookie: bigint, data: Uint8Array): void {
    this.#events.push({ type: "held", cookie, data: data.slice() });
  }

  #extent(seg: Seg, bytes: Uint8Array): void {
    const device = deviceOf(this.#unit(seg).lu);
    const { block, data } = get(this.#engine.plant.disks, device);
    const from = Number(seg.addr) * block + seg.skip;
    this.#engine.plant.touched(device, "write");
    data.set(bytes, from);
    this.#engine.written.push({ device, from, to: from + bytes.length });
  }

  #unit({ lu }: Seg): CopyOptions["lus"][number] {
    const unit = this.#options.lus[lu];
    if (unit === undefined) throw new Error(`no unit ${lu}`);
    return unit;
  }

  /** Blocks as they are, up to a filemark, which is passed over. */
  #image([read]: readonly Seg[], [write]: readonly Seg[], mishap: Mishap | undefined): Ending {
    if (read === undefined || write === undefined) throw new Error("an image of nothing");
    const { plant } = this.#engine;
    const [from, to] = [read, write].map((seg) => deviceOf(this.#unit(seg).lu));
    const source = get(plant.tapes, from ?? "");
    plant.touched(from ?? "", "read");
    plant.touched(to ?? "", "write");
    if (mishap !== undefined) return { ...this.#failed(mishap), streamOffset: 0n };
    let bytes = 0n;
    const most = Math.max(this.#options.tapeBlockBytes, this.#options.sourceBlockBytes ?? 0);
    for (;;) {
      const object = source.objects[source.at];
      if (object === undefined) return { ...ENDED, streamOffset: bytes };
      if (object !== "mark" && object.length > most) return { result: "block-too-large", streamOffset: bytes };
      source.at++;
      if (object === "mark") return { result: "ok", streamOffset: bytes };
      writeObjects(get(plant.tapes, to ?? ""), [object]);
      bytes += BigInt(object.length);
    }
  }
}
