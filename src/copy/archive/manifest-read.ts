// Reading a manifest: from a stream of bytes, line by line, every field checked, because it comes from a tape that
// anybody may have written.
import type { MemberType } from "../../list.js";
import { GantryError } from "../../sys/errors.js";
import { crc32c } from "./crc32c.js";
import {
  END_BYTES,
  MANIFEST_VERSION,
  type ManifestEnd,
  type ManifestHead,
  type ManifestMember,
  type ManifestTrailer,
  TRAILER_BYTES,
  trailerCovered,
} from "./manifest-format.js";
import { RANGES_AT_ONCE, type Ranges } from "./member-data.js";
import { isTapeBlock, TAPE_BLOCK_MAX } from "./volumes.js";

export type ManifestRecord =
  | { readonly kind: "head"; readonly head: ManifestHead }
  /** `map`: its first ranges; more come as records of their own. */
  | { readonly kind: "member"; readonly member: ManifestMember; readonly map: Ranges }
  | { readonly kind: "map"; readonly map: Ranges }
  | { readonly kind: "end"; readonly end: ManifestEnd }
  | { readonly kind: "trailer"; readonly trailer: ManifestTrailer };

const UINT64_MAX = (1n << 64n) - 1n;

/** Longest line that is looked at: RANGES_AT_ONCE ranges of two 20-digit strings, and a member with an escaped name. */
const LINE_MAX = 256 * RANGES_AT_ONCE;

/** Records in order; the last is the trailer. Checks the trailer's CRC32C against what was read.
 * @param bytes the manifest's data, nothing behind it.
 * @throws GantryError ARCHIVE_INVALID with the number of the line. */
