// What a copy does by the words of SPC-4 5.17.7.2 and 6.4.6, byte after byte and segment after segment: each segment reads
// all that it reads before it writes. Against this the planner is held.
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type Disk, get, type Plant, type Tape, writeObjects } from "./copy-steps.js";

export interface NaiveDevice {
  readonly name: string | undefined;
  readonly pad: boolean;
  /** STREAM BLOCK LENGTH; 0: variable. */
  readonly fixed: number;
  /** Null device: length of its blocks. */
  readonly nullBlock: number;
}

export type Refusal = { readonly segment: number; readonly why: "inexact" | "range" };

interface From {
  readonly pad: boolean;
  readonly tape?: string;
  /** All that the segment says is there. */
  readonly inRange: boolean;
  /** The next bytes; undefined: there are no more. */
  readonly read: () => number[] | undefined;
  readonly commit: () => void;
}

interface To {
  readonly pad: boolean;
  readonly tape?: string;
  readonly unit: number;
  /** False: out of range. */
  readonly fits: (bytes: number) => boolean;
  readonly write: (data: number[]) => void;
}

export class Naive {
  readonly plant: Plant;
  readonly held: number[] = [];
  readonly commands: string[] = [];
  heldLeftOut = false;
  unwritten: number[] = [];
  unprocessed: number[] = [];
  /** Held bytes were dropped: no step need show them. */
  heldDropped = false;
  /** What is left was left by a segment from tape to tape, or has waited since. */
  betweenTapes = false;
  private readonly devices: (id: number) => NaiveDevice;
  private readonly inline: Uint8Array;
  private readonly room: number;
  private last: { from: From; to: To; byDestination: boolean } | undefined;
  private unwrittenHeld = 0;

  constructor(plant: Plant, devices: (id: number) => NaiveDevice, inline: Uint8Array, room: number) {
    this.plant = plant;
    this.devices = devices;
    this.inline = inline;
    this.room = room;
  }

  /** Does the next segment or command find something left? */
  get left(): boolean {
    return this.unwritten.length + this.unprocessed.length > 0;
  }

  run(index: number, segment: Segment): Refusal | undefined {
    switch (segment.kind) {
      case "block-stream":
        return this.move(
          index,
          segment,
          this.blocks(segment.source, segment.lba, segment.blocks),
          this.tapeTo(segment),
        );
      case "stream-block":
        return this.move(index, segment, this.tape(segment), this.disk(segment.destination, segment.lba), {
          written: (unit) => segment.blocks * unit,
        });
      case "block-block": {
        const to = this.disk(segment.destination, segment.destinationLba);
        if (!segment.destinationCount)
          return this.move(index, segment, this.blocks(segment.source, segment.sourceLba, segment.blocks), to);
        const from = this.blocks(segment.source, segment.sourceLba, 1_000_000);
        return this.move(index, segment, from, to, { written: (unit) => segment.blocks * unit });
      }
      case "stream-stream":
        return this.move(
          index,
          segment,
          this.tape({ ...segment, transfer: segment.sourceTransfer }),
          this.tapeTo({ ...segment, transfer: segment.destinationTransfer }),
          { processed: segment.byteCount },
        );
      case "inline-stream": {
        const data = this.inline.subarray(segment.inlineOffset, segment.inlineOffset + segment.byteCount);
        return this.move(index, segment, memory(data), this.tapeTo(segment));
      }
      case "embedded-stream":
        return this.move(index, segment, memory(segment.data), this.tapeTo(segment));
      case "stream-discard":
        return this.move(index, segment, this.tape(segment), nowhere(1, false), { processed: segment.byteCount });
      case "offset-stream":
        return this.move(
          index,
          segment,
          this.bytes(segment.source, segment.lba, segment.byteOffset, segment.byteCount),
          this.tapeTo(segment),
        );
      case "stream-offset":
        return this.move(
          index,
          segment,
          this.tape(segment),
          this.disk(segment.destination, segment.lba, segment.byteOffset),
          { written: () => segment.byteCount },
        );
      case "offset-offset":
        return this.move(
          index,
          segment,
          this.bytes(segment.source, segment.sourceLba, segment.sourceOffset, 1_000_000),
          this.disk(segment.destination, segment.destinationLba, segment.destinationOffset),
          { written: () => segment.byteCount },
        );
      case "block-image": {
        const blocks = segment.blocks || this.blocksFrom(segment.source, segment.sourceLba);
        if (blocks <= 0) return { segment: index, why: "range" };
        return this.move(
          index,
          segment,
          this.blocks(segment.source, segment.sourceLba, blocks),
          this.disk(segment.destination, segment.destinationLba),
        );
      }
      default:
        return this.command(index, segment);
    }
  }

