// A segment in words becomes a segment descriptor. grammar.ts has the grammar for people; the verb says how to read on.
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { type DataSource, takeData } from "./data-words.js";
import { type Devices, type DiskPlace, type Place, type TapePlace, takePlace, takePort, U64 } from "./places.js";
import type { Words } from "./words.js";

/** What segments are read with. */
export interface SegmentContext extends DataSource {
  readonly devices: Devices;
  /** Puts bytes behind the inline data. @returns where they are */
  addInline(bytes: Uint8Array): { readonly offset: number; readonly length: number };
}

type Reader = (words: Words, context: SegmentContext) => Segment;

const U16 = 0xffffn;
const U24 = 0xff_ffffn;
const U32 = 0xffff_ffffn;
/** SPC-4 6.4.6.14, CODE. */
export const SPACE_CODES: readonly string[] = [
  "blocks",
  "filemarks",
  "sequential",
  "eod",
  "setmarks",
  "sequential-setmarks",
];
const EOD = 3;

const VERBS: Readonly<Record<string, Reader>> = {
  blocks(words, { devices }) {
    const from = disk(words, takePlace(words, devices));
    const to = destination(words, devices);
    if (to.on === "tape") {
      const { cat, hold } = flags(words, ["cat", "hold"]);
      noCount(words, to);
      const blocks = needCount(words, from, U16, "`bytes` takes 4 GiB a segment");
      const head = { cat, hold, source: from.id, destination: to.id };
      return { kind: "block-stream", ...head, transfer: to.transfer, blocks, lba: whole(words, from) };
    }
    const target = disk(words, to);
    const { cat, hold, dc } = flags(words, ["cat", "dc", "hold"]);
    noCount(words, target);
    const blocks = needCount(words, from, U16, "`image` takes 4294967295 blocks a segment");
    const head = { cat, hold, destinationCount: dc === true, source: from.id, destination: target.id };
    return {
      kind: "block-block",
      ...head,
      blocks,
      sourceLba: whole(words, from),
      destinationLba: whole(words, target),
    };
  },
  tape(words, { devices }) {
    const from = tape(words, takePlace(words, devices));
    const to = destination(words, devices);
    if (to.on !== "tape") {
      const target = disk(words, to);
      const { cat, hold } = flags(words, ["cat", "hold"]);
      noCount(words, from);
      const blocks = needCount(words, target, U16, "write more segments");
      const head = { cat, hold, source: from.id, destination: target.id };
      return { kind: "stream-block", ...head, transfer: from.transfer, blocks, lba: whole(words, target) };
    }
    const { cat, hold } = flags(words, ["cat", "hold"]);
    noCount(words, to);
    const byteCount = needCount(words, from, U32);
    const head = { cat, hold, source: from.id, destination: to.id };
    return {
      kind: "stream-stream",
      ...head,
      sourceTransfer: from.transfer,
      destinationTransfer: to.transfer,
      byteCount,
    };
  },
  bytes(words, { devices }) {
    const from = takePlace(words, devices);
    const to = destination(words, devices);
    const { cat } = flags(words, ["cat"]);
    if (from.on === "tape") {
      const target = disk(words, to);
      noCount(words, from);
      const head = { cat, source: from.id, destination: target.id, transfer: from.transfer };
      const byteCount = needCount(words, target, U32);
      return { kind: "stream-offset", ...head, byteCount, lba: target.lba, byteOffset: offset(words, target) };
    }
    const source = disk(words, from);
    noCount(words, to);
    const byteCount = needCount(words, source, U32);
    const head = { cat, source: source.id, destination: to.id };
    if (to.on === "tape") {
      const byteOffset = offset(words, source);
      return { kind: "offset-stream", ...head, transfer: to.transfer, byteCount, lba: source.lba, byteOffset };
    }
    const target = disk(words, to);
    const lbas = { sourceLba: source.lba, destinationLba: target.lba };
    const offsets = { sourceOffset: offset(words, source), destinationOffset: offset(words, target) };
    return { kind: "offset-offset", ...head, byteCount, ...lbas, ...offsets };
  },
  inline(words, context) {
    const data = takeData(words, context, true);
    const to = tape(words, destination(words, context.devices));
    noCount(words, to);
    const { cat } = flags(words, ["cat"]);
    const { offset: inlineOffset, length: byteCount } = "bytes" in data ? context.addInline(data.bytes) : data;
    return { kind: "inline-stream", cat, destination: to.id, transfer: to.transfer, inlineOffset, byteCount };
  },
  embed(words, context) {
    const at = words.space().at;
    const data = takeData(words, context, false);
    const span = words.span(at);
    const to = tape(words, destination(words, context.devices));
    noCount(words, to);
    const { cat } = flags(words, ["cat"]);
    const bytes = "bytes" in data ? data.bytes : new Uint8Array(0);
    if (BigInt(bytes.length) > U16) throw words.wrong("65535 bytes can be embedded at most: use `inline`", span);
    return { kind: "embedded-stream", cat, destination: to.id, transfer: to.transfer, data: bytes };
  },
  discard(words, { devices }) {
    const from = tape(words, takePlace(words, devices));
    const { cat, hold } = flags(words, ["cat", "hold"]);
    const byteCount = needCount(words, from, U32);
    return { kind: "stream-discard", cat, hold, source: from.id, transfer: from.transfer, byteCount };
  },
  verify(words, { devices }) {
    const source = device(words, takePlace(words, devices));
    const { untested } = flags(words, ["untested"]);
    return { kind: "verify", source, testUnitReady: untested !== true };
  },
  filemarks(words, { devices }) {
    const to = device(words, takePlace(words, devices));
    const count = Number(words.space().number("a number of filemarks", U24));
    const { immediate } = flags(words, ["immediate"]);
    return { kind: "filemarks", destination: to, immediate: immediate === true, count };
  },
  space(words, { devices }) {
    const to = device(words, takePlace(words, devices));
    const at = words.space().at;
    const name = words.name() ?? "";
    const code = name === "code" ? Number(words.space().number("a CODE of 0 to 7", 7n)) : SPACE_CODES.indexOf(name);
    if (code < 0) throw words.wrong(`space goes over ${SPACE_CODES.join(", ")}`, words.span(at));
    const count = code === EOD && name !== "code" ? 0 : signedCount(words);
    return { kind: "space", destination: to, code, count };
  },
  locate(words, { devices }) {
    const to = device(words, takePlace(words, devices));
    return { kind: "locate", destination: to, objectId: Number(words.space().number("a logical object", U32)) };
  },
  image(words, { devices }) {
    const from = takePlace(words, devices);
    const to = destination(words, devices);
    if (from.on === "device") {
      const head = { source: from.id, destination: device(words, to) };
      const has = words.ended ? undefined : words.expect(/filemarks(?!\S)/y, '"filemarks" and a number');
      const filemarks = has === undefined ? 0 : Number(words.space().number("a number of filemarks", U32));
      return { kind: "tape-image", ...head, filemarks };
    }
    const source = disk(words, from);
    const target = disk(words, to);
    noCount(words, target);
    const blocks = source.count === undefined ? 0 : needCount(words, source, U32);
    const head = { source: source.id, destination: target.id };
    return {
      kind: "block-image",
      ...head,
      sourceLba: whole(words, source),
      destinationLba: whole(words, target),
      blocks,
    };
  },
  register(words, { devices }) {
    const to = device(words, takePlace(words, devices));
    return { kind: "register-key", destination: to, key: value(words, "key"), actionKey: value(words, "action") };
  },
  move(words, { devices }) {
    const to = device(words, takePlace(words, devices));
    words.space().expect(/to(?!\S)/y, '"to" and an initiator port');
    const transportId = takePort(words);
    const port = words.space().take(/(?=port=)/y) === undefined ? 0 : Number(value(words, "port", U16));
    const keys = { key: value(words, "key"), actionKey: value(words, "action") };
    const { unregister, aptpl } = flags(words, ["unregister", "aptpl"]);
    const head = { destination: to, ...keys, unregister: unregister === true, aptpl: aptpl === true };
    return { kind: "source-nexus", ...head, port, transportId };
  },
  rod(words, { devices }) {
    const from = disk(words, takePlace(words, devices));
    const ranges = [{ lba: whole(words, from), blocks: needCount(words, from, U32) }];
    while (words.take(",") !== undefined) {
      const lba = words.number("an LBA", U64);
      words.expect("+", '"+" and a number of blocks');
      ranges.push({ lba, blocks: Number(words.number("a number of blocks", U32)) });
    }
    return { kind: "rod-ranges", source: from.id, destination: device(words, destination(words, devices)), ranges };
  },
  rodrange(words, { devices }) {
    const from = disk(words, takePlace(words, devices));
    const blocks = needCount(words, from, U32);
    const to = device(words, destination(words, devices));
    return { kind: "rod-range", source: from.id, destination: to, lba: whole(words, from), blocks };
  },
};

