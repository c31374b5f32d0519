// Sense data (SPC-4 4.5): fixed and descriptor format, current and deferred, into one object and into one
// sentence. Devices in the field cut their sense data short, so what is missing is undefined, not an error,
// as long as the sense key is there.
import { GantryError } from "../sys/errors.js";
import { ascCode, ascText } from "./asc.js";
import { Fields } from "./bytes.js";
import { hexForPeople } from "./hex.js";
import { SENSE_KEY, SENSE_KEYS, STATUS, statusName } from "./names.js";

export interface Sense {
  readonly format: "fixed" | "descriptor";
  /** The error belongs to an earlier command than the one that brought it. */
  readonly deferred: boolean;
  /** SENSE_KEY. */
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** Only when the device says that it is valid. Disks: an LBA; tapes: see residual(). */
  readonly information?: bigint;
  /** Bits of the INFORMATION field, for its sign. */
  readonly informationBits: 32 | 64;
  readonly commandSpecific?: bigint;
  readonly filemark: boolean;
  /** End of medium: at or past early warning, or at the beginning when going backwards. */
  readonly eom: boolean;
  readonly ili: boolean;
  /** There was more sense data than there was room for. */
  readonly overflow: boolean;
  readonly fieldReplaceableUnit?: number;
  /** ILLEGAL REQUEST: where the wrong field is. */
  readonly fieldPointer?: { readonly in: "CDB" | "parameter list"; readonly byte: number; readonly bit?: number };
  /** NO SENSE, NOT READY: how far an operation has come, 0 to 1. */
  readonly progress?: number;
  /** RECOVERED, MEDIUM, HARDWARE ERROR: how often the device tried. */
  readonly retries?: number;
  /** COPY ABORTED: where in the parameter list or the segment descriptor. */
  readonly segmentPointer?: { readonly inSegment: boolean; readonly byte: number; readonly bit?: number };
  /** UNIT ATTENTION: the queue of unit attentions overflowed, so some were lost. */
  readonly attentionsLost?: boolean;
}

/** What INFORMATION means depends on who says it. */
export type SenseSource = "disk" | "tape" | "changer";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const WHAT = "Sense data";

/**
 * @throws GantryError SCSI_DATA_TRUNCATED when there is no sense key, SCSI_DATA_INVALID for a response code
 * other than 70h–73h.
 */
export function decodeSense(bytes: Uint8Array): Sense {
  const fields = new Fields(bytes, WHAT);
  const code = fields.bits(0, 6, 0);
  if (code === 0x70 || code === 0x71) return decodeFixed(fields, code === 0x71);
  if (code === 0x72 || code === 0x73) return decodeDescriptors(fields, code === 0x73);
  throw fields.invalid(
    `response code ${code.toString(16)}h is neither fixed (70h, 71h) nor descriptor format (72h, 73h)`,
  );
}

/** SPC-4 4.5.3. */
function decodeFixed(fields: Fields, deferred: boolean): Sense {
  fields.need(0, 3);
  const sense: Mutable<Sense> = {
    format: "fixed",
    deferred,
    key: fields.bits(2, 3, 0),
    asc: optional(fields, 12),
    ascq: optional(fields, 13),
    informationBits: 32,
    filemark: fields.bit(2, 7),
    eom: fields.bit(2, 6),
    ili: fields.bit(2, 5),
    overflow: fields.bit(2, 4),
  };
  if (fields.bit(0, 7) && fields.length >= 7) sense.information = BigInt(fields.u32(3));
  if (fields.length >= 12 && fields.u32(8) !== 0) sense.commandSpecific = BigInt(fields.u32(8));
  if (fields.length >= 15 && fields.u8(14) !== 0) sense.fieldReplaceableUnit = fields.u8(14);
  if (fields.length >= 18) senseKeySpecific(fields.part(15, 3, WHAT), sense);
  return sense;
}

/** SPC-4 4.5.2. Descriptors of other types are passed over. */
function decodeDescriptors(fields: Fields, deferred: boolean): Sense {
  fields.need(0, 2);
  const sense: Mutable<Sense> = {
    format: "descriptor",
    deferred,
    key: fields.bits(1, 3, 0),
    asc: optional(fields, 2),
    ascq: optional(fields, 3),
    informationBits: 64,
    filemark: false,
    eom: false,
    ili: false,
    overflow: (optional(fields, 4) & 0x80) !== 0,
  };
  if (fields.length < 8) return sense;
  const end = Math.min(fields.length, 8 + fields.u8(7));
  for (let at = 8; at + 2 <= end; ) {
    const length = 2 + fields.u8(at + 1);
    if (length > end - at) break;
    decodeDescriptor(fields.part(at, length, WHAT), sense);
    at += length;
  }
  return sense;
}

