// A data step, carried out: one run of the engine, on handles of its own, and how it ended in the terms of SPC-4 5.17.7.4:
// the segment that was under way, what of it is not written, and what the device said.
import { type DoneEvent, type RunControl, runCopy } from "../copy/copy-run.js";
import { HELD_MAX, ProgramBuilder } from "../native/program.js";
import type { CopyOptions, CopyStats, Native } from "../native/types.js";
import { SENSE_KEY } from "../wire/names.js";
import { ASC, type CopyAsc, CopyRefusal } from "../wire/xcopy/refusal.js";
import { type CopyMemory, RING_BLOCKS } from "./memory.js";
import { totalOf } from "./plan-parts.js";
import { deviceSaid } from "./resolver.js";
import type { DataStep, StepSegment } from "./steps.js";
import type { CopyUnits, Leased } from "./units.js";

const MIB = 1 << 20;
const RING_MAX = 8 * MIB;
/** SYNCHRONIZE CACHE(10) and (16), WRITE FILEMARKS(6). */
const FLUSHES: ReadonlySet<number> = new Set([0x35, 0x91, 0x10]);
/** The engine wants some tape block size even where there is no tape. */
const NO_TAPE_BLOCK = 512;

export interface RunPlant {
  readonly native: Pick<Native, "startCopy">;
  readonly memory: CopyMemory;
  readonly units: CopyUnits;
  /** Sizes and time-outs that all copies share. */
  readonly tuning: () => Partial<CopyOptions>;
}

export interface StepEnd {
  /** Bytes of the stream that are on the destination. */
  readonly bytes: bigint;
  /** Why it ended early; absent: it did not, or it was cancelled. */
  readonly refusal?: CopyRefusal;
  readonly cancelled: boolean;
  /** Where it was cancelled, if that is known. */
  readonly at?: { readonly segment: number; readonly residual: bigint };
}

/** What one copy keeps while it runs. */
export interface DataKeeper {
  /** Bytes for the application client, in the order of the stream. */
  readonly onHeld: (data: Uint8Array) => void;
  /** Residual data that a step left for a later one. */
  carried: Uint8Array;
}

/** Of what is carried; what is held has the stream offset of its first byte. */
const CARRY = 1n << 63n;

export async function runData(
  step: DataStep,
  plant: RunPlant,
  control: RunControl,
  keeper: DataKeeper,
): Promise<StepEnd> {
  // Not the end of the last segment: behind that data may be read past, or carried to a later step.
  const bytes = totalOf(step.scatter);
  if (bytes === 0n) return { bytes: 0n, cancelled: false };
  const handles = await leaseAll(step, plant.units);
  if (handles.all.length === 0) return inMemory(step, keeper);
  const carried: Uint8Array[] = [];
  let sound = false;
  try {
    const ringBytes = ringFor(step, bytes, plant.memory.bytes);
    const tapeObject = await standsAt(step, handles);
    const { done, stats } = await plant.memory.use(ringBytes, (arena) => {
      const pieces = [programOf(step, handles, keeper.carried)];
      return runCopy({
        native: plant.native,
        control,
        next: async () => pieces.shift() ?? null,
        onEvent: (event) => {
          if (event.type !== "held") return;
          if (event.cookie === CARRY) carried.push(event.data);
          else keeper.onHeld(event.data);
        },
        copy: {
          ...plant.tuning(),
          arena,
          ringBytes,
          lus: handles.all.map(({ copyLu }) => copyLu),
          tapeBlockBytes: step.tapeBlockBytes || step.sourceBlockBytes || NO_TAPE_BLOCK,
          sourceBlockBytes: step.sourceBlockBytes,
          ...(tapeObject !== undefined && { tapeObject }),
          // As after a WRITE of its own, it is for the server to say when the disk's cache has to be on the medium.
          leaveCached: true,
          checkpointBytes: 0n,
          checkpointMs: 0,
        },
      });
    });
    sound = done.result === "ok";
    if (carried.length > 0) keeper.carried = new Uint8Array(Buffer.concat(carried));
    return endOf(done, writtenOf(done, stats), step);
  } finally {
    await Promise.all(handles.all.map((leased) => plant.units.giveBack(leased, sound)));
  }
}

/** Each side has its own handle of a device. */
interface Handles {
  readonly all: readonly Leased[];
  readonly gather: ReadonlyMap<string, number>;
  readonly scatter: ReadonlyMap<string, number>;
}

async function leaseAll({ gather, scatter }: DataStep, units: CopyUnits): Promise<Handles> {
  const all: Leased[] = [];
  const side = async (parts: readonly object[]): Promise<ReadonlyMap<string, number>> => {
    const places = new Map<string, number>();
    for (const part of parts) {
      if (!("device" in part) || typeof part.device !== "string" || places.has(part.device)) continue;
      all.push(await units.lease(part.device));
      places.set(part.device, all.length - 1);
    }
    return places;
  };
  try {
    return { all, gather: await side(gather), scatter: await side(scatter) };
  } catch (error) {
    await Promise.all(all.map((leased) => units.giveBack(leased, false)));
    throw error;
  }
}

/** Where the destination tape stands: the engine makes sure of it before it writes. */
async function standsAt({ scatter }: DataStep, handles: Handles): Promise<bigint | undefined> {
  const tape = scatter.find(({ op }) => op === "tape");
  if (tape === undefined || !("device" in tape)) return undefined;
  return handles.all[handles.scatter.get(tape.device) ?? 0]?.drive?.position();
}

