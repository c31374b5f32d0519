// A restore: members of an archive on tape, back to where a list says that their files lie on a disk. What was
// finished before a crash is not done again.
import type { Admitted } from "../admitted.js";
import type { OpenDisk } from "../device/disk.js";
import type { JobSpec } from "../job.js";
import type { ListHeader } from "../list.js";
import { RestorePlan } from "./archive/restore-plan.js";
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

export async function runRestore(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const spec = job.subject;
  const header = wholeList(context, spec.listId);
  checkVolume(header, spec.volume);
  return withListedDisk(context, spec.disk?.device, header, "refuse", (disk) => restore(context, header, disk));
}

async function restore(context: JobContext, header: ListHeader, disk: OpenDisk): Promise<JobOutcome> {
  const { meter } = context;
  const source = new TapeSource(context);
  const found = await source.manifest();
  const { source: manifest, trailer } = found;
  const facts = await manifestFacts(context, found);
  const plan = await RestorePlan.make(
    { chunks: header.chunks, read: (index) => context.lists.read(header.listId, index) },
    manifest,
    {
      volumes: facts.volumes,
      tapeBlockBytes: context.record.tapeBlockBytes,
      tapeLu: TAPE,
      diskLu: DISK,
      diskBlockBytes: disk.blockBytes,
    },
  );
  const book = new ReadingBook(context, trailer.archiveId);
  if (book.tag > 0) plan.startAt(book.tag + 1);
  meter.bytesTotal = plan.bytes;
  meter.membersTotal = plan.members;
  const onEvent = async (event: MidEvent): Promise<void> => {
    if (event.type === "digest") book.judge(plan.digests, event);
    else if (event.type === "checkpoint") await book.checkpoint(event);
    else if (event.type === "held") plan.held(event.data);
    else if (event.type === "retried") meter.retries += BigInt(event.count);
  };
  const done = await source.run(plan, book.offset, facts.volumes, [disk.copyLu], [disk.unit.name], onEvent);
  if (done?.result === "cancelled") return { state: "cancelled" };
  return outcome(book, plan);
}

function outcome(book: ReadingBook, plan: RestorePlan): JobOutcome {
  const unread = plan.digests
    .openNames(20)
    .map((member) => ({ member, streamOffset: 0n, reason: "Its data did not come whole from the tape." }));
  const miscompares = [...book.miscompares, ...unread];
  const [first] = miscompares;
  if (first === undefined) return { state: "succeeded" };
  const count = book.differing + plan.digests.open;
  const message = `${count} members did not come back as the manifest says; the first: ${first.member}: ${first.reason}`;
  return { state: "failed", miscompares, failure: { code: "VERIFY_DIFFERS", message } };
}
