// What ends a third-party copy that runs, and what is left: each task management function, the session, the key, the abort
// of SPC-4, a job of the broker, the bridge itself. Of each the outcome, the partial result, and that the same copy works
// afterwards.
import test, { type ExecutionContext } from "ava";
import { encodeCopyCommand } from "../../src/wire/xcopy/commands.js";
import { STATUS_LID1, STATUS_LID4, type StatusLid1 } from "../../src/wire/xcopy/copy-results.js";
import { decodeCopySense } from "../../src/wire/xcopy/copy-sense.js";
import { words } from "../lib/copy-plant.js";
import { FUNCTION, type RawAnswer } from "../lib/raw-copies.js";
import { copied, ENTRY, MIB, receive, type SlowCopies, startSlow, statusOf, statusOfLid4 } from "../lib/slow-copies.js";

const GOOD = 0;
const COMPLETE = 0;
const ROOM = 8192;
const TEST_UNIT_READY = new Uint8Array(6);
const ISID = "400001370001";

const abort = (listId = 1): Uint8Array => encodeCopyCommand({ kind: "abort", listId, length: 0 });
const told = (answer: RawAnswer | undefined): string => (answer === undefined ? "nothing" : words(answer));

/** Bytes and segments that the status tells are those that were written, to the byte, and it had not ended by itself. */
function exact(t: ExecutionContext<unknown>, { plant }: SlowCopies, before: Buffer, status: StatusLid1): void {
  const { bytes, restAsBefore } = copied(plant, before);
  t.is(status.count * 1024 ** status.units, bytes);
  t.true(restAsBefore, "nothing behind it was written");
  t.is(status.segments, Math.floor(bytes / MIB));
  t.true(bytes > 0 && bytes < 7 * MIB, `${bytes} bytes`);
}

/** The sense data tell the segment that was under way, and how many blocks of it are not written (SPC-4 5.17.7.4). */
function left(t: ExecutionContext<unknown>, answer: RawAnswer | undefined, bytes: number): void {
  const sense = Buffer.from(answer?.sense ?? []);
  const segment = Math.floor(bytes / MIB);
  t.is(decodeCopySense(sense).segment, segment);
  t.is(sense.readUInt32BE(3), ((segment + 1) * MIB - bytes) / 512);
}

/** Memory, devices and list identifiers are free again. */
async function worksAgain(t: ExecutionContext<unknown>, slow: SlowCopies, raw = slow.raw): Promise<void> {
  slow.hurry();
  for (let turn = 0; turn < 3; turn++) {
    for (const name of [ENTRY, "disk0", "disk1"] as const) await raw.send(name, TEST_UNIT_READY);
    t.is(told(await raw.copy(ENTRY, slow.cscds, slow.segments()).answer), "good");
  }
  const [from, to] = [slow.plant.disk("disk0"), slow.plant.disk("disk1")];
  t.true(to.subarray(0, 7 * MIB).equals(from.subarray(0, 7 * MIB)));
  t.like(await statusOf(raw, ENTRY), { status: STATUS_LID1.DONE, segments: 7 });
}

for (const name of ["ABORT_TASK", "ABORT_TASK_SET"] as const)
  test(`${name}: no answer to the copy, and its status tells how far it came`, async (t) => {
    const slow = await startSlow(t);
    const { raw, plant } = slow;
    const before = plant.disk("disk1");
    const copy = await slow.begin();
    t.is(await raw.manage(ENTRY, FUNCTION[name], copy), COMPLETE);
    const then = plant.disk("disk1");
    const status = await statusOf(raw, ENTRY);
    t.is(status.status, STATUS_LID1.FAILED, "it has ended before that is answered (SAM-5 7.2)");
    await new Promise((resolve) => setTimeout(resolve, 200));
    t.true(plant.disk("disk1").equals(then), "nothing is written behind the answer");
    exact(t, slow, before, status);
    t.is((await raw.start(ENTRY, TEST_UNIT_READY).answer)?.status, GOOD, "no unit attention for who aborts its own");
    t.false(raw.has(copy), "an aborted task is not answered (SAM-5 5.3.1)");
    await worksAgain(t, slow);
  });

test("ABORT TASK SET of another nexus leaves a copy alone", async (t) => {
  const slow = await startSlow(t);
  const other = await slow.login("400001370002");
  const copy = await slow.begin();
  t.is(await other.manage(ENTRY, FUNCTION.ABORT_TASK_SET), COMPLETE);
  slow.hurry();
  t.is(told(await copy.answer), "good");
});

