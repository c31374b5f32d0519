// PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16) and RESERVE, RELEASE (SPC-2 7.16, 7.21): CDBs and parameter lists
// in, parameter data out. What a wrong list gets is the caller's: here it is a sense code to answer with.
import { Fields, putUint } from "./bytes.js";
import { decodeTransportId, decodeTransportIds, type TransportId } from "./transport-id.js";

export const PR_IN = { READ_KEYS: 0, READ_RESERVATION: 1, REPORT_CAPABILITIES: 2, READ_FULL_STATUS: 3 } as const;
export const PR_OUT = {
  REGISTER: 0,
  RESERVE: 1,
  RELEASE: 2,
  CLEAR: 3,
  PREEMPT: 4,
  PREEMPT_AND_ABORT: 5,
  REGISTER_AND_IGNORE: 6,
  REGISTER_AND_MOVE: 7,
  REPLACE_LOST: 8,
} as const;
export type PrOutAction = (typeof PR_OUT)[keyof typeof PR_OUT];

/** ASC and ASCQ of ILLEGAL REQUEST. */
export const REFUSAL = {
  LIST_LENGTH: [0x1a, 0x00],
  CDB_FIELD: [0x24, 0x00],
  LIST_FIELD: [0x26, 0x00],
  INVALID_RELEASE: [0x26, 0x04],
  NO_ROOM: [0x55, 0x04],
} as const;
export type Refusal = (typeof REFUSAL)[keyof typeof REFUSAL];

/** The basic list has 24 bytes in front of what SPEC_I_PT adds; REGISTER AND MOVE has its own list. */
const LIST_BYTES = 24;
/** Bytes of a list that are taken. */
export const PR_LIST_MAX = 8192;

export interface PrOut {
  readonly action: PrOutAction;
  /** SCOPE and TYPE as they came; not every service action looks at them. */
  readonly scope: number;
  readonly type: number;
  readonly key: bigint;
  /** SERVICE ACTION RESERVATION KEY. */
  readonly actionKey: bigint;
  readonly aptpl: boolean;
  readonly allPorts: boolean;
  /** SPEC_I_PT: initiator ports to register too; undefined: the bit is 0. */
  readonly ports?: readonly TransportId[];
  /** REGISTER AND MOVE. */
  readonly move?: { readonly to: TransportId; readonly port: number; readonly unregister: boolean };
}

export function isPrOutAction(action: number): action is PrOutAction {
  return action <= PR_OUT.REPLACE_LOST;
}

/** The command in words, or why its list or CDB is refused (SPC-4 6.16.1 to 6.16.4). Never throws. */
export function decodePrOut(cdb: Uint8Array, list: Uint8Array): PrOut | Refusal {
  const command = new Fields(cdb, "PERSISTENT RESERVE OUT command");
  const action = command.bits(1, 4, 0);
  const announced = command.u32(5);
  if (!isPrOutAction(action)) return REFUSAL.CDB_FIELD;
  if (announced !== list.length || announced < LIST_BYTES || announced > PR_LIST_MAX) return REFUSAL.LIST_LENGTH;
  const common = { action, scope: command.bits(2, 7, 4), type: command.bits(2, 3, 0) };
  const fields = new Fields(list, "PERSISTENT RESERVE OUT parameter list");
  const keys = { key: fields.u64(0), actionKey: fields.u64(8) };
  if (action === PR_OUT.REGISTER_AND_MOVE) {
    const move = decodeMove(fields, list);
    return "to" in move ? { ...common, ...keys, aptpl: fields.bit(17, 0), allPorts: false, move } : move;
  }
  const out = { ...common, ...keys, aptpl: fields.bit(20, 0), allPorts: fields.bit(20, 2) };
  if (!fields.bit(20, 3)) return list.length === LIST_BYTES ? out : REFUSAL.LIST_LENGTH;
  // SPEC_I_PT belongs to REGISTER alone (SPC-4 table 193).
  if (action !== PR_OUT.REGISTER) return REFUSAL.LIST_FIELD;
  const ports = decodePorts(fields, list);
  return "ids" in ports ? { ...out, ports: ports.ids } : ports;
}