function ringFor(step: DataStep, bytes: bigint, most: number): number {
  const blocks = RING_BLOCKS * Math.max(step.sourceBlockBytes, step.tapeBlockBytes);
  const wanted = Math.min(Number(bytes), RING_MAX);
  return Math.min(Math.max(MIB, Math.ceil(Math.max(wanted, blocks) / MIB) * MIB), most);
}

function programOf({ gather, scatter }: DataStep, handles: Handles, carried: Uint8Array) {
  const program = new ProgramBuilder();
  const of = (places: ReadonlyMap<string, number>, device: string): number => places.get(device) ?? 0;
  for (const part of gather) {
    if (part.op === "extent")
      program.extent("gather", of(handles.gather, part.device), part.lba, part.bytes, 0, part.skip);
    else if (part.op === "tape") program.tape("gather", of(handles.gather, part.device), part.bytes);
    else if (part.op === "inline") program.inline(part.data);
    else if (part.op === "carried") program.inline(carried.subarray(Number(part.skip), Number(part.skip + part.bytes)));
    else program.zeros(part.bytes);
  }
  for (const part of scatter) {
    const { bytes, held } = part;
    if (part.op === "extent") {
      const options = { keep: true, held };
      program.extent("scatter", of(handles.scatter, part.device), part.lba, bytes, 0, part.skip, options);
    } else if (part.op === "tape") program.tape("scatter", of(handles.scatter, part.device), bytes, 0, { held });
    else if (part.op === "carry") hold(program, bytes);
    else program.discard(bytes, 0, { held });
  }
  return program.take();
}

/** Bytes of memory that no device takes, because they go to a null device, or wait for the next segment. */
function inMemory({ gather, scatter, segments }: DataStep, keeper: DataKeeper): StepEnd {
  const stream = Buffer.concat(
    gather.map((part) => {
      if (part.op === "inline") return part.data;
      if (part.op === "carried") return keeper.carried.subarray(Number(part.skip), Number(part.skip + part.bytes));
      return new Uint8Array(Number(part.bytes));
    }),
  );
  let at = 0;
  for (const { op, bytes, held } of scatter) {
    const data = stream.subarray(at, at + Number(bytes));
    if (held) keeper.onHeld(data);
    if (op === "carry") keeper.carried = data;
    at += data.length;
  }
  return { bytes: segments.at(-1)?.end ?? 0n, cancelled: false };
}

/**
 * Bytes that the destination has taken, in a row. The engine's last event tells of those that a SYNCHRONIZE CACHE or its
 * like came behind, and there is none behind a destination that failed, or that had to be left alone.
 */
export function writtenOf({ streamOffset, failed }: DoneEvent, stats: Pick<CopyStats, "streamOffset">): bigint {
  // What did not get from its cache to the medium may be lost.
  if (failed?.side === "destination" && FLUSHES.has(failed.cdb[0] ?? 0)) return streamOffset;
  return streamOffset > stats.streamOffset ? streamOffset : stats.streamOffset;
}

/** In as many pieces as the engine wants; they come back in order. */
function hold(program: ProgramBuilder, bytes: bigint): void {
  const most = BigInt(HELD_MAX);
  for (let left = bytes; left > 0n; left -= most) program.hold(left < most ? left : most, CARRY);
}

function endOf(done: DoneEvent, written: bigint, step: DataStep): StepEnd {
  // What is carried, or read past, is on no destination.
  const all = step.segments.at(-1)?.end ?? 0n;
  const bytes = written < all ? written : all;
  if (done.result === "ok") return { bytes, cancelled: false };
  if (done.result === "cancelled") return { bytes, cancelled: true, at: underWay(step, bytes) };
  return { bytes, cancelled: false, refusal: refusalOf(done, underWay(step, bytes)) };
}

const NO_SEGMENT: StepSegment = { segment: 0, end: 0n, later: 0n, unitBytes: 1 };

/** The first segment that is not whole, and how much of it is missing. */
function underWay({ segments }: DataStep, bytes: bigint): { readonly segment: number; readonly residual: bigint } {
  const at = segments.find(({ end, later }) => end > bytes || later > 0n) ?? segments.at(-1) ?? NO_SEGMENT;
  const unit = BigInt(at.unitBytes);
  const left = (at.end > bytes ? at.end - bytes : 0n) + at.later;
  return { segment: at.segment, residual: (left + unit - 1n) / unit };
}

const WITHOUT_WORDS: Readonly<Partial<Record<DoneEvent["result"], readonly [CopyAsc, string]>>> = {
  "tape-ended": [ASC.UNDERRUN, "the source tape has a filemark or ends before the segment does"],
  "block-too-large": [ASC.OVERRUN, "a block of the source tape is larger than the stream device transfer length"],
  "volume-full": [ASC.OVERRUN, "the destination tape is at its end"],
};

export function refusalOf(done: DoneEvent, { segment, residual }: { segment: number; residual: bigint }): CopyRefusal {
  const { failed } = done;
  const role = failed?.side ?? "source";
  const said = failed !== undefined && failed.outcome === "delivered" && failed.status !== 0;
  if (said && done.result === "device-error")
    return deviceSaid(failed, role, segment, `the ${role} device failed`, residual);
  const [[asc, ascq], problem] = WITHOUT_WORDS[done.result] ?? [
    ASC.NOT_REACHABLE,
    `the ${role} device does not answer (${done.result}, errno ${done.error})`,
  ];
  const forwarded = said ? { [role]: { status: failed.status, sense: failed.sense } } : {};
  return new CopyRefusal({ key: SENSE_KEY.COPY_ABORTED, asc, ascq, segment, residual, ...forwarded }, problem);
}
