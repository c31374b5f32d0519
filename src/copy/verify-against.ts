// A verification against a source: members of an archive on tape are compared, by the engine, with the blocks that a list
// names on a disk, and held against their digests. Nothing is written.
import type { Admitted } from "../admitted.js";
import type { OpenDisk } from "../device/disk.js";
import type { JobSpec, Miscompare } from "../job.js";
import type { ListHeader } from "../list.js";
import { type ComparedPiece, RestorePlan } from "./archive/restore-plan.js";
import type { MidEvent } from "./copy-run.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import { checkVolume } from "./list-check.js";
import { withListedDisk } from "./listed-disk.js";
import { manifestFacts } from "./manifest-facts.js";
import { ReadingBook } from "./reading-book.js";
import { TapeSource } from "./tape-source.js";
import { wholeList } from "./whole-list.js";

const TAPE = 0;
const DISK = 1;

export async function runVerifyAgainst(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const { listId, volume, disk: ref, options } = job.subject;
  const header = wholeList(context, listId);
  checkVolume(header, volume);
  return withListedDisk(context, ref?.device, header, options.overlap ?? "refuse", (disk) =>
    compare(context, header, disk),
  );
}

async function compare(context: JobContext, header: ListHeader, disk: OpenDisk): Promise<JobOutcome> {
  const { meter } = context;
  const source = new TapeSource(context);
  const found = await source.manifest();
  const { volumes } = await manifestFacts(context, found);
  const pieces = new PieceBook();
  const plan = await RestorePlan.make(
    { chunks: header.chunks, read: (index) => context.lists.read(header.listId, index) },
    found.source,
    {
      volumes,
      tapeBlockBytes: context.record.tapeBlockBytes,
      tapeLu: TAPE,
      diskLu: DISK,
      diskBlockBytes: disk.blockBytes,
      compare: (piece) => pieces.add(piece),
    },
  );
  const book = new ReadingBook(context, found.trailer.archiveId);
  const start = book.offset;
  if (book.tag > 0) plan.startAt(book.tag + 1);
  meter.bytesTotal = plan.bytes;
  meter.membersTotal = plan.members;
  const onEvent = async (event: MidEvent): Promise<void> => {
    if (event.type === "digest") book.judge(plan.digests, event);
    else if (event.type === "held") plan.held(event.data);
    else if (event.type === "retried") meter.retries += BigInt(event.count);
    else if (event.type === "miscompare")
      book.note(differs(disk.unit.name, event.lba, pieces.at(event.streamOffset - start)), event.streamOffset);
    else if (event.type === "checkpoint") {
      // Commands of before have ended; what they found was told.
      pieces.drop(event.streamOffset - start);
      await book.checkpoint(event);
    }
  };
  const done = await source.run(plan, start, volumes, [disk.copyLu], [disk.unit.name], onEvent);
  if (done?.result === "cancelled") return { state: "cancelled" };
  const unread = plan.digests
    .openNames(20)
    .map((member): Miscompare => ({ member, streamOffset: 0n, reason: "Its data did not come whole from the tape." }));
  const miscompares = [...book.miscompares, ...unread];
  const [first] = miscompares;
  if (first === undefined) return { state: "succeeded" };
  const message = `The tape differs from ${disk.unit.name} or from its manifest in ${book.differing + plan.digests.open} places; the first: ${first.member}: ${first.reason}`;
  return { state: "failed", miscompares, failure: { code: "VERIFY_DIFFERS", message } };
}

/** Where a byte of the stream belongs, and that byte of the stream. */
interface Compared {
  readonly piece: ComparedPiece;
  readonly into: bigint;
}

function differs(disk: string, lba: bigint, where: Compared | undefined): Miscompare {
  if (where === undefined) return { member: "", streamOffset: 0n, lba, reason: `LBA ${lba} of ${disk} differs.` };
  const { piece, into } = where;
  const { member, fileOffset, at, data } = piece;
  const byte = fileOffset + into;
  const what = at === undefined ? "the tape has a hole there" : "the tape has other data";
  return {
    member,
    streamOffset: at === undefined ? data : at + into,
    ...(at === undefined ? {} : { memberOffset: at + into - data }),
    lba,
    reason: `From byte ${byte} of the file on, LBA ${lba} of ${disk} is not what is on tape (${what}).`,
  };
}

/** The pieces that are on their way, in the order of the stream. */
class PieceBook {
  #pieces: ComparedPiece[] = [];

  add(piece: ComparedPiece): void {
    this.#pieces.push(piece);
  }

  at(stream: bigint): Compared | undefined {
    let [low, high] = [0, this.#pieces.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#pieces[middle]?.to ?? 0n) > stream) high = middle;
      else low = middle + 1;
    }
    const piece = this.#pieces[low];
    return piece === undefined || piece.from > stream ? undefined : { piece, into: stream - piece.from };
  }

  drop(before: bigint): void {
    const first = this.#pieces.findIndex(({ to }) => to > before);
    this.#pieces = first < 0 ? [] : this.#pieces.slice(first);
  }
}
