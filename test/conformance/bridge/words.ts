// Commands by hand, from SPC-4, SBC-3 and SSC-4: nothing here is the bridge's own code. And answers in words.
import type { ScsiAnswer } from "../../../src/native/types.js";

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const be = (value: number, count: number): number[] =>
  Array.from({ length: count }, (_, at) => Math.floor(value / 256 ** (count - 1 - at)) & 0xff);

export const TEST_UNIT_READY = new Uint8Array(6);
export const RESERVE_6 = bytes(0x16, 0, 0, 0, 0, 0);
export const RELEASE_6 = bytes(0x17, 0, 0, 0, 0, 0);
export const RESERVE_10 = bytes(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0);
export const RELEASE_10 = bytes(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0);
export const INQUIRY = bytes(0x12, 0, 0, 0, 96, 0);
export const REQUEST_SENSE = bytes(0x03, 0, 0, 0, 96, 0);

/** PERSISTENT RESERVE IN. */
export const prIn = (action: number, room = 8192): Uint8Array => bytes(0x5e, action, 0, 0, 0, 0, 0, ...be(room, 2), 0);
export const READ_KEYS = 0;
export const READ_RESERVATION = 1;
export const REPORT_CAPABILITIES = 2;
export const READ_FULL_STATUS = 3;

export const REGISTER = 0;
export const RESERVE = 1;
export const RELEASE = 2;
export const CLEAR = 3;
export const PREEMPT = 4;
export const PREEMPT_AND_ABORT = 5;
export const REGISTER_AND_IGNORE = 6;
export const REGISTER_AND_MOVE = 7;
export const REPLACE_LOST = 8;

/** SPC-4 table 69. */
export const WRITE_EXCLUSIVE = 1;
export const EXCLUSIVE_ACCESS = 3;
export const WRITE_EXCLUSIVE_REGISTRANTS = 5;
export const EXCLUSIVE_ACCESS_REGISTRANTS = 6;
export const WRITE_EXCLUSIVE_ALL = 7;
export const EXCLUSIVE_ACCESS_ALL = 8;
export const TYPES = [1, 3, 5, 6, 7, 8] as const;

export interface PrOut {
  readonly key?: number;
  readonly actionKey?: number;
  readonly type?: number;
  readonly aptpl?: boolean;
  readonly allPorts?: boolean;
  /** TransportIDs of SPEC_I_PT, or of REGISTER AND MOVE. */
  readonly ids?: readonly Uint8Array[];
  /** REGISTER AND MOVE. */
  readonly port?: number;
  readonly unregister?: boolean;
}

/** SPC-4 6.16: CDB and parameter list of PERSISTENT RESERVE OUT. */
export function prOut(action: number, fields: PrOut = {}): { cdb: Uint8Array; out: Uint8Array } {
  const ids = Buffer.concat(fields.ids ?? []);
  const move = action === REGISTER_AND_MOVE;
  const head = Buffer.alloc(24);
  head.writeBigUInt64BE(BigInt(fields.key ?? 0), 0);
  head.writeBigUInt64BE(BigInt(fields.actionKey ?? 0), 8);
  const aptpl = fields.aptpl === true ? 1 : 0;
  if (move) {
    head[17] = aptpl | (fields.unregister === true ? 2 : 0);
    head.writeUInt16BE(fields.port ?? 0, 18);
    head.writeUInt32BE(ids.length, 20);
  } else head[20] = aptpl | (fields.allPorts === true ? 4 : 0) | (fields.ids === undefined ? 0 : 8);
  const length = !move && fields.ids !== undefined ? bytes(...be(ids.length, 4)) : new Uint8Array(0);
  const out = Buffer.concat([head, length, ids]);
  return { cdb: bytes(0x5f, action, fields.type ?? 0, 0, 0, ...be(out.length, 4), 0), out };
}

