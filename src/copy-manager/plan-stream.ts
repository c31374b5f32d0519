// The data segments of a copy as one stream (SPC-4 5.17.7.2), cut in steps where a run of the engine cannot go on: what a
// segment leaves stays in the stream for the next one, whichever devices that names.
import { ASC, aborted } from "../wire/xcopy/refusal.js";
import { inSteps, turnedRound } from "./plan-cut.js";
import { Draft, type Run, takeRuns } from "./plan-draft.js";
import type { Move } from "./plan-moves.js";
import { type BlockSizes, blockOf } from "./plan-parts.js";
import { type Amounts, amountsOf, least, type Residue, type Settlement, settle } from "./residue.js";
import type { DataStep, GatherPart } from "./steps.js";

export interface StreamOptions {
  readonly blocks: BlockSizes;
  readonly longestStep: bigint | undefined;
  /** Bytes that the engine surely writes to a disk with one command. */
  readonly transferBytes: bigint;
  /** How many bytes of so many are held, from the first on. */
  readonly hold: (bytes: bigint) => bigint;
}

export class Stream {
  private readonly options: StreamOptions;
  private draft: Draft;
  /** What is processed and not written. */
  private runs: Run[] = [];
  private unprocessed = 0n;
  private last: { readonly move: Move; readonly segment: number } | undefined;

  constructor(options: StreamOptions) {
    this.options = options;
    this.draft = new Draft(options.blocks, []);
  }

  get residue(): Residue {
    return { unwritten: this.runs.reduce((sum, { bytes }) => sum + bytes, 0n), unprocessed: this.unprocessed };
  }

  get hasResidue(): boolean {
    return this.draft.gathered > this.draft.scattered;
  }

  /** @throws CopyRefusal COPY ABORTED, before anything of the segment is in a step */
  *add(segment: number, move: Move): Generator<DataStep> {
    const { source, target, count } = move;
    const before = this.residue;
    const amounts = amountsOf(before, count, source.unit, target.unit);
    const settled = settle(amounts, { ...move, byDestination: count.of === "destination" }, target.unit);
    if (settled === undefined) throw inexact(segment, amounts);
    const written = amounts.written + (settled.zeros > 0n ? amounts.unwritten + settled.zeros : 0n);
    move.check({ read: amounts.read, written });
    // How much later than a byte is read, by its address, a write comes to that address.
    const left = before.unwritten + before.unprocessed;
    const distance =
      source.is === "disk" && target.is === "disk" && source.device === target.device
        ? target.start - source.start + left
        : 0n;
    const round = written > 0n && amounts.read > 0n && distance > 0n && distance < left + amounts.read;
    const held = move.hold ? this.options.hold(amounts.processed) : 0n;
    if (this.draft.leftIn(target, written)) yield* this.carry(segment);
    else if (round) yield* this.breakOff(segment);
    yield* this.makeRoom(segment, () => this.takes(move, amounts.read, written, held > 0n));
    this.enter(segment, move, amounts, settled, written, held);
    this.last = { move, segment };
    if (round) yield* this.emitTurned(segment, move, distance, written, settled.dropped);
    else if (settled.dropped > 0n) yield* this.drop(settled.dropped);
    const { longestStep } = this.options;
    if (longestStep !== undefined && this.draft.sourceTape !== undefined && !this.hasResidue)
      if (this.draft.scattered >= longestStep) yield* this.breakOff(segment);
  }

  private takes({ source, target }: Move, read: bigint, written: bigint, held: boolean): boolean {
    const first = this.runs.find(({ bytes }) => bytes > 0n);
    return this.draft.canRead(source, read) && this.draft.canWrite(target, written, first?.held ?? held);
  }

  /** Begins a new step where the one that there is cannot take what comes. */
  private *makeRoom(segment: number, takes: () => boolean): Generator<DataStep> {
    if (takes()) return;
    yield* this.breakOff(segment);
    // What is left may be on a disk, and comes to be gathered together with a tape.
    if (!takes()) yield* this.carry(segment);
  }

  private enter(
    segment: number,
    move: Move,
    amounts: Amounts,
    settled: Settlement,
    written: bigint,
    held: bigint,
  ): void {
    const { draft, runs } = this;
    draft.read(move.source, amounts.read);
    draft.fill(settled.zeros, amounts.unprocessed);
    runs.push({ bytes: held, held: true }, { bytes: amounts.processed - held, held: false });
    runs.push({ bytes: settled.zeros, held: false });
    draft.write(move.target, takeRuns(runs, written));
    draft.end(segment, move.unitBytes);
    this.unprocessed = amounts.unprocessed;
  }

  /** The rest of the stream is not written anywhere. */
  private *drop(bytes: bigint): Generator<DataStep> {
    const { draft, runs } = this;
    const unwritten = this.residue.unwritten;
    this.unprocessed = 0n;
    this.runs = [];
    // What is on a tape is read past; everything else need not be read, if nobody wants to see it.
    const wanted = runs.some((run) => run.held) || draft.left().some((part) => part.op === "tape");
    if (draft.targetTape === undefined && wanted) {
      const dropped = [...takeRuns(runs, unwritten), { bytes: bytes - unwritten, held: false }];
      draft.write({ is: "discard", unit: 1n }, dropped);
      return;
    }
    // A run that writes a tape does nothing else with its stream.
    const { sourceTape } = draft;
    const skipped = draft.trim();
    if (sourceTape === undefined || !wanted) return;
    yield* this.emit([]);
    if (skipped === 0n) return;
    this.draft.read({ is: "tape", ...sourceTape }, skipped);
    this.draft.write({ is: "discard", unit: 1n }, [{ bytes: skipped, held: false }]);
    yield* this.emit([]);
  }

