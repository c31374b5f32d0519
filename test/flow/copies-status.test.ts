// What is told of a third-party copy: while it runs, in the foreground and in the background, when it has failed, and by
// which list identifier.
import test from "ava";
import { read6, writeFilemarks } from "../../src/wire/cdb.js";
import {
  DELAY_ENDED,
  decodeDataLid1,
  decodeDataLid4,
  decodeFailureDetails,
  STATUS_LID1,
  STATUS_LID4,
} from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { pattern, startCopyPlant, words } from "../lib/copy-plant.js";
import type { RawAnswer } from "../lib/raw-copies.js";
import { rawHost } from "../lib/raw-copies.js";
import { copied, ENTRY, endOf, MIB, receive, startSlow, statusOf, statusOfLid4 } from "../lib/slow-copies.js";

const ROOM = 8192;
const TASK_SET_FULL = 0x28;
const BUSY = 0x08;
const told = (answer: RawAnswer | undefined): string => (answer === undefined ? "nothing" : words(answer));

test("the status of a copy that runs rises, and what it tells of is written", async (t) => {
  const slow = await startSlow(t);
  const before = slow.plant.disk("disk1");
  const copy = await slow.begin();
  const counts: number[] = [];
  while (!slow.raw.has(copy) && counts.length < 12) {
    const status = await statusOf(slow.raw, ENTRY);
    if (status.status !== STATUS_LID1.RUNNING) break;
    const bytes = status.count * 1024 ** status.units;
    t.true(copied(slow.plant, before).bytes >= bytes, `${bytes} bytes`);
    t.is(status.segments, Math.floor(bytes / MIB));
    counts.push(bytes);
    // Half a MiB is written meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  t.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  );
  t.true(new Set(counts).size >= 4 && counts.length > 4, `${counts}`);
  slow.hurry();
  t.is(told(await copy.answer), "good");
  const end = await statusOf(slow.raw, ENTRY);
  t.like(end, { status: STATUS_LID1.DONE, segments: 7 });
  t.is(end.count * 1024 ** end.units, 7 * MIB);
});

test("the status of an image of a tape rises from file to file", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("tape0"), await host.cscd("tape1")];
  for (let file = 0; file < 6; file++) {
    for (let block = 0; block < 4; block++) {
      const cdb = Uint8Array.of(0x0a, 0, 1, 0, 0, 0);
      await host.send("tape0", cdb, { out: pattern(65_536, file) });
    }
    await host.send("tape0", writeFilemarks(1));
  }
  await host.send("tape0", Uint8Array.of(1, 0, 0, 0, 0, 0));
  await host.close();
  const raw = await rawHost(t, plant, host);
  for (const name of ["tape0", "tape1"] as const) await raw.send(name, new Uint8Array(6));
  plant.devices.emulated("tape1")?.pace(BigInt(MIB));
  const copy = raw.copy("tape0", cscds, [{ kind: "tape-image", source: 0, destination: 1, filemarks: 2 }]);
  const counts: number[] = [];
  while (!raw.has(copy)) {
    const status = await statusOf(raw, "tape0");
    if (status.status !== STATUS_LID1.RUNNING) break;
    counts.push(status.count * 1024 ** status.units);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  t.is(told(await copy.answer), "good");
  t.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  );
  t.true(
    counts.some((bytes) => bytes > 4 * 65_536 && bytes < 24 * 65_536),
    `${counts}`,
  );
});

