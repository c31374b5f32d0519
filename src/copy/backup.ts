// A backup: blocks of a list from a disk to an archive on tape, over as many cartridges as it takes, from a
// checkpoint on if there is one.

import type { Admitted } from "../admitted.js";
import type { OpenDisk } from "../device/disk.js";
import type { TapeDrive } from "../device/tape-drive.js";
import type { JobSpec, VolumeReport } from "../job.js";
import type { ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { BackupPlan } from "./archive/backup-plan.js";
import { type ArchiveVolume, leadBytes } from "./archive/volumes.js";
import { archiveBlocks } from "./block-numbers.js";
import { type DoneEvent, type MidEvent, runCopy } from "./copy-run.js";
import { DigestBook } from "./digest-book.js";
import { copyTuning, ringBytesOf } from "./engine-options.js";
import type { JobContext, JobOutcome } from "./job-context.js";
import type { Checkpoint, CurrentVolume } from "./job-record.js";
import type { BlockCrcs } from "./journal.js";
import { checkVolume } from "./list-check.js";
import { withListedDisk } from "./listed-disk.js";
import { lostBefore, noteLost } from "./lost-blocks.js";
import { checkOwnTape } from "./own-tape.js";
import { engineFailure } from "./results.js";
import { wholeList } from "./whole-list.js";

const DISK = 0;
const TAPE = 1;
const PIECE_SEGMENTS = 8192;

export async function runBackup(job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  const spec = job.subject;
  const header = wholeList(context, spec.listId);
  checkVolume(header, spec.volume);
  return withListedDisk(context, spec.disk?.device, header, spec.options.overlap ?? "refuse", (disk) =>
    new Backup(context, header, disk).run(),
  );
}

class Backup {
  readonly #context: JobContext;
  readonly #header: ListHeader;
  readonly #disk: OpenDisk;
  readonly #book = new DigestBook();

  constructor(context: JobContext, header: ListHeader, disk: OpenDisk) {
    this.#context = context;
    this.#header = header;
    this.#disk = disk;
  }

  async run(): Promise<JobOutcome> {
    const { journal, meter, record } = this.#context;
    this.#book.load(journal, record.spec.jobId);
    meter.bytesTotal = this.#header.bytes;
    meter.membersTotal = this.#header.members;
    meter.membersDone = this.#book.memberCount;
    for (;;) {
      const current = this.#context.record.current ?? this.#firstVolume();
      const outcome = await this.#volume(current);
      if (outcome !== undefined) return outcome;
    }
  }

  /** One cartridge. Resolves with the job's end, or with undefined when it goes on with the next cartridge. */
  async #volume(volume: CurrentVolume): Promise<JobOutcome | undefined> {
    const { spec } = this.#context.record;
    const device = spec.tape?.device ?? "";
    this.#context.meter.cartridge = volume.cartridge;
    if (volume.cartridge !== "") await this.#context.devices.load(device, volume.cartridge, true);
    const drive = await this.#context.devices.openTape(device, this.#context.control);
    try {
      if (drive.writeProtected) {
        throw new GantryError("TAPE_WRITE_PROTECTED", `${device}: the cartridge is write-protected.`, {
          details: { device },
        });
      }
      const current = await this.#position(drive, volume);
      if (this.#context.record.volumeEnded !== undefined)
        return await this.#nextVolume(drive, current, this.#context.record.volumeEnded);
      const plan = this.#plan(current);
      const done = await this.#copy(drive, current, plan);
      if (done.result === "volume-full") {
        const whole = plan.summary !== undefined && done.streamOffset >= plan.summary.archiveBytes;
        if (!whole) return await this.#nextVolume(drive, current, checkpointOf(done));
        // Early warning came with the last block: there is room for the filemark (SSC-4 4.2.4), and no more to write.
        await this.#checkpoint(checkpointOf(done));
        return undefined;
      }
      if (done.result === "cancelled") return await this.#cutShort(drive, current, done);
      if (done.result !== "ok") {
        // The tape is well: what is on it is ended, so that nobody appends in the middle of half an archive.
        if (done.failed?.side === "source" && began(current, done)) await this.#endHalf(drive);
        throw engineFailure(done, [this.#disk.unit.name, drive.unit.name]);
      }
      return this.#outcome("succeeded", current, done, plan);
    } finally {
      await drive.close();
    }
  }

  #firstVolume(): CurrentVolume {
    const cartridge = this.#context.record.spec.tape?.cartridges[0] ?? "";
    return { index: 0, cartridge, firstObject: 0n, from: 0n };
  }

  /** Puts the tape where writing begins, and makes that place durable before the first block is written. */
  async #position(drive: TapeDrive, volume: CurrentVolume): Promise<CurrentVolume> {
    const { record, journal } = this.#context;
    const at =
      record.volumeEnded?.object ??
      record.checkpoint?.object ??
      (record.current === undefined ? undefined : volume.firstObject);
    if (at !== undefined && record.current?.placed === true) {
      await checkOwnTape(this.#context, drive, volume, at, (block) => this.#book.block(block));
      await drive.locate(at);
      return volume;
    }
    const firstObject = await this.#freshPlace(drive, volume);
    const placed: CurrentVolume = { ...volume, firstObject, placed: true };
    this.#context.record = { ...record, current: placed };
    await journal.put(this.#context.record);
    return placed;
  }

  /** A blank tape, the end of what is there, or its beginning if its data may be lost. */
  async #freshPlace(drive: TapeDrive, volume: CurrentVolume): Promise<bigint> {
    const position = this.#context.record.spec.options.position;
    await drive.rewind();
    if (position === "overwrite") return 0n;
    const end = await drive.endOfData();
    if (end === 0n || (position === "append" && volume.index === 0)) return end;
    const name = volume.cartridge === "" ? "The tape" : `Cartridge ${volume.cartridge}`;
    throw new GantryError(
      "MEDIA_NOT_BLANK",
      `${name} in ${drive.unit.name} holds data (${end} objects). Give position "append" to write after it, or "overwrite" to lose it.`,
      { details: { device: drive.unit.name, cartridge: volume.cartridge } },
    );
  }

  #plan(current: CurrentVolume): BackupPlan {
    const { record, lists } = this.#context;
    const { spec } = record;
    const plan = new BackupPlan(
      { chunks: this.#header.chunks, read: (index) => lists.read(this.#header.listId, index) },
      {
        archiveId: record.archiveId,
        jobId: spec.jobId,
        bridgeId: this.#context.bridgeId,
        createdMs: record.submittedMs,
        tapeBlockBytes: record.tapeBlockBytes,
        ...(spec.options.comment === undefined ? {} : { comment: spec.options.comment }),
        list: this.#header,
        diskLu: DISK,
        tapeLu: TAPE,
        sha256: spec.options.sha256 ?? false,
        digests: { member: (tag) => this.#book.member(tag), blocks: (first, count) => this.#book.blocks(first, count) },
        volumes: () => this.#volumes(current),
      },
    );
    if (record.checkpoint !== undefined) plan.startAt(record.checkpoint.offset, current.from);
    else if (current.index > 0) plan.startVolume(current.from);
    return plan;
  }

  #volumes(current: CurrentVolume): readonly ArchiveVolume[] {
    const { cartridge, firstObject, from } = current;
    return [...this.#context.record.volumes, { cartridge, firstObject, from }];
  }

  async #copy(drive: TapeDrive, current: CurrentVolume, plan: BackupPlan): Promise<DoneEvent> {
    const { record: before, meter, control } = this.#context;
    const lead = current.index === 0 ? 0n : BigInt(leadBytes(before.tapeBlockBytes));
    const streamOffset = before.checkpoint?.offset ?? current.from - lead;
    const record = { ...before, lost: lostBefore(before.lost, streamOffset) };
    this.#context.record = record;
    this.#context.closing = false;
    meter.begin(streamOffset < 0n ? 0n : streamOffset, () => control.stats());
    const { done, stats } = await runCopy({
      native: this.#context.native,
      control,
      next: async () => {
        const piece = await plan.next(PIECE_SEGMENTS);
        if (piece === null) this.#context.closing = true;
        return piece;
      },
      onEvent: (event) => this.#onEvent(event, current),
      copy: {
        ...copyTuning(this.#context.config()),
        arena: this.#context.arena,
        ringBytes: ringBytesOf(this.#context.arena, this.#context.config()),
        lus: [this.#disk.copyLu, drive.copyLu],
        tapeBlockBytes: record.tapeBlockBytes,
        sha256: record.spec.options.sha256 ?? false,
        zeroFill: record.spec.options.mediumErrors === "zero-fill",
        streamOffset,
        tapeObject: record.checkpoint?.object ?? current.firstObject,
        ...optionalDigest(record.checkpoint?.digest ?? current.digest),
      },
    });
    meter.end(stats);
    // The last checkpoint of a run is journalled here, except that of a full cartridge (see #nextVolume).
    if (done.result !== "ok" && done.result !== "volume-full") await this.#checkpoint(checkpointOf(done));
    return done;
  }

  async #onEvent(event: MidEvent, current: CurrentVolume): Promise<void> {
    const { meter, record } = this.#context;
    switch (event.type) {
      case "digest":
        this.#book.addMember(event, event.streamOffset);
        meter.membersDone = this.#book.memberCount;
        break;
      case "block-crcs":
        this.#addBlocks(archiveBlocks(event.object, event.crcs, current, current.index === 0, record.tapeBlockBytes));
        break;
      case "checkpoint": {
        // The last checkpoint of a full cartridge is journalled with the fact that it is full (see #nextVolume): a
        // resume must not write one more block where an undisturbed job would have changed cartridges.
        if (event.final) break;
        await this.#checkpoint({ offset: event.streamOffset, object: event.object, digest: event.digest });
        break;
      }
      case "medium-error":
        noteLost(this.#context, this.#disk.unit.name, event);
        break;
      case "retried":
        meter.retries += BigInt(event.count);
        break;
      default:
        break;
    }
  }

  async #checkpoint(checkpoint: Checkpoint): Promise<void> {
    const { members, blocks } = this.#book.upTo(checkpoint.offset);
    this.#context.record = await this.#context.journal.checkpoint(this.#context.record, checkpoint, members, blocks);
  }

  #addBlocks(run: BlockCrcs | undefined): void {
    if (run !== undefined) this.#book.addBlocks(run);
  }

  /** Ends a full cartridge with a filemark and turns to the next one; each step is durable before the next. */
  async #nextVolume(drive: TapeDrive, current: CurrentVolume, ended: Checkpoint): Promise<undefined> {
    const { journal } = this.#context;
    if (this.#context.record.volumeEnded === undefined) {
      const { members, blocks } = this.#book.upTo(ended.offset);
      this.#context.record = await journal.checkpoint(
        { ...this.#context.record, volumeEnded: ended },
        ended,
        members,
        blocks,
      );
    }
    const index = current.index + 1;
    const cartridge = this.#context.record.spec.tape?.cartridges[index];
    await drive.writeFilemarks(1);
    const details = { device: drive.unit.name, archiveOffset: ended.offset };
    // The next cartridge begins with a lead, whose place in the stream is before the archive byte that it goes on at.
    if (ended.offset <= current.from || ended.offset < leadBytes(this.#context.record.tapeBlockBytes)) {
      throw new GantryError(
        "MEDIA_TOO_SMALL",
        `Cartridge ${current.cartridge} is too small for an archive to go on behind it.`,
        { details },
      );
    }
    if (cartridge === undefined) {
      const message = `The tape is full at byte ${ended.offset} of the archive and the job names no further cartridge.`;
      throw new GantryError("MEDIA_TOO_SMALL", message, { details });
    }
    const { volumeEnded: _ended, checkpoint: _checkpoint, ...rest } = this.#context.record;
    this.#context.record = {
      ...rest,
      volumes: [...rest.volumes, volumeReport(current, ended.offset, this.#context.record.tapeBlockBytes)],
      current: { index, cartridge, firstObject: 0n, from: ended.offset, placed: false, digest: ended.digest },
    };
    await journal.put(this.#context.record);
    return undefined;
  }

  /** What a cancelled or interrupted run wrote is ended by a filemark, so that the tape is no riddle to others. */
  async #cutShort(drive: TapeDrive, current: CurrentVolume, done: DoneEvent): Promise<JobOutcome> {
    // Behind a command that the drive has not answered nobody knows where the tape stands.
    const silent =
      done.failed !== undefined && done.failed.side === "destination" && done.failed.outcome !== "delivered";
    if (began(current, done) && !silent) await this.#endHalf(drive);
    return this.#outcome("cancelled", current, done);
  }

  /** The source's failure, or the cancel, is what the report is to say, also when the tape fails on top of it. */
  async #endHalf(drive: TapeDrive): Promise<void> {
    const { log, record } = this.#context;
    await drive.writeFilemarks(1).catch((error: unknown) => {
      log.warn(
        { jobId: record.spec.jobId, error },
        "the tape of a backup that was broken off could not be ended by a filemark",
      );
    });
  }

  #outcome(state: "succeeded" | "cancelled", current: CurrentVolume, done: DoneEvent, plan?: BackupPlan): JobOutcome {
    const { record } = this.#context;
    const manifest = plan?.summary?.manifest;
    return {
      state,
      volumes: [...record.volumes, volumeReport(current, done.streamOffset, record.tapeBlockBytes)],
      lost: record.lost,
      ...(manifest === undefined
        ? {}
        : { manifest: { offset: manifest.offset, bytes: manifest.bytes }, manifestCrc32c: manifest.crc32c }),
    };
  }
}

/**
 * Something of the archive is on this cartridge. Where nothing is, a filemark would only cost what the tape had there
 * before: a job that was to overwrite a tape can be cancelled in time.
 */
const began = ({ firstObject }: CurrentVolume, { object }: DoneEvent): boolean => object > firstObject;

const optionalDigest = (digest: Uint8Array | undefined): { digest?: Uint8Array } =>
  digest === undefined ? {} : { digest };

const checkpointOf = ({ streamOffset, object, digest }: DoneEvent): Checkpoint => ({
  offset: streamOffset,
  object,
  digest,
});

/** The filemark follows the last block, whether or not the engine's own count has it in already. */
function volumeReport(current: CurrentVolume, to: bigint, tapeBlockBytes: number): VolumeReport {
  const { index, cartridge, firstObject, from } = current;
  const lead = index === 0 ? 0n : BigInt(leadBytes(tapeBlockBytes));
  return { cartridge, firstObject, endObject: firstObject + (lead + to - from) / BigInt(tapeBlockBytes), from, to };
}
