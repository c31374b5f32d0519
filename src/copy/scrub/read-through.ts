// Reads tape blocks from here to there whatever is wrong with them: what cannot be read is taken note of and passed
// over by LOCATE, and the checksums of the rest are told.

import { senseOf } from "../../device/failure.js";
import type { TapeDrive } from "../../device/tape-drive.js";
import { GantryError } from "../../sys/errors.js";
import { SENSE_KEY } from "../../wire/names.js";
import { type DoneEvent, type MidEvent, type ProgramPiece, runCopy } from "../copy-run.js";
import { copyTuning, ringBytesOf } from "../engine-options.js";
import type { JobContext } from "../job-context.js";
import { engineFailure } from "../results.js";

export interface ReadThrough {
  readonly context: JobContext;
  readonly drive: TapeDrive;
  /** Logical objects [first, end). */
  readonly first: bigint;
  readonly end: bigint;
  /** Largest block that is expected. */
  readonly tapeBlockBytes: number;
  /** Program that reads from an object on; its pieces must not reach past `end`. */
  readonly program: (from: bigint) => () => Promise<ProgramPiece | null>;
  readonly onEvent: (event: MidEvent) => void;
  readonly onUnreadable: OnUnreadable;
}

/** `count` blocks from this object on cannot be read, or were not tried, with the reason in words. */
export type OnUnreadable = (object: bigint, why: string, count: bigint) => void;

export const TAPE_ENDED = "a filemark or the end of data stands there";
export const TOO_LONG = "it is longer than the blocks of the archive";

/** Unreadable blocks in a row after which the rest is given up: a medium that is torn off costs minutes for each. */
const GIVE_UP = 64;

/** Resolves with the number of blocks that were read. Throws JOB_CANCELLED, DEVICE_… */
export async function readThrough(options: ReadThrough): Promise<bigint> {
  const { end, context } = options;
  let [total, inRow] = [0n, 0];
  for (let object = options.first; object < end; ) {
    const { why, blocks } = await run(options, object);
    total += blocks;
    object += blocks;
    inRow = blocks > 0n ? 0 : inRow;
    if (object >= end) break;
    if (why === undefined) {
      if (blocks > 0n) continue;
      options.onUnreadable(object, "the drive gave nothing and said nothing", end - object);
      break;
    }
    context.log.warn({ jobId: context.record.spec.jobId, object, why }, "a tape block cannot be read");
    options.onUnreadable(object++, why, 1n);
    if (++inRow < GIVE_UP || object >= end) continue;
    const untried = end - object;
    options.onUnreadable(object, `the ${untried} blocks behind ${inRow} unreadable ones were not tried`, untried);
    break;
  }
  return total;
}

/** What of a run's end is damage of the medium; undefined: something else. */
function passable(done: DoneEvent): string | undefined {
  if (done.result === "block-too-large") return TOO_LONG;
  if (done.result === "tape-ended") return TAPE_ENDED;
  if (done.result !== "device-error" || done.failed === undefined) return undefined;
  return senseOf(done.failed)?.key === SENSE_KEY.MEDIUM_ERROR ? engineFailure(done, ["the drive"]).message : undefined;
}

async function run(
  { context, drive, tapeBlockBytes, program, onEvent }: ReadThrough,
  from: bigint,
): Promise<{ why?: string; blocks: bigint }> {
  try {
    await drive.locate(from);
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== "DEVICE_MEDIUM_ERROR") throw error;
    return { why: error.message, blocks: 0n };
  }
  let blocks = 0n;
  const { meter, control, arena } = context;
  const config = context.config();
  meter.begin(meter.read().bytesDone, () => control.stats());
  const { done, stats } = await runCopy({
    native: context.native,
    control,
    next: program(from),
    onEvent: (event) => {
      if (event.type === "block-crcs") blocks += BigInt(event.crcs.length);
      if (event.type === "retried") meter.retries += BigInt(event.count);
      onEvent(event);
    },
    copy: {
      ...copyTuning(config),
      arena,
      ringBytes: ringBytesOf(arena, config),
      lus: [drive.copyLu],
      tapeBlockBytes,
      sourceCrcs: true,
      tapeObject: from,
    },
  });
  meter.end(stats);
  if (done.result === "cancelled") throw new GantryError("JOB_CANCELLED", "The job was cancelled.");
  const why = passable(done);
  if (why === undefined && done.result !== "ok") throw engineFailure(done, [drive.unit.name]);
  return { blocks, ...(why === undefined ? {} : { why }) };
}
