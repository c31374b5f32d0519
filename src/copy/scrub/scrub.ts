// A scrub: walks over whole cartridges, from the beginning to the end of data, and judges every tape file on them
// without being told what is there. Damage does not stop it. Of an archive over several cartridges only the last has
// the manifest, so the job's cartridges are walked from the last to the first.
import type { Admitted } from "../../admitted.js";
import type { TapeDrive } from "../../device/tape-drive.js";
import type { JobSpec, Miscompare, ScrubbedFile } from "../../job.js";
import { GantryError, isGantryError } from "../../sys/errors.js";
import type { ManifestTrailer } from "../archive/manifest-format.js";
import { LABEL_BYTES } from "../cartridge-check.js";
import { ringBytesOf } from "../engine-options.js";
import type { JobContext, JobOutcome } from "../job-context.js";
import type { ScrubProgress } from "../job-record.js";
import { REPORT_ENTRIES } from "../results.js";
import { readAll, scrubByHeaders } from "./by-headers.js";
import { type PartVerdict, scrubByManifest } from "./by-manifest.js";
import { type KnownArchive, manifestOf, type NoManifest, trailerBefore } from "./manifest-of.js";
import { Mounted } from "./mounted.js";
import { bytesAt, type GoesOn, identify, ifReadable, type Part, type TapeFile } from "./part.js";
import { TOO_LONG } from "./read-through.js";

/** Largest block of others that is read; files with larger ones are passed over. */
const FOREIGN_BLOCK_MAX = 8 << 20;
/** Tape blocks that the ring of a run has to hold. */
const RING_BLOCKS = 4;
/** More blocks than these are not looked for one by one: what says so is damaged, or the tape is not to be trusted. */
const MISSING_MAX = 1n << 20n;

export async function runScrub(_job: Admitted<JobSpec>, context: JobContext): Promise<JobOutcome> {
  return new Scrub(context).run();
}

class Scrub {
  readonly #context: JobContext;
  readonly #mounted: Mounted;
  #now: ScrubProgress;
  /** The archive that goes on on the cartridge before this one, and what is known of it. */
  #known: KnownArchive | undefined;
  #goesOn: GoesOn | undefined;

  constructor(context: JobContext) {
    this.#context = context;
    this.#mounted = new Mounted(context);
    const last = this.#mounted.cartridges.length - 1;
    const none = { index: last, object: 0n, files: [], damaged: 0, miscompares: [] };
    this.#now = context.record.scrub ?? none;
  }

