// Steps cut in shorter ones, so that whoever carries them out comes up for air; and a step turned round.
import { backwards, pieceBytes } from "./overlap.js";
import { addressOf, type BlockSizes, blockOf, cut, push, totalOf } from "./plan-parts.js";
import { least, most, roundedDown, roundedUp } from "./residue.js";
import type { DataStep, GatherPart, ScatterPart, StepSegment } from "./steps.js";

/** Pieces of one step that goes backwards: no more of them exist at a time. */
const PIECES = 4096;

/** The step in steps of at most `longest` bytes, or of one block each where a block is longer. */
export function* inSteps(step: DataStep, longest: bigint, blocks: BlockSizes): Generator<DataStep> {
  const total = totalOf(step.scatter);
  // Where a source tape would be left is not known: its blocks have the lengths that they have.
  if (step.sourceBlockBytes > 0 || total <= longest) {
    yield step;
    return;
  }
  for (let from = 0n; from < total; ) {
    const to = edge(step, from, from + longest, blocks);
    yield {
      ...step,
      segments: segmentsIn(step.segments, from, to),
      gather: cut(step.gather, from, to, blocks),
      scatter: cut(step.scatter, from, to, blocks),
    };
    from = to;
  }
}

/** The last place up to `limit` where the destination has a whole block behind it; the next one, if there is none. */
function edge(step: DataStep, from: bigint, limit: bigint, blocks: BlockSizes): bigint {
  let at = 0n;
  for (const part of step.scatter) {
    const end = at + part.bytes;
    if (end > limit) {
      if (part.op === "carry") return at > from ? at : end;
      const [origin, unit] = gridOf(part, at, BigInt(step.tapeBlockBytes), blocks);
      const before = origin + roundedDown(limit - origin, unit);
      // What is written to a tape begins at the beginning of the step, and its parts meet within blocks.
      if (before > from && (before >= at || part.op === "tape")) return before;
      if (at > from && part.op !== "tape") return at;
      const after = origin + roundedUp(limit - origin, unit);
      return part.op === "tape" ? after : least(end, after);
    }
    at = end;
  }
  return at;
}

/** A place in the stream at the edge of a block, and bytes from one to the next. */
function gridOf(part: ScatterPart, at: bigint, tapeBlock: bigint, blocks: BlockSizes): readonly [bigint, bigint] {
  if (part.op === "tape") return [0n, tapeBlock];
  if (part.op !== "extent") return [at, 1n];
  const block = blockOf(blocks, part.device);
  return [at - (addressOf(part, blocks) % block), block];
}

function segmentsIn(segments: readonly StepSegment[], from: bigint, to: bigint): StepSegment[] {
  let begin = 0n;
  const found: StepSegment[] = [];
  for (const segment of segments) {
    const { end } = segment;
    const empty = end === begin && ((end > from && end <= to) || (end === 0n && from === 0n));
    if (empty || (begin < to && end > from))
      found.push({ ...segment, end: least(end, to) - from, later: end > to ? end - to : 0n });
    begin = end;
  }
  // What is left over behind the last one is still of it.
  const last = segments.at(-1);
  return found.length > 0 || last === undefined ? found : [{ ...last, end: 0n }];
}

/** A copy that goes backwards: `step` is of one segment, whose last bytes may be carried. */
export interface Backwards {
  readonly step: DataStep;
  readonly segment: StepSegment;
  /** Byte address on the disk, and bytes of its block. */
  readonly start: bigint;
  readonly block: bigint;
  /** How far the destination lies behind the source. */
  readonly distance: bigint;
  readonly transfer: bigint;
  readonly longest: bigint | undefined;
}

export function* turnedRound(what: Backwards, blocks: BlockSizes): Generator<DataStep> {
  const { step, segment, start, block, distance, transfer, longest } = what;
  const written = segment.end;
  const held = heldFirst(step, segment, blocks);
  if (held !== undefined) yield* longest === undefined ? [held] : inSteps(held, longest, blocks);
  // One part for each extent, so that each piece is one, and is written by one command.
  const scatter: ScatterPart[] = [];
  for (const part of step.scatter) push(scatter, { ...part, held: false }, blocks);
  let turned = new Turned(step, scatter, blocks);
  const carried = totalOf(scatter) - written;
  if (carried > 0n) turned.take(written, written + carried);
  const piece = pieceBytes(distance, block, transfer);
  // A shorter piece is as good.
  const size = longest === undefined ? piece : most(block, roundedDown(least(piece, longest), block));
  for (const [from, to] of backwards(start, written, block, size)) {
    // What is carried is gathered again by steps that follow, and so is what was carried to this one: in one step.
    const full = turned.pieces === PIECES || (longest !== undefined && turned.bytes + to - from > longest);
    if (full && carried === 0n && turned.pieces > 0) {
      yield turned.step(segment, to);
      turned = new Turned(step, scatter, blocks);
    }
    turned.take(from, to);
  }
  yield turned.step(segment, 0n);
}

class Turned {
  bytes = 0n;
  pieces = 0;
  private readonly of: DataStep;
  private readonly whole: readonly ScatterPart[];
  private readonly blocks: BlockSizes;
  private readonly gather: GatherPart[] = [];
  private readonly scatter: ScatterPart[] = [];

  constructor(of: DataStep, whole: readonly ScatterPart[], blocks: BlockSizes) {
    this.of = of;
    this.whole = whole;
    this.blocks = blocks;
  }

  take(from: bigint, to: bigint): void {
    for (const part of cut(this.of.gather, from, to, this.blocks)) push(this.gather, part, this.blocks);
    this.scatter.push(...cut(this.whole, from, to, this.blocks));
    this.bytes += to - from;
    this.pieces++;
  }

  step({ segment, unitBytes }: StepSegment, later: bigint): DataStep {
    const segments = [{ segment, end: this.bytes, later, unitBytes }];
    return { ...this.of, segments, gather: this.gather, scatter: this.scatter };
  }
}

/** Held data is told in the order of the segment, so it is read once more, before anything is written. */
function heldFirst(step: DataStep, segment: StepSegment, blocks: BlockSizes): DataStep | undefined {
  let [at, end] = [0n, 0n];
  for (const part of step.scatter) {
    at += part.bytes;
    if (part.held) end = at;
  }
  if (end === 0n) return undefined;
  return {
    ...step,
    segments: [{ ...segment, end: 0n, later: segment.end }],
    gather: cut(step.gather, 0n, end, blocks),
    scatter: cut(step.scatter, 0n, end, blocks).map(({ bytes, held }) => ({ op: "discard", bytes, held })),
  };
}