  /** What is left at the end is discarded. */
  end(): void {
    if (this.unwrittenHeld > 0) this.heldDropped = true;
    this.unwritten = [];
    this.unprocessed = [];
  }

  private move(
    index: number,
    segment: Segment,
    from: From,
    to: To,
    count: { written?: (unit: number) => number; processed?: number } = {},
  ): Refusal | undefined {
    const byDestination = count.written !== undefined;
    const wanted = count.written?.(to.unit) ?? 0;
    if (!byDestination && !from.inRange) return { segment: index, why: "range" };
    const source = [...this.unprocessed];
    const waiting = [...this.unwritten];
    const processed: number[] = [];
    const enough = (): boolean => {
      if (count.processed !== undefined) return processed.length >= count.processed;
      return byDestination && waiting.length + processed.length >= wanted;
    };
    for (;;) {
      if (enough()) break;
      if (source.length === 0) {
        const more = from.read();
        if (more === undefined && !byDestination && count.processed === undefined) break;
        if (more === undefined) return { segment: index, why: "range" };
        source.push(...more);
        if (more.length === 0) break;
      }
      processed.push(source.shift() ?? 0);
    }
    const stream = [...waiting, ...processed];
    const whole = byDestination ? wanted : stream.length - (stream.length % to.unit);
    const out = stream.splice(0, whole);
    const left = stream.length + source.length > 0;
    const cat = "cat" in segment && segment.cat;
    let drop = false;
    if (left && !cat) {
      if (!from.pad && !to.pad) return { segment: index, why: "inexact" };
      if (to.pad) {
        if (byDestination && stream.length > 0) return { segment: index, why: "inexact" };
        while (stream.length > 0 && stream.length % to.unit !== 0) stream.push(0);
        out.push(...stream.splice(0));
        if (from.pad) source.splice(0);
      } else {
        drop = true;
      }
    }
    if (!to.fits(out.length)) return { segment: index, why: "range" };
    this.hold("hold" in segment && segment.hold, processed);
    if (drop) {
      if (stream.length > 0) this.heldDropped = true;
      stream.splice(0);
      source.splice(0);
    }
    from.commit();
    to.write(out);
    this.unwritten = stream;
    this.unprocessed = source;
    this.unwrittenHeld = stream.length;
    this.last = { from, to, byDestination };
    const both = from.tape !== undefined && to.tape !== undefined;
    this.betweenTapes = this.left && (this.betweenTapes || both);
    return undefined;
  }

  private hold(hold: boolean, processed: readonly number[]): void {
    if (!hold) return;
    const room = this.room - this.held.length;
    this.held.push(...processed.slice(0, room));
    if (processed.length > room) this.heldLeftOut = true;
  }

  private command(index: number, segment: Segment): Refusal | undefined {
    const named = (id: number) => this.devices(id).name;
    switch (segment.kind) {
      case "verify":
        if (segment.testUnitReady) this.commands.push(`${index} test-ready ${named(segment.source)}`);
        return undefined;
      case "filemarks":
      case "locate": {
        const name = named(segment.destination);
        if (name === undefined) return undefined;
        const refusal = this.settle(index, [name]);
        if (refusal !== undefined) return refusal;
        const tape = get(this.plant.tapes, name);
        this.commands.push(`${index} ${segment.kind} ${name}`);
        if (segment.kind === "locate") tape.at = segment.objectId;
        else writeObjects(tape, new Array<"mark">(segment.count).fill("mark"));
        return undefined;
      }
      case "tape-image": {
        const [source, destination] = [named(segment.source) ?? "", named(segment.destination) ?? ""];
        const refusal = this.settle(index, [source, destination]);
        if (refusal !== undefined) return refusal;
        this.commands.push(`${index} tape-image ${source} ${destination}`);
        const from = get(this.plant.tapes, source);
        writeObjects(get(this.plant.tapes, destination), from.objects.slice(from.at));
        from.at = from.objects.length;
        return undefined;
      }
      default:
        throw new Error(`no ${segment.kind} here`);
    }
  }

