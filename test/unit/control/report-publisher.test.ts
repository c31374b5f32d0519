// What the server is told again, and when: the ledger over a store in memory, the publisher over a door that a test
// answers for, and the view of our own state.
import test from "ava";
import { encode } from "../../../src/control/codec.js";
import type { StateMessage } from "../../../src/control/messages/events.js";
import { OwnState } from "../../../src/control/own-state.js";
import { ReportPublisher } from "../../../src/control/report-publisher.js";
import type { JobRecord } from "../../../src/copy/job-record.js";
import { Journal } from "../../../src/copy/journal.js";
import type { JobReport, JobSpec } from "../../../src/job.js";
import { silentLogger } from "../../../src/sys/log.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";

const record = (jobId: string): JobRecord => ({
  spec: { jobId, type: "verify", keys: [], priority: 1, options: {} } as JobSpec,
  state: "running",
  archiveId: "a",
  submittedMs: 1,
  volumes: [],
  tapeBlockBytes: 512,
  resumes: 0,
  lost: [],
});

const report = (jobId: string): JobReport => ({ jobId, state: "succeeded", endedMs: 2 }) as JobReport;

const gone = (bdSeq: bigint): StateMessage => ({ online: false, bdSeq }) as StateMessage;

/** A life of the daemon over a store; the server acknowledges at once, or when the test says so. */
async function life(store: MemoryStore, hold = false) {
  const journal = new Journal(store);
  journal.load();
  const told: string[] = [];
  const held: (() => void)[] = [];
  const say = (what: string): Promise<void> => {
    told.push(what);
    return hold ? new Promise((resolve) => held.push(resolve)) : Promise.resolve();
  };
  const door = {
    report: ({ jobId }: JobReport) => say(jobId),
    clearReport: (jobId: string) => say(`-${jobId}`),
  };
  const publisher = new ReportPublisher({ journal, door: () => door, log: silentLogger() });
  const end = async (jobId: string): Promise<void> => {
    await journal.finish(record(jobId), report(jobId));
    publisher.changed(jobId);
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  };
  /** What was told since the last time. */
  const news = async (): Promise<string[]> => {
    await settle();
    return told.splice(0);
  };
  return { journal, publisher, held, end, news, settle };
}

test("nothing goes out before it is known what the server has; then what it was not told, and not a second time", async (t) => {
  const store = new MemoryStore();
  const first = await life(store);
  await first.end("a");
  await first.end("b");
  t.deepEqual(await first.news(), []);
  await first.publisher.connected(1n, undefined);
  t.deepEqual(await first.news(), ["a", "b"]);

  const second = await life(store);
  await second.publisher.connected(2n, gone(1n));
  t.deepEqual(await second.news(), []);
  await second.end("c");
  t.deepEqual(await second.news(), ["c"]);
});

test("what was not acknowledged when the daemon or the connection ended is told again", async (t) => {
  const store = new MemoryStore();
  const first = await life(store, true);
  await first.publisher.connected(1n, undefined);
  await first.end("a");
  t.deepEqual(await first.news(), ["a"]);
  const second = await life(store, true);
  await second.publisher.connected(2n, gone(1n));
  t.deepEqual(await second.news(), ["a"]);
  second.publisher.disconnected();
  // Acknowledged on the next connection, before it is known what the server has: that proves nothing yet.
  second.held[0]?.();
  await second.settle();
  await second.publisher.connected(3n, gone(2n));
  t.deepEqual(await second.news(), ["a"]);
});

for (const [what, before] of [
  ["nothing", undefined],
  ["a birth, so it never saw the connection end", { online: true, bdSeq: 2n } as StateMessage],
  ["the end of an older connection", gone(1n)],
] as const) {
  test(`everything is told again to a server that shows ${what}`, async (t) => {
    const store = new MemoryStore();
    const first = await life(store);
    await first.publisher.connected(2n, undefined);
    for (const jobId of ["a", "b"]) await first.end(jobId);
    await first.news();
    const second = await life(store);
    await second.publisher.connected(3n, before);
    t.deepEqual(await second.news(), ["a", "b"]);
    second.publisher.disconnected();
    await second.publisher.connected(4n, gone(3n));
    t.deepEqual(await second.news(), [], "which is as good as before then");
  });
}

test("a daemon that is killed while it tells everything again begins anew", async (t) => {
  const store = new MemoryStore();
  const first = await life(store);
  await first.publisher.connected(1n, undefined);
  await first.end("a");
  await first.news();
  const second = await life(store, true);
  await second.publisher.connected(2n, undefined);
  t.deepEqual(await second.news(), ["a"]);
  const third = await life(store);
  await third.publisher.connected(3n, gone(2n));
  t.deepEqual(await third.news(), ["a"]);
});

test("a job that is forgotten while its report is under way is cleared after it, also by the next life", async (t) => {
  const store = new MemoryStore();
  const first = await life(store, true);
  await first.publisher.connected(1n, undefined);
  await first.end("a");
  t.deepEqual(await first.news(), ["a"]);
  await first.journal.forget(["a"]);
  first.publisher.changed("a");
  t.deepEqual(await first.news(), [], "two at once could arrive in the wrong order");
  first.held[0]?.();
  t.deepEqual(await first.news(), ["-a"]);
  const second = await life(store);
  await second.publisher.connected(2n, gone(1n));
  t.deepEqual(await second.news(), ["-a"]);
  const third = await life(store);
  await third.publisher.connected(3n, gone(2n));
  t.deepEqual(await third.news(), []);
});

test("a thousand reports: few are under way at once, and all of them arrive", async (t) => {
  const { publisher, journal, held, news, settle } = await life(new MemoryStore(), true);
  for (let index = 0; index < 1000; index++) await journal.finish(record(`j${index}`), report(`j${index}`));
  await publisher.connected(1n, undefined);
  const seen = new Set<string>();
  let most = 0;
  while (seen.size < 1000) {
    await settle();
    most = Math.max(most, held.length);
    for (const jobId of await news()) seen.add(jobId);
    if (held.length === 0) break;
    for (const done of held.splice(0)) done();
  }
  await settle();
  t.is(seen.size, 1000);
  t.is(most, 8);
  t.deepEqual(journal.reports.untold, []);
});

test("our own state: what was kept before our birth, and a will that comes after it", (t) => {
  const message = (fields: object, retain: boolean) => ({
    topic: "gantry/1/b/state",
    retain,
    payload: encode({ v: 1, kind: "state", id: "i", sentMs: 1, ...fields }),
  });
  const birth = message({ online: true, bdSeq: 7n, bootId: "x" }, false);
  const own = new OwnState(7n);
  t.is(own.take(message({ online: false, bdSeq: 5n }, true)), "nothing");
  t.is(own.take(message({ online: false, bdSeq: 6n }, false)), "nothing", "it waited in our session");
  t.is(own.take({ topic: "", retain: true, payload: new Uint8Array([0xff]) }), "nothing");
  t.false(own.born);
  t.is(own.take(birth), "born");
  t.is(own.before?.bdSeq, 5n);
  t.is(own.take(birth), "nothing", "a rebirth");
  t.is(own.take(message({ online: false, bdSeq: 6n }, false)), "contradicted");
  t.is(
    own.take(message({ online: true, bdSeq: 9n }, false)),
    "nothing",
    "two bridges of one name must not outdo each other",
  );
});
