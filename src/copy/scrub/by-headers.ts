// A part of an archive whose manifest is lost: every block is read, and every header is held against its own
// checksum, member after member. Where the list of block checksums is found in that way, blocks are held against it.
import type { TapeDrive } from "../../device/tape-drive.js";
import type { Miscompare } from "../../job.js";
import { ProgramBuilder, TO_FILEMARK } from "../../native/program.js";
import { isGantryError } from "../../sys/errors.js";
import { BLOCKS_NAME, END_BYTES, MANIFEST_NAME } from "../archive/manifest-format.js";
import { type ReadArchive, type ScannedMember, scanHeaders } from "../archive/scan-headers.js";
import { BLOCK, checksum } from "../archive/ustar.js";
import { CrcTable } from "../crc-table.js";
import type { JobContext } from "../job-context.js";
import { REPORT_ENTRIES } from "../results.js";
import { littleEndian } from "../verify.js";
import type { PartVerdict } from "./by-manifest.js";
import { bytesAt, type Part, type TapeFile } from "./part.js";
import { type OnUnreadable, readThrough } from "./read-through.js";

/** Bytes of the archive that are read at once while headers are looked for. */
const WINDOW_BYTES = 256 * 1024;
/** How far the next header is looked for behind one that is damaged. */
const SEARCH_BYTES = 16n << 20n;
const LIST_PIECE = 1 << 20;

export async function scrubByHeaders(
  context: JobContext,
  drive: TapeDrive,
  part: Part,
  cartridge: string,
): Promise<PartVerdict> {
  const crcs = new CrcTable();
  const findings = new Findings();
  const lost: Lost[] = [];
  const offsetOf = (object: bigint): bigint =>
    part.from + (object - part.first - part.lead) * BigInt(part.tapeBlockBytes);
  const blocks = await readAll(context, drive, part, part.tapeBlockBytes, {
    onCrcs: (object, run) => crcs.set(Number(object - part.first), run),
    onUnreadable: (object, why, count) => {
      const from = object < part.first + part.lead ? part.from : offsetOf(object);
      const reason = `Object ${object} cannot be read: ${why}`;
      lost.push({ from, to: offsetOf(object + count), reason });
      findings.add({ member: "", streamOffset: from, cartridge, object, reason });
    },
  });
  for (const fault of await leadFaults(context, drive, part, cartridge)) findings.add(fault);
  const read = windowed(context, drive, part);
  let list: ScannedMember | undefined;
  let [members, restorable] = [0, 0];
  for await (const next of scannedMembers(read, part)) {
    if ("reason" in next) {
      findings.add({ ...next, cartridge });
      continue;
    }
    if (next.name === BLOCKS_NAME) list = next;
    const cut = next.end + BigInt(END_BYTES) > part.to;
    if (next.name === MANIFEST_NAME && part.trailer === undefined && !cut) {
      const reason = "The manifest is there, but its last line (the trailer) or the end of the archive is damaged.";
      findings.add({ member: MANIFEST_NAME, streamOffset: next.data, cartridge, reason });
    }
    if (next.name.startsWith(".gantry/") || next.end > part.to) continue;
    members++;
    if (!lost.some(({ from, to }) => to > next.header && from < next.end)) restorable++;
  }
  const listed = list === undefined ? undefined : await listAt(read, list, part);
  if (listed !== undefined) againstList(part, { listed, crcs, lost }, cartridge, findings);
  return { blocks, damaged: findings.count, found: findings.first, members, restorable };
}

/** Archive bytes [from, to) that cannot be read. */
interface Lost {
  readonly from: bigint;
  readonly to: bigint;
  readonly reason: string;
}

/** All are counted; the first are kept. */
class Findings {
  readonly first: Miscompare[] = [];
  count = 0;

  add(found: Miscompare): void {
    if (this.count++ < REPORT_ENTRIES) this.first.push(found);
  }
}

/** Reads a tape file of any content to its end. */
export function readAll(
  context: JobContext,
  drive: TapeDrive,
  { first, end }: TapeFile,
  tapeBlockBytes: number,
  on: { onCrcs?: (object: bigint, crcs: Uint32Array) => void; onUnreadable: OnUnreadable },
): Promise<bigint> {
  const program = new ProgramBuilder();
  const whole = () => {
    const pieces = [program.tape("gather", 0, TO_FILEMARK).discard(TO_FILEMARK).take()];
    return async () => pieces.shift() ?? null;
  };
  return readThrough({
    context,
    drive,
    first,
    end,
    tapeBlockBytes,
    program: whole,
    onUnreadable: on.onUnreadable,
    onEvent: (event) => {
      if (event.type === "block-crcs") on.onCrcs?.(event.object, event.crcs);
    },
  });
}

/** Reads archive bytes of the part through a window. */
function windowed(context: JobContext, drive: TapeDrive, part: Part): ReadArchive {
  const block = BigInt(part.tapeBlockBytes);
  let start = 0n;
  let window: Buffer = Buffer.alloc(0);
  const inside = (offset: bigint, bytes: number) =>
    offset >= start && offset + BigInt(bytes) <= start + BigInt(window.length);
  return async (offset, bytes) => {
    if (offset < part.from || offset >= part.to) return Buffer.alloc(0);
    if (!inside(offset, bytes)) {
      const into = (offset - part.from) / block;
      const skip = offset - part.from - into * block;
      const left = Number(part.to - offset);
      const most = Math.min(left, Math.max(bytes, WINDOW_BYTES), 1 << 20);
      window = await bytesAt(context, drive, part.first + part.lead + into, skip, most, part.tapeBlockBytes);
      // Something in the window cannot be read: what is asked for may still be.
      if (window.length === 0 && bytes < most)
        window = await bytesAt(
          context,
          drive,
          part.first + part.lead + into,
          skip,
          Math.min(bytes, left),
          part.tapeBlockBytes,
        );
      start = offset;
    }
    const at = Number(offset - start);
    return window.subarray(at, at + bytes);
  };
}