  /** Left-over data cannot wait for what comes behind a command to its tape. */
  private settle(index: number, tapes: readonly string[]): Refusal | undefined {
    const { last } = this;
    if (last === undefined || !this.left) return undefined;
    if (!tapes.some((tape) => tape === last.from.tape || tape === last.to.tape)) return undefined;
    if (!last.from.pad && !last.to.pad) return { segment: index, why: "inexact" };
    if (last.to.pad) {
      if (last.byDestination && this.unwritten.length > 0) return { segment: index, why: "inexact" };
      while (this.unwritten.length % last.to.unit !== 0) this.unwritten.push(0);
      last.to.write(this.unwritten);
    } else if (this.unwrittenHeld > 0) {
      this.heldDropped = true;
    }
    this.unwritten = [];
    this.unprocessed = [];
    return undefined;
  }

  private blocksFrom(id: number, lba: bigint): number {
    const { block, data } = get(this.plant.disks, this.devices(id).name ?? "");
    return data.length / block - Number(lba);
  }

  private blocks(id: number, lba: bigint, blocks: number): From {
    const device = this.devices(id);
    const disk = get(this.plant.disks, device.name ?? "");
    return reader(disk, device.pad, Number(lba) * disk.block, blocks, disk.block);
  }

  private bytes(id: number, lba: bigint, offset: number, bytes: number): From {
    const device = this.devices(id);
    const disk = get(this.plant.disks, device.name ?? "");
    return reader(disk, device.pad, Number(lba) * disk.block + offset, bytes, 1);
  }

  private disk(id: number, lba: bigint, offset?: number): To {
    const { name, pad, nullBlock } = this.devices(id);
    if (name === undefined) return nowhere(offset === undefined ? nullBlock : 1, pad);
    const { block, data } = get(this.plant.disks, name);
    const start = Number(lba) * block + (offset ?? 0);
    return {
      pad,
      unit: offset === undefined ? block : 1,
      fits: (bytes) => bytes === 0 || start + bytes <= data.length,
      write: (out) => {
        data.set(out, out.length > 0 ? start : 0);
      },
    };
  }

  private tape({ source }: { source: number; transfer: number }): From {
    const { name = "", pad } = this.devices(source);
    const tape: Tape = get(this.plant.tapes, name);
    let at = tape.at;
    return {
      pad,
      tape: name,
      inRange: true,
      read: () => {
        const object = tape.objects[at++];
        if (object === undefined || object === "mark") throw new Error("the tape of the test is too short");
        return [...object];
      },
      commit: () => {
        tape.at = at;
      },
    };
  }

  private tapeTo({ destination, transfer }: { destination: number; transfer: number }): To {
    const { name, pad, fixed } = this.devices(destination);
    if (name === undefined) return nowhere(1, pad);
    const unit = fixed || transfer;
    return {
      pad,
      tape: name,
      unit,
      fits: () => true,
      write: (out) => {
        const blocks: Uint8Array[] = [];
        for (let from = 0; from < out.length; from += unit) blocks.push(Uint8Array.from(out.slice(from, from + unit)));
        if (blocks.length > 0) writeObjects(get(this.plant.tapes, name), blocks);
      },
    };
  }
}

const memory = (data: Uint8Array): From => ({
  pad: false,
  inRange: true,
  read: once([...data]),
  commit: () => {},
});

const nowhere = (unit: number, pad: boolean): To => ({ pad, unit, fits: () => true, write: () => {} });

function once(data: number[]): () => number[] | undefined {
  let given = data.length === 0;
  return () => {
    if (given) return undefined;
    given = true;
    return data;
  };
}

/** `count` units from a byte address on. */
function reader({ data }: Disk, pad: boolean, start: number, count: number, unit: number): From {
  let [at, left] = [start, count];
  return {
    pad,
    inRange: count === 0 || start + count * unit <= data.length,
    read: () => {
      if (left-- <= 0 || at + unit > data.length) return undefined;
      at += unit;
      return [...data.subarray(at - unit, at)];
    },
    commit: () => {},
  };
}