test("a destination that fails: the segment that it was in, what of it is left, and what was written before", async (t) => {
  const slow = await startSlow(t);
  const before = slow.plant.disk("disk1");
  slow.hurry();
  const at = 4 * 2048 + 1000;
  const fault = { opcode: 0x8a, first: BigInt(at), last: BigInt(at), count: 1000, status: 2, key: 3, asc: 0x0c };
  slow.plant.devices.emulated("disk1")?.inject(fault);
  const answer = await slow.raw.copy(ENTRY, slow.cscds, slow.segments()).answer;
  t.is(told(answer), "a/d/1");
  const sense = answer?.sense ?? new Uint8Array(0);
  const copySense = decodeCopySense(sense);
  t.is(copySense.segment, 4);
  t.is(copySense.destination && words(copySense.destination), "3/c/0");
  const status = await statusOf(slow.raw, ENTRY);
  const bytes = status.count * 1024 ** status.units;
  t.like(status, { status: STATUS_LID1.FAILED, segments: 4 });
  t.true(bytes > 4 * MIB && bytes <= at * 512, `${bytes}`);
  t.true(copied(slow.plant, before).bytes >= bytes);
  // INFORMATION: blocks of the segment that are not written (SPC-4 5.17.7.4).
  t.is(Buffer.from(sense).readUInt32BE(3), 2048 - (bytes / 512 - 4 * 2048));
  const details = await slow.raw.send(ENTRY, receive("failure-details"), { room: ROOM });
  const detailed = decodeFailureDetails(details.data);
  t.is(detailed && words(detailed), "a/d/1");
  slow.plant.devices.emulated("disk1")?.clearFaults();
  t.is(told(await slow.raw.copy(ENTRY, slow.cscds, slow.segments()).answer), "good");
});

