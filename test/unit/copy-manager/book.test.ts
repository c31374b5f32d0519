// The book of third-party copies, on a clock and a store of the test: what is told at once, what in sums, what is stored.
import test from "ava";
import { AllJobs } from "../../../src/control/all-jobs.js";
import { jobPage } from "../../../src/control/job-commands.js";
import type { JobQueue } from "../../../src/copy/job-queue.js";
import type { JobSpec } from "../../../src/job.js";
import { copyRows } from "../../../src/shell/copy-rows.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { SENSE_KEY } from "../../../src/wire/names.js";
import { ASC, aborted, CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import { bookLife, HOST, reportOf, wellFormed } from "../../lib/copy-book.js";

test("a short copy costs no write and no message; it is remembered, and told of in one sum with those like it", async (t) => {
  const { book, store, told, clock, copy, end } = await bookLife();
  for (let turn = 0; turn < 3; turn++) end(copy({ uses: { d0: "read", d1: "write" }, bytes: 65_536n }));
  end(copy({ initiator: "iqn.b", uses: { d0: "read" }, bytes: 1n }));
  const [first] = book.list();
  t.like(wellFormed(t, reportOf(book, first?.jobId)), {
    type: "copy",
    state: "succeeded",
    bytesDone: 65_536n,
    copy: { initiator: HOST, lun: 2, sources: ["d0"], destinations: ["d1"], segments: 4, offloaded: true },
  });
  t.is(store.writes, 0);
  clock.advance(4999);
  t.deepEqual(told.sums, []);
  clock.advance(2000);
  t.deepEqual(
    told.sums.map(({ initiator, count, bytes }) => [initiator, count, bytes]),
    [
      [HOST, 3, 196_608n],
      ["iqn.b", 1, 1n],
    ],
  );
  clock.advance(60_000);
  t.is(told.sums.length, 2);
  t.deepEqual([told.reports, told.progress, store.writes, clock.pending], [[], [], 0, 0]);
});

test("of short copies the latest 256 are remembered, and nothing that servers do makes more", async (t) => {
  const { book, copy, end, told, clock } = await bookLife();
  for (let turn = 0; turn < 1000; turn++) end(copy({ initiator: `iqn.${turn}` }));
  t.is(book.list().length, 256);
  t.is(book.list()[0]?.jobId, "copy-b00t-745");
  clock.advance(6000);
  t.is(told.sums.length, 64);
  t.like(told.sums.at(-1), { initiator: "several", count: 937 });
  t.deepEqual(book.counts, { running: 0, offloaded: 1000, failed: 0, refused: 0, bytes: 0n });
});

test("a copy that runs for long shows its progress each second, and has a record and a report", async (t) => {
  const life = await bookLife();
  const { book, told, clock, store, journal } = life;
  const long = life.copy({ uses: { d0: "read", t0: "position" } });
  clock.advance(999);
  t.deepEqual([told.progress.length, store.writes], [0, 0]);
  for (const bytes of [1000n, 3000n, 5000n]) {
    long.operation.progress({ bytes, segments: 1 });
    clock.advance(1000);
  }
  t.deepEqual(
    told.progress.map(({ bytesDone }) => bytesDone),
    [1000n, 3000n, 5000n],
  );
  t.like(wellFormed(t, told.progress.at(-1)), { bytesPerS: 1666n, membersDone: 1, membersTotal: 4 });
  t.like(told.progress[0], { state: "running", copy: { destinations: ["t0"], segmentsDone: 1, offloaded: true } });
  await life.settle();
  t.is(store.writes, 1, "its record is not written at each look");
  clock.advance(10_000);
  await life.settle();
  t.is(store.writes, 2);
  life.end(long);
  await life.settle();
  const jobId = "copy-b00t-1";
  t.deepEqual(told.reports, [jobId]);
  t.like(journal.reportOf(jobId), {
    state: "succeeded",
    bytesDone: 5000n,
    startedMs: reportOf(book, jobId).submittedMs,
  });
  t.deepEqual(journal.reports.untold, [jobId]);
  clock.advance(10_000);
  t.deepEqual(told.sums, [], "what has a report is in no sum");
});

test("a loss of power: what had a record ends as interrupted in the next life, and nobody goes on with it", async (t) => {
  const store = new MemoryStore();
  const first = await bookLife(store);
  const long = first.copy({ uses: { d0: "read" } });
  first.copy({ initiator: "iqn.b" });
  long.operation.progress({ bytes: 77n });
  first.clock.advance(1000);
  await first.settle();
  const second = await bookLife(store, "next");
  t.deepEqual(second.told.reports, ["copy-b00t-1", "copy-b00t-2"]);
  const report = wellFormed(t, reportOf(second.book, "copy-b00t-1"));
  t.like(report, {
    state: "failed",
    bytesDone: 77n,
    failure: { code: "COPY_INTERRUPTED" },
    copy: { offloaded: false },
  });
  t.deepEqual(second.journal.all(), [], "it is no job of the queue");
  const third = await bookLife(store, "third");
  t.deepEqual(third.told.reports, [], "once");
  t.is(third.book.list().length, 2);
});

test("refused copies: the first of a kind has a report at once, then one each ten seconds, with what came meanwhile", async (t) => {
  const { book, told, clock, refuse, settle, store } = await bookLife();
  for (let turn = 0; turn < 500; turn++) refuse({ problem: `The ${turn}th.` });
  refuse({ device: "d9" });
  refuse({ status: 0x28, sense: new Uint8Array(0) });
  await settle();
  t.deepEqual(told.reports, ["copy-b00t-1", "copy-b00t-501", "copy-b00t-502"]);
  t.is(store.writes, 3);
  t.like(wellFormed(t, reportOf(book, "copy-b00t-1")), {
    state: "rejected",
    failure: { code: "COPY_REFUSED", message: "The 0th.", device: "d0", details: { count: 1, byte: 12 } },
    copy: { command: "EXTENDED COPY(LID4)", listId: 5, offloaded: false, segments: 0 },
  });
  t.regex(
    reportOf(book, "copy-b00t-1").copy?.sense ?? "",
    /^ILLEGAL REQUEST: invalid field in parameter list \(26h\/00h\)/,
  );
  t.is(reportOf(book, "copy-b00t-502").copy?.sense, "TASK SET FULL");
  clock.advance(9000);
  t.is(told.reports.length, 3);
  clock.advance(2000);
  await settle();
  t.deepEqual(told.reports.slice(3), ["copy-b00t-500"]);
  t.like(reportOf(book, "copy-b00t-500").failure, { message: "The 499th.", details: { count: 499 } });
  clock.advance(60_000);
  t.is(clock.pending, 0, "nobody looks when there is nothing to tell");
});

test("of all kinds together no more reports are made than can be read", async (t) => {
  const { told, clock, refuse, settle } = await bookLife();
  for (let turn = 0; turn < 2000; turn++) refuse({ initiator: `iqn.${turn}` });
  await settle();
  t.is(told.reports.length, 20);
  clock.advance(59_000);
  await settle();
  t.is(told.reports.length, 20);
  clock.advance(2000);
  await settle();
  t.is(told.reports.length, 40);
  clock.advance(7_200_000);
  await settle();
  t.is(told.reports.length, 1020, "of kinds that wait the latest thousand are remembered");
});

test("a copy that is younger than a second when others are looked at is none that runs for long", async (t) => {
  const { told, clock, copy, end, settle, store } = await bookLife();
  copy({});
  clock.advance(600);
  const young = copy({});
  clock.advance(500);
  end(young);
  await settle();
  t.deepEqual(
    told.progress.map(({ jobId }) => jobId),
    ["copy-b00t-1"],
  );
  t.is(store.writes, 1);
});

test("a copy that fails tells segment, field, what the server got and what the device said", async (t) => {
  const { book, copy, end } = await bookLife();
  const device = { status: 2, sense: Uint8Array.of(0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0) };
  const fault = { key: SENSE_KEY.COPY_ABORTED, asc: 0x0d, ascq: 1, segment: 1, residual: 8n, source: device };
  const failed = copy({ uses: { d0: "read", d1: "write" }, segmentsDone: 1 });
  end(failed, new CopyRefusal(fault, "the source device failed"));
  end(copy({}), aborted(ASC.UNREACHABLE, "there is none", 3, { byte: 4, inSegment: true }));
  const [first, second] = book.list().map(({ jobId }) => wellFormed(t, reportOf(book, jobId)));
  t.like(first, { state: "failed", copy: { segmentsDone: 1, offloaded: false }, failure: { device: "d0" } });
  t.regex(first?.copy?.sense ?? "", /^COPY ABORTED: .*\(0Dh\/01h\).*, segment 1$/);
  t.is(first?.failure?.sense, "MEDIUM ERROR: unrecovered read error (11h/00h)");
  t.regex(second?.failure?.message ?? "", /in segment 3 at byte 4 of the descriptor: there is none\.$/);
  t.deepEqual(
    copyRows(book).map(({ result }) => String(result).split(":")[0]),
    ["FAILED after 1 of 4 segments", "FAILED after 0 of 4 segments"],
  );
});

test("a copy that runs is steered as a job is, by the broker and at the bridge; one that ended is not", async (t) => {
  const { book, copy, end, told, settle } = await bookLife();
  const one = copy({});
  const jobId = "copy-b00t-1";
  book.pause(jobId);
  t.like(told.progress, [{ state: "paused" }]);
  t.like(copyRows(book), [{ jobId, result: "paused, 0 of 4 segments" }]);
  book.resume(jobId);
  book.rate(jobId, 1000n);
  t.deepEqual([one.control.paused, one.control.bytesPerS], [false, 1000n]);
  t.false(await book.forget(jobId));
  book.cancel(jobId);
  t.is(one.stopped?.why, "cancelled");
  end(one, one.stopped?.refusal);
  t.is(reportOf(book, jobId).state, "cancelled");
  t.regex(String(copyRows(book)[0]?.result), /^cancelled after 0 of 4 segments: COPY ABORTED/);
  t.notThrows(() => book.cancel(jobId));
  for (const steer of [() => book.pause(jobId), () => book.resume(jobId), () => book.rate(jobId, 1n)])
    t.throws(steer, { code: "JOB_NOT_RUNNING" });
  end(copy({}));
  t.throws(() => book.cancel("copy-b00t-2"), { code: "JOB_CANCEL_REFUSED" });
  await settle();
  told.reports.splice(0);
  t.true(await book.forget(jobId));
  t.true(await book.forget("copy-b00t-2"));
  t.deepEqual(told.reports, [jobId], "what was retained is cleared");
  for (const gone of [jobId, "copy-b00t-2"]) t.throws(() => book.progress(gone), { code: "JOB_UNKNOWN" });
});

test("a stop of the daemon is told as one, and waits for what is to be stored", async (t) => {
  const store = new MemoryStore();
  const life = await bookLife(store);
  const one = life.copy({});
  life.clock.advance(1000);
  one.stop("shutdown");
  life.end(one, one.stopped?.refusal);
  life.end(life.copy({}));
  await life.book.stop();
  t.is(life.told.sums.length, 1);
  t.like((await bookLife(store, "next")).journal.ended(), [{ state: "failed", failure: { code: "COPY_INTERRUPTED" } }]);
});

test("while nobody takes reports there are no more than are kept and a reserve; when they were taken the oldest go", async (t) => {
  const life = await bookLife(new MemoryStore(), "b00t", 10);
  const { book, journal, told, clock, refuse, settle } = life;
  for (let minute = 0; minute < 20; minute++) {
    for (let turn = 0; turn < 20; turn++) refuse({ initiator: `iqn.${minute}.${turn}` });
    clock.advance(60_000);
    await settle();
  }
  t.is(journal.copies.all().length, 266);
  t.true(book.counts.refused === 400);
  for (const jobId of journal.reports.untold) await journal.reports.told(jobId, journal.reports.stamp(jobId) ?? 0, 1n);
  told.reports.splice(0);
  clock.advance(60_000);
  const long = life.copy({});
  clock.advance(1000);
  await settle();
  life.end(long);
  await settle();
  t.is(journal.copies.all().length, 266, "there was no room when it began to run for long");
  const { jobId } = journal.copies.all()[0]?.progress ?? { jobId: "" };
  t.true(await book.forget(jobId));
  refuse({ initiator: "iqn.z" });
  await settle();
  t.is(journal.copies.all().length, 10);
  t.is(told.reports.length, 1 + 256 + 1, "and what is retained of them is cleared");
  t.is((await bookLife(life.store, "next")).journal.copies.size, 10, "on stable storage, too");
});

test("a state directory that takes no writes is asked again, and no end is lost", async (t) => {
  const { book, store, told, clock, refuse, settle, journal } = await bookLife();
  store.failNext = true;
  refuse({});
  await settle();
  t.deepEqual([told.reports, journal.ended().length], [[], 0]);
  t.is(book.list().length, 1);
  store.failNext = true;
  for (const reports of [0, 1]) {
    clock.advance(1000);
    await settle();
    t.deepEqual([told.reports.length, journal.ended().length, book.list().length], [reports, reports, 1]);
  }
});

test("jobs and copies are one list; the id of a copy, also of one to come, is nobody's to submit", async (t) => {
  const { book, copy, end } = await bookLife();
  copy({});
  end(copy({}));
  const job = { jobId: "j", type: "verify", state: "queued" };
  const queue = {
    list: () => [{ spec: { jobId: "j" }, submittedMs: 1 }],
    progress: () => job,
    submit: async () => "queued",
  } as unknown as JobQueue;
  const all = new AllJobs(queue, book);
  t.deepEqual(
    jobPage(all, undefined, undefined, 10).jobs.map(({ jobId }) => jobId),
    ["j", "copy-b00t-1", "copy-b00t-2"],
  );
  t.is(await all.submit({ jobId: "j" } as JobSpec), "queued");
  for (const jobId of ["copy-b00t-1", "copy-b00t-9"])
    await t.throwsAsync(all.submit({ jobId } as JobSpec), { code: "JOB_ID_REUSED" });
});
