// What a copy does by the words of SPC-4 5.17.7.2 and 6.4.6, byte after byte and segment after segment: each segment reads
// all that it reads before it writes. Against this the planner is held.
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { Ends, type From, memory, type NaiveDevice, nowhere, type To } from "./copy-naive-ends.js";
import { get, type Plant, writeObjects } from "./copy-steps.js";

export type Refusal = { readonly segment: number; readonly why: "inexact" | "range" };

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
  private readonly ends: Ends;
  private readonly inline: Uint8Array;
  private readonly room: number;
  private last: { from: From; to: To; byDestination: boolean } | undefined;
  private unwrittenHeld = 0;

  constructor(plant: Plant, devices: (id: number) => NaiveDevice, inline: Uint8Array, room: number) {
    this.plant = plant;
    this.ends = new Ends(plant, devices);
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
          this.ends.blocks(segment.source, segment.lba, segment.blocks),
          this.ends.tapeTo(segment),
        );
      case "stream-block":
        return this.move(index, segment, this.ends.tape(segment), this.ends.disk(segment.destination, segment.lba), {
          written: (unit) => segment.blocks * unit,
        });
      case "block-block": {
        const to = this.ends.disk(segment.destination, segment.destinationLba);
        if (!segment.destinationCount)
          return this.move(index, segment, this.ends.blocks(segment.source, segment.sourceLba, segment.blocks), to);
        const from = this.ends.blocks(segment.source, segment.sourceLba, 1_000_000);
        return this.move(index, segment, from, to, { written: (unit) => segment.blocks * unit });
      }
      case "stream-stream":
        return this.move(
          index,
          segment,
          this.ends.tape({ ...segment, transfer: segment.sourceTransfer }),
          this.ends.tapeTo({ ...segment, transfer: segment.destinationTransfer }),
          { processed: segment.byteCount },
        );
      case "inline-stream": {
        const data = this.inline.subarray(segment.inlineOffset, segment.inlineOffset + segment.byteCount);
        return this.move(index, segment, memory(data), this.ends.tapeTo(segment));
      }
      case "embedded-stream":
        return this.move(index, segment, memory(segment.data), this.ends.tapeTo(segment));
      case "stream-discard":
        return this.move(index, segment, this.ends.tape(segment), nowhere(1, false), { processed: segment.byteCount });
      case "offset-stream":
        return this.move(
          index,
          segment,
          this.ends.bytes(segment.source, segment.lba, segment.byteOffset, segment.byteCount),
          this.ends.tapeTo(segment),
        );
      case "stream-offset":
        return this.move(
          index,
          segment,
          this.ends.tape(segment),
          this.ends.disk(segment.destination, segment.lba, segment.byteOffset),
          { written: () => segment.byteCount },
        );
      case "offset-offset":
        return this.move(
          index,
          segment,
          this.ends.bytes(segment.source, segment.sourceLba, segment.sourceOffset, 1_000_000),
          this.ends.disk(segment.destination, segment.destinationLba, segment.destinationOffset),
          { written: () => segment.byteCount },
        );
      case "block-image": {
        const blocks = segment.blocks || this.ends.blocksFrom(segment.source, segment.sourceLba);
        if (blocks <= 0) return { segment: index, why: "range" };
        return this.move(
          index,
          segment,
          this.ends.blocks(segment.source, segment.sourceLba, blocks),
          this.ends.disk(segment.destination, segment.destinationLba),
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
    const named = (id: number) => this.ends.devices(id).name;
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
}
