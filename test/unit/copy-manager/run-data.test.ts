// Data steps, from the list to the bytes on the devices: what a segment leaves over, what goes nowhere, what has to be read
// before it is written over, and what is told of how far it is.
import test from "ava";
import { decodeDataLid1, decodeTokenInformation } from "../../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import { encodePopulateToken, encodeWriteUsingToken } from "../../../src/wire/xcopy/token-lists.js";
import { type Asking, command, cscdOf, ID, NULL_TAPE, punt, statusOf, words } from "../../lib/copy-ask.js";
import {
  blockBlock,
  blockStream,
  embedded,
  inlineStream,
  offsetOffset,
  streamBlock,
  streamStream,
} from "../../lib/copy-plans.js";
import { DEVICES, type Device, FULL, LUN, Room, settle } from "../../lib/copy-room.js";
import { get } from "../../lib/copy-steps.js";

const MIB = 1 << 20;
const data = (room: Room, device: Device): Uint8Array => get(room.plant.disks, device).data;
const objects = (room: Room, device: Device) => get(room.plant.tapes, device).objects;

async function copied(room: Room, segments: readonly Segment[], asking: Asking = {}): Promise<string> {
  const id = punt(room, segments, asking);
  await settle();
  return words(room.answers.get(id));
}

const sound = (t: { deepEqual: (a: unknown, b: unknown) => void }, room: Room): void =>
  t.deepEqual([...room.faults, ...room.engine.faults], []);

test("what a segment reads and writes nothing of is kept for the next one, which reads another device", async (t) => {
  const room = new Room();
  const none = streamStream(ID.tape0, ID.tape1, {
    ...{ cat: true, sourceTransfer: 2048, destinationTransfer: 4096, byteCount: 2048 },
  });
  const rest = blockBlock(ID.big0, ID.disk0, { cat: true, blocks: 1, sourceLba: 3n, destinationLba: 4n });
  const block = data(room, "big0").slice(3 * 4096, 4 * 4096);
  t.is(await copied(room, [none, rest]), "good");
  t.deepEqual([...data(room, "disk0").subarray(2048, 4096)], new Array(2048).fill(1));
  t.deepEqual(data(room, "disk0").slice(4096, 8192), block);
  t.deepEqual(objects(room, "tape1"), objects(new Room(), "tape1"));
  sound(t, room);
});

test("more than a MiB that is left over is kept whole, and counted when it is written", async (t) => {
  const room = new Room();
  const block = Uint8Array.from({ length: MIB + 4096 }, (_, at) => at % 251);
  get(room.plant.tapes, "tape0").objects.splice(0, 0, block);
  // A thousand bytes of it are processed; all that is left waits while a disk is read.
  const first = streamStream(ID.tape0, NULL_TAPE, {
    ...{ cat: true, sourceTransfer: block.length, destinationTransfer: 512, byteCount: 1000 },
  });
  const then = blockStream(ID.disk0, ID.tape1, { cat: true, blocks: 1, lba: 0n, transfer: 65_536 });
  t.is(await copied(room, [first, then]), "good");
  const written = objects(room, "tape1").slice(3) as Uint8Array[];
  t.is(written.length, 16);
  t.deepEqual(Buffer.concat(written), Buffer.from(block.subarray(1000, 1000 + MIB)));
  t.is((await statusOf(room)).count, BigInt(1000 + MIB));
  sound(t, room);
});

test("bytes from memory that go to the null device need no engine", async (t) => {
  const room = new Room();
  const segments = [inlineStream(NULL_TAPE), embedded(NULL_TAPE, Uint8Array.of(1, 2, 3))];
  t.is(await copied(room, segments), "good");
  t.is(room.engine.runs, 0);
  t.is((await statusOf(room)).segments, 2);
  sound(t, room);
});

test("tape blocks that drive, transport or memory cannot move as one are refused at their segment", async (t) => {
  for (const [memoryBytes, most] of [
    [8 << 20, 2 * MIB],
    [64 << 20, 3 * MIB],
  ] as const) {
    const room = new Room({ memoryBytes });
    const fits = (transfer: number) => copied(room, [inlineStream(ID.tape0, { transfer, cat: true, byteCount: 64 })]);
    t.is(await fits(most), "good");
    t.is(await fits(most + 1), "a/26/0");
    t.is(await copied(room, [streamBlock(ID.tape0, ID.disk0, { transfer: most + 1 })]), "a/26/0");
    sound(t, room);
  }
});