test("LOGICAL UNIT RESET ends the copies of all at that unit, also those in the background, and nobody can ask for them", async (t) => {
  const slow = await startSlow(t);
  const { raw, plant } = slow;
  const other = await slow.login("400001370002", await plant.host("b"));
  const copy = await slow.begin();
  const immediate = { form: "LID4", immediate: true, listId: 9 } as const;
  const background = other.copy(ENTRY, slow.cscds, slow.segments("LID4"), immediate);
  t.is(told(await background.answer), "good");
  t.is(await other.manage(ENTRY, FUNCTION.LU_RESET), COMPLETE);
  for (const [host, listId] of [
    [raw, 1],
    [other, 9],
  ] as const) {
    t.is(told(await host.start(ENTRY, TEST_UNIT_READY).answer), "6/29/3", "BUS DEVICE RESET FUNCTION OCCURRED");
    const asked = await host.send(ENTRY, receive("status-lid4", listId), { room: ROOM });
    t.is(words(asked), "5/24/0");
  }
  t.false(raw.has(copy));
  await worksAgain(t, slow);
});

test("a reset of a unit that a copy only names does not end the copy", async (t) => {
  const slow = await startSlow(t);
  const other = await slow.login("400001370002", await slow.plant.host("b"));
  const copy = await slow.begin();
  t.is(await other.manage("disk0", FUNCTION.LU_RESET), COMPLETE);
  slow.hurry();
  t.is(told(await copy.answer), "good");
});

test("the session of a copy goes: so does the copy, and the same nexus that comes again knows nothing of it", async (t) => {
  const slow = await startSlow(t);
  const { plant } = slow;
  const before = plant.disk("disk1");
  await slow.begin();
  slow.raw.close();
  const again = await slow.login(ISID);
  const asked = await again.send(ENTRY, receive("status-lid1"), { room: ROOM });
  t.is(words(asked), "5/24/0");
  // At a command boundary, which is soon: what it has written then stays what it is.
  await settled(slow);
  const { bytes, restAsBefore } = copied(plant, before);
  t.true(restAsBefore && bytes < 7 * MIB);
  await worksAgain(t, slow, again);
});

for (const name of ["disk0", "disk1"] as const)
  test(`the key for ${name} is revoked while it is copied: the copy ends as its own command would`, async (t) => {
    const slow = await startSlow(t);
    const before = slow.plant.disk("disk1");
    const copy = await slow.begin();
    await slow.plant.revoke(slow.host, name);
    const answer = await copy.answer;
    t.is(told(answer), "a/d/1");
    const sense = decodeCopySense(answer?.sense ?? new Uint8Array(0));
    const said = name === "disk0" ? sense.source : sense.destination;
    t.is(said && words(said), "5/20/2");
    const status = await statusOf(slow.raw, ENTRY);
    t.is(status.status, STATUS_LID1.FAILED);
    exact(t, slow, before, status);
    left(t, answer, status.count * 1024 ** status.units);
  });

test("a device that a later segment names is judged when its turn comes", async (t) => {
  const slow = await startSlow(t);
  const { raw, plant } = slow;
  const late = { kind: "block-block", hold: false, cat: false, destinationCount: false, blocks: 1 } as const;
  const segments = [
    ...slow.segments().slice(0, 2),
    { kind: "verify", source: 0, testUnitReady: true } as const,
    { ...late, source: 2, destination: 1, sourceLba: 0n, destinationLba: 16_000n },
  ];
  const copy = raw.copy("disk0", slow.cscds, segments);
  for (let count = 0; count === 0; ) ({ count } = await statusOf(raw, "disk0"));
  const before = plant.disk("disk1").subarray(16_000 * 512);
  await plant.revoke(slow.host, ENTRY);
  slow.hurry();
  const answer = await copy.answer;
  t.is(told(answer), "a/8/4");
  t.is(decodeCopySense(answer?.sense ?? new Uint8Array(0)).segment, 3);
  t.true(
    plant
      .disk("disk1")
      .subarray(16_000 * 512)
      .equals(before),
  );
});

