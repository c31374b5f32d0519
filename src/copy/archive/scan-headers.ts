// Reads the headers of an archive without its manifest: for a tape whose end is lost. Only headers and sparse maps
// are read; data is passed over. Everything that is read is checked for length and checksum.
import { GantryError } from "../../sys/errors.js";
import type { Ranges } from "./member-data.js";
import { BLOCK, checksum, padding, TypeFlag } from "./ustar.js";

/** Reads archive bytes [offset, offset + bytes); fewer only at the end of what there is. */
export type ReadArchive = (offset: bigint, bytes: number) => Promise<Uint8Array> | Uint8Array;

export interface ScannedMember {
  readonly name: string;
  readonly typeflag: string;
  /** Size of the file; of a sparse one with its holes. */
  readonly size: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, as the archive has them: decimal, maybe with a fraction. */
  readonly mtime: string;
  readonly linkName: string;
  /** Archive offsets of its first header, of its first data byte behind the map, and of what follows it. */
  readonly header: bigint;
  readonly data: bigint;
  readonly end: bigint;
  /** Data bytes stored. */
  readonly bytes: bigint;
  /** Data ranges of a sparse member. */
  readonly map: Ranges | undefined;
}

/** Sizes in archives have 63 bits. */
const SIZE_END = (1n << 63n) - 1n;
/** Largest extended header and largest number of ranges that are believed. */
const EXTENDED_MAX = 16 << 20;
const RANGES_MAX = 64 << 20;

/** Members in order, from archive offset `from` (a header) to the end-of-archive indicator.
 * @throws GantryError ARCHIVE_INVALID with `details.offset` where an intact header should be and is not. */
export async function* scanHeaders(read: ReadArchive, from = 0n): AsyncGenerator<ScannedMember, void, void> {
  const input = new CheckedInput(read, from);
  for (;;) {
    const header = input.at;
    let block = await input.block();
    if (block.every((byte) => byte === 0)) return;
    let records = new Map<string, string>();
    for (; isExtended(block, input.at); block = await input.block()) {
      const body = await extendedRecords(block, input);
      if (flagOf(block) === TypeFlag.EXTENDED) records = body;
    }
    const member = await describe(block, records, header, input);
    yield member;
    input.at = member.end;
  }
}

class CheckedInput {
  constructor(
    readonly read: ReadArchive,
    public at: bigint,
  ) {}

