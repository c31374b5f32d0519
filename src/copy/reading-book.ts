// How far a restore or a verification is, in members: what the engine reported, what of it a checkpoint covers and
// so is in the journal, and what differed. A job that goes on starts behind the last member that is covered.
import type { Miscompare } from "../job.js";
import { GantryError } from "../sys/errors.js";
import type { DigestCheck } from "./archive/digest-check.js";
import type { MidEvent } from "./copy-run.js";
import type { JobContext } from "./job-context.js";
import type { ReadingProgress } from "./job-record.js";
import type { BlockCrcs } from "./journal.js";
import { REPORT_ENTRIES } from "./results.js";

export type { Miscompare };

type DigestEvent = Extract<MidEvent, { type: "digest" }>;
type CheckpointEvent = Extract<MidEvent, { type: "checkpoint" }>;

export class ReadingBook {
  readonly #context: JobContext;
  readonly #archiveId: string;
  /** Everything that was judged. */
  #now: ReadingProgress;
  /** The same after each finding that no checkpoint covers yet, oldest first, and the stream position of the finding. */
  #pending: { readonly at: bigint; readonly progress: ReadingProgress }[] = [];
  #blocks: BlockCrcs[] = [];

  /** Takes up what the journal has. Throws ARCHIVE_INVALID when the tape is not the one that the job began with. */
  constructor(context: JobContext, archiveId: string) {
    this.#context = context;
    this.#archiveId = archiveId;
    const none = { archiveId, tag: 0, offset: 0n, members: 0, differing: 0, miscompares: [] };
    // Without a member that is behind it a job reads, and finds, everything again.
    const { reading } = context.record;
    this.#now =
      reading === undefined || reading.tag === 0 ? { ...none, archiveId: reading?.archiveId ?? archiveId } : reading;
    if (this.#now.archiveId !== archiveId) {
      throw new GantryError(
        "ARCHIVE_INVALID",
        `The job began with archive ${this.#now.archiveId} and finds ${archiveId} on the tape now; load the right cartridge and submit it anew.`,
        { details: { archiveId, began: this.#now.archiveId } },
      );
    }
    context.meter.membersDone = this.#now.members;
  }

  /** Members up to this number need not be read again. */
  get tag(): number {
    return this.#now.tag;
  }

  /** Stream position after them. */
  get offset(): bigint {
    return this.#now.offset;
  }

  get miscompares(): readonly Miscompare[] {
    return this.#now.miscompares;
  }

  /** How many members differ; miscompares has the first of them. */
  get differing(): number {
    return this.#now.differing;
  }

  /** Judges a digest of the engine against the manifest. */
  judge(digests: DigestCheck, event: DigestEvent): void {
    const verdict = digests.take(event.tag, event.bytes, event);
    if (verdict === undefined) return;
    const { members, differing, miscompares } = this.#now;
    const found: Miscompare = { member: verdict.name, streamOffset: verdict.data, reason: verdict.fault };
    this.#now = {
      archiveId: this.#archiveId,
      tag: event.tag,
      offset: event.streamOffset,
      members: members + 1,
      differing: verdict.ok ? differing : differing + 1,
      miscompares: verdict.ok || miscompares.length >= REPORT_ENTRIES ? miscompares : [...miscompares, found],
    };
    this.#pending.push({ at: event.streamOffset, progress: this.#now });
    this.#context.meter.membersDone = this.#now.members;
  }

  /** Something else that differs, found at this stream position; again, where a job that went on reads it again. */
  note(found: Miscompare, offset: bigint): void {
    const { differing, miscompares } = this.#now;
    if (miscompares.some((known) => isSame(known, found))) return;
    this.#now = { ...this.#now, differing: differing + 1 };
    if (miscompares.length < REPORT_ENTRIES) this.#now = { ...this.#now, miscompares: [...miscompares, found] };
    this.#pending.push({ at: offset, progress: this.#now });
  }

  /** Checksums of tape blocks that were read; they go into the journal with the next checkpoint. */
  addBlocks(run: BlockCrcs): void {
    this.#blocks.push(run);
  }

  /** Journals what the checkpoint covers; does nothing when that is no more than is journalled already. */
  async checkpoint({ streamOffset, object, digest }: CheckpointEvent): Promise<void> {
    const open = this.#pending.findIndex(({ at }) => at > streamOffset);
    const covered = this.#pending.splice(0, open < 0 ? this.#pending.length : open);
    const blocks = this.#blocks.splice(0);
    const reading = covered.at(-1)?.progress ?? this.#context.record.reading;
    if (reading === undefined || (covered.length === 0 && blocks.length === 0)) {
      this.#blocks.push(...blocks);
      return;
    }
    this.#context.record = await this.#context.journal.checkpoint(
      { ...this.#context.record, reading },
      { offset: streamOffset, object, digest },
      [],
      blocks,
    );
  }
}

const isSame = (a: Miscompare, b: Miscompare): boolean =>
  a.reason === b.reason && a.member === b.member && a.cartridge === b.cartridge && a.object === b.object;
