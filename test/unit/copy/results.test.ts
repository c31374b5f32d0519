import test from "ava";
import { encode } from "../../../src/control/codec.js";
import { ControlDoor } from "../../../src/control/door.js";
import { read } from "../../../src/control/fields.js";
import type { ListReceiver } from "../../../src/control/list-receiver.js";
import { LIST_LIMITS } from "../../../src/control/list-receiver.js";
import { jobReportSchema } from "../../../src/control/messages/jobs.js";
import { Meter } from "../../../src/copy/job-context.js";
import type { JobRecord } from "../../../src/copy/job-record.js";
import { failureOf, reportOf } from "../../../src/copy/results.js";
import type { JobReport } from "../../../src/job.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { GantryError } from "../../../src/sys/errors.js";

const RECORD: JobRecord = {
  spec: { jobId: "job", type: "verify", keys: [], priority: 1, options: {} },
  state: "running",
  archiveId: "archive",
  submittedMs: 1,
  volumes: [],
  tapeBlockBytes: 65536,
  resumes: 0,
  lost: [],
};

const TIMES = { endedMs: 2, ranMs: 1 };

test("a report fits one message, whatever the names on a tape are", (t) => {
  const miscompares = Array.from({ length: 1000 }, (_, index) => ({
    member: `${index}/${"ä".repeat(3000)}\ud800`,
    streamOffset: 1n,
    reason: "The CRC32C of the data is not that of the manifest.",
  }));
  const lost = miscompares.map(() => ({ device: "d", lba: 1n, blocks: 1n, sense: "s".repeat(900), streamOffset: 1n }));
  const failure = failureOf(new GantryError("VERIFY_DIFFERS", `the first: \ud800${"x".repeat(20_000)}`));
  const report = reportOf(RECORD, new Meter(), { state: "failed", failure, miscompares, lost }, TIMES);
  t.notThrows(() => encode({ report }));
  t.notThrows(() => read("report", jobReportSchema, report));
  t.true(report.miscompares.length > 10 && report.miscompares.length < 1000, `${report.miscompares.length}`);
  t.true(report.lost.length > 10);
});

test("entries that fit are all in the report", (t) => {
  const miscompares = Array.from({ length: 1500 }, () => ({ member: "short", streamOffset: 1n, reason: "wrong" }));
  t.is(reportOf(RECORD, new Meter(), { state: "failed", miscompares }, TIMES).miscompares.length, 1000);
});

test("a report that cannot be sent is told to who waits for it; details that cannot travel stay behind", async (t) => {
  const door = new ControlDoor({
    bridgeId: "b",
    version: "1",
    bootId: "boot",
    server: { host: "localhost", port: 1, clientId: "c" },
    nextBdSeq: async () => 1n,
    lists: { limits: LIST_LIMITS } as ListReceiver,
    clock: new ManualClock(),
    newId: () => "id",
  });
  const report = reportOf(RECORD, new Meter(), { state: "failed" }, TIMES);
  // Not thrown at the caller, who may be starting the daemon.
  const refused = door.report({ ...report, bytesDone: 1n << 70n });
  await t.throwsAsync(refused, { code: "MESSAGE_UNENCODABLE" });

  const failure = { code: "INTERNAL", message: "It failed.", details: { odd: new Map() } };
  const waiting: JobReport = { ...report, failure };
  const sent = door.report(waiting).then(
    () => "sent",
    (error: unknown) => (error as GantryError).code,
  );
  t.is(await Promise.race([sent, new Promise((resolve) => setImmediate(resolve, "waits"))]), "waits");
  await door.stop(0);
  t.is(await sent, "LINK_CLOSED");
});

test("a job that goes back to a checkpoint has no negative rate", async (t) => {
  const meter = new Meter();
  meter.begin(10_000_000n, () => undefined);
  meter.rate();
  meter.begin(1_000_000n, () => undefined);
  await new Promise((resolve) => setTimeout(resolve, 150));
  t.is(meter.rate(), 0n);
});
