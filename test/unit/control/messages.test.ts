import test from "ava";
import type * as v from "valibot";
import { decode, encode } from "../../../src/control/codec.js";
import { read } from "../../../src/control/fields.js";
import { COMMANDS, type CommandKind } from "../../../src/control/messages/commands.js";
import { envelopeSchema } from "../../../src/control/messages/envelope.js";
import { jobProgressSchema, jobReportSchema } from "../../../src/control/messages/jobs.js";
import { inboundPart, isReplyTopic, topicsOf } from "../../../src/control/topics.js";
import type { JobReport } from "../../../src/job.js";

const KEY = new Uint8Array(16).fill(7);
const BACKUP = {
  jobId: "j1",
  type: "backup",
  keys: [KEY],
  disk: { device: "disk0" },
  tape: { device: "tape0", cartridges: ["A00001"] },
  listId: "l1",
  volume: { id: "v", generation: "g", sequence: 1 },
};

function through(kind: CommandKind, fields: object): unknown {
  return read(kind, COMMANDS[kind].fields as v.GenericSchema, decode(encode(fields)));
}

const wrong = test.macro({
  exec(t, kind: CommandKind, fields: object, sentence: string) {
    t.throws(() => through(kind, fields), { code: "MESSAGE_INVALID", message: sentence });
  },
  title: (name) => `in words: ${name}`,
});

test(
  "a number out of range",
  wrong,
  "job.submit",
  { ...BACKUP, priority: 300 },
  "job.submit: `priority` must be a whole number from 0 to 255, got 300.",
);
test("a missing field", wrong, "job.submit", { ...BACKUP, jobId: undefined }, "job.submit: `jobId` is missing.");
test("a field of another type", wrong, "job.submit", { ...BACKUP, disk: "disk0" }, "job.submit: `disk` must be a map.");
test(
  "a nested field",
  wrong,
  "job.submit",
  { ...BACKUP, tape: { device: "t", cartridges: ["A", ""] } },
  'job.submit: `tape.cartridges.1` must be 1 to 64 characters of A-Z a-z 0-9 . _ : -, got "".',
);
test(
  "a fraction",
  wrong,
  "job.submit",
  { ...BACKUP, priority: 1.5 },
  "job.submit: `priority` must be a whole number from 0 to 255, got 1.5.",
);
test(
  "a word that is not in the list",
  wrong,
  "job.submit",
  { ...BACKUP, type: "copy" },
  'job.submit: `type` must be one of "backup", "restore", "verify", "clone", "scrub", got "copy".',
);
test(
  "no keys",
  wrong,
  "job.submit",
  { ...BACKUP, keys: [] },
  "job.submit: `keys` must be an array of 1 to 16 items, got an array of 0 items.",
);
test(
  "a short key id",
  wrong,
  "job.submit",
  { ...BACKUP, keys: [new Uint8Array(7)] },
  "job.submit: `keys.0` must be a byte string of 8 to 32 bytes, got a byte string of 7 bytes.",
);
test(
  "a backup without a tape",
  wrong,
  "job.submit",
  { ...BACKUP, tape: undefined },
  'job.submit: the message of type "backup" needs `tape`.',
);
test(
  "a backup to a second disk",
  wrong,
  "job.submit",
  { ...BACKUP, toDisk: { device: "d" } },
  'job.submit: the message of type "backup" must not have `toDisk`.',
);
test(
  "a tape block that is no multiple of 512",
  wrong,
  "job.submit",
  { ...BACKUP, options: { tapeBlockBytes: 1000 } },
  "job.submit: `options.tapeBlockBytes` must be a multiple of 512 from 512 to 8388608, got 1000.",
);
test(
  "a negative rate",
  wrong,
  "job.rate",
  { jobId: "j", bytesPerS: -1 },
  "job.rate: `bytesPerS` must be a whole number from 0 to 9223372036854775807, got -1.",
);
test(
  "an id with a slash",
  wrong,
  "job.get",
  { jobId: "a/b" },
  'job.get: `jobId` must be 1 to 64 characters of A-Z a-z 0-9 . _ : -, got "a/b".',
);
test(
  "text instead of bytes",
  wrong,
  "key.install",
  { key: "k" },
  'key.install: `key` must be a byte string of 1 to 16384 bytes, got "k".',
);
test(
  "a block size of neither kind",
  wrong,
  "list.open",
  {
    listId: "l",
    volume: BACKUP.volume,
    blockBytes: 1024,
    members: 1,
    extents: 1,
    bytes: 1,
    chunks: 1,
    digest: new Uint8Array(32),
    device: "d",
  },
  "list.open: `blockBytes` must be 512 or 4096, got 1024.",
);
test("an array instead of a message", wrong, "job.get", [], "job.get: `jobId` is missing.");