  async run(): Promise<JobOutcome> {
    const { meter } = this.#context;
    meter.membersDone = this.#now.files.reduce((sum, { members }) => sum + members, 0);
    try {
      while (this.#now.index >= 0) await this.#cartridge(this.#mounted.cartridges[this.#now.index] ?? "");
    } finally {
      await this.#mounted.close();
    }
    const { files, damaged, miscompares } = this.#now;
    const [first] = miscompares;
    if (first === undefined) return { state: "succeeded", files };
    const message = `${damaged} places on the tape are damaged; the first: ${first.member === "" ? "" : `${first.member}: `}${first.reason}`;
    return { state: "failed", files, miscompares, failure: { code: "VERIFY_DIFFERS", message } };
  }

  /** The rest of a cartridge; then the one before it is next. */
  async #cartridge(cartridge: string): Promise<void> {
    const { index } = this.#now;
    await this.#mounted.mount(index);
    while (this.#now.index === index) {
      // Between two filemarks with nothing between them no engine runs that would be told.
      if (this.#context.control.cancelled) throw new GantryError("JOB_CANCELLED", "The job was cancelled.");
      const file = await this.#next(this.#mounted.drive, cartridge);
      if (file !== undefined && file.end > file.first) await this.#file(file, cartridge);
      const more = file?.ended === true;
      const place = more ? { object: file.end + 1n } : { index: index - 1, object: 0n };
      this.#now = { ...this.#now, ...place };
      if (file !== undefined) await this.#keep();
    }
  }

  /** What was judged is journalled, unless an archive is open whose manifest would have to be found again. */
  async #keep(): Promise<void> {
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

  async #file(file: TapeFile, cartridge: string): Promise<void> {
    const part = await identify(this.#context, this.#mounted.drive, file, this.#goesOn);
    if (part === undefined || !this.#fits(part.tapeBlockBytes)) return this.#foreign(file, cartridge);
    // More blocks than the archive at the end has: another one stands in front of it, and their filemark is lost.
    const own = (part.to - part.from) / BigInt(part.tapeBlockBytes) + part.lead;
    const cut = part.end - own;
    const front = { first: file.first, end: cut, ended: false };
    const other = part.missing < 0n ? await identify(this.#context, this.#mounted.drive, front) : undefined;
    if (other !== undefined && (other.trailer !== undefined || other.archiveId !== part.archiveId)) {
      await this.#file(front, cartridge);
      return this.#file({ ...file, first: cut }, cartridge);
    }
    await this.#part(part, cartridge);
  }

  async #part(found: Part, cartridge: string): Promise<void> {
    const { archiveId, tapeBlockBytes } = found;
    const goesOn = this.#goesOn?.archiveId === archiveId ? this.#known : undefined;
    const trailer = found.trailer ?? (goesOn ? undefined : await trailerBefore(this.#context, this.#mounted, found));
    const part = goesOn !== undefined && trailer === undefined ? this.#upTo(found, goesOn) : found;
    const known =
      trailer !== undefined
        ? await this.#manifest({ ...part, trailer }, trailer)
        : (goesOn ?? { why: "The manifest is not on this cartridge.", damaged: false });
    const verdict =
      "why" in known || part.missing > MISSING_MAX
        ? await scrubByHeaders(this.#context, this.#mounted.drive, part, cartridge)
        : await scrubByManifest(this.#context, this.#mounted.drive, part, known, cartridge);
    const byHeaders = "why" in known || part.missing > MISSING_MAX;
    const more = faultsOf(part, cartridge, byHeaders, "why" in known && known.damaged ? known.why : undefined);
    // Other archives may stand in front of what is open, and leave it so.
    if (part.from > 0n || archiveId === this.#goesOn?.archiveId) {
      this.#known = part.from > 0n && !("why" in known) ? known : undefined;
      this.#goesOn = this.#known && { archiveId, tapeBlockBytes, to: part.from };
    }
    this.#judged(
      part,
      cartridge,
      verdict,
      more,
      { archive: archiveId, from: part.from, to: part.to, complete: part.from === 0n && trailer !== undefined },
      byHeaders ? "headers" : "manifest",
    );
  }

  #manifest(part: Part, trailer: ManifestTrailer): Promise<KnownArchive | NoManifest> {
    return manifestOf(this.#context, this.#mounted, part, trailer);
  }

  /** Where the cartridge behind goes on, this one's part has to end: blocks may be lost there. */
  #upTo(part: Part, { end }: KnownArchive): Part {
    const further = [...end.volumes.map(({ from }) => from), this.#goesOn?.to ?? 0n].filter((from) => from > part.from);
    const to = further.reduce((least, from) => (from < least ? from : least), further[0] ?? part.to);
    return { ...part, to, missing: (to - part.to) / BigInt(part.tapeBlockBytes) };
  }

  async #foreign(file: TapeFile, cartridge: string): Promise<void> {
    const { drive } = this.#mounted;
    const found: Miscompare[] = [];
    const { arena, config } = this.#context;
    const ring = Math.floor(ringBytesOf(arena, config()) / RING_BLOCKS / 512) * 512;
    const most = Math.min(FOREIGN_BLOCK_MAX, drive.maxBlockBytes, ring);
    if (await ourLabel(this.#context, drive, file, most)) {
      const reason = `An archive of ours may begin at object ${file.first}, but its label is damaged and it has no end here.`;
      found.push({ member: "", streamOffset: 0n, cartridge, object: file.first, reason });
    }
    const blocks = await readAll(this.#context, drive, file, most, {
      onUnreadable: (object, why) => {
        // Larger blocks than fit here are others' right.
        if (why === TOO_LONG || found.length >= REPORT_ENTRIES) return;
        const reason = `Object ${object} cannot be read: ${why}`;
        found.push({ member: "", streamOffset: 0n, cartridge, object, reason });
      },
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
function faultsOf(part: Part, cartridge: string, byHeaders: boolean, manifest: string | undefined): Miscompare[] {
  const at = (streamOffset: bigint, object: bigint, reason: string): Miscompare => ({
    member: "",
    streamOffset,
    cartridge,
    object,
    reason,
  });
  const faults: Miscompare[] = [];
  if (!part.ended) faults.push(at(part.to, part.end, `No filemark ends the archive ${part.archiveId}.`));
  // Against the manifest they are located.
  if (byHeaders && part.missing !== 0n) {
    const what = part.missing > 0n ? `${part.missing} tape blocks less` : `${-part.missing} tape blocks more`;
    faults.push(at(part.from, part.first, `There are ${what} here than the archive ${part.archiveId} has.`));
  }
  if (manifest !== undefined)
    faults.push({
      ...at(part.trailer?.manifest ?? part.to, part.end, `${manifest} Its archive is held against tar's headers only.`),
      member: ".gantry/manifest.jsonl",
    });
  return faults;
}

/** Words of a label that is ours, damaged as it may be. @param most bytes of a block that can be read */
async function ourLabel(
  context: JobContext,
  drive: TapeDrive,
  { first, end }: TapeFile,
  most: number,
): Promise<boolean> {
  const length = await ifReadable(drive.locate(first).then(() => drive.blockLength(512)));
  if (length === undefined || length > most) return false;
  // The engine takes blocks of any length up to a tape block size.
  const tapeBlockBytes = Math.ceil(length / 512) * 512;
  const bytes = Math.min(Number(LABEL_BYTES), Number(end - first) * length);
  const all = await bytesAt(context, drive, first, 0n, bytes, tapeBlockBytes);
  const label =
    all.length > 0 ? all : await bytesAt(context, drive, first, 0n, Math.min(bytes, length), tapeBlockBytes);
  return /\.gantry\/|gantry-continuation|GlobalHead\.gantry|continued-at-/.test(label.toString("latin1"));
}