  async bytes(count: number): Promise<Buffer> {
    const bytes = await this.read(this.at, count);
    if (bytes.length !== count) throw invalid(this.at, "the archive ends within a member");
    this.at += BigInt(count);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  block(): Promise<Buffer> {
    return this.bytes(BLOCK);
  }
}

function isExtended(block: Buffer, after: bigint): boolean {
  const at = after - BigInt(BLOCK);
  if (octal(block, 148, 8, at) !== BigInt(checksum(block))) throw invalid(at, "the checksum of a header is wrong");
  if (block.toString("latin1", 257, 262) !== "ustar") throw invalid(at, "a header is not in ustar format");
  return flagOf(block) === TypeFlag.EXTENDED || flagOf(block) === TypeFlag.GLOBAL;
}

async function extendedRecords(block: Buffer, input: CheckedInput): Promise<Map<string, string>> {
  const at = input.at;
  const size = octal(block, 124, 12, at);
  if (size > EXTENDED_MAX) throw invalid(at, `an extended header of ${size} bytes is too large`);
  const body = (await input.bytes(Number(size + padding(size)))).subarray(0, Number(size));
  const records = new Map<string, string>();
  for (let start = 0; start < body.length; ) {
    const blank = body.indexOf(0x20, start);
    const digits = blank < 0 ? "" : body.toString("latin1", start, blank);
    const length = /^[1-9][0-9]{0,8}$/.test(digits) ? Number(digits) : 0;
    const equals = body.indexOf(0x3d, blank);
    const fits = length > 0 && length <= body.length - start && equals > blank && equals < start + length;
    if (!fits || body[start + length - 1] !== 0x0a) throw invalid(at, "a record of an extended header is damaged");
    records.set(body.toString("utf8", blank + 1, equals), body.toString("utf8", equals + 1, start + length - 1));
    start += length;
  }
  return records;
}

async function describe(
  block: Buffer,
  records: ReadonlyMap<string, string>,
  header: bigint,
  input: CheckedInput,
): Promise<ScannedMember> {
  const number = (keyword: string, at: number, width: number) =>
    decimal(records.get(keyword), header) ?? octal(block, at, width, header);
  const stored = flagOf(block) === TypeFlag.FILE ? number("size", 124, 12) : 0n;
  const start = input.at;
  const sparse = records.get("GNU.sparse.major") === "1";
  const size = sparse ? (decimal(records.get("GNU.sparse.realsize"), header) ?? 0n) : stored;
  const map = sparse ? await sparseMap(input, start + stored, size) : undefined;
  const bytes = stored - (input.at - start);
  const name = records.get("GNU.sparse.name") ?? records.get("path") ?? string(block, 0, 100);
  const linkName = records.get("linkpath") ?? string(block, 157, 100);
  const mtime = records.get("mtime") ?? String(octal(block, 136, 12, header));
  // Where a NUL ends a name for one program and not for another, the two see different files.
  if (`${name}${linkName}`.includes("\0")) throw invalid(header, "a name in an extended header has a NUL in it");
  if (!/^-?[0-9]{1,20}(\.[0-9]{1,20})?$/.test(mtime))
    throw invalid(header, "a time in an extended header is not decimal");
  const sum = map?.reduce((total, value, index) => (index % 2 === 1 ? total + value : total), 0n) ?? stored;
  if (sum !== bytes) throw invalid(header, "a sparse map does not fit its data");
  return {
    name,
    typeflag: flagOf(block),
    size,
    mode: Number(octal(block, 100, 8, header)),
    uid: owner(number("uid", 108, 8), header),
    gid: owner(number("gid", 116, 8), header),
    mtime,
    linkName,
    header,
    data: input.at,
    end: start + stored + padding(stored),
    bytes,
    map,
  };
}

/** GNU sparse format 1.0: decimal numbers, a line each; then zeros to the end of the block. */
async function sparseMap(input: CheckedInput, end: bigint, size: bigint): Promise<Ranges> {
  let text = "";
  const next = async () => {
    for (let newline = text.indexOf("\n"); ; newline = text.indexOf("\n")) {
      if (newline >= 0) {
        const line = text.slice(0, newline);
        text = text.slice(newline + 1);
        return decimal(line, input.at) ?? 0n;
      }
      if (input.at >= end || text.length > BLOCK) throw invalid(input.at, "a sparse map is damaged");
      text += (await input.block()).toString("latin1");
    }
  };
  const count = await next();
  if (count > RANGES_MAX) throw invalid(input.at, `a sparse map of ${count} ranges is too large`);
  const map: Ranges = [];
  let last = 0n;
  for (let i = 0n; i < count; i++) {
    const [offset, bytes] = [await next(), await next()];
    if (offset < last || offset > size || bytes > size - offset) throw invalid(input.at, "a sparse map is damaged");
    last = offset + bytes;
    if (bytes > 0n) map.push(offset, bytes);
  }
  return map;
}

function flagOf(block: Buffer): string {
  return String.fromCharCode(block[156] ?? 0);
}

function string(block: Buffer, at: number, width: number): string {
  const field = block.subarray(at, at + width);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? width : end);
}

function octal(block: Buffer, at: number, width: number, offset: bigint): bigint {
  const digits = block
    .toString("latin1", at, at + width)
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (!/^[0-7]*$/.test(digits)) throw invalid(offset, "a number in a header is not octal");
  return digits === "" ? 0n : BigInt(`0o${digits}`);
}

function owner(id: bigint, offset: bigint): number {
  if (id > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid(offset, "an owner's number is too large");
  return Number(id);
}

function decimal(text: string | undefined, offset: bigint): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,19}$/.test(text)) throw invalid(offset, "a number in an extended header or map is not decimal");
  const number = BigInt(text);
  if (number > SIZE_END) throw invalid(offset, "a number in an extended header or map is past 2^63");
  return number;
}

function invalid(offset: bigint, fault: string): GantryError {
  return new GantryError("ARCHIVE_INVALID", `At archive offset ${offset} ${fault}.`, { details: { offset } });
}
