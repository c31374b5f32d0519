// What stands at the beginning of every cartridge of an archive but the first: what `tar -M` of GNU tar expects
// there in POSIX format, and who this cartridge is. The archive goes on behind it at the byte where it stopped.
//
// GNU tar 1.34 opens a volume like this: a global extended header is read, then one whole member header is
// read and thrown away, then the stream goes on. If the break lay in a member's data, GNU.volume.filename, .size
// and .offset must name the member and say how many bytes are left and where in it they begin. A break anywhere
// else would need no lead at all, but a first block that happens to have 'g', 'M' or 'V' at byte 156 (the middle
// of a long path) would be taken for one; so a lead is always there, and its length is always the same.
import { GantryError } from "../../sys/errors.js";
import type { PlacedMember } from "./layout.js";
import { archiveName } from "./member-header.js";
import { paxHeader, paxRecord, SIZE_MAX, TypeFlag, ustarBlock } from "./ustar.js";
import { isTapeBlock, leadBytes } from "./volumes.js";

/** The member whose data the break lies in, as `tar -M` counts. */
export interface OpenMember {
  readonly name: string;
  /** GNU.volume.size: bytes left. */
  readonly left: bigint;
  /** GNU.volume.offset: what tar counts as done. */
  readonly offset: bigint;
  /** Bytes left on this cartridge and later ones as stored. */
  readonly stored: bigint;
}

/** A placed member as a break at archive offset `at`, within its map or data, leaves it. */
export function openMember(placed: PlacedMember, at: bigint): OpenMember {
  const { member, shape, data } = placed;
  const name = archiveName(member);
  const end = data + shape.stored;
  if (shape.mapBytes === 0n) return { name, left: end - at, offset: at - data, stored: end - at };
  // Of a sparse member tar counts as done its size less the bytes that are left to store; but until the first of
  // them has been read, nothing.
  const left = at <= data ? member.size : end - at;
  return { name, left, offset: member.size - left, stored: end - at };
}

export interface ContinuationOptions {
  readonly archiveId: string;
  readonly tapeBlockBytes: number;
  /** Archive offset at which the cartridge goes on. */
  readonly from: bigint;
  readonly createdMs: number;
  readonly open: OpenMember | undefined;
}

/** The lead: leadBytes(tapeBlockBytes) bytes. */
export function continuationLead(options: ContinuationOptions): Uint8Array {
  const { from, open } = options;
  const mtime = BigInt(Math.floor(options.createdMs / 1000));
  const size = open?.stored ?? 0n;
  const name = open === undefined ? `.gantry/continued-at-${from}` : `GNUFileParts/continued-at-${from}`;
  const extended = size > SIZE_MAX ? [paxRecord("size", String(size))] : [];
  const chunk = Buffer.concat([
    paxHeader(TypeFlag.EXTENDED, "GNUFileParts/PaxHeaders/continued", extended),
    ustarBlock({ name, typeflag: TypeFlag.FILE, size: size > SIZE_MAX ? 0n : size, mtime }),
  ]);
  const records = open === undefined ? [] : volumeRecords(open);
  const used = records.reduce((sum, record) => sum + record.length, 0);
  const room = leadBytes(options.tapeBlockBytes) - chunk.length - 512 - used;
  records.unshift(comment(options, room));
  return Buffer.concat([paxHeader(TypeFlag.GLOBAL, "GlobalHead.gantry", records), chunk]);
}

function volumeRecords(open: OpenMember): Uint8Array[] {
  return [
    paxRecord("GNU.volume.filename", open.name),
    paxRecord("GNU.volume.size", String(open.left)),
    paxRecord("GNU.volume.offset", String(open.offset)),
  ];
}

/** A comment record of exactly `room` bytes: says what the cartridge is, and fills the lead up. */
function comment(options: ContinuationOptions, room: number): Uint8Array {
  const head = `${room} comment=`;
  const text = `gantry-continuation 1\narchive ${options.archiveId}\nfrom ${options.from}\nblock ${options.tapeBlockBytes}\n`;
  const fill = room - head.length - Buffer.byteLength(text) - 1;
  if (fill < 0) throw new RangeError(`a continuation lead needs ${-fill} bytes more than it has`);
  return Buffer.from(`${head}${text}${" ".repeat(fill)}\n`);
}

/** Archive offsets have 64 bits. */
const END = 1n << 64n;

/** What a cartridge's first tape block says about it. */
export interface Continuation {
  readonly archiveId: string;
  readonly from: bigint;
  readonly tapeBlockBytes: number;
}

/** Reads the first bytes of a cartridge (512 are not enough; 1024 are). Undefined: it is no continuation.
 * @throws GantryError ARCHIVE_INVALID when it is one but is damaged. */
export function parseContinuation(bytes: Uint8Array): Continuation | undefined {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4096)).toString("utf8");
  if (text[156] !== TypeFlag.GLOBAL || !text.includes(" comment=gantry-continuation ")) return undefined;
  const found = /comment=gantry-continuation 1\narchive ([^\n]*)\nfrom (\d{1,20})\nblock (\d{1,8})\n/.exec(text);
  const [, archiveId = "", from = "0", block = "0"] = found ?? [];
  const lead = { archiveId, from: BigInt(from), tapeBlockBytes: Number(block) };
  // It goes on at the edge of a tape block; a zero for the size would divide by it later.
  if (isTapeBlock(lead.tapeBlockBytes) && lead.from < END && lead.from % BigInt(lead.tapeBlockBytes) === 0n)
    return lead;
  throw new GantryError("ARCHIVE_INVALID", "The cartridge begins like a continuation but its text is cut or damaged.");
}
