// Command descriptor blocks that a supervisor sends: to find out what a device is, to get it ready, to
// position it, to move media. Reads and writes of data are the copy engine's.
// Every builder throws GantryError SCSI_FIELD_RANGE for a value that does not fit its field.
import { putInt, putUint, wholeIn } from "./bytes.js";

export const OPCODE = {
  TEST_UNIT_READY: 0x00,
  REWIND: 0x01,
  REQUEST_SENSE: 0x03,
  READ_BLOCK_LIMITS: 0x05,
  INITIALIZE_ELEMENT_STATUS: 0x07,
  READ_6: 0x08,
  WRITE_FILEMARKS_6: 0x10,
  SPACE_6: 0x11,
  INQUIRY: 0x12,
  MODE_SELECT_6: 0x15,
  MODE_SENSE_6: 0x1a,
  LOAD_UNLOAD: 0x1b,
  PREVENT_ALLOW_MEDIUM_REMOVAL: 0x1e,
  READ_CAPACITY_10: 0x25,
  LOCATE_10: 0x2b,
  SYNCHRONIZE_CACHE_10: 0x35,
  READ_POSITION: 0x34,
  LOG_SENSE: 0x4d,
  SPACE_16: 0x91,
  LOCATE_16: 0x92,
  SERVICE_ACTION_IN_16: 0x9e,
  REPORT_LUNS: 0xa0,
  MOVE_MEDIUM: 0xa5,
  READ_ELEMENT_STATUS: 0xb8,
} as const;

/** SBC-3 5.22, of all blocks, answered when it is done. */
export const synchronizeCache10 = (): Uint8Array => cdb(10, OPCODE.SYNCHRONIZE_CACHE_10);

/** SPC-4 6.47. */
export const testUnitReady = (): Uint8Array => cdb(6, OPCODE.TEST_UNIT_READY);

/** SPC-4 6.39. @param allocation bytes, 0–255 */
export function requestSense(allocation = 252, descriptorFormat = false): Uint8Array {
  const bytes = cdb(6, OPCODE.REQUEST_SENSE);
  bytes[1] = flag(descriptorFormat, 0);
  putUint(bytes, 4, 1, allocation, "allocation length");
  return bytes;
}

/** SPC-4 6.4. @param allocation bytes, 0–65535 @param page vital product data page; undefined: standard data */
export function inquiry(allocation: number, page?: number): Uint8Array {
  const bytes = cdb(6, OPCODE.INQUIRY);
  bytes[1] = flag(page !== undefined, 0);
  putUint(bytes, 2, 1, page ?? 0, "page code");
  putUint(bytes, 3, 2, allocation, "allocation length");
  return bytes;
}

/** SPC-4 6.33. @param allocation bytes, at least 16 */
export function reportLuns(allocation = 16 * 1024, selectReport = 0): Uint8Array {
  const bytes = cdb(12, OPCODE.REPORT_LUNS);
  putUint(bytes, 2, 1, selectReport, "select report");
  putUint(bytes, 6, 4, wholeIn(allocation, 16n, 0xffff_ffffn, "allocation length"), "allocation length");
  return bytes;
}

export interface ModeSenseOptions {
  /** 0–FFh; default 0. */
  readonly subpage?: number;
  /** 0 current, 1 changeable, 2 default, 3 saved. */
  readonly control?: number;
  /** DBD: without block descriptors. */
  readonly disableBlockDescriptors?: boolean;
}

/** SPC-4 6.11. @param page 0–3Fh; 3Fh: all @param allocation bytes, 0–255 */
export function modeSense6(page: number, allocation: number, options: ModeSenseOptions = {}): Uint8Array {
  const bytes = cdb(6, OPCODE.MODE_SENSE_6);
  bytes[1] = flag(options.disableBlockDescriptors ?? false, 3);
  bytes[2] = (small(options.control ?? 0, 3, "page control") << 6) | small(page, 0x3f, "page code");
  putUint(bytes, 3, 1, options.subpage ?? 0, "subpage code");
  putUint(bytes, 4, 1, allocation, "allocation length");
  return bytes;
}

/** SPC-4 6.9; PF is set. @param length bytes of the parameter list */
export function modeSelect6(length: number, savePages = false): Uint8Array {
  const bytes = cdb(6, OPCODE.MODE_SELECT_6);
  bytes[1] = flag(true, 4) | flag(savePages, 0);
  putUint(bytes, 4, 1, length, "parameter list length");
  return bytes;
}

