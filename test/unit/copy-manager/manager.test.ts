// The copy manager among models: what is answered when, how many copies there may be, and what ends them.
import test from "ava";
import { COPY_LIMITS } from "../../../src/copy-manager/limits.js";
import type { Logger } from "../../../src/sys/log.js";
import { STATUS } from "../../../src/wire/names.js";
import { decodeStatusLid1, STATUS_LID1, STATUS_LID4 } from "../../../src/wire/xcopy/copy-results.js";
import { decodeThirdPartyPage } from "../../../src/wire/xcopy/third-party-page.js";
import { type Asking, command, ID, punt, statusOf, words } from "../../lib/copy-ask.js";
import { blockBlock } from "../../lib/copy-plans.js";
import { FULL, LUN, READER, Room, settle } from "../../lib/copy-room.js";

const SEGMENT = blockBlock(ID.disk0, ID.big0, { blocks: 8, sourceLba: 0n, destinationLba: 0n });
const EMPTY = new Uint8Array(0);

/** A room whose engine waits, and copies of one segment in it. */
function setUp() {
  const room = new Room();
  room.engine.holds = true;
  const begin = async (asking: Asking = {}): Promise<bigint> => {
    const id = punt(room, [SEGMENT], asking);
    await settle();
    return id;
  };
  const answered = (id: bigint): string => words(room.answers.get(id));
  const release = async (): Promise<void> => {
    room.engine.release();
    await settle();
  };
  return { room, begin, answered, release };
}

const sound = (t: { deepEqual: (a: unknown, b: unknown) => void }, room: Room): void =>
  t.deepEqual([...room.faults, ...room.engine.faults], []);

test("a copy is answered when it has ended, and can be asked for meanwhile and afterwards", async (t) => {
  const { room, begin, answered, release } = setUp();
  const id = await begin();
  t.is(answered(id), "nothing");
  t.is((await statusOf(room)).status, STATUS_LID4.FOREGROUND);
  const lid1 = await room.send(FULL, LUN.disk0, command("status-lid1"));
  t.like(decodeStatusLid1(lid1?.data ?? EMPTY), { status: STATUS_LID1.RUNNING, segments: 0 });
  t.is(room.manager.running().length, 1);
  await release();
  t.is(answered(id), "good");
  const { status, segments, count } = await statusOf(room);
  t.deepEqual([status, segments, count], [STATUS_LID4.DONE, 1, 4096n]);
  t.is(room.manager.running().length, 0);
  sound(t, room);
});

test("with IMMED the command is answered at once, and the copy goes on", async (t) => {
  const { room, begin, answered, release } = setUp();
  const id = await begin({ form: "LID4", immediate: true });
  t.is(answered(id), "good");
  t.is((await statusOf(room)).status, STATUS_LID4.BACKGROUND);
  await release();
  t.is((await statusOf(room)).status, STATUS_LID4.DONE);
  sound(t, room);
});

test("with G_SENSE also what went well has sense data", async (t) => {
  const { room, begin, release } = setUp();
  const id = await begin({ form: "LID4", goodSense: true });
  await release();
  const { status, sense } = room.answers.get(id) ?? { status: -1, sense: EMPTY };
  t.deepEqual([status, (sense[2] ?? 0) & 0x0f, sense[12], sense[13]], [STATUS.GOOD, 0x0f, 0x00, 0x20]);
});

test("a nexus has room for so many copies, and takes none from another", async (t) => {
  const { begin, answered, release } = setUp();
  const own = [];
  for (let listId = 0; listId < COPY_LIMITS.copiesOfNexus; listId++) own.push(await begin({ listId }));
  const more = await begin({ listId: 99 });
  t.is(answered(more), "status 28");
  const other = await begin({ nexus: READER, listId: 99 });
  // It may not write there: that is what it is told, and not that there is no room.
  t.is(answered(other), "a/d/1");
  await release();
  t.deepEqual([...new Set(own.map(answered))], ["good"]);
  t.is(answered(await begin({ listId: 99 })), "good");
});

