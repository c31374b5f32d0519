// Sense data of a copy (SPC-4 5.17.7.4): the segment, the place of the fault, what was left to write, and the status and
// sense data of the device that failed, forwarded as they came. Both formats, and what an initiator reads out of them.
import { Fields, putUint } from "../bytes.js";
import { SENSE_KEY } from "../names.js";
import { decodeSense } from "../sense.js";
import { joined } from "./layout.js";
import { type CopyFault, type Forwarded, isOfCdb } from "./refusal.js";

/** SPC-4 4.5.1: sense data has at most 252 bytes. */
const MOST = 252;
const FIXED_HEAD = 18;
const DESCRIPTOR_HEAD = 8;
/** SPC-4 4.5.2.7, forwarded sense data descriptor. */
const FORWARDED = 0x0c;
const SOURCE = 1;
const DESTINATION = 2;

/** Fixed format (SPC-4 4.5.3); what the devices said stands behind the 18 bytes, cut where there is no more room. */
export function fixedCopySense(fault: CopyFault): Uint8Array {
  const { source, destination } = forwardedParts(fault, MOST - FIXED_HEAD);
  const head = new Uint8Array(FIXED_HEAD);
  head[0] = 0x70;
  head[2] = fault.key & 0x0f;
  head[7] = FIXED_HEAD - 8 + source.length + destination.length;
  // A count that does not fit is none (SPC-4 4.5.3: VALID is 0).
  if (fault.residual !== undefined && fault.residual < 1n << 32n) {
    head[0] |= 0x80;
    putUint(head, 3, 4, fault.residual, "information");
  }
  if (source.length > 0) head[8] = FIXED_HEAD;
  if (destination.length > 0) head[9] = FIXED_HEAD + source.length;
  putUint(head, 10, 2, fault.segment ?? 0, "segment");
  head[12] = fault.asc;
  head[13] = fault.ascq;
  head.set(senseKeySpecific(fault), 15);
  return joined(head, source, destination);
}

/** Descriptor format (SPC-4 4.5.2). */
export function descriptorCopySense(fault: CopyFault): Uint8Array {
  const parts: Uint8Array[] = [];
  if (fault.residual !== undefined) parts.push(sized(0x00, fault.residual, 0x80));
  // The segment is in the third and fourth of eight bytes.
  if (fault.segment !== undefined) parts.push(sized(0x01, BigInt(fault.segment) << 32n, 0));
  if (fault.pointer !== undefined) parts.push(Uint8Array.of(0x02, 6, 0, 0, ...senseKeySpecific(fault), 0));
  let room = MOST - DESCRIPTOR_HEAD - parts.reduce((bytes, part) => bytes + part.length, 0);
  const said = [
    [SOURCE, fault.source],
    [DESTINATION, fault.destination],
  ] as const;
  for (const [index, [from, answer]] of said.entries()) {
    if (answer === undefined) continue;
    // The first leaves the second its half.
    const most = (index === 0 && fault.destination !== undefined ? room >> 1 : room) - 4;
    const sense = answer.sense.subarray(0, Math.max(0, most));
    const cut = sense.length < answer.sense.length ? 0x80 : 0;
    parts.push(joined(Uint8Array.of(FORWARDED, 2 + sense.length, cut | from, answer.status), sense));
    room -= 4 + sense.length;
  }
  const body = joined(...parts);
  return joined(Uint8Array.of(0x72, fault.key & 0x0f, fault.asc, fault.ascq, 0, 0, 0, body.length), body);
}

function sized(type: number, value: bigint, flags: number): Uint8Array {
  const bytes = Uint8Array.of(type, 0x0a, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  putUint(bytes, 4, 8, value, "sense field");
  return bytes;
}

/** SPC-4 4.5.2.4.2 (field pointer) and 4.5.2.4.5 (segment pointer). A place past 65535 cannot be told. */
function senseKeySpecific(fault: CopyFault): Uint8Array {
  const { key, pointer } = fault;
  const bytes = new Uint8Array(3);
  if (pointer === undefined || pointer.byte > 0xffff) return bytes;
  const inSegment = key === SENSE_KEY.COPY_ABORTED && pointer.inSegment === true;
  const where = isOfCdb(fault) ? 0x40 : inSegment ? 0x20 : 0;
  bytes[0] = 0x80 | where | (pointer.bit === undefined ? 0 : 0x08 | (pointer.bit & 0x07));
  putUint(bytes, 1, 2, pointer.byte, "field pointer");
  return bytes;
}

function forwardedParts(
  { source, destination }: CopyFault,
  room: number,
): Record<"source" | "destination", Uint8Array> {
  const most = source !== undefined && destination !== undefined ? room >> 1 : room;
  const part = (answer: Forwarded | undefined): Uint8Array =>
    answer === undefined ? new Uint8Array(0) : joined(Uint8Array.of(answer.status), answer.sense.subarray(0, most - 1));
  return { source: part(source), destination: part(destination) };
}

export interface CopySense {
  readonly segment?: number;
  readonly source?: Forwarded;
  readonly destination?: Forwarded;
}

/** What of sense data with COPY ABORTED is about the copy; {} for every other. @throws as decodeSense does */
export function decodeCopySense(bytes: Uint8Array): CopySense {
  const sense = decodeSense(bytes);
  if (sense.key !== SENSE_KEY.COPY_ABORTED) return {};
  return sense.format === "fixed" ? decodeFixed(bytes) : decodeDescriptors(bytes, sense.commandSpecific);
}

function decodeFixed(bytes: Uint8Array): CopySense {
  const fields = new Fields(bytes, "Sense data");
  if (fields.length < 12) return {};
  const end = Math.min(fields.length, 8 + fields.u8(7));
  const [source, destination] = [fields.u8(8), fields.u8(9)];
  const area = (from: number, other: number): Forwarded | undefined => {
    const to = other > from ? Math.min(other, end) : end;
    if (from < FIXED_HEAD || from >= to) return undefined;
    return { status: fields.u8(from), sense: fields.bytes(from + 1, to - from - 1) };
  };
  return found(fields.u16(10), area(source, destination), area(destination, source));
}

function decodeDescriptors(bytes: Uint8Array, commandSpecific: bigint | undefined): CopySense {
  const fields = new Fields(bytes, "Sense data");
  const answers = new Map<number, Forwarded>();
  const end = fields.length < DESCRIPTOR_HEAD ? 0 : Math.min(fields.length, DESCRIPTOR_HEAD + fields.u8(7));
  for (let at = DESCRIPTOR_HEAD; at + 2 <= end; at += 2 + fields.u8(at + 1)) {
    const length = fields.u8(at + 1);
    if (length + 2 > end - at) break;
    if (fields.u8(at) !== FORWARDED || length < 2) continue;
    answers.set(fields.bits(at + 2, 3, 0), { status: fields.u8(at + 3), sense: fields.bytes(at + 4, length - 2) });
  }
  const segment = commandSpecific === undefined ? undefined : Number((commandSpecific >> 32n) & 0xffffn);
  return found(segment, answers.get(SOURCE), answers.get(DESTINATION));
}

const found = (segment?: number, source?: Forwarded, destination?: Forwarded): CopySense => ({
  ...(segment !== undefined && { segment }),
  ...(source && { source }),
  ...(destination && { destination }),
});
