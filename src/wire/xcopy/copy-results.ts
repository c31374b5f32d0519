// What became of a copy: RECEIVE COPY STATUS and RECEIVE COPY DATA of both forms, RECEIVE COPY FAILURE DETAILS (SPC-4
// 6.20, 6.21, 6.23 to 6.25) and RECEIVE ROD TOKEN INFORMATION (6.26). Decoders want all that AVAILABLE DATA announces:
// an answer cut off by the allocation length is SCSI_DATA_TRUNCATED.
import { type Fields, putUint, wholeIn } from "../bytes.js";
import {
  available,
  bits,
  countAvailable,
  flag,
  joined,
  readLayout,
  uint,
  uint64,
  type ValuesOf,
  writeLayout,
} from "./layout.js";

/** COPY COMMAND STATUS of LID1 (table 254). */
export const STATUS_LID1 = { RUNNING: 0x00, DONE: 0x01, FAILED: 0x02 } as const;

/** COPY OPERATION STATUS (table 249). */
export const STATUS_LID4 = {
  DONE: 0x01,
  FAILED: 0x02,
  /** Less of a ROD token was used, or made, than was asked for. */
  PARTIAL_TOKEN: 0x03,
  RESIDUAL: 0x04,
  RUNNING: 0x10,
  FOREGROUND: 0x11,
  BACKGROUND: 0x12,
  TERMINATED: 0x60,
} as const;

/** TRANSFER COUNT UNITS (table 251): powers of 1024 bytes, or blocks of the destination. */
export const UNITS_BLOCKS = 0xf1;

/** ESTIMATED STATUS UPDATE DELAY of a copy that has ended, and of one whose pace is unknown. */
export const DELAY_ENDED = 0xffff_fffe;
export const DELAY_UNKNOWN = 0xffff_ffff;

const LID1 = {
  heldDiscarded: flag(4, 7),
  status: bits(4, 6, 0),
  segments: uint(5, 2),
  units: uint(7, 1),
  count: uint(8, 4),
};
export type StatusLid1 = ValuesOf<typeof LID1>;

/** Table 253. */
export function encodeStatusLid1(status: StatusLid1): Uint8Array {
  const bytes = new Uint8Array(12);
  writeLayout(LID1, bytes, status);
  return countAvailable(bytes);
}

export const decodeStatusLid1 = (data: Uint8Array): StatusLid1 =>
  readLayout(LID1, available(data, "RECEIVE COPY STATUS(LID1) data"));

/** Table 242. */
export const encodeDataLid1 = (held: Uint8Array): Uint8Array => countAvailable(joined(new Uint8Array(4), held));

export function decodeDataLid1(data: Uint8Array): Uint8Array {
  const fields = available(data, "RECEIVE COPY DATA(LID1) data");
  return fields.bytes(4, fields.length - 4);
}

export interface FailureDetails {
  /** The status that EXTENDED COPY ended with. */
  readonly status: number;
  readonly sense: Uint8Array;
}

const DETAILS_HEAD = 60;

/** Table 246; undefined: nothing is known of a failure. */
export function encodeFailureDetails(details: FailureDetails | undefined): Uint8Array {
  if (details === undefined) return new Uint8Array(4);
  const bytes = joined(new Uint8Array(DETAILS_HEAD), details.sense);
  putUint(bytes, 56, 1, details.status, "status");
  putUint(bytes, 58, 2, details.sense.length, "sense data length");
  return countAvailable(bytes);
}

export function decodeFailureDetails(data: Uint8Array): FailureDetails | undefined {
  const fields = available(data, "RECEIVE COPY FAILURE DETAILS data");
  if (fields.length === 4) return undefined;
  return { status: fields.u8(56), sense: fields.bytes(DETAILS_HEAD, fields.u16(58)) };
}

/** The head that three answers share (tables 240, 248, 256). */
const LID4 = {
  /** SERVICE ACTION of the command that began the copy. */
  action: bits(4, 4, 0),
  status: bits(5, 6, 0),
  operations: uint(6, 2),
  delayMs: uint(8, 4),
  completion: uint(12, 1),
  units: uint(15, 1),
  count: uint64(16),
  segments: uint(24, 2),
};
const LID4_HEAD = 32;
const HELD_DISCARDED = flag(5, 7);
/** LENGTH OF THE SENSE DATA FIELD is a multiple of four in one byte. */
const SENSE_MAX = 252;