/** @throws GantryError XCOPY_SYNTAX */
export function parseSegment(words: Words, context: SegmentContext): Segment {
  const at = words.space().at;
  const verb = words.name();
  const read = verb !== undefined && Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined;
  if (read === undefined) {
    const shown = verb ?? words.take(/\S*/y) ?? "";
    throw words.wrong(
      `"${shown}" begins no segment; there are ${Object.keys(VERBS).join(", ")}`,
      at === words.at ? { from: at, to: at + 1 } : words.span(at),
    );
  }
  const segment = read(words, context);
  words.end();
  return segment;
}

function destination(words: Words, devices: Devices): Place {
  words.space().expect("->", '"->" and a destination');
  return takePlace(words, devices);
}

function disk(words: Words, place: Place): DiskPlace {
  if (place.on === "disk") return place;
  throw words.wrong(`a place on a disk has to be here: ${place.name}@LBA`, place.span);
}

function tape(words: Words, place: Place): TapePlace {
  if (place.on === "tape") return place;
  throw words.wrong(`a tape with its transfer length has to be here: ${place.name}/SIZE`, place.span);
}

function device(words: Words, place: Place): number {
  if (place.on === "device") return place.id;
  throw words.wrong(`the name of a device alone has to be here: ${place.name}`, place.span);
}