test("IMMED: the status at once, the copy in the background, its progress, end and held data by its identifier", async (t) => {
  const slow = await startSlow(t);
  const listId = 0x1234_5678;
  const segments = slow.segments("LID4").map((segment, index) => ({ ...segment, hold: index === 0 }) as typeof segment);
  const more = { form: "LID4", immediate: true, listId } as const;
  const copy = slow.raw.copy(ENTRY, slow.cscds, segments, more);
  t.is(told(await copy.answer), "good");
  let [last, polls] = [0n, 0];
  for (;;) {
    const status = await statusOfLid4(slow.raw, ENTRY, listId);
    if (status.status !== STATUS_LID4.BACKGROUND) break;
    t.like(status, { completion: 0, action: 1 });
    t.true(status.count >= last);
    last = status.count;
    const data = await slow.raw.send(ENTRY, receive("data-lid4", listId), { room: ROOM });
    // It may have ended by now, and held data may be more than there is room for here.
    if (polls < 20) t.is(decodeDataLid4(data.data).held.length, 0, "nothing is handed over before the end");
    if (++polls === 20) slow.hurry();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.true(polls > 0 && last > 0n);
  const room = 98_304;
  const data = decodeDataLid4((await slow.raw.send(ENTRY, receiveAll(listId), { room })).data);
  t.like(data, { status: STATUS_LID4.DONE, segments: 7, count: BigInt(7 * MIB), delayMs: DELAY_ENDED });
  // Of a MiB that is held there is room for 64 KiB.
  t.true(data.heldDiscarded);
  t.true(slow.plant.disk("disk0").subarray(0, 65_536).equals(data.held));
});

const receiveAll = (listId: number): Uint8Array => {
  const cdb = receive("data-lid4", listId);
  cdb.set([0, 1, 0x80, 0], 10);
  return cdb;
};

test("IMMED: a copy that fails in the background tells it to who asks", async (t) => {
  const slow = await startSlow(t);
  slow.plant.devices
    .emulated("disk0")
    ?.inject({ first: 5000n, last: 5000n, count: 1000, status: 2, key: 3, asc: 0x11 });
  slow.hurry();
  const more = { form: "LID4", immediate: true, listId: 3 } as const;
  t.is(told(await slow.raw.copy(ENTRY, slow.cscds, slow.segments("LID4"), more).answer), "good");
  const details = async () => slow.raw.send(ENTRY, receive("failure-details", 3), { room: ROOM });
  let found = await details();
  for (; words(found) === "5/24/0"; found = await details());
  const detailed = decodeFailureDetails(found.data);
  t.is(detailed && words(detailed), "a/d/1");
  const status = await statusOfLid4(slow.raw, ENTRY, 3);
  t.like(status, { status: STATUS_LID4.FAILED, segments: 2, completion: 2 });
  t.is(decodeCopySense(status.sense).segment, 2);
});

test("list identifiers: one that runs is in use, one that has ended is anew, without one nothing can be asked", async (t) => {
  const slow = await startSlow(t);
  const { raw, cscds } = slow;
  const copy = await slow.begin();
  t.is(told(await raw.copy(ENTRY, cscds, slow.segments()).answer), "5/0/16", "OPERATION IN PROGRESS");
  const lid4 = { form: "LID4", listId: 1 } as const;
  t.is(told(await raw.copy(ENTRY, cscds, slow.segments("LID4"), lid4).answer), "5/0/16", "in whatever form");
  const data = await raw.send(ENTRY, receive("data-lid1"), { room: ROOM });
  t.is(words(data), "5/24/0", "there is no held data before the end");
  t.is(words(await raw.send(ENTRY, receive("failure-details"), { room: ROOM })), "5/24/0");
  const [one] = slow.segments();
  const few = one === undefined ? [] : [{ ...one, blocks: 8, hold: true } as typeof one];
  slow.hurry();
  t.is(told(await copy.answer), "good");
  // Another copy with the same identifier: what was kept of the first is gone.
  t.is(told(await raw.copy(ENTRY, cscds, few).answer), "good");
  t.like(await statusOf(raw, ENTRY), { status: STATUS_LID1.DONE, segments: 1, count: 4096 });
  t.is(words(await raw.send(ENTRY, receive("status-lid1"), { room: ROOM })), "5/24/0", "a status is told once");
  const held = decodeDataLid1((await raw.send(ENTRY, receive("data-lid1"), { room: ROOM })).data);
  t.true(slow.plant.disk("disk0").subarray(0, 4096).equals(held));
  const [unheld] = few.map((segment) => ({ ...segment, hold: false }) as typeof segment);
  const nameless = { listIdUsage: 3, listId: 0 };
  t.is(told(await raw.copy(ENTRY, cscds, unheld === undefined ? [] : [unheld], nameless).answer), "good");
  t.is(words(await raw.send(ENTRY, receive("status-lid1", 0), { room: ROOM })), "5/24/0");
  // DISCARD: the status can be asked for, and nothing is held.
  t.is(told(await raw.copy(ENTRY, cscds, few, { listIdUsage: 2, listId: 6 }).answer), "good");
  const none = decodeDataLid1((await raw.send(ENTRY, receive("data-lid1", 6), { room: ROOM })).data);
  t.is(none.length, 0);
  t.like(await statusOf(raw, ENTRY, 6), { status: STATUS_LID1.DONE, segments: 1 });
});

test("sixteen copies of one nexus run at once: the next is TASK SET FULL, or BUSY where no command of its own will end", async (t) => {
  const slow = await startSlow(t);
  const { raw, cscds } = slow;
  const other = await slow.login("400001370002");
  const [one] = slow.segments();
  const segments = one === undefined ? [] : [one];
  const flying = Array.from({ length: 16 }, (_, at) => raw.copy(ENTRY, cscds, segments, { listId: at }));
  t.is((await raw.copy(ENTRY, cscds, segments, { listId: 16 }).answer)?.status, TASK_SET_FULL);
  const nameless = { listIdUsage: 3, listId: 0 };
  t.is((await raw.copy("disk0", cscds, segments, nameless).answer)?.status, TASK_SET_FULL, "wherever it is ordered");
  const others = other.copy(ENTRY, cscds, segments, { listId: 1 });
  slow.hurry();
  for (const copy of flying) t.is(told(await copy.answer), "good");
  t.is(told(await others.answer), "good", "another nexus has sixteen of its own");
  slow.plant.devices.emulated("disk1")?.pace(BigInt(MIB));
  const [shifted] = slow.segments("LID4");
  const immediate = { form: "LID4", immediate: true } as const;
  for (let listId = 0; listId < 16; listId++) {
    const more = { ...immediate, listId };
    t.is(told(await raw.copy(ENTRY, cscds, shifted === undefined ? [] : [shifted], more).answer), "good");
  }
  t.is((await raw.copy(ENTRY, cscds, segments, { listId: 99 }).answer)?.status, BUSY);
  slow.hurry();
  for (let listId = 0; listId < 16; listId++) t.is((await endOf(raw, ENTRY, listId)).status, STATUS_LID1.DONE);
});

test("segments are counted as they are done: once, however many steps they take, and also where they move nothing", async (t) => {
  const slow = await startSlow(t);
  slow.plant.devices.emulated("disk0")?.pace(BigInt(2 * MIB));
  slow.hurry();
  const [one] = slow.segments();
  if (one?.kind !== "block-block") return t.fail();
  const none = { ...one, blocks: 0 };
  // Onto itself, a MiB behind: in pieces, the last of them first; read once more before, for what is held.
  const turned = { ...one, hold: true, destination: 0, blocks: 6000, destinationLba: 2048n };
  const before = slow.plant.disk("disk0");
  const copy = slow.raw.copy(ENTRY, slow.cscds, [none, turned, none, none]);
  const seen: number[] = [];
  let status = await statusOf(slow.raw, ENTRY);
  for (; status.status === STATUS_LID1.RUNNING; status = await statusOf(slow.raw, ENTRY)) {
    seen.push(status.segments);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  t.is(told(await copy.answer), "good");
  t.true(
    slow.plant
      .disk("disk0")
      .subarray(MIB, MIB + 6000 * 512)
      .equals(before.subarray(0, 6000 * 512)),
  );
  // With the last piece of it, which may be done when the copy is looked at for the last time.
  t.true(seen.length > 3 && Math.max(...seen.slice(0, -1)) === 0, `${seen}`);
  t.is(status.segments, 4);
  t.is(status.count * 1024 ** status.units, 6000 * 512, "what is read to be held is not written twice");
  slow.plant.devices.emulated("disk0")?.pace(0n);
  // When its end is copied already, and when its beginning is read to be held.
  for (const first of [2500n, 50n]) {
    const fault = { opcode: 0x88, first, last: first, count: 1000, status: 2, key: 3, asc: 0x11 };
    slow.plant.devices.emulated("disk0")?.inject(fault);
    const failed = await slow.raw.copy(ENTRY, slow.cscds, [none, turned]).answer;
    slow.plant.devices.emulated("disk0")?.clearFaults();
    t.is(told(failed), "a/d/1");
    t.is(decodeCopySense(failed?.sense ?? new Uint8Array(0)).segment, 1);
    const { count, units, segments } = await statusOf(slow.raw, ENTRY);
    t.is(count > 0, first === 2500n);
    t.is(segments, 0);
    const residual = Buffer.from(failed?.sense ?? []).readUInt32BE(3);
    t.is(residual, 6000 - (count * 1024 ** units) / 512, "what is not written of all pieces");
  }
});

test("G_SENSE: also a copy that ends well has sense data, and no other", async (t) => {
  const slow = await startSlow(t);
  slow.hurry();
  const segments = slow.segments("LID4");
  const asked = await slow.raw.copy(ENTRY, slow.cscds, segments, { form: "LID4", goodSense: true }).answer;
  t.is(asked?.status, 0);
  t.deepEqual([asked?.sense[2], asked?.sense[12], asked?.sense[13]], [0x0f, 0x00, 0x20]);
  const unasked = await slow.raw.copy(ENTRY, slow.cscds, segments, { form: "LID4" }).answer;
  t.deepEqual([unasked?.status, unasked?.sense.length], [0, 0]);
});

test("a tape that ends early: what was read is on the disk, and the segment is told", async (t) => {
  const plant = await startCopyPlant(t);
  const host = await plant.host("a");
  const cscds = [await host.cscd("tape0"), await host.cscd("disk1")];
  for (let block = 0; block < 4; block++)
    await host.send("tape0", Uint8Array.of(0x0a, 0, 0, 2, 0, 0), { out: pattern(512, block) });
  await host.send("tape0", writeFilemarks(1));
  await host.send("tape0", Uint8Array.of(1, 0, 0, 0, 0, 0));
  const more = { hold: false, cat: false, source: 0, destination: 1, transfer: 512 } as const;
  const answer = await host.copy("tape0", cscds, [
    { kind: "stream-block", ...more, blocks: 1, lba: 0n },
    { kind: "stream-block", ...more, blocks: 8, lba: 1n },
  ]);
  t.is(words(answer), "a/d/4");
  t.is(decodeCopySense(answer.sense).segment, 1);
  t.is(Buffer.from(answer.sense).readUInt32BE(3), 5, "blocks that are not written");
  const expected = Buffer.concat([0, 1, 2, 3].map((block) => pattern(512, block)));
  t.true(plant.disk("disk1").subarray(0, 2048).equals(expected));
  t.is(words(await host.send("tape0", read6(512), { in: 512 })), "8/0/5", "behind the filemark: the end of data");
});
