// Where a segment reads or writes: D@LBA[:OFFSET][+N] of a disk, T/SIZE[+BYTES] of a tape, or a device alone.
import { initiatorOf, type TransportId } from "../../src/wire/transport-id.js";
import { BUILT_IN, NAME } from "./device-words.js";
import type { Span, Words } from "./words.js";

/** What the names of a list stand for. */
export interface Devices {
  /** CSCD descriptor ID. */
  id(name: string): number | undefined;
  readonly names: readonly string[];
  /** Bytes of a block of a tape that is written in fixed blocks; 0: it is not. */
  fixedBytes(id: number): number;
  /** undefined: not known. */
  kind(id: number): "disk" | "tape" | undefined;
}

interface Common {
  readonly id: number;
  readonly name: string;
  readonly span: Span;
}

export interface DiskPlace extends Common {
  readonly on: "disk";
  readonly lba: bigint;
  readonly offset?: number;
  readonly count?: Counted;
}

export interface TapePlace extends Common {
  readonly on: "tape";
  /** STREAM DEVICE TRANSFER LENGTH: bytes, or blocks where they are fixed. */
  readonly transfer: number;
  readonly count?: Counted;
}

/** What stands behind "+". */
export interface Counted {
  readonly value: bigint;
  readonly span: Span;
}

export type Place = DiskPlace | TapePlace | (Common & { readonly on: "device" });

/** In front of a CSCD descriptor ID that stands for itself. */
export const NUMBERED = "cscd:";
const U16 = 0xffffn;
const U24 = 0xff_ffffn;
export const U64 = (1n << 64n) - 1n;

/** A name, and what stands behind it. @throws GantryError XCOPY_SYNTAX */
export function takePlace(words: Words, devices: Devices): Place {
  const from = words.space().at;
  const { id, name } = takeDevice(words, devices);
  // By its number a device may be anything: so every list can be said, also one that no copy manager takes.
  const known = name.startsWith(NUMBERED) ? undefined : devices.kind(id);
  if (words.take("@") !== undefined) {
    const lba = words.number("an LBA", U64);
    const offset = words.take(":") === undefined ? undefined : Number(words.size("an offset in a block", U16));
    const count = takeCount(words);
    const span = words.span(from);
    if (known === "tape") throw words.wrong(`"${name}" is a tape: write ${name}/SIZE, such as ${name}/64KiB`, span);
    return { on: "disk", id, name, span, lba, ...(offset !== undefined && { offset }), ...(count && { count }) };
  }
  if (words.take("/") !== undefined) {
    const transfer = takeTransfer(words, devices.fixedBytes(id));
    const count = takeCount(words);
    const span = words.span(from);
    if (known === "disk") throw words.wrong(`"${name}" is a disk: write ${name}@LBA`, span);
    return { on: "tape", id, name, span, transfer, ...(count && { count }) };
  }
  return { on: "device", id, name, span: words.span(from) };
}

/** @throws GantryError XCOPY_SYNTAX */
export function takeDevice(words: Words, devices: Devices): { readonly id: number; readonly name: string } {
  const from = words.space().at;
  if (words.take(NUMBERED) !== undefined) {
    const id = Number(words.number("a CSCD descriptor ID", U16));
    return { id, name: `${NUMBERED}${id}` };
  }
  const name = words.expect(NAME, "the name of a device");
  const id = devices.id(name) ?? BUILT_IN.get(name);
  if (id !== undefined) return { id, name };
  const there = devices.names.length === 0 ? "no --device is given" : `there are ${devices.names.join(", ")}`;
  throw words.wrong(`there is no device "${name}"; ${there}`, words.span(from));
}

function takeTransfer(words: Words, fixedBytes: number): number {
  const from = words.at;
  const most = fixedBytes === 0 ? U24 : U24 * BigInt(fixedBytes);
  const bytes = words.size("the bytes of a transfer", most);
  if (fixedBytes === 0) return Number(bytes);
  if (bytes % BigInt(fixedBytes) === 0n) return Number(bytes / BigInt(fixedBytes));
  throw words.wrong(`the tape has fixed blocks of ${fixedBytes} bytes, and this is no multiple of that`, {
    from,
    to: words.at,
  });
}

function takeCount(words: Words): Counted | undefined {
  if (words.take("+") === undefined) return undefined;
  const from = words.at;
  const value = words.size("a number", U64);
  return { value, span: words.span(from) };
}

/** An initiator port, or with a bare iSCSI name all of its ports. @throws GantryError XCOPY_SYNTAX */
export function takePort(words: Words): TransportId {
  const at = words.space().at;
  const text = words.take(/\S+/y) ?? "";
  const any = /^iscsi:((?:iqn|eui|naa)\.[!-+\--~]{1,219})$/.exec(text)?.[1];
  const id = any === undefined ? initiatorOf(text) : { protocol: "iscsi" as const, name: any };
  if (id !== undefined) return id;
  throw words.wrong(
    "an initiator port has to be here: iscsi:NAME, iscsi:NAME,i,0xISID, fc:HEX or sas:HEX",
    words.span(at),
  );
}