test("a wrong value is quoted, but never in full length", (t) => {
  const error = t.throws(() => through("job.get", { jobId: "x".repeat(10_000) }));
  t.true((error?.message.length ?? 0) < 250);
});

test("a job that is fine gets its defaults, and 64-bit fields are bigints however they came", (t) => {
  t.deepEqual(
    through("job.submit", { ...BACKUP, unknown: [1], options: { bytesPerS: 5, startObject: 2n ** 64n - 1n } }),
    {
      ...BACKUP,
      volume: { id: "v", generation: "g", sequence: 1n },
      priority: 100,
      options: { bytesPerS: 5n, startObject: 2n ** 64n - 1n },
    },
  );
});

test("what each type of job needs", (t) => {
  const { disk, tape, listId, volume, ...rest } = BACKUP;
  t.notThrows(() => through("job.submit", { ...rest, type: "restore", disk, tape, listId }));
  t.notThrows(() => through("job.submit", { ...rest, type: "verify", tape }));
  t.notThrows(() => through("job.submit", { ...rest, type: "clone", disk, toDisk: disk, listId, volume }));
  t.notThrows(() => through("job.submit", { ...rest, type: "verify", tape, disk, listId, volume }));
  for (const half of [{ disk }, { listId }])
    t.throws(() => through("job.submit", { ...rest, type: "verify", tape, ...half }), { message: /needs both/ });
  t.throws(() => through("job.submit", { ...rest, type: "scrub", tape, disk }), { message: /must not have `disk`/ });
  t.throws(() => through("job.submit", { ...rest, type: "clone", disk, listId, volume }), {
    message: /needs `toDisk`/,
  });
  t.throws(() => through("job.submit", { ...rest, type: "restore", disk, tape }), { message: /needs `listId`/ });
});

test("unknown fields are ignored at every level", (t) => {
  t.deepEqual(through("job.rate", { jobId: "j", bytesPerS: 0, later: { version: 2 } }), { jobId: "j", bytesPerS: 0n });
});

test("integers that another encoder sent as floats are taken, fractions are not", (t) => {
  const asFloat = Buffer.from("a2656a6f62496461616962797465735065725 3".replace(" ", ""), "hex");
  const value = (float: number): Uint8Array => {
    const bytes = Buffer.alloc(9);
    bytes[0] = 0xfb;
    bytes.writeDoubleBE(float, 1);
    return Buffer.concat([asFloat, bytes]);
  };
  t.deepEqual(read("job.rate", COMMANDS["job.rate"].fields, decode(value(2 ** 40))), {
    jobId: "a",
    bytesPerS: 2n ** 40n,
  });
  t.throws(() => read("job.rate", COMMANDS["job.rate"].fields, decode(value(2.5))), { message: /whole number/ });
  t.throws(() => read("job.rate", COMMANDS["job.rate"].fields, decode(value(2 ** 60))), { message: /whole number/ });
});