export interface StatusLid4 extends ValuesOf<typeof LID4> {
  readonly sense: Uint8Array;
}

/** Table 248. */
export const encodeStatusLid4 = (status: StatusLid4): Uint8Array => countAvailable(statusHead(status));

export const decodeStatusLid4 = (data: Uint8Array): StatusLid4 =>
  readStatus(available(data, "RECEIVE COPY STATUS(LID4) data")).status;

export interface DataLid4 extends StatusLid4 {
  readonly heldDiscarded: boolean;
  readonly held: Uint8Array;
}

/** Table 240. */
export function encodeDataLid4(data: DataLid4): Uint8Array {
  const head = statusHead(data);
  HELD_DISCARDED.write(head, data.heldDiscarded, "held data discarded");
  return countAvailable(joined(head, counted(data.held)));
}

export function decodeDataLid4(data: Uint8Array): DataLid4 {
  const fields = available(data, "RECEIVE COPY DATA(LID4) data");
  const { status, end } = readStatus(fields);
  const held = fields.bytes(end + 4, fields.u32(end));
  return { ...status, heldDiscarded: HELD_DISCARDED.read(fields), held };
}

export interface TokenDescriptor {
  /** CSCD descriptor ID of the ROD that the token is of; 0 for POPULATE TOKEN. */
  readonly cscdId: number;
  /** 512 bytes or more (rod-token.ts). */
  readonly token: Uint8Array;
}

export interface TokenInformation extends StatusLid4 {
  readonly tokens: readonly TokenDescriptor[];
}

/** Table 256; SBC-3 5.23 for POPULATE TOKEN and WRITE USING TOKEN. */
export function encodeTokenInformation(information: TokenInformation): Uint8Array {
  const descriptors = information.tokens.map(({ cscdId, token }) => {
    const id = new Uint8Array(2);
    putUint(id, 0, 2, cscdId, "CSCD descriptor ID");
    return joined(id, token);
  });
  return countAvailable(joined(statusHead(information), counted(joined(...descriptors))));
}

export function decodeTokenInformation(data: Uint8Array): TokenInformation {
  const fields = available(data, "RECEIVE ROD TOKEN INFORMATION data");
  const { status, end } = readStatus(fields);
  const list = fields.part(end + 4, fields.u32(end), "ROD token descriptors");
  const tokens: TokenDescriptor[] = [];
  for (let at = 0; at < list.length; ) {
    // ROD TOKEN LENGTH counts what follows the token's own head of eight bytes (5.17.6.4).
    const length = 8 + list.u16(at + 2 + 6);
    tokens.push({ cscdId: list.u16(at), token: list.bytes(at + 2, length) });
    at += 2 + length;
  }
  return { ...status, tokens };
}

function statusHead(status: StatusLid4): Uint8Array {
  const { sense } = status;
  wholeIn(sense.length, 0n, BigInt(SENSE_MAX), "sense data length");
  const bytes = new Uint8Array(LID4_HEAD + ((sense.length + 3) & ~3));
  writeLayout(LID4, bytes, status);
  bytes[13] = bytes.length - LID4_HEAD;
  bytes[14] = sense.length;
  bytes.set(sense, LID4_HEAD);
  return bytes;
}

/** @returns end: what follows the sense data */
function readStatus(fields: Fields): { status: StatusLid4; end: number } {
  const [room, length] = [fields.u8(13), fields.u8(14)];
  if (length > Math.min(room, SENSE_MAX)) throw fields.invalid(`it has ${length} bytes of sense data in ${room}`);
  fields.need(LID4_HEAD, room);
  return { status: { ...readLayout(LID4, fields), sense: fields.bytes(LID4_HEAD, length) }, end: LID4_HEAD + room };
}

/** The length in four bytes, and the bytes. */
const counted = (bytes: Uint8Array): Uint8Array => countAvailable(joined(new Uint8Array(4), bytes));