test("a copy that is done has done all of its segments, also those that move nothing", async (t) => {
  const room = new Room();
  const behind = offsetOffset(ID.disk0, ID.disk0, {
    ...{ byteCount: 30_000, sourceLba: 0n, sourceOffset: 0, destinationLba: 0n, destinationOffset: 2 },
  });
  const nothing = blockBlock(ID.disk0, ID.big0, { blocks: 0 });
  const verify: Segment = { kind: "verify", source: ID.disk0, testUnitReady: false };
  const segments = [nothing, behind, blockBlock(ID.disk0, ID.big0, { blocks: 8, destinationLba: 2n }), verify];
  const before = data(room, "disk0").slice(0, 30_000);
  t.is(await copied(room, segments, { cscds: DEVICES.map((device) => cscdOf(room, device)) }), "good");
  t.deepEqual(data(room, "disk0").slice(2, 30_002), before);
  const { segments: done, count } = await statusOf(room);
  t.is(done, 4);
  t.is(count, 34_096n);
  sound(t, room);
});

test("a copy that fails tells which segments are done and what of it is left", async (t) => {
  const room = new Room();
  room.engine.mishap = { result: "device-error", side: "destination", status: 0x18 };
  const four = [0n, 4n, 8n, 12n].map((lba) =>
    blockBlock(ID.disk0, ID.disk0, { blocks: 4, sourceLba: lba, destinationLba: 64n + lba }),
  );
  const id = punt(room, four);
  await settle();
  const sense = room.answers.get(id)?.sense ?? new Uint8Array(0);
  // Half of all: two are whole, and of the third nothing is.
  t.is(decodeCopySense(sense).segment, 2);
  t.is(decodeCopySense(sense).destination?.status, 0x18);
  t.is(Buffer.from(sense).readUInt32BE(3), 4);
  t.is((await statusOf(room)).segments, 2);
});

test("a segment that is in several steps is done with the last of them", async (t) => {
  const room = new Room();
  room.engine.mishap = { after: 1, result: "device-error", side: "source", status: 8 };
  // What is held of a segment that goes backwards is read before.
  const behind = blockBlock(ID.disk0, ID.disk0, { hold: true, blocks: 8, sourceLba: 0n, destinationLba: 1n });
  t.is(await copied(room, [behind]), "a/d/1");
  const { segments, count } = await statusOf(room);
  t.deepEqual([segments, count], [0, 2048n]);
  sound(t, room);
});

test("a copy that is aborted before anything was written has done no segment", async (t) => {
  const room = new Room();
  room.engine.holds = true;
  const segment = blockBlock(ID.disk0, ID.big0, { blocks: 8, destinationLba: 0n });
  const id = punt(room, [segment, segment]);
  await settle();
  await room.send(FULL, LUN.disk0, command("abort"));
  t.is(words(room.answers.get(id)), "a/d/0");
  const { segments, count } = await statusOf(room);
  t.deepEqual([segments, count], [0, 0n]);
  sound(t, room);
});

test("held data is that of the segments that hold, in their order, though nothing else is done with it", async (t) => {
  const room = new Room();
  const discard: Segment = {
    ...{ kind: "stream-discard", hold: true, cat: false, source: ID.tape0, transfer: 2048, byteCount: 4096 },
  };
  const held = blockBlock(ID.disk0, ID.big0, { hold: true, blocks: 8, sourceLba: 3n, destinationLba: 1n });
  t.is(await copied(room, [discard, held]), "good");
  const answer = await room.send(FULL, LUN.disk0, command("data-lid1"));
  const expected = [...new Array(2048).fill(1), ...new Array(2048).fill(2)];
  t.deepEqual(
    [...decodeDataLid1(answer?.data ?? new Uint8Array(0))],
    [...expected, ...data(room, "disk0").subarray(3 * 512, 11 * 512)],
  );
  sound(t, room);
});

async function token(room: Room, lba: bigint, blocks: number): Promise<Uint8Array> {
  const list = encodePopulateToken({ immediate: false, inactivitySeconds: 0, ranges: [{ lba, blocks }] });
  await room.send(FULL, LUN.disk0, command("populate-token", 5, list.length), list);
  const answer = await room.send(FULL, LUN.disk0, command("token-information", 5));
  const [made] = decodeTokenInformation(answer?.data ?? new Uint8Array(0)).tokens;
  return made?.token ?? new Uint8Array(512);
}

for (const [where, lba] of [
  ["behind", 5n],
  ["before", 1n],
] as const)
  test(`a token that is written over itself, ${where} where it is from, is what it was`, async (t) => {
    const room = new Room();
    const rod = await token(room, 3n, 40);
    const before = data(room, "disk0").slice(3 * 512, 43 * 512);
    const list = encodeWriteUsingToken({
      ...{ immediate: false, deleteToken: false, offset: 0n, token: rod },
      ranges: [
        { lba: lba + 20n, blocks: 20 },
        { lba, blocks: 20 },
      ],
    });
    t.is(words(await room.send(FULL, LUN.disk0, command("write-using-token", 6, list.length), list)), "good");
    const after = data(room, "disk0").slice(Number(lba) * 512, (Number(lba) + 40) * 512);
    t.deepEqual(after, Uint8Array.from([...before.subarray(20 * 512), ...before.subarray(0, 20 * 512)]));
    sound(t, room);
    t.is(words(await room.send(FULL, LUN.disk0, command("write-using-token", 7, list.length), list)), "5/23/8");
  });