export async function* parseManifest(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<ManifestRecord, void, void> {
  const reader = new ManifestReader();
  for await (const piece of bytes) yield* reader.push(piece);
  reader.end();
}

/** Finds the trailer in the last bytes of an archive: everything between some tape block edge and the filemark, at
 * least 1536 bytes (the last tape block; the last three of 512 bytes, the last two of 1024).
 * @throws GantryError ARCHIVE_INVALID when no trailer ends where one has to. */
export function findTrailer(lastBlocks: Uint8Array): ManifestTrailer {
  const end = lastBlocks.length - END_BYTES;
  if (end < TRAILER_BYTES) throw invalid(`at least ${TRAILER_BYTES + END_BYTES} bytes of its end are needed`);
  if (lastBlocks.subarray(end).some((byte) => byte !== 0)) throw invalid("it does not end in two blocks of zeros");
  const text = Buffer.from(lastBlocks.subarray(end - TRAILER_BYTES, end)).toString("utf8");
  let record: ManifestRecord | undefined;
  try {
    record = parseLine(text.slice(text.indexOf("{")));
  } catch (error) {
    throw invalid("its last line is no trailer", error);
  }
  if (record.kind !== "trailer") throw invalid("its last line is no trailer");
  const { tapeBlockBytes } = record.trailer;
  if (!isTapeBlock(tapeBlockBytes)) throw invalid(`its trailer names tape blocks of ${tapeBlockBytes} bytes`);
  return record.trailer;
}

class ManifestReader {
  #rest = Buffer.alloc(0);
  #line = 0;
  #crc = 0;
  #expected: ManifestRecord["kind"] | "nothing" = "head";
  #mapLeft = 0;
  #size = 0;

  *push(piece: Uint8Array): Generator<ManifestRecord, void, void> {
    let data = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : Buffer.from(piece);
    for (let newline = data.indexOf(10); newline >= 0; newline = data.indexOf(10)) {
      yield this.#take(data.subarray(0, newline + 1));
      data = data.subarray(newline + 1);
    }
    // The trailer's line is as long as a tape block, all blanks at first.
    const blanks = data.length <= TAPE_BLOCK_MAX + TRAILER_BYTES && data.every((byte) => byte === 0x20);
    if (data.length > LINE_MAX && !blanks) throw this.#bad("it is too long");
    this.#rest = Buffer.from(data);
  }

  end(): void {
    if (this.#rest.length > 0) throw this.#bad("the manifest ends within it");
    if (this.#expected !== "nothing") throw this.#bad("the manifest ends before its trailer");
  }

  #take(line: Buffer): ManifestRecord {
    this.#line++;
    this.#size += line.length;
    let record: ManifestRecord;
    try {
      record = parseLine(line.toString("utf8").trimStart());
    } catch (error) {
      throw this.#bad(
        error instanceof SyntaxError ? "it is no JSON" : error instanceof Error ? error.message : "",
        error,
      );
    }
    this.#checkOrder(record);
    this.#crc = crc32c(record.kind === "trailer" ? trailerCovered(line) : line, this.#crc);
    if (record.kind === "trailer") this.#checkTrailer(record.trailer);
    return record;
  }

  /** head, then members with their maps, then the end, then the trailer. */
  #checkOrder(record: ManifestRecord): void {
    const { kind } = record;
    if (this.#mapLeft > 0 && kind !== "map") throw this.#bad("the map of the member above is not complete");
    if (kind === "map" || kind === "member") {
      const ranges = kind === "member" ? record.member.ranges : this.#mapLeft;
      if (record.map.length / 2 > ranges || (kind === "map" && record.map.length === 0)) {
        throw this.#bad("it has more ranges than the member above announces");
      }
      this.#mapLeft =
        kind === "member" && record.member.bytes === record.member.size ? 0 : ranges - record.map.length / 2;
    }
    const after = kind === "head" ? "head" : kind === "trailer" ? "trailer" : "member";
    if (after !== this.#expected && !(kind === "trailer" && this.#expected === "trailer")) {
      throw this.#bad(`a ${kind} line is out of place`);
    }
    this.#expected = kind === "end" ? "trailer" : kind === "trailer" ? "nothing" : "member";
  }

  #checkTrailer(trailer: ManifestTrailer): void {
    if (trailer.crc32c !== this.#crc) throw this.#bad("the manifest's checksum is wrong: it is damaged");
    if (trailer.bytes !== BigInt(this.#size)) throw this.#bad("the manifest has not the length that it announces");
  }

  #bad(fault: string, cause?: unknown): GantryError {
    return new GantryError("ARCHIVE_INVALID", `Line ${this.#line} of the manifest is wrong: ${fault}.`, {
      details: { line: this.#line },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

type Fields = Readonly<Record<string, unknown>>;

const field = (fields: Fields, key: string): unknown => fields[key];

function parseLine(text: string): ManifestRecord {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error("it is no object");
  if ("gantry-manifest" in value) return { kind: "head", head: parseHead(value) };
  if ("gantry-trailer" in value) return { kind: "trailer", trailer: parseTrailer(value) };
  if ("volumes" in value) return { kind: "end", end: parseEnd(value) };
  if ("name" in value) return parseMember(value);
  return { kind: "map", map: parseMap(field(value, "map")) };
}

function parseHead(value: Fields): ManifestHead {
  checkVersion(value["gantry-manifest"]);
  const volume = object(value, "volume");
  const created = Date.parse(text(value, "created"));
  if (Number.isNaN(created)) throw new Error('"created" is no time');
  return {
    archiveId: text(value, "archive"),
    jobId: text(value, "job"),
    bridgeId: text(value, "bridge"),
    createdMs: created,
    volume: {
      id: text(volume, "id"),
      generation: text(volume, "generation"),
      sequence: count(volume, "sequence"),
    },
    listId: text(value, "list"),
    tapeBlockBytes: small(value, "tapeBlockBytes"),
    diskBlockBytes: small(value, "diskBlockBytes"),
    members: small(value, "members"),
    bytes: count(value, "bytes"),
    ...(field(value, "comment") === undefined ? {} : { comment: text(value, "comment") }),
  };
}

const TYPES: readonly string[] = ["file", "image", "directory", "symlink", "hardlink"] satisfies MemberType[];

function isType(value: string): value is MemberType {
  return TYPES.includes(value);
}

function parseMember(value: Fields): ManifestRecord {
  const type = text(value, "type");
  if (!isType(type)) throw new Error(`"type" is ${JSON.stringify(type)}, which is unknown`);
  const [size, bytes] = [count(value, "size"), count(value, "bytes")];
  const sparse = field(value, "map") !== undefined;
  if (sparse ? bytes >= size : bytes !== size) throw new Error('"bytes" and "size" contradict each other');
  const member: ManifestMember = {
    name: text(value, "name"),
    type,
    size,
    header: count(value, "header"),
    data: count(value, "data"),
    bytes,
    ranges: sparse ? small(value, "ranges") : bytes > 0n ? 1 : 0,
    crc32c: hex32(value, "crc32c"),
    ...(field(value, "sha256") === undefined ? {} : { sha256: text(value, "sha256") }),
  };
  if (member.sha256 !== undefined && !/^[0-9a-f]{64}$/.test(member.sha256)) throw new Error('"sha256" is no SHA-256');
  return { kind: "member", member, map: sparse ? parseMap(field(value, "map")) : [] };
}

function parseMap(value: unknown): Ranges {
  if (!Array.isArray(value) || value.length % 2 !== 0) throw new Error('"map" is no list of offsets and lengths');
  return value.map((item: unknown) => integer(item, "map"));
}

function parseEnd(value: Fields): ManifestEnd {
  const volumes = field(value, "volumes");
  const blocks = object(value, "blocks");
  if (!Array.isArray(volumes)) throw new Error('"volumes" is no list');
  return {
    volumes: volumes.map((volume: unknown) => {
      if (!isObject(volume)) throw new Error('"volumes" has an entry that is no object');
      return {
        cartridge: text(volume, "cartridge"),
        firstObject: count(volume, "firstObject"),
        from: count(volume, "from"),
      };
    }),
    blocks: {
      offset: count(blocks, "offset"),
      count: small(blocks, "count"),
      ...(field(blocks, "crc32c") === undefined ? {} : { crc32c: hex32(blocks, "crc32c") }),
    },
  };
}

function parseTrailer(value: Fields): ManifestTrailer {
  checkVersion(value["gantry-trailer"]);
  return {
    archiveId: text(value, "archive"),
    tapeBlockBytes: small(value, "tapeBlockBytes"),
    manifest: count(value, "manifest"),
    bytes: count(value, "bytes"),
    crc32c: hex32(value, "crc32c"),
  };
}

function checkVersion(version: unknown): void {
  if (version === MANIFEST_VERSION) return;
  throw new Error(`it has version ${String(version)}; this program reads version ${MANIFEST_VERSION}`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function object(fields: Fields, key: string): Fields {
  const value = fields[key];
  if (!isObject(value)) throw new Error(`"${key}" is no object`);
  return value;
}

function text(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== "string") throw new Error(`"${key}" is no text`);
  return value;
}

function integer(value: unknown, key: string): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === "string" && /^[0-9]{1,20}$/.test(value) && BigInt(value) <= UINT64_MAX) return BigInt(value);
  throw new Error(`"${key}" is no whole number from 0 on`);
}

function count(fields: Fields, key: string): bigint {
  return integer(fields[key], key);
}

function small(fields: Fields, key: string): number {
  const value = integer(fields[key], key);
  if (value > Number.MAX_SAFE_INTEGER) throw new Error(`"${key}" is too large`);
  return Number(value);
}

function hex32(fields: Fields, key: string): number {
  const value = text(fields, key);
  if (!/^[0-9a-f]{8}$/.test(value)) throw new Error(`"${key}" is no CRC32C`);
  return Number.parseInt(value, 16);
}

function invalid(fault: string, cause?: unknown): GantryError {
  const kept = cause === undefined ? {} : { cause };
  return new GantryError("ARCHIVE_INVALID", `This is not the end of an archive: ${fault}.`, kept);
}
