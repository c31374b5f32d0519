// A scrub: walks over whole cartridges, from the beginning to the end of data, and judges every tape file on them
// without being told what is there. Damage does not stop it. Of an archive over several cartridges only the last has
// the manifest, so the job's cartridges are walked from the last to the first.
import type { Admitted } from "../../admitted.js";
import type { TapeDrive } from "../../device/tape-drive.js";
import type { JobSpec, Miscompare, ScrubbedFile } from "../../job.js";
import { GantryError, isGantryError } from "../../sys/errors.js";
import { ringBytesOf } from "../engine-options.js";
import type { JobContext, JobOutcome } from "../job-context.js";
import type { ScrubProgress } from "../job-record.js";
import { REPORT_ENTRIES } from "../results.js";
import { readAll, scrubByHeaders } from "./by-headers.js";
import { type PartVerdict, scrubByManifest } from "./by-manifest.js";
import { type KnownArchive, manifestOf } from "./manifest-of.js";
import { bytesAt, type GoesOn, identify, ifReadable, type Part, type TapeFile } from "./part.js";

/** Largest block of others that is read; files with larger ones are passed over. */
const FOREIGN_BLOCK_MAX = 1 << 20;
/** Tape blocks that the ring of a run has to hold. */
const RING_BLOCKS = 4;

export async function runScrub(_job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  return new Scrub(context).run();
}

class Scrub {
  readonly #context: JobContext;
  readonly #cartridges: readonly string[];
  #now: ScrubProgress;
  /** The archive that goes on on the cartridge before this one. */
  #known: KnownArchive | undefined;
  #goesOn: GoesOn | undefined;

  constructor(context: JobContext) {
    this.#context = context;
    const named = context.record.spec.tape?.cartridges ?? [];
    this.#cartridges = named.length === 0 ? [""] : named;
    const none = { index: this.#cartridges.length - 1, object: 0n, files: [], damaged: 0, miscompares: [] };
    this.#now = context.record.scrub ?? none;
  }

  async run(): Promise<JobOutcome> {
    for (; this.#now.index >= 0; this.#now = { ...this.#now, index: this.#now.index - 1, object: 0n }) {
      await this.#cartridge(this.#cartridges[this.#now.index] ?? "");
    }
    const { files, damaged, miscompares } = this.#now;
    const [first] = miscompares;
    if (first === undefined) return { state: "succeeded", files };
    const message = `${damaged} places on the tape are damaged; the first: ${first.member === "" ? "" : `${first.member}: `}${first.reason}`;
    return { state: "failed", files, miscompares, failure: { code: "VERIFY_DIFFERS", message } };
  }

  async #cartridge(cartridge: string): Promise<void> {
    const { devices, record, control, meter } = this.#context;
    const device = record.spec.tape?.device ?? "";
    meter.cartridge = cartridge;
    if (cartridge !== "") await devices.load(device, cartridge, false);
    const drive = await devices.openTape(device, control);
    try {
      for (
        let file = await this.#next(drive, cartridge);
        file !== undefined;
        file = await this.#next(drive, cartridge)
      ) {
        if (file.end > file.first) await this.#file(drive, file, cartridge);
        await this.#behind(file);
        if (!file.ended) break;
      }
    } finally {
      await drive.close();
    }
  }

  /** What was judged is journalled, unless an archive is open whose manifest would have to be found again. */
  async #behind({ end }: TapeFile): Promise<void> {
    this.#now = { ...this.#now, object: end + 1n };
    if (this.#known !== undefined) return;
    this.#context.record = { ...this.#context.record, scrub: this.#now };
    await this.#context.journal.put(this.#context.record);
  }

