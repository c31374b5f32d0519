// A clone: blocks of a list from one disk to another, to the same places or to those of a second list.
import type { Admitted } from "../admitted.js";
import type { OpenDisk } from "../device/disk.js";
import type { JobSpec } from "../job.js";
import type { ListHeader } from "../list.js";
import { ProgramBuilder } from "../native/program.js";
import { GantryError } from "../sys/errors.js";
import { type MidEvent, type ProgramPiece, runCopy } from "./copy-run.js";
import { copyTuning, ringBytesOf } from "./engine-options.js";
import type { JobContext, JobOutcome, ListSource } from "./job-context.js";
import { checkVolume } from "./list-check.js";
import { withListedDisk } from "./listed-disk.js";
import { lostBefore, noteLost } from "./lost-blocks.js";
import { engineFailure } from "./results.js";
import { wholeList } from "./whole-list.js";

const FROM = 0;
const TO = 1;
const PIECE_SEGMENTS = 16384;
/** The engine wants some tape block size even where there is no tape. */
const NO_TAPE_BLOCK = 512;

export async function runClone(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const spec = job.subject;
  const from = wholeList(context, spec.listId);
  const to = spec.toListId === undefined ? from : wholeList(context, spec.toListId);
  checkVolume(from, spec.volume);
  if (to.bytes !== from.bytes) {
    throw new GantryError(
      "JOB_INVALID",
      `List ${from.listId} has ${from.bytes} bytes and list ${to.listId} has ${to.bytes}; a clone needs as many on both sides.`,
    );
  }
  return withListedDisk(context, spec.disk?.device, from, spec.options.overlap ?? "refuse", (source) =>
    withListedDisk(context, spec.toDisk?.device, to, "refuse", (target) => copy(context, from, to, source, target)),
  );
}

async function copy(
  context: JobContext,
  from: ListHeader,
  to: ListHeader,
  source: OpenDisk,
  target: OpenDisk,
): Promise<JobOutcome> {
  const { record, meter, control, lists } = context;
  const start = record.checkpoint?.offset ?? 0n;
  context.record = { ...record, lost: lostBefore(record.lost, start) };
  const pieces = clonePieces(lists, from, to, start);
  meter.bytesTotal = from.bytes;
  meter.membersTotal = from.members;
  meter.begin(start, () => control.stats());
  const { done, stats } = await runCopy({
    native: context.native,
    control,
    next: async () => {
      const piece = await pieces.next();
      return piece.done === true ? null : piece.value;
    },
    onEvent: (event) => onEvent(context, source, event),
    copy: {
      ...copyTuning(context.config()),
      arena: context.arena,
      ringBytes: ringBytesOf(context.arena, context.config()),
      lus: [source.copyLu, target.copyLu],
      tapeBlockBytes: NO_TAPE_BLOCK,
      zeroFill: record.spec.options.mediumErrors === "zero-fill",
      streamOffset: start,
    },
  });
  meter.end(stats);
  if (done.result === "cancelled") return { state: "cancelled", lost: context.record.lost };
  if (done.result !== "ok") throw engineFailure(done, [source.unit.name, target.unit.name]);
  meter.membersDone = from.members;
  return { state: "succeeded", lost: context.record.lost };
}

async function onEvent(context: JobContext, source: OpenDisk, event: MidEvent): Promise<void> {
  if (event.type === "checkpoint") {
    const checkpoint = { offset: event.streamOffset, object: 0n, digest: event.digest };
    context.record = await context.journal.checkpoint(context.record, checkpoint, [], []);
  } else if (event.type === "medium-error") {
    noteLost(context, source.unit.name, event);
  } else if (event.type === "retried") context.meter.retries += BigInt(event.count);
}

/** Both lists side by side as a program, from byte `start` of the lists on. The stream is the lists' blocks in order. */
async function* clonePieces(
  lists: ListSource,
  from: ListHeader,
  to: ListHeader,
  start: bigint,
): AsyncGenerator<ProgramPiece, void, void> {
  const builder = new ProgramBuilder();
  const gather = listExtents(lists, from, start);
  const scatter = listExtents(lists, to, start);
  let gathered = start;
  let scattered = start;
  for (;;) {
    // The side that is behind goes on, so that neither runs ahead of the other by more than one extent.
    const behind = gathered <= scattered ? gather : scatter;
    const next = await behind.next();
    if (next.done === true) break;
    const { lba, bytes } = next.value;
    builder.extent(behind === gather ? "gather" : "scatter", behind === gather ? FROM : TO, lba, bytes);
    if (behind === gather) gathered += bytes;
    else scattered += bytes;
    if (builder.segments >= PIECE_SEGMENTS) yield builder.take();
  }
  for (let rest = await scatter.next(); rest.done !== true; rest = await scatter.next()) {
    builder.extent("scatter", TO, rest.value.lba, rest.value.bytes);
    if (builder.segments >= PIECE_SEGMENTS) yield builder.take();
  }
  builder.flush(TO);
  yield builder.take();
}

/** Extents of a list in order, the first cut so that it begins at byte `start` (a block edge: checkpoints are). */
async function* listExtents(
  lists: ListSource,
  header: ListHeader,
  start: bigint,
): AsyncGenerator<{ lba: bigint; bytes: bigint }, void, void> {
  const block = BigInt(header.blockBytes);
  let skip = start;
  for (let chunk = 0; chunk < header.chunks; chunk++) {
    const { extents } = await lists.read(header.listId, chunk);
    for (let index = 0; index < extents.blocks.length; index++) {
      const bytes = BigInt(extents.blocks[index] ?? 0) * block;
      if (skip >= bytes) {
        skip -= bytes;
        continue;
      }
      yield { lba: (extents.lba[index] ?? 0n) + skip / block, bytes: bytes - skip };
      skip = 0n;
    }
  }
}
