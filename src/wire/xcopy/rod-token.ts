// ROD tokens (SPC-4 5.17.6.4, 5.17.6.5): 512 bytes that stand for blocks as they were. Whether a token is one of ours is
// not for this codec: its maker compares it whole with what it gave out. REPORT ALL ROD TOKENS (6.31) is here too.
import { Fields, putUint } from "../bytes.js";
import { CSCD_TYPE, type Cscd, decodeCscd, encodeCscd, type IdentificationCscd } from "./cscd.js";
import { type BinaryDesignator, decodeDesignator, encodeDesignator } from "./designator.js";
import {
  available,
  blob,
  countAvailable,
  joined,
  readLayout,
  uint,
  uint64,
  type ValuesOf,
  writeLayout,
} from "./layout.js";

/** Table 110. */
export const ROD_TYPE = {
  BY_TOKEN: 0x0000_0000,
  ACCESS_UPON_REFERENCE: 0x0001_0000,
  POINT_IN_TIME: 0x0080_0000,
  POINT_IN_TIME_VULNERABLE: 0x0080_0001,
  POINT_IN_TIME_PERSISTENT: 0x0080_0002,
  POINT_IN_TIME_ANY: 0x0080_ffff,
  /** SBC-3 4.28.4: zeros of any length; nobody has to make it. */
  ZERO: 0xffff_0001,
} as const;

export const TOKEN_BYTES = 512;
/** ROD TOKEN LENGTH of such a token. */
export const TOKEN_LENGTH_FIELD = 0x01f8;
/** ROD token header and body: what REPORT ALL ROD TOKENS tells. */
export const MANAGEMENT_BYTES = 96;
const CREATOR = 16;
/** NUMBER OF BYTES REPRESENTED has 16 bytes; all ones: unknown. */
const COUNT = 48;
const UNKNOWN = (1n << 128n) - 1n;
const TARGET = 128;
const TARGET_BYTES = 128;
const EXTENDED = 256;

const BODY = { type: uint(0, 4), identifier: uint64(8) };
/** Of a disk: bytes 8 to 15 of its READ CAPACITY (16) data, and zeros (SBC-3 4.28.5). */
const EXTENSION = { deviceData: blob(96, 32), extended: blob(EXTENDED, TOKEN_BYTES - EXTENDED) };

/** What is in the header and body of a token. */
export interface TokenBody extends ValuesOf<typeof BODY> {
  /** The logical unit that made it, by an EUI-64 or NAA designator. */
  readonly creator: IdentificationCscd;
  /** undefined: unknown. */
  readonly byteCount?: bigint;
}

export interface RodToken extends TokenBody, ValuesOf<typeof EXTENSION> {
  /** The target device of the creator: association 2, EUI-64, NAA or SCSI name. */
  readonly target: BinaryDesignator;
}

/** @throws GantryError SCSI_FIELD_RANGE */
export function encodeRodToken(token: RodToken): Uint8Array {
  const bytes = new Uint8Array(TOKEN_BYTES);
  writeBody(bytes, token);
  writeLayout(EXTENSION, bytes, token);
  blob(TARGET, TARGET_BYTES).write(bytes, encodeDesignator(token.target), "target device descriptor");
  return bytes;
}

/** A generic token, to be explained. @throws GantryError SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID, COPY_REFUSED */
export function decodeRodToken(bytes: Uint8Array): RodToken {
  const fields = new Fields(bytes, "ROD token");
  fields.need(0, TOKEN_BYTES);
  const body = readBody(fields);
  const target = decodeDesignator(fields.part(TARGET, TARGET_BYTES, "target device descriptor"), 0);
  return { ...body, ...readLayout(EXTENSION, fields), target };
}

/** Type and ROD TOKEN LENGTH, which every token has. @throws GantryError SCSI_DATA_TRUNCATED */
export function tokenHeader(bytes: Uint8Array): { readonly type: number; readonly length: number } {
  const fields = new Fields(bytes, "ROD token");
  return { type: fields.u32(0), length: fields.u16(6) };
}

/** The block device zero ROD token (SBC-3 table 31). */
export function zeroToken(): Uint8Array {
  const bytes = new Uint8Array(TOKEN_BYTES);
  putUint(bytes, 0, 4, ROD_TYPE.ZERO, "ROD type");
  putUint(bytes, 6, 2, TOKEN_LENGTH_FIELD, "ROD token length");
  return bytes;
}

/** REPORT ALL ROD TOKENS (table 278). @param tokens whole or their first 96 bytes */
export const encodeAllTokens = (tokens: readonly Uint8Array[]): Uint8Array =>
  countAvailable(joined(new Uint8Array(8), ...tokens.map((token) => token.subarray(0, MANAGEMENT_BYTES))));

export function decodeAllTokens(data: Uint8Array): readonly TokenBody[] {
  const fields = available(data, "REPORT ALL ROD TOKENS data");
  const bytes = Math.max(0, fields.length - 8);
  if (bytes % MANAGEMENT_BYTES !== 0) throw fields.invalid(`${bytes} bytes are no tokens of ${MANAGEMENT_BYTES}`);
  return Array.from({ length: bytes / MANAGEMENT_BYTES }, (_, index) =>
    readBody(fields.part(8 + index * MANAGEMENT_BYTES, MANAGEMENT_BYTES, "ROD management token")),
  );
}

function writeBody(bytes: Uint8Array, token: TokenBody): void {
  writeLayout(BODY, bytes, token);
  putUint(bytes, 6, 2, TOKEN_LENGTH_FIELD, "ROD token length");
  bytes.set(encodeCscd(token.creator), CREATOR);
  putUint(bytes, COUNT, 16, token.byteCount ?? UNKNOWN, "number of bytes represented");
}

const CREATORS: ReadonlySet<number> = new Set([CSCD_TYPE.IDENTIFICATION]);

function readBody(fields: Fields): TokenBody {
  const creator: Cscd = decodeCscd(fields.bytes(CREATOR, 32), CREATORS, CREATOR);
  if (creator.form !== "identification") throw fields.invalid("its creator is named by no designator");
  const byteCount = (fields.u64(COUNT) << 64n) | fields.u64(COUNT + 8);
  return { ...readLayout(BODY, fields), creator, ...(byteCount !== UNKNOWN && { byteCount }) };
}