test("the key for the unit that has the command is revoked: nothing more is written", async (t) => {
  const slow = await startSlow(t);
  const before = slow.plant.disk("disk1");
  const copy = await slow.begin();
  await slow.plant.revoke(slow.host, ENTRY);
  await copy.answer;
  await settled(slow);
  const { bytes, restAsBefore } = copied(slow.plant, before);
  t.true(restAsBefore && bytes < 7 * MIB);
});

test("COPY OPERATION ABORT: of another nexus or unit it knows no such copy; of its own it answers when the copy has ended", async (t) => {
  const slow = await startSlow(t);
  const { raw, plant } = slow;
  const before = plant.disk("disk1");
  const others = [await slow.login("400001370002"), await slow.login(ISID, await plant.host("b"))];
  const copy = await slow.begin({ form: "LID4" });
  for (const other of others) t.is(words(await other.send(ENTRY, abort())), "5/24/0");
  t.is(words(await raw.send("disk0", abort())), "5/24/0", "another unit");
  t.is(words(await raw.send(ENTRY, abort(2))), "5/24/0", "another identifier");
  t.is(words(await raw.send(ENTRY, abort())), "good");
  t.true(raw.has(copy), "the copy has its status first");
  const answer = await copy.answer;
  t.is(told(answer), "a/d/0");
  const status = await statusOfLid4(raw, ENTRY);
  left(t, answer, Number(status.count));
  t.is(status.status, STATUS_LID4.TERMINATED);
  t.is(words({ status: status.completion, sense: status.sense }), "a/d/0");
  exact(t, slow, before, { ...status, count: Number(status.count), heldDiscarded: false });
  await worksAgain(t, slow);
});

test("COPY OPERATION ABORT ends a copy in the background; one that has ended is no error", async (t) => {
  const slow = await startSlow(t);
  const before = slow.plant.disk("disk1");
  const copy = await slow.begin({ form: "LID4", immediate: true });
  t.is(told(await copy.answer), "good");
  t.is(words(await slow.raw.send(ENTRY, abort())), "good");
  t.is(words(await slow.raw.send(ENTRY, abort())), "good");
  const status = await statusOfLid4(slow.raw, ENTRY);
  t.is(status.status, STATUS_LID4.TERMINATED);
  exact(t, slow, before, { ...status, count: Number(status.count), heldDiscarded: false });
  await worksAgain(t, slow);
});

for (const [device, role] of [
  ["disk0", "source"],
  ["disk1", "destination"],
] as const)
  test(`a job of the broker claims the ${role}: it has it when the copy has let go, and not before`, async (t) => {
    const slow = await startSlow(t);
    const before = slow.plant.disk("disk1");
    const copy = await slow.begin();
    const watch = { lost: () => undefined, free: () => undefined, yield: () => undefined };
    const job = { jobId: "j1", priority: 100 };
    const release = await slow.plant.arbiter().claim(job, [{ device, access: "write" }], watch);
    const after = copied(slow.plant, before);
    const answer = await copy.answer;
    t.is(told(answer), "a/d/1");
    const said = decodeCopySense(answer?.sense ?? new Uint8Array(0))[role];
    t.is(said?.status, 0x18);
    exact(t, slow, before, await statusOf(slow.raw, ENTRY));
    t.deepEqual(copied(slow.plant, before), after, "nothing was written since the job has it");
    t.is(told(await slow.raw.copy(ENTRY, slow.cscds, slow.segments()).answer), "a/d/1", "no copy begins");
    release();
    await worksAgain(t, slow);
  });

test("the bridge is closed while it copies: at once, with nothing left open, and it can be started again", async (t) => {
  const slow = await startSlow(t);
  const before = slow.plant.disk("disk1");
  await slow.begin();
  await slow.begin({ form: "LID4", immediate: true, listId: 7 });
  t.is(slow.plant.arenas(), 1);
  await slow.plant.restart();
  const { bytes, restAsBefore } = copied(slow.plant, before);
  t.true(restAsBefore && bytes < 7 * MIB);
  t.is(slow.plant.arenas(), 0, "the memory of the rings is given back");
  await worksAgain(t, slow, await slow.login(ISID));
});

/** Until a copy that nobody can ask for writes no more: another needs both disks and gets them. */
async function settled({ plant }: SlowCopies): Promise<void> {
  for (let before = plant.media(), same = 0; same < 5; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = plant.media();
    same = now === before ? same + 1 : 0;
    before = now;
  }
}
