// A data step that is being put together: what it gathers and scatters so far, and what may join it. A run of the engine
// has either one tape or disks on each side, and bytes from memory go with both.
import { Extents } from "./overlap.js";
import { type BlockSizes, blocksOf, cut, goesOn, placeOf, push, totalOf } from "./plan-parts.js";
import type { DataStep, GatherPart, ScatterPart, StepSegment } from "./steps.js";

/** Where a segment's data comes from. `unit`: bytes that are read at least, 1 where bytes are counted. */
export type Source =
  | {
      readonly is: "disk";
      readonly device: string;
      /** Byte address. */
      readonly start: bigint;
      readonly unit: bigint;
    }
  | { readonly is: "tape"; readonly device: string; readonly unit: bigint }
  | { readonly is: "memory"; readonly data: Uint8Array; readonly unit: 1n };

/** Where it goes. */
export type Target =
  | { readonly is: "disk"; readonly device: string; readonly start: bigint; readonly unit: bigint }
  | { readonly is: "tape"; readonly device: string; readonly unit: bigint }
  | { readonly is: "discard"; readonly unit: bigint };

interface Tape {
  readonly device: string;
  readonly unit: bigint;
}

/** Stream bytes, and whether a copy of them is held. */
export interface Run {
  readonly bytes: bigint;
  readonly held: boolean;
}

export class Draft {
  readonly gather: GatherPart[];
  readonly scatter: ScatterPart[] = [];
  gathered: bigint;
  scattered = 0n;
  sourceTape: Tape | undefined;
  targetTape: Tape | undefined;
  private readonly blocks: BlockSizes;
  private readonly ends: StepSegment[] = [];
  private readonly written = new Extents();
  private fromDisk: boolean;
  private toOther = false;
  /** Whole blocks of the source tape, bytes. */
  private tapeBytes = 0n;

  /** @param left over from the step before; nothing of it is on a tape */
  constructor(blocks: BlockSizes, left: readonly GatherPart[]) {
    this.blocks = blocks;
    this.gather = [...left];
    this.gathered = totalOf(left);
    this.fromDisk = left.some((part) => part.op === "extent");
  }

  canRead(source: Source, bytes: bigint): boolean {
    if (source.is === "memory" || bytes === 0n) return true;
    if (source.is === "disk") return this.sourceTape === undefined && !this.hasWritten(this.extent(source, bytes));
    const { sourceTape, targetTape } = this;
    if (this.fromDisk || targetTape?.device === source.device) return false;
    return sourceTape === undefined || (sourceTape.device === source.device && sourceTape.unit === source.unit);
  }

  canWrite(target: Target, bytes: bigint, held: boolean): boolean {
    if (bytes === 0n) return true;
    const { sourceTape, targetTape } = this;
    if (target.is === "tape") {
      if (this.toOther || sourceTape?.device === target.device) return false;
      return targetTape === undefined || (targetTape.device === target.device && targetTape.unit === target.unit);
    }
    if (targetTape !== undefined) return false;
    if (target.is === "discard") return true;
    const extent = this.extent(target, bytes);
    const { first, end } = blocksOf(extent, this.blocks);
    // Where it goes on with the last extent they become one, and a block that both are in is written once.
    const last = this.scatter.at(-1);
    const goes = last !== undefined && goesOn(last, { op: "extent", held, ...extent }, this.blocks);
    return !this.written.meets(target.device, goes && extent.skip > 0 ? first + 1n : first, end);
  }

  /** Do bytes that are gathered and not scattered lie where the target is? */
  leftIn(target: Target, bytes: bigint): boolean {
    if (target.is !== "disk" || bytes === 0n || this.gathered === this.scattered) return false;
    const range = new Extents();
    const { first, end } = blocksOf(this.extent(target, bytes), this.blocks);
    range.add(target.device, first, end);
    return this.left().some((part) => part.op === "extent" && meets(range, part, this.blocks));
  }

  private extent(at: Source | Target, bytes: bigint) {
    if (at.is !== "disk") throw new Error("only a disk has extents");
    return { ...placeOf(at.device, at.start, this.blocks), bytes };
  }

  private hasWritten(extent: { device: string; lba: bigint; skip: number; bytes: bigint }): boolean {
    return meets(this.written, extent, this.blocks);
  }

  /** What is gathered and not scattered. */
  left(): GatherPart[] {
    // Of a step of a thousand segments it is asked a thousand times.
    if (this.gathered === this.scattered) return [];
    return cut(this.gather, this.scattered, this.gathered, this.blocks);
  }