function needCount(words: Words, place: DiskPlace | TapePlace, most: bigint, instead?: string): number {
  if (place.count === undefined)
    throw words.wrong(`how much is missing: write ${words.text.slice(place.span.from, place.span.to)}+N`, place.span);
  const { value: count, span } = place.count;
  if (count <= most) return Number(count);
  throw words.wrong(`${most} is the most of one segment${instead === undefined ? "" : `; ${instead}`}`, span);
}

/** Only one side says how much. */
function noCount(words: Words, place: Place): void {
  if (place.on !== "device" && place.count !== undefined)
    throw words.wrong("how much is said on the other side", place.count.span);
}

/** A place that begins with a block. */
function whole(words: Words, place: DiskPlace): bigint {
  if (place.offset === undefined) return place.lba;
  throw words.wrong("this segment begins with a whole block: only `bytes` has an offset in one", place.span);
}

function offset(words: Words, place: DiskPlace): number {
  if (place.offset !== undefined) return place.offset;
  throw words.wrong(`the offset in the block is missing: write ${place.name}@${place.lba}:0`, place.span);
}

type Flags<F extends string> = Readonly<Partial<Record<F, true>>> & { readonly cat: boolean; readonly hold: boolean };

function flags<F extends string>(words: Words, allowed: readonly F[]): Flags<F> {
  const found = new Set<string>();
  while (!words.ended) {
    const at = words.at;
    const name = words.name() ?? words.take(/\S+/y) ?? "";
    if (!(allowed as readonly string[]).includes(name))
      throw words.wrong(`"${name}" is not known here; ${allowed.join(", ")} may be`, words.span(at));
    found.add(name);
  }
  const set = Object.fromEntries([...found].map((name) => [name, true]));
  return { ...set, cat: found.has("cat"), hold: found.has("hold") } as Flags<F>;
}

function signedCount(words: Words): number {
  const negative = words.space().take("-") !== undefined;
  const count = Number(words.number("a number, or its negative", negative ? 0x80_0000n : 0x7f_ffffn));
  return negative && count > 0 ? 0x100_0000 - count : count;
}

function value(words: Words, name: string, most = U64): bigint {
  words.space().expect(`${name}=`, `"${name}=" and a number`);
  return words.number("a number", most);
}
