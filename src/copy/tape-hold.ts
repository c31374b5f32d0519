// Reading what is ours of a tape into the supervisor: labels, trailers, manifests. Never payload; it goes through the
// engine like everything else, in pieces of bounded size.
import type { TapeDrive } from "../device/tape-drive.js";
import { ProgramBuilder } from "../native/program.js";
import { GantryError } from "../sys/errors.js";
import { type DoneEvent, type ProgramPiece, runCopy } from "./copy-run.js";
import { copyTuning, ringBytesOf } from "./engine-options.js";
import type { JobContext } from "./job-context.js";

const TAPE = 0;

export interface HoldOptions {
  /** Bytes that are passed over first. */
  readonly skip?: bigint;
  /** Largest tape block that is expected, where that is not what the job says. */
  readonly tapeBlockBytes?: number;
  /** Gets the pieces instead of the caller. */
  readonly take?: (piece: Uint8Array) => Promise<void>;
}

/** Reads tape bytes from where the tape stands and gives them out in pieces of these lengths. Throws JOB_CANCELLED. */
export async function hold(
  context: JobContext,
  drive: TapeDrive,
  lengths: readonly bigint[],
  { skip = 0n, take, tapeBlockBytes = context.record.tapeBlockBytes }: HoldOptions = {},
): Promise<{ done: DoneEvent; held: Uint8Array[] }> {
  const builder = new ProgramBuilder();
  const total = lengths.reduce((sum, length) => sum + length, skip);
  builder.tape("gather", TAPE, total);
  if (skip > 0n) builder.discard(skip);
  lengths.forEach((length, index) => {
    builder.hold(length, BigInt(index));
  });
  const held: Uint8Array[] = [];
  const done = await readTape(
    context,
    drive,
    builder.take(),
    tapeBlockBytes,
    take ?? (async (piece) => void held.push(piece)),
  );
  if (done.result === "cancelled") throw new GantryError("JOB_CANCELLED", "The job was cancelled.");
  return { done, held };
}

async function readTape(
  context: JobContext,
  drive: TapeDrive,
  program: ProgramPiece,
  tapeBlockBytes: number,
  onHeld: (piece: Uint8Array) => Promise<void>,
): Promise<DoneEvent> {
  const pieces = [program];
  const { done } = await runCopy({
    native: context.native,
    control: context.control,
    next: async () => pieces.shift() ?? null,
    onEvent: async (event) => {
      if (event.type === "held") await onHeld(event.data);
    },
    copy: {
      ...copyTuning(context.config()),
      arena: context.arena,
      ringBytes: ringBytesOf(context.arena, context.config()),
      lus: [drive.copyLu],
      tapeBlockBytes,
    },
  });
  return done;
}