  read(source: Source, bytes: bigint): void {
    if (bytes === 0n) return;
    this.gathered += bytes;
    if (source.is === "memory") {
      this.gather.push({ op: "inline", data: source.data });
    } else if (source.is === "disk") {
      this.fromDisk = true;
      push(this.gather, { op: "extent", ...this.extent(source, bytes) }, this.blocks);
    } else {
      this.sourceTape = { device: source.device, unit: source.unit };
      this.tapeBytes += bytes;
      push(this.gather, { op: "tape", device: source.device, bytes }, this.blocks);
    }
  }

  /** Zeros in front of the last `behind` bytes. */
  fill(bytes: bigint, behind: bigint): void {
    if (bytes === 0n) return;
    const at = this.gathered - behind;
    const tail = cut(this.gather, at, this.gathered, this.blocks);
    this.keep(at);
    push(this.gather, { op: "zeros", bytes }, this.blocks);
    for (const part of tail) push(this.gather, part, this.blocks);
    this.gathered += bytes + behind;
  }

  /** Nothing behind the first `bytes` of the stream is gathered. */
  private keep(bytes: bigint): void {
    this.gather.splice(0, this.gather.length, ...cut(this.gather, 0n, bytes, this.blocks));
    this.gathered = bytes;
  }

  write(target: Target, runs: readonly Run[]): void {
    let start = target.is === "disk" ? target.start : 0n;
    for (const { bytes, held } of runs) {
      if (bytes === 0n) continue;
      if (target.is === "disk") {
        const extent = this.extent({ ...target, start }, bytes);
        const { first, end } = blocksOf(extent, this.blocks);
        this.written.add(target.device, first, end);
        push(this.scatter, { op: "extent", held, ...extent }, this.blocks);
        start += bytes;
      } else if (target.is === "tape") {
        this.targetTape = { device: target.device, unit: target.unit };
        push(this.scatter, { op: "tape", device: target.device, bytes, held }, this.blocks);
      } else {
        push(this.scatter, { op: "discard", bytes, held }, this.blocks);
      }
      if (target.is !== "tape") this.toOther = true;
      this.scattered += bytes;
    }
  }

  end(segment: number, unitBytes: number): void {
    if (this.ends.at(-1)?.segment === segment) this.ends.pop();
    this.ends.push({ segment, end: this.scattered, later: 0n, unitBytes });
  }

  /** Every step says which segment it is of. */
  endIfNone(segment: number, unitBytes: number): void {
    if (this.ends.length === 0) this.ends.push({ segment, end: 0n, later: 0n, unitBytes });
  }

  /** What is left is left out of the stream. Returns the bytes of whole tape blocks that are not read any more. */
  trim(): bigint {
    this.keep(this.scattered);
    if (this.sourceTape === undefined) return 0n;
    const { unit } = this.sourceTape;
    const read = this.gather.reduce((sum, part) => (part.op === "tape" ? sum + part.bytes : sum), 0n);
    return this.tapeBytes - ((read + unit - 1n) / unit) * unit;
  }

  /**
   * Takes out what is left, for another step to gather; undefined: it has to be gathered here, because it is on a tape, or
   * is overwritten here.
   */
  putOff(): GatherPart[] | undefined {
    const left = this.left();
    if (left.some((part) => part.op === "tape" || (part.op === "extent" && this.hasWritten(part)))) return undefined;
    this.keep(this.scattered);
    return left;
  }

  /** What is left is kept in memory. */
  carry(): GatherPart[] {
    const bytes = this.gathered - this.scattered;
    this.scatter.push({ op: "carry", bytes, held: false });
    this.scattered = this.gathered;
    return [{ op: "carried", skip: 0n, bytes }];
  }

  /** @returns undefined: there is nothing to do */
  step(): DataStep | undefined {
    if (this.scattered === 0n) return undefined;
    return {
      kind: "data",
      segments: this.ends,
      gather: this.gather,
      scatter: this.scatter,
      sourceBlockBytes: Number(this.sourceTape?.unit ?? 0n),
      tapeBlockBytes: Number(this.targetTape?.unit ?? 0n),
    };
  }
}

function meets(
  where: Extents,
  extent: { device: string; lba: bigint; skip: number; bytes: bigint },
  blocks: BlockSizes,
): boolean {
  const { first, end } = blocksOf(extent, blocks);
  return where.meets(extent.device, first, end);
}

/** Takes `bytes` off the front of the runs. */
export function takeRuns(runs: Run[], bytes: bigint): Run[] {
  const taken: Run[] = [];
  for (let left = bytes; left > 0n; ) {
    const run = runs.shift();
    if (run === undefined) throw new Error("more is written than was processed");
    const now = run.bytes < left ? run.bytes : left;
    if (now < run.bytes) runs.unshift({ bytes: run.bytes - now, held: run.held });
    taken.push({ bytes: now, held: run.held });
    left -= now;
  }
  return taken;
}