/** Additional lengths are fixed by the standard for each type; a descriptor with another one is not believed. */
function decodeDescriptor(descriptor: Fields, sense: Mutable<Sense>): void {
  const [type, length] = [descriptor.u8(0), descriptor.u8(1)];
  if (type === 0x00 && length === 0x0a) {
    if (descriptor.bit(2, 7)) sense.information = descriptor.u64(4);
  } else if (type === 0x01 && length === 0x0a) {
    sense.commandSpecific = descriptor.u64(4);
  } else if (type === 0x02 && length === 0x06) {
    senseKeySpecific(descriptor.part(4, 3, WHAT), sense);
  } else if (type === 0x03 && length === 0x02) {
    sense.fieldReplaceableUnit = descriptor.u8(3);
  } else if (type === 0x04 && length === 0x02) {
    sense.filemark = descriptor.bit(3, 7);
    sense.eom = descriptor.bit(3, 6);
    sense.ili = descriptor.bit(3, 5);
  } else if (type === 0x05 && length === 0x02) {
    sense.ili = descriptor.bit(3, 5);
  }
}

/** SPC-4 4.5.2.4: three bytes whose meaning depends on the sense key; SKSV says whether they have one. */
function senseKeySpecific(bytes: Fields, sense: Mutable<Sense>): void {
  if (!bytes.bit(0, 7)) return;
  const value = bytes.u16(1);
  const bit = bytes.bit(0, 3) ? { bit: bytes.bits(0, 2, 0) } : {};
  switch (sense.key) {
    case SENSE_KEY.ILLEGAL_REQUEST:
      sense.fieldPointer = { in: bytes.bit(0, 6) ? "CDB" : "parameter list", byte: value, ...bit };
      break;
    case SENSE_KEY.NO_SENSE:
    case SENSE_KEY.NOT_READY:
      sense.progress = value / 65536;
      break;
    case SENSE_KEY.RECOVERED_ERROR:
    case SENSE_KEY.MEDIUM_ERROR:
    case SENSE_KEY.HARDWARE_ERROR:
      sense.retries = value;
      break;
    case SENSE_KEY.COPY_ABORTED:
      sense.segmentPointer = { inSegment: bytes.bit(0, 5), byte: value, ...bit };
      break;
    case SENSE_KEY.UNIT_ATTENTION:
      sense.attentionsLost = bytes.bit(0, 0);
      break;
    default:
      break;
  }
}

/**
 * Tape: requested length less actual length (SSC-4, READ (6)), negative when the block was longer. undefined
 * when the device gave none.
 */
export function residual(sense: Sense): bigint | undefined {
  return sense.information === undefined ? undefined : BigInt.asIntN(sense.informationBits, sense.information);
}

/** One line: "MEDIUM ERROR: unrecovered read error (11h/00h) at LBA 1234". */
export function senseSentence(sense: Sense, source?: SenseSource): string {
  const key = SENSE_KEYS[sense.key] ?? "";
  const flags = [sense.filemark && "filemark", sense.eom && "end of medium", sense.ili && "incorrect length"];
  const additions = [...flags, place(sense.fieldPointer), segment(sense), percent(sense), attempts(sense), lost(sense)];
  const head = `${sense.deferred ? "deferred " : ""}${key}: ${ascText(sense.asc, sense.ascq)} (${ascCode(sense.asc, sense.ascq)})`;
  return [head + information(sense, source), ...additions.filter((text) => typeof text === "string")].join(", ");
}

function information(sense: Sense, source: SenseSource | undefined): string {
  if (sense.information === undefined) return "";
  if (source === "disk") return ` at LBA ${sense.information}`;
  if (source === "tape") return `, residual ${residual(sense)}`;
  return `, information ${sense.information}`;
}

function place(pointer: Sense["fieldPointer"]): string | undefined {
  if (pointer === undefined) return undefined;
  return `byte ${pointer.byte}${pointer.bit === undefined ? "" : ` bit ${pointer.bit}`} of the ${pointer.in}`;
}

function segment({ segmentPointer: pointer }: Sense): string | undefined {
  if (pointer === undefined) return undefined;
  return `byte ${pointer.byte} of the ${pointer.inSegment ? "segment descriptor" : "parameter list"}`;
}

const percent = ({ progress }: Sense): string | undefined =>
  progress === undefined ? undefined : `${Math.floor(progress * 100)} % done`;
const attempts = ({ retries }: Sense): string | undefined =>
  retries === undefined ? undefined : `after ${retries} tries`;
const lost = ({ attentionsLost }: Sense): string | undefined =>
  attentionsLost === true ? "unit attentions were lost" : undefined;

const optional = (fields: Fields, at: number): number => (at < fields.length ? fields.u8(at) : 0);

/** The sentence for bytes as they came; what cannot be decoded is shown in hexadecimal. Never throws. */
export function senseInWords(bytes: Uint8Array, source?: SenseSource): string {
  if (bytes.length === 0) return "no sense data";
  try {
    return senseSentence(decodeSense(bytes), source);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    return `sense data that cannot be decoded (${hexForPeople(bytes)})`;
  }
}

/** The parts of an answer that tell how a command ended (src/native/types.ts ScsiAnswer and FailedCommand). */
export interface EndOfCommand {
  readonly outcome: string;
  readonly status: number;
  readonly sense: Uint8Array;
}

/** How a command ended, in words. Never throws. */
export function endInWords(end: EndOfCommand, source?: SenseSource): string {
  if (end.outcome === "transport") return "no trustworthy answer came back (transport failure)";
  if (end.outcome === "timed-out") return "no answer came back in time";
  if (end.outcome === "aborted") return "the command was aborted";
  if (end.status !== STATUS.CHECK_CONDITION) return statusName(end.status);
  return senseInWords(end.sense, source);
}
