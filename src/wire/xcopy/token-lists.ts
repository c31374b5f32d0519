// Parameter lists of POPULATE TOKEN and WRITE USING TOKEN (SBC-3 5.14, 5.45; tables 72 and 159 of SBC-4): ranges of a
// disk become a token, and a token is written to ranges of a disk.
import { Fields, putUint } from "../bytes.js";
import { blob, flag, joined, readLayout, uint, uint64, type ValuesOf, writeLayout } from "./layout.js";
import { type BlockRange, decodeRanges, encodeRanges, overlapping, RANGE_BYTES } from "./ranges.js";
import { ASC, refused } from "./refusal.js";
import { ROD_TYPE, TOKEN_BYTES, TOKEN_LENGTH_FIELD, tokenHeader } from "./rod-token.js";

/** Limits of the Block Device ROD Limits descriptor (third-party-page.ts); 0: none is told, none is enforced. */
export interface TokenLimits {
  readonly maxRanges: number;
  /** FFFFFFFFh is no limit either. */
  readonly maxInactivitySeconds: number;
  /** Of all ranges together. */
  readonly maxBlocks: bigint;
  /** ROD types that can be made. */
  readonly types: ReadonlySet<number>;
}

const POPULATE = { immediate: flag(2, 0), inactivitySeconds: uint(4, 4) };
const POPULATE_HEAD = 16;
/** SBC-3: POPULATE TOKEN DATA LENGTH is 001Eh at least, WRITE USING TOKEN DATA LENGTH 0226h: one range each. */
const POPULATE_LEAST = POPULATE_HEAD + RANGE_BYTES - 2;

export interface PopulateToken extends ValuesOf<typeof POPULATE> {
  /** ROD TYPE; undefined: RTV is 0, the copy manager chooses. */
  readonly type?: number;
  readonly ranges: readonly BlockRange[];
}

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodePopulateToken(list: PopulateToken): Uint8Array {
  const head = new Uint8Array(POPULATE_HEAD);
  writeLayout(POPULATE, head, list);
  if (list.type !== undefined) {
    flag(2, 1).write(head, true, "ROD type valid");
    putUint(head, 8, 4, list.type, "ROD type");
  }
  return withRanges(head, list.ranges);
}

/** A list that has come whole, not empty. @throws CopyRefusal */
export function decodePopulateToken(bytes: Uint8Array, limits: TokenLimits): PopulateToken {
  const fields = new Fields(bytes, "POPULATE TOKEN parameter list");
  if (bytes.length < POPULATE_HEAD) throw refused(ASC.LIST_LENGTH, `${bytes.length} bytes hold no header`);
  const told = fields.u16(0);
  if (told < POPULATE_LEAST) throw refused(ASC.LIST_FIELD, `POPULATE TOKEN DATA LENGTH ${told} has no range`, 0);
  const list = readLayout(POPULATE, fields);
  const most = limits.maxInactivitySeconds;
  if (most > 0 && list.inactivitySeconds > most)
    throw refused(ASC.LIST_FIELD, `an inactivity timeout of ${most} s is the most`, 4);
  const type = fields.bit(2, 1) ? fields.u32(8) : undefined;
  if (type !== undefined && !(isPointInTime(type) && limits.types.has(type)))
    throw refused(ASC.LIST_FIELD, `RODs of type ${type.toString(16)}h cannot be made`, 8);
  const ranges = readRanges(fields, POPULATE_HEAD, told + 2, limits);
  return { ...list, ...(type !== undefined && { type }), ranges };
}

const isPointInTime = (type: number): boolean => type >= ROD_TYPE.POINT_IN_TIME && type <= ROD_TYPE.POINT_IN_TIME_ANY;

const WRITE = { deleteToken: flag(2, 1), immediate: flag(2, 0), offset: uint64(8), token: blob(16, TOKEN_BYTES) };
const WRITE_HEAD = 536;
const WRITE_LEAST = WRITE_HEAD + RANGE_BYTES - 2;

export interface WriteUsingToken extends ValuesOf<typeof WRITE> {
  readonly ranges: readonly BlockRange[];
}

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeWriteUsingToken(list: WriteUsingToken): Uint8Array {
  const head = new Uint8Array(WRITE_HEAD);
  writeLayout(WRITE, head, list);
  return withRanges(head, list.ranges);
}

/** A list that has come whole, not empty; whether the token is known is the copy manager's to say. @throws CopyRefusal */
export function decodeWriteUsingToken(bytes: Uint8Array, limits: TokenLimits): WriteUsingToken {
  const fields = new Fields(bytes, "WRITE USING TOKEN parameter list");
  if (bytes.length < WRITE_HEAD) throw refused(ASC.LIST_LENGTH, `${bytes.length} bytes hold no header`);
  const told = fields.u16(0);
  if (told < WRITE_LEAST) throw refused(ASC.LIST_FIELD, `WRITE USING TOKEN DATA LENGTH ${told} has no range`, 0);
  if (told !== fields.u16(WRITE_HEAD - 2) + WRITE_HEAD - 2)
    throw refused(ASC.LIST_FIELD, "WRITE USING TOKEN DATA LENGTH is not that of its ranges", 0);
  const list = readLayout(WRITE, fields);
  if (tokenHeader(list.token).length !== TOKEN_LENGTH_FIELD)
    throw refused(ASC.TOKEN_LENGTH, "ROD TOKEN LENGTH has to be 01F8h", 16 + 6);
  return { ...list, ranges: readRanges(fields, WRITE_HEAD, told + 2, limits) };
}

/** Sets both lengths: of the data, in front, and of the ranges, at the end of the head. */
function withRanges(head: Uint8Array, ranges: readonly BlockRange[]): Uint8Array {
  const list = encodeRanges(ranges);
  putUint(head, 0, 2, head.length - 2 + list.length, "data length");
  putUint(head, head.length - 2, 2, list.length, "block device range descriptor length");
  return joined(head, list);
}

/** A range that is cut off is none (SBC-3); that none is whole is refused here, since nothing would be done. */
function readRanges(fields: Fields, head: number, end: number, limits: TokenLimits): readonly BlockRange[] {
  const told = fields.u16(head - 2);
  if (told < RANGE_BYTES) throw refused(ASC.LIST_FIELD, `ranges of ${told} bytes are none`, head - 2);
  const ranges = decodeRanges(fields.bytes(head, Math.max(0, Math.min(told, Math.min(end, fields.length) - head))));
  if (ranges.length === 0) throw refused(ASC.LIST_LENGTH, "no range has come whole");
  if (limits.maxRanges > 0 && ranges.length > limits.maxRanges)
    throw refused(ASC.TOO_MANY_SEGMENTS, `${limits.maxRanges} ranges is the most`, head - 2);
  const blocks = ranges.reduce((sum, range) => sum + BigInt(range.blocks), 0n);
  if (limits.maxBlocks > 0n && blocks > limits.maxBlocks)
    throw refused(ASC.LIST_FIELD, `${limits.maxBlocks} blocks is the most for one token`, head);
  const twice = overlapping(ranges);
  if (twice !== undefined) throw refused(ASC.LIST_FIELD, "a block is in two ranges", head + twice * RANGE_BYTES);
  return ranges;
}