/** SPC-4 6.8; cumulative values. @param allocation bytes, 0–65535 */
export function logSense(page: number, subpage = 0, allocation = 8192): Uint8Array {
  const bytes = cdb(10, OPCODE.LOG_SENSE);
  bytes[2] = (1 << 6) | small(page, 0x3f, "page code");
  putUint(bytes, 3, 1, subpage, "subpage code");
  putUint(bytes, 7, 2, allocation, "allocation length");
  return bytes;
}

/** SPC-4 6.16; SMC-3, SSC-4 use it too. */
export function preventAllowMediumRemoval(prevent: boolean): Uint8Array {
  const bytes = cdb(6, OPCODE.PREVENT_ALLOW_MEDIUM_REMOVAL);
  bytes[4] = flag(prevent, 0);
  return bytes;
}

/** SBC-3 5.15. */
export const readCapacity10 = (): Uint8Array => cdb(10, OPCODE.READ_CAPACITY_10);

/** SBC-3 5.16. */
export function readCapacity16(allocation = 32): Uint8Array {
  const bytes = cdb(16, OPCODE.SERVICE_ACTION_IN_16);
  bytes[1] = 0x10;
  putUint(bytes, 10, 4, allocation, "allocation length");
  return bytes;
}

/** SSC-4, READ BLOCK LIMITS; answers 6 bytes. */
export const readBlockLimits = (): Uint8Array => cdb(6, OPCODE.READ_BLOCK_LIMITS);

/** SSC-4, READ POSITION, SERVICE ACTION field. The first two answer 20 and 32 bytes, the last one 32. */
export const POSITION = { SHORT: 0x00, LONG: 0x06, EXTENDED: 0x08 } as const;

/** SSC-4, READ POSITION. @param allocation bytes; only the extended form has one, for the others it is 0 */
export function readPosition(serviceAction: number, allocation = 0): Uint8Array {
  const bytes = cdb(10, OPCODE.READ_POSITION);
  bytes[1] = small(serviceAction, 0x1f, "service action");
  putUint(bytes, 7, 2, allocation, "allocation length");
  return bytes;
}

/** SSC-4, REWIND. @param immediate answers before it is done */
export function rewind(immediate = false): Uint8Array {
  const bytes = cdb(6, OPCODE.REWIND);
  bytes[1] = flag(immediate, 0);
  return bytes;
}

/** SSC-4, LOCATE (16), DEST_TYPE field. */
export const LOCATE_TO = { OBJECT: 0, FILE: 1, END_OF_DATA: 3 } as const;

export interface LocateOptions {
  /** Another partition than the present one. */
  readonly partition?: number;
  /** Answers before it is done. */
  readonly immediate?: boolean;
}

/** SSC-4, LOCATE (10). @param object logical object number below 2³² */
export function locate10(object: number | bigint, options: LocateOptions = {}): Uint8Array {
  const bytes = cdb(10, OPCODE.LOCATE_10);
  bytes[1] = flag(options.partition !== undefined, 1) | flag(options.immediate ?? false, 0);
  putUint(bytes, 3, 4, object, "logical object identifier");
  putUint(bytes, 8, 1, options.partition ?? 0, "partition");
  return bytes;
}

/** SSC-4, LOCATE (16). @param identifier of what `to` says (LOCATE_TO; default: a logical object) */
export function locate16(identifier: number | bigint, options: LocateOptions & { to?: number } = {}): Uint8Array {
  const bytes = cdb(16, OPCODE.LOCATE_16);
  const to = small(options.to ?? LOCATE_TO.OBJECT, 7, "destination type");
  bytes[1] = (to << 3) | flag(options.partition !== undefined, 1) | flag(options.immediate ?? false, 0);
  putUint(bytes, 3, 1, options.partition ?? 0, "partition");
  putUint(bytes, 4, 8, identifier, "logical identifier");
  return bytes;
}

/** SSC-4, SPACE, CODE field. */
export const SPACE = { BLOCKS: 0, FILEMARKS: 1, SEQUENTIAL_FILEMARKS: 2, END_OF_DATA: 3 } as const;

