// Lists, sent to a copy manager and carried out by a model of the engine, do what their segments say: the bytes on disks and
// tapes, the data that is held and the segment that is refused are those of a naive interpretation. plan-model.test.ts has
// the same for plans alone, in any order of the engine's.
import test from "ava";
import fc from "fast-check";
import { decodeDataLid1 } from "../../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import { command, cscdOf, ID, NULL_TAPE, punt, words } from "../../lib/copy-ask.js";
import { Naive } from "../../lib/copy-naive.js";
import type { NaiveDevice } from "../../lib/copy-naive-ends.js";
import { DEVICES, type Device, FULL, LUN, Room, settle } from "../../lib/copy-room.js";
import { copyOf, get, type Plant } from "../../lib/copy-steps.js";

const RUNS = 200;
const SOURCE_BLOCK = 2000;
const SOURCE_BLOCKS = 100;
const HELD = 65_536;
const INLINE = Uint8Array.from({ length: 4096 }, (_, at) => (at * 11) % 253);

const bool = fc.boolean();
const often = fc.nat(9).map((value) => value < 6);
const seldom = fc.nat(9).map((value) => value < 2);
const disks = fc.constantFrom(ID.disk0, ID.big0);
const source = fc.constant(ID.tape0);
const target = fc.oneof({ weight: 8, arbitrary: fc.constant(ID.tape1) }, fc.constant(NULL_TAPE));
const lba = fc.nat(15).map(BigInt);
const count = fc.nat(4);
const bytes = fc.oneof(
  fc.nat(4000),
  fc.nat(9).map((blocks) => blocks * 512),
);
const transfer = fc.constantFrom(512, 1000, 2000, 6000, 80);
const offset = fc.nat(511);

const kind = <T extends object>(name: string, fields: { [F in keyof T]: fc.Arbitrary<T[F]> }) =>
  fc.record<T>(fields).map((values) => ({ kind: name, ...values }));
const fromTape = { source, transfer: fc.constant(SOURCE_BLOCK), sourceTransfer: fc.constant(SOURCE_BLOCK) };

const segments = fc.oneof(
  kind("block-stream", { hold: seldom, cat: often, source: disks, destination: target, transfer, blocks: count, lba }),
  kind("stream-block", { ...fromTape, hold: seldom, cat: often, destination: disks, blocks: count, lba }),
  {
    weight: 3,
    arbitrary: kind("block-block", {
      ...{ hold: seldom, cat: often, destinationCount: bool, source: disks, destination: disks },
      ...{ blocks: count, sourceLba: lba, destinationLba: lba },
    }),
  },
  kind("stream-stream", {
    ...{ ...fromTape, hold: seldom, cat: often, destination: target, destinationTransfer: transfer, byteCount: bytes },
  }),
  kind("inline-stream", {
    ...{ cat: often, destination: target, transfer, byteCount: fc.nat(2000) },
    inlineOffset: fc.nat(500).map((quarter) => quarter * 4),
  }),
  kind("embedded-stream", { cat: often, destination: target, transfer, data: fc.uint8Array({ maxLength: 700 }) }),
  kind("stream-discard", { ...fromTape, hold: seldom, cat: often, byteCount: bytes }),
  kind("offset-stream", {
    ...{ cat: often, source: disks, destination: target, transfer, byteCount: bytes, lba, byteOffset: offset },
  }),
  kind("stream-offset", { ...fromTape, cat: often, destination: disks, byteCount: bytes, lba, byteOffset: offset }),
  {
    weight: 3,
    arbitrary: kind("offset-offset", {
      ...{ cat: often, source: disks, destination: disks, byteCount: bytes },
      ...{ sourceLba: lba, destinationLba: lba, sourceOffset: offset, destinationOffset: offset },
    }),
  },
  kind("filemarks", { destination: target, immediate: bool, count: fc.nat(2) }),
  kind("block-image", { source: disks, destination: disks, sourceLba: lba, destinationLba: lba, blocks: fc.nat(6) }),
) as fc.Arbitrary<Segment>;

const asked = fc.record({
  segments: fc.array(segments, { minLength: 1, maxLength: 8 }),
  pads: fc.array(often, { minLength: 5, maxLength: 5 }),
});

/** All blocks of the source are of one length, so that it is known where it stands. */
function prepare(room: Room): void {
  const [from, to] = [get(room.plant.tapes, "tape0"), get(room.plant.tapes, "tape1")];
  from.objects = Array.from({ length: SOURCE_BLOCKS }, (_, index) =>
    Uint8Array.from({ length: SOURCE_BLOCK }, (_byte, at) => (at * 3 + index * 17) % 255),
  );
  [to.objects, to.at] = [[], 0];
}

const text = (object: Uint8Array | "mark"): string =>
  object === "mark" ? object : Buffer.from(object).toString("hex");
const stateOf = ({ disks: all, tapes }: Plant): string[] => [
  ...[...all].map(([name, { data }]) => `${name} ${Buffer.from(data).toString("hex")}`),
  `tape1 ${get(tapes, "tape1").objects.map(text).join(" ")}`,
];

interface Seen {
  whole: number;
  refused: number;
  stuck: number;
}

async function difference(list: typeof asked extends fc.Arbitrary<infer T> ? T : never, seen: Seen): Promise<string> {
  const room = new Room();
  prepare(room);
  const device = (id: number): NaiveDevice => ({
    name: id === NULL_TAPE ? undefined : DEVICES[id],
    pad: list.pads[id] ?? false,
    ...{ fixed: 0, nullBlock: 1 },
  });
  const naive = new Naive(copyOf(room.plant), device, INLINE, HELD);
  const cscds = DEVICES.map((name: Device, index) => cscdOf(room, name, { pad: list.pads[index] ?? false }));
  const id = punt(room, list.segments, { cscds, inline: INLINE });
  await settle();
  const answer = room.answers.get(id);
  const fault = room.faults[0] ?? room.engine.faults[0];
  if (fault !== undefined) return fault;
  const said = words(answer);
  const at = said === "good" ? undefined : decodeCopySense(answer?.sense ?? INLINE).segment;
  for (const [index, segment] of list.segments.entries()) {
    // What is left of a tape block by one segment and cannot be kept for the next: the engine's limit.
    if (index === at && naive.left && naive.betweenTapes) {
      seen.stuck++;
      break;
    }
    const refusal = naive.run(index, segment);
    if (refusal === undefined) continue;
    if (at !== index) return `${said} at ${at}, not at ${index} (${refusal.why})`;
    break;
  }
  naive.end();
  if (at === undefined) seen.whole++;
  else seen.refused++;
  const [is, should] = [stateOf(room.plant), stateOf(naive.plant)];
  const wrong = should.findIndex((one, index) => one !== is[index]);
  if (wrong >= 0) return `${said}: is ${is[wrong]}\nnot ${should[wrong]}`;
  if (naive.heldDropped || at !== undefined) return "";
  const { data } = (await room.send(FULL, LUN.disk0, command("data-lid1"))) ?? {};
  const held = decodeDataLid1(data ?? INLINE);
  return Buffer.compare(held, Uint8Array.from(naive.held)) === 0 ? "" : `${held.length} held, not ${naive.held.length}`;
}

test("what is sent as a list is done as its segments say", async (t) => {
  const seen: Seen = { whole: 0, refused: 0, stuck: 0 };
  await fc.assert(
    fc.asyncProperty(asked, async (list) => {
      const found = await difference(list, seen);
      if (found !== "") throw new Error(found.slice(0, 2000));
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
  t.log(seen);
  t.true(seen.whole > RUNS / 20);
  t.true(seen.refused > RUNS / 20);
});
