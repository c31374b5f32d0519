// The headers of login and text requests and responses (RFC 7143 11.10 to 11.13) as fields and back. Pure; the data
// segments are text-keys.ts.

export const BHS_BYTES = 48;

/** Target Transfer Tag and Initiator Task Tag that name nothing. */
export const NO_TAG = 0xffffffff;

/** Login stages (RFC 7143 11.12.3); 2 is reserved. */
export const STAGE = { SECURITY: 0, OPERATIONAL: 1, FULL_FEATURE: 3 } as const;

const OPCODE = { LOGIN: 0x03, TEXT: 0x04, LOGIN_RESPONSE: 0x23, TEXT_RESPONSE: 0x24 } as const;
const IMMEDIATE = 0x40;
const FIRST = 0x80; // T of login, F of text
const CONTINUE = 0x40;

/** Status-Class and Status-Detail in one number (RFC 7143 11.13.5). */
export const STATUS = {
  SUCCESS: 0x0000,
  MOVED_TEMPORARILY: 0x0101,
  MOVED_PERMANENTLY: 0x0102,
  INITIATOR_ERROR: 0x0200,
  AUTHENTICATION_FAILURE: 0x0201,
  AUTHORIZATION_FAILURE: 0x0202,
  NOT_FOUND: 0x0203,
  TARGET_REMOVED: 0x0204,
  UNSUPPORTED_VERSION: 0x0205,
  TOO_MANY_CONNECTIONS: 0x0206,
  MISSING_PARAMETER: 0x0207,
  CANNOT_INCLUDE_IN_SESSION: 0x0208,
  SESSION_TYPE_NOT_SUPPORTED: 0x0209,
  SESSION_DOES_NOT_EXIST: 0x020a,
  INVALID_DURING_LOGIN: 0x020b,
  TARGET_ERROR: 0x0300,
  SERVICE_UNAVAILABLE: 0x0301,
  OUT_OF_RESOURCES: 0x0302,
} as const;

export interface LoginHeader {
  readonly immediate: boolean;
  /** T: the sender is ready for the next stage. */
  readonly transit: boolean;
  /** C: the text goes on in the next PDU. */
  readonly continued: boolean;
  readonly stage: number;
  readonly nextStage: number;
  readonly versionMax: number;
  readonly versionMin: number;
  readonly additionalHeader: boolean;
  /** 12 hexadecimal digits. */
  readonly isid: string;
  readonly tsih: number;
  readonly taskTag: number;
  readonly cid: number;
  readonly cmdSn: number;
  readonly expStatSn: number;
}

export interface LoginAnswer {
  readonly transit: boolean;
  readonly continued: boolean;
  readonly stage: number;
  readonly nextStage: number;
  readonly isid: string;
  readonly tsih: number;
  readonly taskTag: number;
  readonly statSn: number;
  readonly expCmdSn: number;
  readonly maxCmdSn: number;
  readonly status: number;
}

export interface TextHeader {
  readonly final: boolean;
  readonly continued: boolean;
  readonly lun: bigint;
  readonly taskTag: number;
  readonly transferTag: number;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Undefined: it is no Login Request. */
export function decodeLogin(header: Uint8Array): LoginHeader | undefined {
  if (header.length !== BHS_BYTES) return undefined;
  const view = viewOf(header);
  if ((view.getUint8(0) & 0x3f) !== OPCODE.LOGIN) return undefined;
  const flags = view.getUint8(1);
  return {
    immediate: (view.getUint8(0) & IMMEDIATE) !== 0,
    transit: (flags & FIRST) !== 0,
    continued: (flags & CONTINUE) !== 0,
    stage: (flags >> 2) & 3,
    nextStage: flags & 3,
    versionMax: view.getUint8(2),
    versionMin: view.getUint8(3),
    additionalHeader: view.getUint8(4) !== 0,
    isid: Buffer.from(header.buffer, header.byteOffset + 8, 6).toString("hex"),
    tsih: view.getUint16(14),
    taskTag: view.getUint32(16),
    cid: view.getUint16(20),
    cmdSn: view.getUint32(24),
    expStatSn: view.getUint32(28),
  };
}

/** DataSegmentLength is left 0: whoever sends the PDU fills it in. Version-max and Version-active are 0, the only ones there are. */
export function encodeLoginResponse(answer: LoginAnswer): Uint8Array {
  const bytes = new Uint8Array(BHS_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, OPCODE.LOGIN_RESPONSE);
  // NSG is reserved while T is 0 (RFC 7143 11.13.3 refers to 11.12.3).
  const stages = (answer.stage << 2) | (answer.transit ? answer.nextStage : 0);
  view.setUint8(1, (answer.transit ? FIRST : 0) | (answer.continued ? CONTINUE : 0) | stages);
  bytes.set(Buffer.from(answer.isid, "hex"), 8);
  view.setUint16(14, answer.tsih);
  view.setUint32(16, answer.taskTag);
  view.setUint32(24, answer.statSn);
  view.setUint32(28, answer.expCmdSn);
  view.setUint32(32, answer.maxCmdSn);
  view.setUint16(36, answer.status);
  return bytes;
}

/** Undefined: it is no Text Request. */
export function decodeText(header: Uint8Array): TextHeader | undefined {
  if (header.length !== BHS_BYTES) return undefined;
  const view = viewOf(header);
  if ((view.getUint8(0) & 0x3f) !== OPCODE.TEXT) return undefined;
  return {
    final: (view.getUint8(1) & FIRST) !== 0,
    continued: (view.getUint8(1) & CONTINUE) !== 0,
    lun: view.getBigUint64(8),
    taskTag: view.getUint32(16),
    transferTag: view.getUint32(20),
  };
}

/** StatSN, ExpCmdSN and MaxCmdSN are the front end's, which alone knows them in full-feature phase. */
export function encodeTextResponse(answer: TextHeader): Uint8Array {
  const bytes = new Uint8Array(BHS_BYTES);
  const view = viewOf(bytes);
  view.setUint8(0, OPCODE.TEXT_RESPONSE);
  view.setUint8(1, (answer.final ? FIRST : 0) | (answer.continued ? CONTINUE : 0));
  view.setBigUint64(8, answer.lun);
  view.setUint32(16, answer.taskTag);
  view.setUint32(20, answer.transferTag);
  return bytes;
}