test("a list identifier in use is refused, and nothing of the copy that has it changes", async (t) => {
  const { room, begin, answered, release } = setUp();
  const id = await begin();
  t.is(answered(await begin()), "5/0/16");
  await release();
  t.is(answered(id), "good");
  sound(t, room);
});

test("COPY OPERATION ABORT is answered when the copy is, and knows none of another unit or nexus", async (t) => {
  const { room, begin, answered } = setUp();
  const id = await begin();
  for (const [nexus, lun] of [
    [FULL, LUN.big0],
    [READER, LUN.disk0],
  ] as const)
    t.is(words(await room.send(nexus, lun, command("abort"))), "5/24/0");
  t.is(answered(id), "nothing");
  const abort = room.punt(FULL, LUN.disk0, command("abort"));
  await settle();
  t.is(answered(abort), "good");
  t.is(answered(id), "a/d/0");
  t.deepEqual([...room.answers.keys()].slice(-2), [id, abort]);
  t.is((await statusOf(room)).status, STATUS_LID4.TERMINATED);
  t.is(words(await room.send(FULL, LUN.disk0, command("abort", 2))), "5/24/0");
  sound(t, room);
});

test("a command that nobody wants any more is answered all the same, with the end of its copy", async (t) => {
  const { room, begin, answered, release } = setUp();
  const [gone, other] = [await begin(), await begin({ listId: 2 })];
  room.manager.onNote({ kind: "punt-gone", punt: gone });
  await settle();
  await release();
  t.is(answered(gone), "a/d/0");
  t.is(answered(other), "good");
  t.is((await statusOf(room)).status, STATUS_LID4.TERMINATED);
  sound(t, room);
});

const reset = (nexus: number, lun: number, how: number) =>
  ({ kind: "reset", nexus, lun, unit: 0, function: how }) as const;

test("a reset of a unit ends the copies that came to it, and nobody can ask for them", async (t) => {
  const { room, begin, answered, release } = setUp();
  const [here, there] = [await begin(), await begin({ at: "tape0" })];
  room.manager.onNote(reset(READER, LUN.disk0, 5));
  await settle();
  await release();
  t.deepEqual([answered(here), answered(there)], ["a/d/0", "good"]);
  t.is(words(await room.send(FULL, LUN.disk0, command("status-lid4"))), "5/24/0");
  t.is((await statusOf(room, 1, "tape0")).status, STATUS_LID4.DONE);
});

test("the loss of a nexus ends its copies alone", async (t) => {
  for (const lose of [
    (room: Room) => room.manager.nexusClosed(`nexus ${FULL}`),
    (room: Room) => room.manager.onNote(reset(FULL, LUN.disk0, 0x10)),
  ]) {
    const { room, begin, answered, release } = setUp();
    const id = await begin({ at: "big0" });
    room.manager.nexusClosed(`nexus ${READER}`);
    await settle();
    t.is(answered(id), "nothing");
    lose(room);
    await settle();
    t.is(answered(id), "a/d/0");
    await release();
    t.is(words(await room.send(FULL, LUN.big0, command("status-lid4"))), "5/24/0");
    sound(t, room);
  }
});

test("a copy that has lost its right ends as its own command would, and who waits for the device waits for it", async (t) => {
  const { room, begin, answered } = setUp();
  const id = await begin();
  let drained = false;
  const paths = room.paths.get(FULL);
  const unit = paths?.get(LUN.big0)?.unit ?? -1;
  await room.manager.drained(unit);
  paths?.delete(LUN.big0);
  room.manager.judge();
  const draining = room.manager.drained(unit).then(() => {
    drained = true;
  });
  t.false(drained);
  await draining;
  t.is(answered(id), "a/d/1");
  t.is((await statusOf(room)).status, STATUS_LID4.FAILED);
  t.is(room.engine.bytesInUse, 0);
  sound(t, room);
});

test("at the end all copies end, and each is answered", async (t) => {
  const { room, begin, answered } = setUp();
  const ids = [await begin(), await begin({ listId: 2 }), await begin({ at: "tape1", form: "LID4", immediate: true })];
  await room.manager.close();
  t.deepEqual(ids.map(answered), ["a/d/0", "a/d/0", "good"]);
  await room.units.stop();
  room.memory.stop();
  t.deepEqual([room.open, room.engine.arenas, room.engine.bytesInUse], [0, 0, 0]);
  sound(t, room);
});