function decodePorts(fields: Fields, list: Uint8Array): { ids: readonly TransportId[] } | Refusal {
  if (list.length < LIST_BYTES + 4 || fields.u32(24) !== list.length - LIST_BYTES - 4) return REFUSAL.LIST_LENGTH;
  try {
    return { ids: decodeTransportIds(list.subarray(LIST_BYTES + 4)) };
  } catch {
    return REFUSAL.LIST_FIELD;
  }
}

function decodeMove(fields: Fields, list: Uint8Array): NonNullable<PrOut["move"]> | Refusal {
  if (fields.u32(20) !== list.length - LIST_BYTES || list.length === LIST_BYTES) return REFUSAL.LIST_LENGTH;
  try {
    const { id, length } = decodeTransportId(list.subarray(LIST_BYTES));
    if (length !== list.length - LIST_BYTES) return REFUSAL.LIST_FIELD;
    return { to: id, port: fields.u16(18), unregister: fields.bit(17, 1) };
  } catch {
    return REFUSAL.LIST_FIELD;
  }
}

/** SPC-4 6.15.2, READ KEYS. */
export function encodeKeys(generation: number, keys: readonly bigint[]): Uint8Array {
  const bytes = headed(generation, 8 * keys.length);
  keys.forEach((key, index) => {
    putUint(bytes, 8 + 8 * index, 8, key, "reservation key");
  });
  return bytes;
}

/** SPC-4 6.15.3, READ RESERVATION; nothing behind the header when there is none. */
export function encodeReservation(generation: number, held?: { key: bigint; type: number }): Uint8Array {
  const bytes = headed(generation, held === undefined ? 0 : 16);
  if (held !== undefined) {
    putUint(bytes, 8, 8, held.key, "reservation key");
    bytes[21] = held.type;
  }
  return bytes;
}

/**
 * SPC-4 6.15.4, REPORT CAPABILITIES: all there is: CRH, SIP_C, ATP_C, PTPL_C, RLR_C, all six types; ALLOW COMMANDS
 * 011b: what table 66 leaves open goes through Write Exclusive and not through Exclusive Access.
 */
export function encodeCapabilities(aptpl: boolean): Uint8Array {
  return Uint8Array.of(0, 8, 0x80 | 0x10 | 0x08 | 0x04 | 0x01, 0x80 | 0x30 | (aptpl ? 1 : 0), 0xea, 0x01, 0, 0);
}

export interface FullStatus {
  readonly key: bigint;
  readonly port: number;
  /** Type of the reservation that this nexus holds; undefined: none. */
  readonly holds?: number;
  readonly transportId: Uint8Array;
}

/** SPC-4 6.15.5, READ FULL STATUS. */
export function encodeFullStatus(generation: number, all: readonly FullStatus[]): Uint8Array {
  const bytes = headed(
    generation,
    all.reduce((sum, { transportId }) => sum + 24 + transportId.length, 0),
  );
  let at = 8;
  for (const { key, port, holds, transportId } of all) {
    putUint(bytes, at, 8, key, "reservation key");
    bytes[at + 12] = holds === undefined ? 0 : 1;
    bytes[at + 13] = holds ?? 0;
    putUint(bytes, at + 18, 2, port, "relative target port identifier");
    putUint(bytes, at + 20, 4, transportId.length, "additional descriptor length");
    bytes.set(transportId, at + 24);
    at += 24 + transportId.length;
  }
  return bytes;
}

/** PRGENERATION and ADDITIONAL LENGTH, and room behind them. */
function headed(generation: number, length: number): Uint8Array {
  const bytes = new Uint8Array(8 + length);
  putUint(bytes, 0, 4, generation, "PRGENERATION");
  putUint(bytes, 4, 4, length, "additional length");
  return bytes;
}

/**
 * Whether a RESERVE or RELEASE of 6 or 10 bytes asks for the unit as a whole and for the sender itself. Extents,
 * third parties and long identifiers were made obsolete; a device that knows none refuses them (SPC-2 7.21.3).
 */
export function isPlainReserve(cdb: Uint8Array): boolean {
  const third = 0x10;
  const extent = 0x01;
  const longId = (cdb[0] ?? 0) >= 0x20 ? 0x02 : 0;
  return ((cdb[1] ?? 0) & (third | extent | longId)) === 0;
}
