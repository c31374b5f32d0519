// SECURITY PROTOCOL IN and OUT (SPC-4 6.40, 6.41), and what goes over the vendor-specific protocol by which a key is
// presented in-band: KEYS.md has the same in words.
import { GantryError } from "../sys/errors.js";
import { Fields, putUint } from "./bytes.js";
import { decodeCbor, encodeCbor } from "./cbor-strict.js";

export const SECURITY_PROTOCOL_IN = 0xa2;
export const SECURITY_PROTOCOL_OUT = 0xb5;

/** SPC-4 table 246: F0h to FFh are vendor-specific. */
export const PROTOCOL = { INFORMATION: 0x00, TAPE_ENCRYPTION: 0x20, GANTRY: 0xf0 } as const;
/** SECURITY PROTOCOL SPECIFIC of ours: OUT presents a key, IN says what became of it. */
export const PRESENT_KEY = 0x0001;

const CDB_BYTES = 12;
const LENGTH_BYTES = 4;
/** Largest key (COSE_Sign1). */
export const PRESENTED_BYTES_MAX = 16_384;
/** More than a code and its sentence take. */
export const STATUS_BYTES_MAX = 4096;

export interface SecurityCdb {
  readonly out: boolean;
  readonly protocol: number;
  readonly specific: number;
  /** Bytes of the parameter list, or of room for parameter data. */
  readonly length: number;
}

/** undefined: neither of the two commands, or cut short. */
export function decodeSecurityCdb(cdb: Uint8Array): SecurityCdb | undefined {
  const out = cdb[0] === SECURITY_PROTOCOL_OUT;
  if ((!out && cdb[0] !== SECURITY_PROTOCOL_IN) || cdb.length < CDB_BYTES) return undefined;
  const view = new DataView(cdb.buffer, cdb.byteOffset, cdb.byteLength);
  // INC_512: the length counts 512-byte units, and the last one is padded with zeros.
  const unit = (view.getUint8(4) & 0x80) === 0 ? 1 : 512;
  return { out, protocol: view.getUint8(1), specific: view.getUint16(2), length: view.getUint32(6) * unit };
}

export const securityProtocolIn = (protocol: number, specific: number, allocation: number): Uint8Array =>
  securityCdb(SECURITY_PROTOCOL_IN, protocol, specific, allocation);
export const securityProtocolOut = (protocol: number, specific: number, transfer: number): Uint8Array =>
  securityCdb(SECURITY_PROTOCOL_OUT, protocol, specific, transfer);

function securityCdb(opcode: number, protocol: number, specific: number, length: number): Uint8Array {
  const bytes = new Uint8Array(CDB_BYTES);
  bytes[0] = opcode;
  putUint(bytes, 1, 1, protocol, "security protocol");
  putUint(bytes, 2, 2, specific, "security protocol specific");
  putUint(bytes, 6, 4, length, "length");
  return bytes;
}

/** SPC-4 7.7.1.2: the protocols that there are, in ascending order. */
export function encodeProtocols(protocols: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 + protocols.length);
  putUint(bytes, 6, 2, protocols.length, "list length");
  bytes.set(protocols, 8);
  return bytes;
}

/** SPC-4 7.7.1.3: no certificate. */
export const encodeNoCertificate = (): Uint8Array => new Uint8Array(4);

/** The length, and that many bytes; what comes behind is padding. */
function encodeCounted(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES + payload.length);
  putUint(bytes, 0, LENGTH_BYTES, payload.length, "length");
  bytes.set(payload, LENGTH_BYTES);
  return bytes;
}

export function encodePresentedKey(token: Uint8Array): Uint8Array {
  if (token.length > 0 && token.length <= PRESENTED_BYTES_MAX) return encodeCounted(token);
  throw new GantryError("KEY_MALFORMED", `A key has 1 to ${PRESENTED_BYTES_MAX} bytes; this one has ${token.length}.`);
}

/** @throws GantryError KEY_MALFORMED */
export function decodePresentedKey(list: Uint8Array): Uint8Array {
  const length = list.length < LENGTH_BYTES ? 0 : new DataView(list.buffer, list.byteOffset).getUint32(0);
  const rest = list.subarray(LENGTH_BYTES);
  if (length === 0 || length > PRESENTED_BYTES_MAX || length > rest.length)
    throw new GantryError(
      "KEY_MALFORMED",
      `The parameter list says that the key has ${length} bytes; it has room for ${rest.length}, and a key has 1 to ${PRESENTED_BYTES_MAX}.`,
    );
  if (rest.subarray(length).some((byte) => byte !== 0))
    throw new GantryError("KEY_MALFORMED", "What comes behind the key in the parameter list is not zero.");
  return Uint8Array.from(rest.subarray(0, length));
}

/** What became of the last key that a nexus presented. */
export interface PresentedStatus {
  /** "NONE", "INSTALLED", or a code of ERRORS.md. */
  readonly code: string;
  readonly message: string;
}

export function encodePresentedStatus({ code, message }: PresentedStatus): Uint8Array {
  const map = new Map([
    ["code", code],
    ["message", message.slice(0, 1000)],
  ]);
  return encodeCounted(encodeCbor(map));
}

/** @throws GantryError CBOR_INVALID, SCSI_DATA_SHORT when it is none of ours */
export function decodePresentedStatus(data: Uint8Array): PresentedStatus {
  const fields = new Fields(data, "status of a presented key");
  const length = fields.u32(0);
  if (length > data.length - LENGTH_BYTES) throw new GantryError("CBOR_INVALID", "The status of the key is cut short.");
  const map = decodeCbor(data.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
  const [code, message] = map instanceof Map ? [map.get("code"), map.get("message")] : [];
  if (typeof code !== "string" || typeof message !== "string")
    throw new GantryError("CBOR_INVALID", "What came is not the status of a presented key.");
  return { code, message };
}