test("what is none of its commands, or has no list, is told so, and begins nothing", async (t) => {
  const room = new Room();
  const send = async (lun: number, cdb: Uint8Array, data?: Uint8Array): Promise<string> =>
    words(await room.send(FULL, lun, cdb, data));
  t.is(await send(LUN.disk0, command("copy-lid1", 0, 0)), "good");
  t.is(await send(LUN.disk0, command("copy-lid1", 0, 100), new Uint8Array(99)), "5/1a/0");
  t.is(await send(LUN.disk0, Uint8Array.of(0x83, 0x1b, ...new Uint8Array(14))), "5/24/0");
  t.is(await send(LUN.disk0, Uint8Array.of(0x84, 0x00)), "5/24/0");
  for (const kind of ["populate-token", "write-using-token", "token-information"] as const)
    t.is(await send(LUN.tape0, command(kind, 1, 100), new Uint8Array(100)), "5/24/0", kind);
  t.is(await send(9, command("status-lid4")), "status 8");
  t.is(words(await room.send(99, LUN.disk0, command("status-lid4"))), "status 8");
  t.is(room.engine.runs, 0);
  sound(t, room);
});

test("a unit that is reserved for another has no copies, whatever units they name", async (t) => {
  const room = new Room();
  const id = punt(room, [SEGMENT], { nexus: READER, at: "tape0" });
  await settle();
  t.is(words(room.answers.get(id)), "status 18");
  // Who asks for what there is, is answered.
  t.is(words(await room.send(READER, LUN.tape0, command("operating-parameters"))), "good");
});

test("VPD page 8Fh is told as far as there is room, also of a disk that does not answer", async (t) => {
  const page = (bytes: number): Uint8Array => Uint8Array.of(0x12, 1, 0x8f, bytes >> 8, bytes & 0xff, 0);
  const room = new Room();
  t.true(room.manager.takes(page(10)));
  const whole = (await room.send(FULL, LUN.big0, page(4096)))?.data ?? EMPTY;
  const [limits] = decodeThirdPartyPage(whole);
  t.like(limits, { kind: "block-rod-limits", optimalBlocks: 16_384n });
  t.deepEqual((await room.send(FULL, LUN.big0, page(10)))?.data, whole.subarray(0, 10));
  await room.rest();
  room.broken = "big0";
  const [silent] = decodeThirdPartyPage((await room.send(FULL, LUN.big0, page(4096)))?.data ?? EMPTY);
  t.like(silent, { kind: "block-rod-limits", optimalBlocks: 0n });
  t.is(words(await room.send(FULL, LUN.tape0, page(4096))), "good");
});

test("REPORT ALL ROD TOKENS tells of those of disks that the nexus may read", async (t) => {
  const room = new Room();
  const populate = Uint8Array.of(0, 30, ...new Uint8Array(12), 0, 16, ...new Uint8Array(11), 4, 0, 0, 0, 0);
  for (const lun of [LUN.disk0, LUN.big0]) {
    const cdb = command("populate-token", 5, populate.length);
    t.is(words(await room.send(FULL, lun, cdb, populate)), "good");
  }
  const bytes = async (nexus: number) => (await room.send(nexus, LUN.disk0, command("all-tokens")))?.data.length;
  t.deepEqual([await bytes(FULL), await bytes(READER)], [8 + 2 * 96, 8 + 96]);
});

test("a defect of the bridge is told as one, and is in its log", async (t) => {
  const logged: unknown[] = [];
  const log = { error: ({ error }: { error: unknown }) => logged.push(error) } as unknown as Logger;
  const room = new Room({ log });
  const defect = new Error("there is something wrong");
  room.tokens.report = () => {
    throw defect;
  };
  t.is(words(await room.send(FULL, LUN.disk0, command("all-tokens"))), "4/44/0");
  t.deepEqual(logged, [defect]);
});