/** SSC-4, SPACE (6). @param code SPACE @param count −2²³ … 2²³−1, negative: backwards */
export function space6(code: number, count: number): Uint8Array {
  const bytes = cdb(6, OPCODE.SPACE_6);
  bytes[1] = small(code, 0x0f, "space code");
  putInt(bytes, 2, 3, count, "count");
  return bytes;
}

/** SSC-4, SPACE (16). @param code SPACE @param count −2⁶³ … 2⁶³−1, negative: backwards */
export function space16(code: number, count: number | bigint): Uint8Array {
  const bytes = cdb(16, OPCODE.SPACE_16);
  bytes[1] = small(code, 0x0f, "space code");
  putInt(bytes, 4, 8, count, "count");
  return bytes;
}

/** SSC-4, READ (6), one block in variable-block mode; a length that differs is told (SILI is 0). @param bytes below 2²⁴ */
export function read6(bytes: number): Uint8Array {
  const command = cdb(6, OPCODE.READ_6);
  putUint(command, 2, 3, bytes, "transfer length");
  return command;
}

/** SSC-4, WRITE FILEMARKS (6). A count of 0 without immediate writes what is buffered to the medium. */
export function writeFilemarks(count: number, immediate = false): Uint8Array {
  const bytes = cdb(6, OPCODE.WRITE_FILEMARKS_6);
  bytes[1] = flag(immediate, 0);
  putUint(bytes, 2, 3, count, "filemark count");
  return bytes;
}

export interface LoadOptions {
  readonly immediate?: boolean;
  /** HOLD: into the drive, but not threaded. */
  readonly hold?: boolean;
  readonly retension?: boolean;
}

/** SSC-4, LOAD UNLOAD. */
export function loadUnload(load: boolean, options: LoadOptions = {}): Uint8Array {
  const bytes = cdb(6, OPCODE.LOAD_UNLOAD);
  bytes[1] = flag(options.immediate ?? false, 0);
  bytes[4] = flag(options.hold ?? false, 3) | flag(options.retension ?? false, 1) | flag(load, 0);
  return bytes;
}

/** SMC-3, MOVE MEDIUM. Element addresses 0–65535. @param transport 0: the default one */
export function moveMedium(transport: number, source: number, destination: number, invert = false): Uint8Array {
  const bytes = cdb(12, OPCODE.MOVE_MEDIUM);
  putUint(bytes, 2, 2, transport, "medium transport address");
  putUint(bytes, 4, 2, source, "source address");
  putUint(bytes, 6, 2, destination, "destination address");
  bytes[10] = flag(invert, 0);
  return bytes;
}

/** SMC-3, element type codes. */
export const ELEMENT_TYPE = { all: 0, transport: 1, storage: 2, importExport: 3, drive: 4 } as const;

export interface ElementQuery {
  readonly type?: keyof typeof ELEMENT_TYPE;
  readonly firstAddress?: number;
  /** Most elements wanted, 0–65535. */
  readonly count?: number;
  /** VOLTAG: with volume tags. Default true. */
  readonly volumeTags?: boolean;
  /** CURDATA: without moving the device to look. */
  readonly currentData?: boolean;
  /** DVCID: with the identification of drives. */
  readonly deviceIds?: boolean;
}

/** SMC-3, READ ELEMENT STATUS. @param allocation bytes, below 2²⁴ */
export function readElementStatus(query: ElementQuery = {}, allocation = 256 * 1024): Uint8Array {
  const bytes = cdb(12, OPCODE.READ_ELEMENT_STATUS);
  bytes[1] = flag(query.volumeTags ?? true, 4) | ELEMENT_TYPE[query.type ?? "all"];
  putUint(bytes, 2, 2, query.firstAddress ?? 0, "starting element address");
  putUint(bytes, 4, 2, query.count ?? 0xffff, "number of elements");
  bytes[6] = flag(query.currentData ?? false, 1) | flag(query.deviceIds ?? false, 0);
  putUint(bytes, 7, 3, allocation, "allocation length");
  return bytes;
}

/** SMC-3, INITIALIZE ELEMENT STATUS: the device looks into every element; may take minutes. */
export const initializeElementStatus = (): Uint8Array => cdb(6, OPCODE.INITIALIZE_ELEMENT_STATUS);

function cdb(length: number, opcode: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes[0] = opcode;
  return bytes;
}

const flag = (set: boolean, bit: number): number => (set ? 1 << bit : 0);

const small = (value: number, most: number, name: string): number => Number(wholeIn(value, 0n, BigInt(most), name));