  /** The tape file that begins where the last one ended; undefined at the end of data. */
  async #next(drive: TapeDrive, cartridge: string): Promise<TapeFile | undefined> {
    const first = this.#now.object;
    let ended = false;
    try {
      await drive.locate(first);
      ended = await drive.spaceFilemarks(1);
    } catch (error) {
      if (!isGantryError(error) || error.code !== "DEVICE_MEDIUM_ERROR") throw error;
      const object = (await drive.position()) ?? first;
      const reason = `The tape cannot be passed over at object ${object}, so nothing behind it is known: ${error.message}`;
      this.#note([{ member: "", streamOffset: 0n, cartridge, object, reason }], 1);
      return object > first ? { first, end: object, ended: false } : undefined;
    }
    const position = await drive.position();
    if (position === undefined)
      throw new GantryError("DEVICE_ERROR", `${drive.unit.name} does not tell its position, which a scrub needs.`);
    if (ended) return { first, end: position - 1n, ended };
    return position > first ? { first, end: position, ended } : undefined;
  }

  async #file(drive: TapeDrive, file: TapeFile, cartridge: string): Promise<void> {
    const part = await identify(this.#context, drive, file, this.#goesOn);
    if (part === undefined || !this.#fits(part.tapeBlockBytes)) return this.#foreign(drive, file, cartridge);
    // More blocks than the archive at the end has: another one stands in front of it, and their filemark is lost.
    const own = (part.to - part.from) / BigInt(part.tapeBlockBytes) + part.lead;
    const cut = part.end - own;
    const other =
      part.missing < 0n
        ? await identify(this.#context, drive, { first: file.first, end: cut, ended: false })
        : undefined;
    if (other !== undefined && (other.trailer !== undefined || other.archiveId !== part.archiveId)) {
      await this.#file(drive, { first: file.first, end: cut, ended: false }, cartridge);
      return this.#file(drive, { ...file, first: cut }, cartridge);
    }
    await this.#part(drive, part, cartridge);
  }

  async #part(drive: TapeDrive, part: Part, cartridge: string): Promise<void> {
    const { trailer, archiveId } = part;
    const known =
      trailer === undefined
        ? this.#known?.trailer.archiveId === archiveId
          ? this.#known
          : { why: "The manifest is not on this cartridge.", damaged: false }
        : await manifestOf(this.#context, drive, part, trailer);
    const verdict =
      "why" in known
        ? await scrubByHeaders(this.#context, drive, part, cartridge)
        : await scrubByManifest(this.#context, drive, part, known, cartridge);
    const more = faultsOf(part, cartridge, "why" in known && known.damaged ? known.why : undefined);
    this.#known = part.from > 0n && !("why" in known) ? known : undefined;
    this.#goesOn = this.#known && { archiveId, tapeBlockBytes: part.tapeBlockBytes, to: part.from };
    this.#judged(
      part,
      cartridge,
      verdict,
      more,
      { archive: archiveId, from: part.from, to: part.to, complete: part.from === 0n && trailer !== undefined },
      "why" in known ? "headers" : "manifest",
    );
  }

  async #foreign(drive: TapeDrive, file: TapeFile, cartridge: string): Promise<void> {
    const found: Miscompare[] = [];
    const { arena, config } = this.#context;
    const most = Math.floor(ringBytesOf(arena, config()) / RING_BLOCKS / 512) * 512;
    if (await ourLabel(this.#context, drive, file)) {
      const reason = `An archive of ours may begin at object ${file.first}, but its label is damaged and it has no end here.`;
      found.push({ member: "", streamOffset: 0n, cartridge, object: file.first, reason });
    }
    const blocks = await readAll(this.#context, drive, file, Math.min(FOREIGN_BLOCK_MAX, drive.maxBlockBytes, most), {
      onUnreadable: (object, why) =>
        found.push({
          member: "",
          streamOffset: 0n,
          cartridge,
          object,
          reason: `Object ${object} cannot be read: ${why}`,
        }),
    });
    const verdict = { blocks, damaged: found.length, found, members: 0, restorable: 0 };
    this.#judged(file, cartridge, verdict, [], { archive: "", from: 0n, to: 0n, complete: false }, "nothing");
  }

  #fits(tapeBlockBytes: number): boolean {
    return ringBytesOf(this.#context.arena, this.#context.config()) >= tapeBlockBytes * RING_BLOCKS;
  }

  #judged(
    { first, end }: TapeFile,
    cartridge: string,
    { blocks, damaged, found, members, restorable }: PartVerdict,
    more: readonly Miscompare[],
    { complete, ...what }: Pick<ScrubbedFile, "archive" | "from" | "to"> & { readonly complete: boolean },
    checkedBy: ScrubbedFile["checkedBy"],
  ): void {
    const places = damaged + more.length;
    const whole = checkedBy === "manifest" && places === 0 && complete;
    const file = {
      cartridge,
      firstObject: first,
      endObject: end,
      ...what,
      checkedBy,
      blocks,
      damaged: places,
      members,
      restorable,
      whole,
    };
    this.#now = { ...this.#now, files: [...this.#now.files, file].slice(0, REPORT_ENTRIES) };
    this.#note([...more, ...found], places);
    this.#context.meter.membersDone += members;
  }

  #note(found: readonly Miscompare[], damaged: number): void {
    const miscompares = [...this.#now.miscompares, ...found].slice(0, REPORT_ENTRIES);
    this.#now = { ...this.#now, damaged: this.#now.damaged + damaged, miscompares };
  }
}

/** What is wrong with the file as such. */
function faultsOf(part: Part, cartridge: string, manifest: string | undefined): Miscompare[] {
  const at = (streamOffset: bigint, object: bigint, reason: string): Miscompare => ({
    member: "",
    streamOffset,
    cartridge,
    object,
    reason,
  });
  const faults: Miscompare[] = [];
  if (!part.ended) faults.push(at(part.to, part.end, `No filemark ends the archive ${part.archiveId}.`));
  if (manifest !== undefined)
    faults.push({
      ...at(part.trailer?.manifest ?? part.to, part.end, `${manifest} Its archive is held against tar's headers only.`),
      member: ".gantry/manifest.jsonl",
    });
  return faults;
}

/** Words of a label that is ours, damaged as it may be. */
async function ourLabel(context: JobContext, drive: TapeDrive, { first }: TapeFile): Promise<boolean> {
  const length = await ifReadable(drive.locate(first).then(() => drive.blockLength(512)));
  if (length === undefined || length > FOREIGN_BLOCK_MAX) return false;
  // The engine takes blocks of any length up to a tape block size.
  const tapeBlockBytes = Math.ceil(length / 512) * 512;
  const label = await bytesAt(context, drive, first, 0n, Math.min(length, 1024), tapeBlockBytes);
  return /gantry/.test(label.toString("latin1"));
}