/** SPC-4 7.6.4.6: TransportID of an iSCSI initiator port, or of a name with all of its ports. */
export function transportId(name: string, isid?: string): Uint8Array {
  const text = isid === undefined ? name : `${name},i,0x${isid}`;
  const room = Math.max(20, Math.ceil((text.length + 1) / 4) * 4);
  const id = Buffer.alloc(4 + room);
  id[0] = isid === undefined ? 0x05 : 0x45;
  id.writeUInt16BE(room, 2);
  id.write(text, 4, "latin1");
  return id;
}

/** Disk, 512-byte blocks. */
export const read10 = (lba: number, blocks: number): Uint8Array =>
  bytes(0x28, 0, ...be(lba, 4), 0, ...be(blocks, 2), 0);
export const write10 = (lba: number, blocks: number): Uint8Array =>
  bytes(0x2a, 0, ...be(lba, 4), 0, ...be(blocks, 2), 0);

/** Tape. */
export const REWIND = bytes(0x01, 0, 0, 0, 0, 0);
export const writeVariable = (length: number): Uint8Array => bytes(0x0a, 0, ...be(length, 3), 0);
export const writeFixed = (blocks: number): Uint8Array => bytes(0x0a, 1, ...be(blocks, 3), 0);
/** sili: an incorrect length is no error (SSC-4 6.8). */
export const readVariable = (length: number, sili = false): Uint8Array =>
  bytes(0x08, sili ? 2 : 0, ...be(length, 3), 0);
export const readFixed = (blocks: number): Uint8Array => bytes(0x08, 1, ...be(blocks, 3), 0);
export const filemarks = (count: number): Uint8Array => bytes(0x10, 0, ...be(count, 3), 0);
/** code: 0 blocks, 1 filemarks, 3 end of data. */
export const space = (code: number, count: number): Uint8Array => bytes(0x11, code, ...be(count & 0xffffff, 3), 0);
export const locate10 = (object: number): Uint8Array => bytes(0x2b, 0, 0, ...be(object, 4), 0, 0, 0);
export const READ_POSITION = bytes(0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0);
/** Mode parameter header and block descriptor with this block length; 0: variable. */
export function blockLength(length: number): { cdb: Uint8Array; out: Uint8Array } {
  const out = bytes(0, 0, 0x10, 8, 0, 0, 0, 0, 0, ...be(length, 3));
  return { cdb: bytes(0x15, 0x10, 0, 0, out.length, 0), out };
}

export interface Said {
  /** "good", "conflict", "aborted", "busy", or "6/29/00" (sense key, ASC, ASCQ) with FM, EOM, ILI behind it. */
  readonly words: string;
  readonly data: Buffer;
  /** INFORMATION where it is valid, as SSC reckons it (signed). */
  readonly information: number | undefined;
  readonly residual: number;
}

const STATUS: Readonly<Record<number, string>> = { 0: "good", 8: "busy", 24: "conflict", 40: "full", 64: "aborted" };
const FLAGS = [
  [0x80, "FM"],
  [0x40, "EOM"],
  [0x20, "ILI"],
] as const;

export function said({ outcome, status, sense, data, residual }: ScsiAnswer): Said {
  const at = Buffer.from(sense);
  const hex = (value: number | undefined, digits: number): string => (value ?? 0).toString(16).padStart(digits, "0");
  const flags = FLAGS.filter(([bit]) => ((at[2] ?? 0) & bit) !== 0).map(([, name]) => ` ${name}`);
  const check = `${hex((at[2] ?? 0) & 15, 1)}/${hex(at[12], 2)}/${hex(at[13], 2)}${flags.join("")}`;
  const words = outcome !== "delivered" ? outcome : status === 2 ? check : (STATUS[status] ?? `status ${status}`);
  const valid = status === 2 && at.length > 6 && ((at[0] ?? 0) & 0x80) !== 0;
  return { words, data: Buffer.from(data), information: valid ? at.readInt32BE(3) : undefined, residual };
}
