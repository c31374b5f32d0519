// One chunk of a block list on the wire: one CBOR map {members, fileOffset, lba, blocks}, the extents as typed
// arrays (RFC 8746), so that a chunk of 65536 extents decodes to three arrays and not to 65536 objects.
import { createHash, type Hash } from "node:crypto";
import type { Extents, ListChunk, ListMember, MemberType } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { decode, encode } from "./codec.js";

/** Largest encoded chunk, bytes. Fits one MQTT message with its envelope. */
export const CHUNK_BYTES_MAX = 512 * 1024;
/** Most chunks of one list. */
export const CHUNKS_MAX = 65536;
/** Longest member name or link text, UTF-8 bytes. */
export const NAME_BYTES_MAX = 4096;

const CHUNK_LIMITS = { maxBytes: CHUNK_BYTES_MAX, maxDepth: 4 };
const INT64_MAX = (1n << 63n) - 1n;
const INT64_MIN = -(1n << 63n);
const MAX = Number.MAX_SAFE_INTEGER;
const TYPES: ReadonlySet<unknown> = new Set<MemberType>(["file", "image", "directory", "symlink", "hardlink"]);

/** Deterministic bytes of a chunk; its index is not in them. Throws MESSAGE_TOO_LARGE over CHUNK_BYTES_MAX. */
export function encodeChunk(chunk: ListChunk): Uint8Array {
  const { fileOffset, lba, blocks } = chunk.extents;
  return encode({ members: chunk.members, fileOffset, lba, blocks }, CHUNK_BYTES_MAX);
}

/**
 * Reads a chunk. Throws MESSAGE_TOO_LARGE, MESSAGE_MALFORMED or LIST_INVALID, which names member and field.
 * Checks what can be seen in one chunk: field types and ranges, names, equal lengths, blocks of at least 1.
 */
export function decodeChunk(bytes: Uint8Array, index: number): ListChunk {
  const map = decode(bytes, CHUNK_LIMITS);
  if (!isMap(map)) throw invalid(index, "it is not a map");
  const { members } = map;
  if (!Array.isArray(members)) throw invalid(index, "`members` must be an array");
  return { index, members: members.map((member, i) => readMember(member, index, i)), extents: readExtents(map, index) };
}

/** The digest of a list header: SHA-256 over the encoded chunks in index order. */
export function listDigest(): Hash {
  return createHash("sha256");
}

function readExtents(map: Record<string, unknown>, index: number): Extents {
  const { fileOffset, lba, blocks } = map;
  if (!(fileOffset instanceof BigUint64Array)) throw invalid(index, "`fileOffset` must be a typed array of uint64");
  if (!(lba instanceof BigUint64Array)) throw invalid(index, "`lba` must be a typed array of uint64");
  if (!(blocks instanceof Uint32Array)) throw invalid(index, "`blocks` must be a typed array of uint32");
  if (fileOffset.length !== lba.length || lba.length !== blocks.length) {
    throw invalid(index, "`fileOffset`, `lba` and `blocks` must have the same length");
  }
  const empty = blocks.indexOf(0);
  if (empty >= 0) throw invalid(index, `\`blocks[${empty}]\` must be at least 1`);
  return { fileOffset, lba, blocks };
}

function readMember(value: unknown, index: number, at: number): ListMember {
  const fail = (what: string): GantryError => invalid(index, `\`members[${at}]\` ${what}`);
  if (!isMap(value)) throw fail("must be a map");
  const { name, type, size, mode, uid, gid, uname, gname, mtimeNs, linkName, extents } = value;
  if (!isMemberType(type)) throw fail("`type` must be file, image, directory, symlink or hardlink");
  if (!isMemberName(name)) throw fail("`name` must be a relative path without empty, `.` or `..` parts");
  if (!isWhole(mode, 0o7777)) throw fail("`mode` must be a whole number from 0 to 4095");
  if (!isWhole(uid, MAX)) throw fail("`uid` must be a whole number");
  if (!isWhole(gid, MAX)) throw fail("`gid` must be a whole number");
  if (!isWhole(extents, MAX)) throw fail("`extents` must be a whole number");
  if (extents > 0 && type !== "file" && type !== "image") throw fail(`is a ${type} and must have no extents`);
  if (!isInteger(size, 0n)) throw fail("`size` must be a whole number from 0 to 2^63-1");
  if (!isInteger(mtimeNs, INT64_MIN)) throw fail("`mtimeNs` must be a whole number of 64 bits");
  if (!isOptionalText(uname, 256) || !isOptionalText(gname, 256)) throw fail("`uname` and `gname` must be text");
  if (!isLinkName(type, linkName)) throw fail("`linkName` must be there for links, and only for links");
  return {
    name,
    type,
    size: BigInt(size),
    mode,
    uid,
    gid,
    ...(uname === undefined ? {} : { uname }),
    ...(gname === undefined ? {} : { gname }),
    mtimeNs: BigInt(mtimeNs),
    ...(linkName === undefined ? {} : { linkName }),
    extents,
  };
}

/** Relative, "/" between parts, no empty, "." or ".." part, no NUL. */
export function isMemberName(value: unknown): value is string {
  if (typeof value !== "string" || value === "" || value.includes("\0")) return false;
  if (value.length > NAME_BYTES_MAX || Buffer.byteLength(value) > NAME_BYTES_MAX) return false;
  return value.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

function isLinkName(type: MemberType, value: unknown): value is string | undefined {
  if (type === "hardlink") return isMemberName(value);
  if (type !== "symlink") return value === undefined;
  return isOptionalText(value, NAME_BYTES_MAX) && value !== undefined && value !== "" && !value.includes("\0");
}

function isMemberType(value: unknown): value is MemberType {
  return TYPES.has(value);
}

function isOptionalText(value: unknown, max: number): value is string | undefined {
  return value === undefined || (typeof value === "string" && Buffer.byteLength(value) <= max);
}

function isWhole(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= max;
}

function isInteger(value: unknown, min: bigint): value is number | bigint {
  if (typeof value === "bigint") return value >= min && value <= INT64_MAX;
  return Number.isSafeInteger(value) && BigInt(value as number) >= min;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function invalid(index: number, what: string): GantryError {
  return new GantryError("LIST_INVALID", `Chunk ${index} of the list is wrong: ${what}.`, { details: { index } });
}