  /**
   * Ends the step; what is left goes on in the next one.
   * @throws CopyRefusal COPY ABORTED for the segment that cannot go on with the same step
   */
  *breakOff(segment: number): Generator<DataStep> {
    const { draft } = this;
    if (!this.hasResidue) {
      yield* this.emit([]);
      return;
    }
    const left = draft.putOff();
    if (left !== undefined) {
      yield* this.emit(left);
      return;
    }
    if (draft.targetTape !== undefined)
      throw aborted(
        ASC.INEXACT_SEGMENT,
        "what was left of a block of the source tape of an earlier segment cannot be kept for this one",
        segment,
      );
    yield* this.emit(draft.carry());
  }

  /** As breakOff, but what is left is not on any device afterwards. */
  private *carry(segment: number): Generator<DataStep> {
    if (this.draft.targetTape !== undefined) yield* this.breakOff(segment);
    if (this.draft.left().some(({ op }) => op === "extent" || op === "tape")) yield* this.emit(this.draft.carry());
    else yield* this.breakOff(segment);
  }

  /** A command that is about the tape of the stream: what is left cannot wait any longer. */
  *settle(segment: number, devices: readonly string[]): Generator<DataStep> {
    const { last } = this;
    if (last === undefined || !this.hasResidue) return;
    const { move } = last;
    if (!devices.some((device) => usesTape(move, device))) return;
    const rest = this.residue;
    const byDestination = move.count.of === "destination";
    const settled = settle(rest, { ...move, cat: false, byDestination }, move.target.unit);
    if (settled === undefined) throw inexact(segment, rest);
    if (settled.zeros > 0n) {
      const written = rest.unwritten + settled.zeros;
      yield* this.makeRoom(segment, () => this.draft.canWrite(move.target, written, false));
      this.draft.fill(settled.zeros, rest.unprocessed);
      this.runs.push({ bytes: settled.zeros, held: false });
      this.draft.write(move.target, takeRuns(this.runs, written));
      this.draft.end(last.segment, move.unitBytes);
    }
    const { dropped, unprocessed } = settled;
    if (dropped + unprocessed > 0n) yield* this.drop(dropped + unprocessed);
  }

  /** No data comes any more; what is left is discarded, which is no error (SPC-4 5.17.7.2). */
  *end(): Generator<DataStep> {
    const { unwritten, unprocessed } = this.residue;
    if (this.hasResidue) yield* this.drop(unwritten + unprocessed);
    yield* this.emit([]);
  }

  private *emit(left: readonly GatherPart[]): Generator<DataStep> {
    const { blocks, longestStep } = this.options;
    const { last } = this;
    if (last !== undefined) this.draft.endIfNone(last.segment, last.move.unitBytes);
    const step = this.draft.step();
    this.draft = new Draft(blocks, left);
    if (step === undefined) return;
    if (longestStep === undefined) yield step;
    else yield* inSteps(step, longestStep, blocks);
  }

  private *emitTurned(
    segment: number,
    { target, unitBytes }: Move,
    distance: bigint,
    written: bigint,
    dropped: bigint,
  ): Generator<DataStep> {
    const { blocks, transferBytes, longestStep } = this.options;
    if (target.is !== "disk") throw new Error("only a disk can overlap itself");
    const { draft } = this;
    if (dropped > 0n) {
      draft.trim();
      this.unprocessed = 0n;
      this.runs = [];
    }
    const left = this.hasResidue ? (draft.putOff() ?? draft.carry()) : [];
    const step = draft.step();
    this.draft = new Draft(blocks, left);
    if (step === undefined) return;
    const block = blockOf(blocks, target.device);
    yield* turnedRound(
      {
        ...{ step, start: target.start, block, distance, transfer: transferBytes, longest: longestStep },
        segment: { segment, end: written, later: 0n, unitBytes },
      },
      blocks,
    );
  }
}

const usesTape = ({ source, target }: Move, device: string): boolean =>
  (source.is === "tape" && source.device === device) || (target.is === "tape" && target.device === device);

const inexact = (segment: number, rest: Residue) =>
  aborted(
    ASC.INEXACT_SEGMENT,
    `${rest.unwritten + rest.unprocessed} bytes are left over, and neither CAT nor PAD says what becomes of them`,
    segment,
  );

/** As much as there is room for, and what is left of the room. */
export class HeldBytes {
  private left: bigint;
  /** Was there more than room for it? */
  leftOut = false;

  constructor(room: number) {
    this.left = BigInt(room);
  }

  take(bytes: bigint): bigint {
    const taken = least(bytes, this.left);
    this.left -= taken;
    if (taken < bytes) this.leftOut = true;
    return taken;
  }
}
