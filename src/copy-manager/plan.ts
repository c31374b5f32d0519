// The copy manager's planner: turns the segments of EXTENDED COPY (SPC-4 6.4.6) into steps, in order. It is pure: devices
// are looked up when a segment's turn comes, and what is wrong with a segment is thrown after the steps of those before it
// were given out.
import type { CopyList } from "../wire/xcopy/copy-list.js";
import type { Segment } from "../wire/xcopy/segments.js";
import { type CommandKind, type CommandSegment, commandOf } from "./plan-commands.js";
import type { Turn } from "./plan-ends.js";
import { type DataSegment, moveOf } from "./plan-moves.js";
import { HeldBytes, Stream } from "./plan-stream.js";
import type { CommandStep, CopyStep, CopyUnit, ImageStep, UnitLookup } from "./steps.js";

export interface PlanOptions {
  /** How much of what segments say is to be held there is room for. */
  readonly heldBytes: number;
  /**
   * A step has no more bytes, except of one block that is longer; but one that reads a tape ends behind the segment that
   * gets there. 0n: there is no limit.
   */
  readonly longestStep?: bigint;
  /** What the engine writes to any disk with one command: no more than the least of the disks' limits. 0: 64 KiB. */
  readonly transferBytes?: number;
}

const TRANSFER = 65_536;

const COMMANDS: ReadonlySet<string> = new Set<CommandKind>([
  "verify",
  "filemarks",
  "space",
  "locate",
  "tape-image",
  "register-key",
  "source-nexus",
  "rod-ranges",
  "rod-range",
]);
const isCommand = (segment: Segment): segment is CommandSegment => COMMANDS.has(segment.kind);

/** The steps of a copy; they can be gone through once. */
export class CopyPlan implements Iterable<CopyStep> {
  private readonly list: CopyList;
  private readonly lookup: UnitLookup;
  private readonly held: HeldBytes;
  private readonly stream: Stream;
  private readonly blocks = new Map<string, bigint>();

  constructor(list: CopyList, lookup: UnitLookup, options: PlanOptions) {
    this.list = list;
    this.lookup = (...asked) => this.known(lookup(...asked));
    this.held = new HeldBytes(options.heldBytes);
    this.stream = new Stream({
      blocks: this.blocks,
      longestStep: options.longestStep || undefined,
      transferBytes: BigInt(options.transferBytes || TRANSFER),
      hold: (bytes) => this.held.take(bytes),
    });
  }

  /** More was to be held than there is room for, as far as the steps have been given out. */
  get heldLeftOut(): boolean {
    return this.held.leftOut;
  }

  /** @throws CopyRefusal COPY ABORTED */
  *[Symbol.iterator](): Generator<CopyStep> {
    for (const [index, segment] of this.list.segments.entries()) yield* this.turn(index, segment);
    yield* this.stream.end();
  }

  private *turn(index: number, segment: Segment): Generator<CopyStep> {
    const { list, lookup, stream } = this;
    const turn: Turn = { list, lookup, segment: index };
    let refusal: unknown;
    try {
      if (isCommand(segment)) yield* this.command(index, commandOf(turn, segment));
      else yield* stream.add(index, this.move(turn, segment));
      return;
    } catch (error) {
      refusal = error;
    }
    yield* stream.end();
    throw refusal;
  }

  private move(turn: Turn, segment: DataSegment) {
    return moveOf(turn, segment, this.stream.hasResidue);
  }

  private *command(index: number, step: CommandStep | ImageStep | undefined): Generator<CopyStep> {
    if (step === undefined) return;
    yield* this.stream.settle(index, tapesMoved(step));
    yield* this.stream.breakOff(index);
    yield step;
  }

  private known(unit: CopyUnit | undefined): CopyUnit | undefined {
    if (unit?.type === "disk") this.blocks.set(unit.device, BigInt(unit.blockBytes));
    return unit;
  }
}

/** What a step does to a tape comes behind what segments before it have left for that tape, so that cannot wait. */
function tapesMoved(step: CommandStep | ImageStep): readonly string[] {
  switch (step.kind) {
    case "tape-image":
      return [step.source, step.destination];
    case "filemarks":
    case "space":
    case "locate":
      return [step.device];
    default:
      return [];
  }
}

/**
 * The steps of this list, for going through them once: what is wrong with a segment is thrown (CopyRefusal, COPY ABORTED at
 * the segment) when all steps of those before it were given out.
 */
export const planCopy = (list: CopyList, lookup: UnitLookup, options: PlanOptions): CopyPlan =>
  new CopyPlan(list, lookup, options);