/** Members with intact headers, and the places where there is none that should be. */
async function* scannedMembers(read: ReadArchive, part: Part): AsyncGenerator<ScannedMember | Miscompare, void, void> {
  let at: bigint | undefined = part.from;
  if (part.from > 0n) at = await nextHeader(read, part, part.from);
  while (at !== undefined && at < part.to) {
    let end: bigint = at;
    try {
      for await (const member of scanHeaders(read, at)) {
        yield member;
        end = member.end;
      }
      // Zeros end an archive, and only there.
      if (end + BigInt(END_BYTES) >= part.to) return;
      yield { member: "", streamOffset: end, reason: `At archive offset ${end} zeros stand where a header should.` };
      at = await nextHeader(read, part, end + BigInt(BLOCK));
    } catch (error) {
      if (!isGantryError(error) || error.code !== "ARCHIVE_INVALID") throw error;
      // An archive that is cut ends where its part does: within a member, or behind one.
      if (end >= part.to) return;
      const streamOffset = typeof error.details.offset === "bigint" ? error.details.offset : end;
      if (streamOffset >= part.to - BigInt(BLOCK)) return;
      yield { member: "", streamOffset, reason: error.message };
      at = await nextHeader(read, part, end + BigInt(BLOCK));
    }
  }
}

/** Archive offset of the next block that is a header by its checksum; undefined: none is near. */
async function nextHeader(read: ReadArchive, part: Part, from: bigint): Promise<bigint | undefined> {
  for (let at = from; at < part.to && at < from + SEARCH_BYTES; at += BigInt(BLOCK)) {
    const block = Buffer.from(await read(at, BLOCK));
    if (isHeader(block)) return at;
  }
  return undefined;
}

/** The checksums of a list that was found by its header: they begin at the tape block edge behind its first byte. */
async function listAt(read: ReadArchive, list: ScannedMember, part: Part): Promise<CrcTable | undefined> {
  const block = BigInt(part.tapeBlockBytes);
  const edge = ((list.data + block - 1n) / block) * block;
  const bytes = 4 * Number(edge / block);
  const table = new CrcTable();
  for (let at = 0; at < bytes; at += LIST_PIECE) {
    const take = Math.min(LIST_PIECE, bytes - at);
    const piece = await read(edge + BigInt(at), take);
    if (piece.length !== take) return undefined;
    table.set(at / 4, littleEndian(piece));
  }
  return table;
}

function againstList(
  part: Part,
  { listed, crcs, lost }: { listed: CrcTable; crcs: CrcTable; lost: readonly Lost[] },
  cartridge: string,
  findings: Findings,
): void {
  const first = Number(part.from / BigInt(part.tapeBlockBytes));
  const behind = Math.min(listed.count, Number(part.to / BigInt(part.tapeBlockBytes)));
  for (let block = first; block < behind; block++) {
    const index = block - first + Number(part.lead);
    const object = part.first + BigInt(index);
    const streamOffset = BigInt(block) * BigInt(part.tapeBlockBytes);
    if (crcs.at(index) === listed.at(block) || lost.some(({ from, to }) => from <= streamOffset && streamOffset < to))
      continue;
    const reason = `Tape block ${block} of the archive (object ${object}) differs from the list of block checksums; the manifest, which would tell which of them is damaged, is lost.`;
    findings.add({ member: "", streamOffset, cartridge, object, reason });
  }
}

/** What a lead says of itself: two headers with checksums, and blanks to fill it up. */
async function leadFaults(context: JobContext, drive: TapeDrive, part: Part, cartridge: string): Promise<Miscompare[]> {
  if (part.lead === 0n) return [];
  const bytes = Number(part.lead) * part.tapeBlockBytes;
  const head = await bytesAt(context, drive, part.first, 0n, Math.min(bytes, LIST_PIECE), part.tapeBlockBytes);
  const last = part.first + part.lead - 1n;
  const tail = await bytesAt(context, drive, last, BigInt(part.tapeBlockBytes - BLOCK), BLOCK, part.tapeBlockBytes);
  const text = head.toString("latin1", BLOCK);
  const blanks = /\nblock \d+\n( *)\n/.exec(text);
  const right = isHeader(head.subarray(0, BLOCK)) && isHeader(tail) && blanks !== null;
  const reason = "The lead of the cartridge is damaged: tar may refuse to go on there.";
  return right ? [] : [{ member: "", streamOffset: part.from, cartridge, object: part.first, reason }];
}

function isHeader(block: Buffer): boolean {
  if (block.length < BLOCK || block.toString("latin1", 257, 262) !== "ustar") return false;
  const digits = /^[0-7]+/.exec(block.toString("latin1", 148, 156).trimStart())?.[0] ?? "";
  return Number.parseInt(digits, 8) === checksum(block);
}