test("the envelope: another version, a missing id, a long correlation", (t) => {
  const good = { v: 1, kind: "status.get", id: "m", sentMs: 1 };
  t.deepEqual(read("message", envelopeSchema, good), good);
  t.throws(() => read("message", envelopeSchema, { ...good, v: 2 }), {
    message: "message: `v` must be 1, got 2.",
  });
  t.throws(() => read("message", envelopeSchema, { ...good, id: "" }), { message: /`id`/ });
  t.throws(() => read("message", envelopeSchema, { ...good, correlation: new Uint8Array(129) }), {
    message: /`correlation`/,
  });
  t.throws(() => read("message", envelopeSchema, "x"), { message: "message: the message must be a map." });
});

test("a report goes through CBOR and comes back as it was", (t) => {
  const report: JobReport = {
    jobId: "j1",
    type: "backup",
    state: "failed",
    bytesDone: 1n,
    bytesTotal: 2n ** 62n,
    membersDone: 1,
    membersTotal: 2,
    bytesPerS: 0n,
    cartridge: "A00001",
    tapeWaits: 3n,
    failure: { code: "X", message: "m", device: "disk0", sense: "s", details: { lba: 5, name: "n" } },
    submittedMs: 1,
    startedMs: 2,
    endedMs: 3,
    volumes: [{ cartridge: "A00001", firstObject: 0n, endObject: 9n, from: 0n, to: 2n ** 40n }],
    manifest: { offset: 7n, bytes: 8n },
    tapeBlockBytes: 262144,
    manifestCrc32c: 0xffffffff,
    lost: [{ device: "disk0", lba: 1n, blocks: 1n, sense: "s", streamOffset: 0n }],
    miscompares: [{ member: "m", streamOffset: 1n, reason: "r" }],
    retries: 0n,
    resumes: 1,
    sourceWaitMs: 1,
    tapeWaitMs: 2,
    throttleMs: 3,
  };
  t.deepEqual(read("report", jobReportSchema, decode(encode(report))), report);
  const progress = read("progress", jobProgressSchema, decode(encode(report)));
  t.deepEqual(Object.keys(progress).sort(), [
    "bytesDone",
    "bytesPerS",
    "bytesTotal",
    "cartridge",
    "jobId",
    "membersDone",
    "membersTotal",
    "state",
    "tapeWaits",
    "type",
  ]);
});

test("topics are made of names only", (t) => {
  const topics = topicsOf("b1");
  t.is(topics.command("job.submit"), "gantry/1/b1/cmd/job.submit");
  t.is(topics.list("l:1"), "gantry/1/b1/list/l:1");
  t.is(topics.report("j"), "gantry/1/b1/job/j/report");
  for (const bad of ["", "+", "#", "a/b", "x".repeat(65), "ü"])
    t.throws(() => topics.report(bad), { code: "MESSAGE_INVALID" });
  t.throws(() => topicsOf("a/b"), { code: "MESSAGE_INVALID" });
});

test("replies go below the bridge's own reply topic and nowhere else", (t) => {
  t.true(isReplyTopic("b1", "gantry/1/b1/reply/broker"));
  t.true(isReplyTopic("b1", "gantry/1/b1/reply/broker/7"));
  for (const bad of [
    "",
    "x",
    "gantry/1/b1/reply",
    "gantry/1/b1/reply/",
    "gantry/1/b2/reply/x",
    "gantry/1/b1/cmd/job.submit",
    "gantry/1/b1/reply/+",
    "gantry/1/b1/reply/#",
    "gantry/1/b1/reply/a//b",
    "$SYS/x",
    "gantry/1/b1/reply/../cmd",
  ]) {
    t.is(isReplyTopic("b1", bad), bad.endsWith("../cmd"), bad);
  }
});

test("what comes in is cmd/<kind> or list/<list id>", (t) => {
  t.deepEqual(inboundPart("b1", "gantry/1/b1/cmd/job.get"), { room: "cmd", part: "job.get" });
  t.deepEqual(inboundPart("b1", "gantry/1/b1/list/l1"), { room: "list", part: "l1" });
  for (const other of ["gantry/1/b2/cmd/x", "gantry/1/b1/cmd", "gantry/1/b1/cmd/x/y", "gantry/1/b1/state"]) {
    t.is(inboundPart("b1", other), undefined, other);
  }
});
