// TransportIDs (SPC-4 7.6.4): how an initiator port is named in persistent reservations. In words an initiator port is
// "iscsi:iqn.1991-05.com.example:host,i,0x00023d000001", "fc:2100000e1e1b9d60" or "sas:5000c500a1b2c3d4"; the same
// port always has the same words, so that they are its identity everywhere.
import { Fields, putUint } from "./bytes.js";
import { fromHex, toHex } from "./hex.js";

export type InitiatorPort =
  | { readonly protocol: "iscsi"; readonly name: string /** 6 bytes in hexadecimal. */; readonly isid: string }
  | { readonly protocol: "fc" /** N_Port_Name, 8 bytes in hexadecimal. */; readonly name: string }
  | { readonly protocol: "sas" /** SAS address, 8 bytes in hexadecimal. */; readonly address: string };

/** iSCSI form 00b names all the initiator ports of one iSCSI name. */
export type TransportId = InitiatorPort | { readonly protocol: "iscsi"; readonly name: string };

const PROTOCOL = { FC: 0x0, ISCSI: 0x5, SAS: 0x6 } as const;
const FIXED_BYTES = 24;
/** RFC 7143 4.2.7.1: the longest name. */
const NAME_MAX = 223;
const SEPARATOR = ",i,0x";

export function initiatorText(port: InitiatorPort): string {
  if (port.protocol === "iscsi") return `iscsi:${port.name.toLowerCase()}${SEPARATOR}${port.isid}`;
  return port.protocol === "fc" ? `fc:${port.name}` : `sas:${port.address}`;
}

/** The name that keys and zones know it by: an iSCSI name, or the 8 bytes of the port as an NAA name (RFC 7143 4.2.7.5). */
export function initiatorName(port: InitiatorPort): string {
  if (port.protocol === "iscsi") return port.name;
  return `naa.${(port.protocol === "fc" ? port.name : port.address).toUpperCase()}`;
}

/** The other way round; undefined: these are no such words. */
export function initiatorOf(text: string): InitiatorPort | undefined {
  const iscsi = /^iscsi:([!-~]{1,223}),i,0x([0-9a-f]{12})$/.exec(text);
  if (iscsi?.[1] !== undefined && iscsi[2] !== undefined) {
    return validName(iscsi[1]) ? { protocol: "iscsi", name: iscsi[1], isid: iscsi[2] } : undefined;
  }
  const other = /^(fc|sas):([0-9a-f]{16})$/.exec(text);
  if (other?.[2] === undefined) return undefined;
  return other[1] === "fc" ? { protocol: "fc", name: other[2] } : { protocol: "sas", address: other[2] };
}

/** SPC-4 7.6.4.2 (FC), 7.6.4.6 (iSCSI), 7.6.4.7 (SAS). */
export function encodeTransportId(id: TransportId): Uint8Array {
  if (id.protocol === "iscsi") return encodeIscsi(id);
  const bytes = new Uint8Array(FIXED_BYTES);
  bytes[0] = id.protocol === "fc" ? PROTOCOL.FC : PROTOCOL.SAS;
  if (id.protocol === "fc") bytes.set(fromHex(id.name), 8);
  else bytes.set(fromHex(id.address), 4);
  return bytes;
}

/** The name, a null, and nulls up to a multiple of four; at least 20 bytes behind the header. */
function encodeIscsi(id: Extract<TransportId, { protocol: "iscsi" }>): Uint8Array {
  const isid = "isid" in id ? id.isid : undefined;
  const text = Buffer.from(isid === undefined ? id.name : `${id.name}${SEPARATOR}${isid}`, "utf8");
  const room = Math.max(20, (text.length + 1 + 3) & ~3);
  const bytes = new Uint8Array(4 + room);
  bytes[0] = (isid === undefined ? 0 : 0x40) | PROTOCOL.ISCSI;
  putUint(bytes, 2, 2, room, "additional length");
  bytes.set(text, 4);
  return bytes;
}

/** TransportIDs one after the other. @throws GantryError SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID */
export function decodeTransportIds(bytes: Uint8Array): readonly TransportId[] {
  const ids: TransportId[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { id, length } = decodeTransportId(bytes.subarray(at));
    ids.push(id);
    at += length;
  }
  return ids;
}

/** The TransportID at the beginning of these bytes, and how long it is. */
export function decodeTransportId(bytes: Uint8Array): { id: TransportId; length: number } {
  const fields = new Fields(bytes, "TransportID");
  const form = fields.bits(0, 7, 6);
  const protocol = fields.bits(0, 3, 0);
  if (protocol === PROTOCOL.ISCSI) return decodeIscsi(fields, form);
  if (form !== 0) throw fields.invalid(`form ${form} is not known for protocol ${protocol}`);
  fields.need(0, FIXED_BYTES);
  if (protocol === PROTOCOL.FC) return { id: { protocol: "fc", name: toHex(fields.bytes(8, 8)) }, length: FIXED_BYTES };
  if (protocol === PROTOCOL.SAS)
    return { id: { protocol: "sas", address: toHex(fields.bytes(4, 8)) }, length: FIXED_BYTES };
  throw fields.invalid(`protocol ${protocol} is not known`);
}

function decodeIscsi(fields: Fields, form: number): { id: TransportId; length: number } {
  const room = fields.u16(2);
  if (room < 20 || room % 4 !== 0) throw fields.invalid(`additional length ${room} is below 20 or no multiple of four`);
  const raw = Buffer.from(fields.bytes(4, room)).toString("latin1");
  const end = raw.indexOf("\0");
  if (end < 0 || /[^\0]/.test(raw.slice(end))) throw fields.invalid("its name does not end with nulls");
  // RFC 3722: names are compared in lower case.
  const text = raw.slice(0, end).toLowerCase();
  const length = 4 + room;
  if (form === 0) {
    if (!validName(text)) throw fields.invalid("its name is no iSCSI name");
    return { id: { protocol: "iscsi", name: text }, length };
  }
  const [name, isid, ...rest] = text.split(SEPARATOR);
  if (form !== 1 || name === undefined || isid === undefined || rest.length > 0)
    throw fields.invalid(`form ${form} has no name with one initiator session identifier`);
  if (!validName(name) || !/^[0-9a-f]{12}$/.test(isid)) throw fields.invalid("its name or its ISID is none");
  return { id: { protocol: "iscsi", name, isid }, length };
}

const validName = (name: string): boolean =>
  name.length <= NAME_MAX && /^(iqn|eui|naa)\.[!-~]+$/.test(name) && !name.includes(SEPARATOR);
