// Copies that run: who may stop them, why, and who waits for their end. What stops a copy from outside is kept as its
// reason, since the engine only knows that it was cancelled.
import { RunControl } from "../copy/copy-run.js";
import { SENSE_KEY } from "../wire/names.js";
import { CopyRefusal } from "../wire/xcopy/refusal.js";
import type { Operation } from "./operation.js";
import { type Asker, deviceSaid, forbidden, NOT_THERE } from "./resolver.js";
import type { CopyAccess, StepSegment } from "./steps.js";

/** Why a copy ends that nobody and nothing at fault ends. */
export type StopReason = "aborted" | "cancelled" | "nexus-lost" | "reset" | "shutdown" | "not-allowed";

/** The segment that was under way, and what of it is not written (SPC-4 5.17.7.4). */
export interface Place {
  readonly segment: number;
  readonly residual?: bigint;
}

export class ActiveCopy {
  readonly operation: Operation;
  readonly asker: Asker;
  readonly control = new RunControl();
  /** The command that waits for its status, or, when it is aborted, for its end; undefined: it has it. */
  punt: bigint | undefined;
  readonly uses = new Map<string, Set<CopyAccess>>();
  readonly #units = new Set<number>();
  /** Resolves when it uses no device any more and its status is given. */
  readonly ended: Promise<void>;
  readonly settle: () => void;
  /** Steps that are done: their bytes, and the segments up to there. */
  #before = { bytes: 0n, segments: 0 };
  /** Of the step that runs. */
  #segments: readonly StepSegment[] = [];
  #ofStep = 0n;
  #told = 0n;
  #stopped: { readonly why: StopReason; readonly refusal: (place: Place) => CopyRefusal } | undefined;
  #place: Place | undefined;

  constructor(operation: Operation, asker: Asker, punt: bigint) {
    this.operation = operation;
    this.asker = asker;
    this.punt = punt;
    let settle = (): void => undefined;
    this.ended = new Promise((resolve) => {
      settle = resolve;
    });
    this.settle = settle;
  }

  get stopped(): { readonly why: StopReason; readonly refusal: CopyRefusal } | undefined {
    if (this.#stopped === undefined) return undefined;
    const { why, refusal } = this.#stopped;
    const { segmentsDone, facts } = this.operation;
    const segment = Math.max(0, Math.min(segmentsDone, facts.segments - 1));
    return { why, refusal: refusal(this.#place ?? { segment }) };
  }

  used(device: string, access: CopyAccess): void {
    this.uses.set(device, (this.uses.get(device) ?? new Set()).add(access));
    // As it is now: who loses the path does not lose it here.
    for (const path of this.asker.paths().values()) if (path.device === device) this.#units.add(path.unit);
  }

  /** Whether it uses this unit of the data plane, or did. */
  usesUnit(unit: number): boolean {
    return this.#units.has(unit);
  }

  /** It ends at the next command boundary. The first reason counts. @param refusal by where it is then */
  stop(why: StopReason, refusal: (place: Place) => CopyRefusal = (place) => stoppedBy(why, place)): void {
    this.#stopped ??= { why, refusal };
    this.control.cancel();
  }

  /** A step was cancelled in the middle of a segment. */
  brokenOff(place: Place | undefined): void {
    this.#place = place;
  }

  /** Keys and reservations are others than before: a copy does nothing that its asker may not do now. */
  judge(): void {
    const paths = [...this.asker.paths().values()];
    for (const [device, accesses] of this.uses) {
      const path = paths.find((one) => one.device === device);
      for (const access of accesses) {
        const answer = path === undefined ? NOT_THERE : forbidden(path, access);
        if (answer === undefined) continue;
        const role = access === "read" ? "source" : "destination";
        const problem = `${device} does not let it any more`;
        this.stop("not-allowed", ({ segment, residual }) => deviceSaid(answer, role, segment, problem, residual));
        return;
      }
    }
  }

  stepBegins(segments: readonly StepSegment[]): void {
    this.#segments = segments;
  }

  /** A run of a step that has several. @param bytes of all of them until now */
  runEnded(bytes: bigint): void {
    this.#ofStep = bytes;
    this.#told = 0n;
    this.operation.progress({ bytes: this.#before.bytes + bytes });
  }

  /** @param ok all that the step was to do is done */
  stepEnded(bytes: bigint, segments: readonly Pick<StepSegment, "segment" | "end" | "later">[], ok: boolean): void {
    this.refresh();
    const done = ok ? countOf(segments) : countOf(segments, bytes);
    this.#before = { bytes: this.#before.bytes + bytes, segments: Math.max(this.#before.segments, done) };
    this.#segments = [];
    this.#ofStep = 0n;
    this.#told = 0n;
    this.operation.progress(this.#before);
  }

  /** Before anybody looks: what the engine has done by now. */
  refresh(): void {
    const stats = this.operation.running ? this.control.stats() : undefined;
    if (stats === undefined) return;
    const commands = stats.gather.commands + stats.scatter.commands;
    const all = this.#segments.at(-1)?.end;
    // What is carried stands behind the last segment's end.
    const bytes = all !== undefined && stats.streamOffset > all ? all : stats.streamOffset;
    this.operation.progress({
      bytes: this.#before.bytes + this.#ofStep + bytes,
      segments: Math.max(this.#before.segments, countOf(this.#segments, bytes)),
      commands: Number(commands > this.#told ? commands - this.#told : 0n),
    });
    this.#told = commands;
  }
}

/**
 * How many segments of the list are done with these: they are in order, one that moves nothing may be in no step, and one
 * may be in several. @param bytes of the step; undefined: all
 */
function countOf(segments: readonly Pick<StepSegment, "segment" | "end" | "later">[], bytes?: bigint): number {
  const last = segments.findLast(({ end, later }) => later === 0n && (bytes === undefined || end <= bytes));
  return last === undefined ? 0 : last.segment + 1;
}

/** ABORTED COMMAND would make initiators repeat it: COPY ABORTED without a device that failed (SPC-4 table 56, 0Dh/00h). */
function stoppedBy(why: StopReason, place: Place): CopyRefusal {
  return new CopyRefusal({ key: SENSE_KEY.COPY_ABORTED, asc: 0x0d, ascq: 0x00, ...place }, WORDS[why]);
}

const WORDS: Readonly<Record<StopReason, string>> = {
  aborted: "it was aborted by who asked for it",
  cancelled: "it was cancelled by the broker or by somebody at the bridge",
  "nexus-lost": "the session of who asked for it ended",
  reset: "its logical unit was reset",
  shutdown: "the bridge is shut down",
  "not-allowed": "a device does not let it any more",
};
