// Reading an archive, for restore and verify: opens the job's cartridges, finds the manifest, and runs a plan
// cartridge by cartridge.
import type { TapeDrive } from "../device/tape-drive.js";
import type { CopyLu } from "../native/types.js";
import { GantryError } from "../sys/errors.js";
import type { VolumeBatch } from "./archive/tape-reader.js";
import { type ArchiveVolume, isTapeBlock } from "./archive/volumes.js";
import { archivePlace } from "./archive-place.js";
import { checkCartridge } from "./cartridge-check.js";
import { type DoneEvent, type MidEvent, runCopy } from "./copy-run.js";
import { checkRing, copyTuning, ringBytesOf } from "./engine-options.js";
import type { JobContext } from "./job-context.js";
import { type FoundManifest, findManifest } from "./manifest-finder.js";
import { engineFailure } from "./results.js";

/** A plan that reads an archive (RestorePlan, VerifyPlan). */
export interface ReadingPlan {
  next(maxSegments: number): Promise<VolumeBatch | null>;
}

const PIECE_SEGMENTS = 8192;
/** What READ of a few bytes tells of the length of a block, where the job does not name it. */
const PROBE_BYTES = 512;

export class TapeSource {
  readonly #context: JobContext;
  readonly #sourceCrcs: boolean;
  #archiveId = "";
  /** Names of the cartridges in order; one empty name for whatever is in the drive. */
  readonly #cartridges: readonly string[];

  /** @param sourceCrcs the engine tells the CRC32C of every tape block, too. */
  constructor(context: JobContext, sourceCrcs = false) {
    this.#context = context;
    this.#sourceCrcs = sourceCrcs;
    const named = archivePlace(context.record).cartridges;
    this.#cartridges = named.length === 0 ? [""] : named;
  }

  /** The drive, with a cartridge of the job in it. The caller closes it. */
  async open(index: number): Promise<TapeDrive> {
    const device = this.#context.record.spec.tape?.device ?? "";
    const cartridge = this.#cartridges[index] ?? "";
    this.#context.meter.cartridge = cartridge;
    if (cartridge !== "") await this.#context.devices.load(device, cartridge, false);
    return this.#context.devices.openTape(device, this.#context.control);
  }

  /** Finds out the tape block size where the job does not name one, then reads the manifest. */
  async manifest(): Promise<FoundManifest> {
    await this.#learnBlockSize();
    const found = await findManifest(this.#context, (index) => this.open(index), this.#cartridges.length);
    this.#archiveId = found.trailer.archiveId;
    return found;
  }

  /**
   * A first block tells: asked for less than it has, the drive says how much it has (SSC-4 5.10, ILI). It is that of
   * the last cartridge, which is needed first; those in front of a member that is restored may never be.
   */
  async #learnBlockSize(): Promise<void> {
    const { spec } = this.#context.record;
    if (spec.options.tapeBlockBytes !== undefined) return;
    const last = this.#cartridges.length - 1;
    const drive = await this.open(last);
    try {
      const start = last === 0 ? archivePlace(this.#context.record).startObject : 0n;
      await drive.locate(start);
      const tapeBlockBytes = await drive.blockLength(PROBE_BYTES);
      if (tapeBlockBytes === undefined) {
        throw new GantryError(
          "ARCHIVE_INVALID",
          `${drive.unit.name}: a filemark or the end of data stands at object ${start} of ${this.#named(last)}, where the archive should ${last === 0 ? "begin" : "go on"}.`,
        );
      }
      if (!isTapeBlock(tapeBlockBytes)) {
        throw new GantryError(
          "ARCHIVE_INVALID",
          `${drive.unit.name}: the block at object ${start} of ${this.#named(last)} has ${tapeBlockBytes} bytes, which no archive has.`,
        );
      }
      checkRing(this.#context.arena, this.#context.config(), tapeBlockBytes);
      this.#context.record = { ...this.#context.record, tapeBlockBytes };
    } finally {
      await drive.close();
    }
  }

  /** A cartridge of the job in a sentence. */
  #named(index: number): string {
    const name = this.#cartridges[index] ?? "";
    return name === "" ? "the tape" : `cartridge ${name}`;
  }

  /**
   * Runs a plan to its end, one run of the engine for each cartridge that it wants. Resolves with the last run's
   * end: "ok" or "cancelled".
   * @param start stream position of the first byte that the plan reads
   * @param others LUs besides the tape, which is number 0
   */
  async run(
    plan: ReadingPlan,
    start: bigint,
    volumes: readonly ArchiveVolume[],
    others: readonly CopyLu[],
    names: readonly string[],
    onEvent: (event: MidEvent, volume: ArchiveVolume) => void | Promise<void>,
  ): Promise<DoneEvent | undefined> {
    let batch = await plan.next(PIECE_SEGMENTS);
    let last: DoneEvent | undefined;
    while (batch !== null) {
      const { volume } = batch;
      if (volume >= this.#cartridges.length) {
        throw new GantryError(
          "MEDIA_MISSING",
          `The archive goes on with cartridge ${volumes[volume]?.cartridge ?? volume + 1}, which the job does not name.`,
        );
      }
      const drive = await this.open(volume);
      try {
        let ahead: VolumeBatch | null = batch;
        const next = async (): Promise<VolumeBatch | null> => {
          const piece = ahead;
          if (piece === null || piece.volume !== volume) return null;
          ahead = await plan.next(PIECE_SEGMENTS);
          return piece;
        };
        const place = volumes[volume];
        if (place === undefined)
          throw new GantryError("INTERNAL", `The plan wants cartridge ${volume + 1} of ${volumes.length}.`);
        await checkCartridge(this.#context, drive, volume, place, this.#archiveId);
        last = await this.#cartridge(drive, next, others, last ?? { streamOffset: start }, (event) =>
          onEvent(event, place),
        );
        if (last.result === "cancelled") return last;
        if (last.result !== "ok") throw engineFailure(last, [drive.unit.name, ...names]);
        batch = ahead;
      } finally {
        await drive.close();
      }
    }
    return last;
  }

  async #cartridge(
    drive: TapeDrive,
    next: () => Promise<VolumeBatch | null>,
    others: readonly CopyLu[],
    before: Pick<DoneEvent, "streamOffset"> & Partial<Pick<DoneEvent, "digest">>,
    onEvent: (event: MidEvent) => void | Promise<void>,
  ): Promise<DoneEvent> {
    const { meter, control, arena, record } = this.#context;
    const { streamOffset, digest } = before;
    meter.begin(streamOffset, () => control.stats());
    const { done, stats } = await runCopy({
      native: this.#context.native,
      control,
      next,
      onEvent,
      copy: {
        ...copyTuning(this.#context.config()),
        arena,
        ringBytes: ringBytesOf(arena, this.#context.config()),
        lus: [drive.copyLu, ...others],
        tapeBlockBytes: record.tapeBlockBytes,
        sha256: record.spec.options.sha256 ?? false,
        sourceCrcs: this.#sourceCrcs,
        keepMember: true,
        streamOffset,
        ...(digest === undefined ? {} : { digest }),
      },
    });
    meter.end(stats);
    return done;
  }
}
