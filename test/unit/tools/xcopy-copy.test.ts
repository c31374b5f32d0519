// `gantry-xcopy copy` against a copy manager that answers as it is told: what is sent, and how what comes back is explained.
import test from "ava";
import { fixedSense } from "../../../src/wire/sense-encode.js";
import { decodeCopyCommand } from "../../../src/wire/xcopy/commands.js";
import { decodeCopyList } from "../../../src/wire/xcopy/copy-list.js";
import {
  encodeDataLid1,
  encodeFailureDetails,
  encodeStatusLid1,
  encodeStatusLid4,
  STATUS_LID4,
  type StatusLid4,
} from "../../../src/wire/xcopy/copy-results.js";
import { descriptorCopySense, fixedCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import type { CopyFault } from "../../../src/wire/xcopy/refusal.js";
import { hex, LIMITS } from "../../lib/xcopy.js";
import { type Ran, runXcopy, type Sent, type Told } from "../../lib/xcopy-unit.js";

const UNIT = "iscsi://127.0.0.1:3260/iqn.2024-01.org.example:t/0";
const US = ["--initiator", "iqn.2024-01.org.example:me"];
const D0 = ["--device", "d0=naa.600112233445566778899aabbccddee0,block=512"];
const D1 = ["--device", "d1=naa.600112233445566778899aabbccddee1,block=512"];
const T0 = ["--device", "t0=naa.5001122334455660,tape"];
const SEGMENTS = ["blocks d0@0+2048 -> d1@4096", "blocks d0@9+128 -> t0/64KiB cat"];
const args = (...more: string[]): string[] => ["copy", UNIT, ...SEGMENTS, ...US, ...D0, ...D1, ...T0, ...more];

const kindOf = ({ cdb }: Sent): string => decodeCopyCommand(cdb)?.kind ?? `opcode ${cdb[0]?.toString(16)}`;
/** Answers by the kind of command; what is not there is GOOD without data. */
const byKind =
  (answers: Readonly<Record<string, Told>>) =>
  (sent: Sent): Told =>
    answers[kindOf(sent)] ?? {};
const errorOf = ({ out }: Ran): { code: string; message: string; details: Record<string, unknown> } =>
  (JSON.parse(out) as { error: { code: string; message: string; details: Record<string, unknown> } }).error;

const DONE = { data: encodeStatusLid1({ heldDiscarded: false, status: 1, segments: 2, units: 1, count: 1536 }) };
const running = (status: Partial<StatusLid4>): Told => ({
  data: encodeStatusLid4({
    ...{ action: 1, status: STATUS_LID4.BACKGROUND, operations: 2, delayMs: 100, completion: 0, units: 0 },
    ...{ count: 0n, segments: 0, sense: new Uint8Array(0), ...status },
  }),
});

test("a copy in words is the list that they say, sent to the unit, and its status is told", async (t) => {
  const ran = await runXcopy(args("--list-id", "7", "--priority", "3"), byKind({ "status-lid1": DONE }));
  t.is(ran.code, 0, ran.err);
  t.deepEqual(ran.sent.map(kindOf), ["copy-lid1", "status-lid1"]);
  const [copy, status] = ran.sent as [Sent, Sent];
  const bytes = copy.dataOut ?? new Uint8Array(0);
  t.is(decodeCopyCommand(copy.cdb)?.length, bytes.length);
  t.is(decodeCopyCommand(status.cdb)?.listId, 7);
  const list = decodeCopyList(bytes, "LID1", LIMITS);
  t.like(list, { listId: 7, listIdUsage: 0, priority: 3, striped: false });
  t.deepEqual(
    list.segments.map(({ kind }) => kind),
    ["block-block", "block-stream"],
  );
  t.is(list.cscds.length, 3);
  t.like(copy.target, {
    transport: "iscsi",
    portal: "127.0.0.1:3260",
    lun: 0,
    initiator: "iqn.2024-01.org.example:me",
  });
  t.is(ran.out, "done, without errors: 2 segments processed, 1.5 MiB moved\n");
  t.is(ran.closed, 1);
});

test("--portal and a node take the place of the URL", async (t) => {
  const words = ["--portal", "[::1]:3260", "--target", "iqn.a:b", "--lun", "5", ...US, ...D0];
  const portal = await runXcopy(["copy", "verify d0", ...words], byKind({}));
  t.like(portal.sent[0]?.target, { portal: "[::1]:3260", target: "iqn.a:b", lun: 5 });
  const node = await runXcopy(["copy", "/dev/sg7", "verify d0", ...D0], byKind({}));
  t.deepEqual(node.sent[0]?.target, { transport: "sg", path: "/dev/sg7" });
  t.is(node.code, 0, node.err);
});

test("segments and devices of a file follow those of the command line", async (t) => {
  const file = "# nightly\ndevice t0=naa.5001122334455660,fixed=512\nfilemarks t0 1 # at its end\n";
  const ran = await runXcopy(["copy", "/dev/sg0", "verify d0", ...D0, "-f", "list"], byKind({}), {
    files: { list: file },
  });
  const list = decodeCopyList(ran.sent[0]?.dataOut ?? new Uint8Array(0), "LID1", LIMITS);
  t.like(list.segments[1], { kind: "filemarks", destination: 1, count: 1 });
  t.like(list.cscds[1], { fixed: true, blockBytes: 512 });
});

test("--dry-run prints the list in words and bytes, and sends nothing", async (t) => {
  const ran = await runXcopy(args("--dry-run", "--lid4", "--immediate", "--list-id", "0x10000"), byKind({}));
  t.is(ran.code, 0, ran.err);
  t.deepEqual(ran.sent, []);
  const [head, ...lines] = ran.out.split("\n");
  t.regex(head ?? "", /^# EXTENDED COPY\(LID4\), \d+ bytes, list id 65536, priority 1, immediate$/);
  t.deepEqual(lines.slice(3, 5), SEGMENTS);
  t.regex(ran.out, /^000000 {2}01 01 00 20 /m);
  const json = JSON.parse((await runXcopy(args("--dry-run", "--json"), byKind({}))).out) as Record<string, unknown>;
  const bytes = hex(json.bytes as string);
  t.like(json, { form: "LID1", listId: 1 });
  t.is(decodeCopyList(bytes, "LID1", LIMITS).segments.length, 2);
});

test("a unit attention and a busy unit have done nothing: the copy is sent again", async (t) => {
  const answers: Told[] = [{ sense: fixedSense(6, 0x29, 0) }, { status: 0x08 }, {}];
  const ran = await runXcopy(args(), (_, index) => answers[index] ?? DONE);
  t.is(ran.code, 0, ran.err);
  t.deepEqual(ran.sent.map(kindOf), ["copy-lid1", "copy-lid1", "copy-lid1", "status-lid1"]);
});

test("an aborted copy is not sent again", async (t) => {
  const ran = await runXcopy(args(), () => ({ status: 0x40 }));
  t.is(ran.sent.length, 1);
  t.is(ran.code, 1);
  t.regex(ran.err, /refused: TASK ABORTED \(XCOPY_FAILED\)\n {2}why {2}somebody aborted it/);
});

const ABORTED: CopyFault = {
  ...{ key: 0x0a, asc: 0x0d, ascq: 0x02, segment: 1, residual: 77n },
  pointer: { byte: 4, inSegment: true },
  source: { status: 2, sense: hex("70 00 03 00 00 04 d2 0a 00000000 11 00 00 000000") },
};
const FIXED = fixedCopySense({
  ...ABORTED,
  source: { status: 2, sense: hex("f0 00 03 000004d2 0a 00000000 11 00 00 000000") },
});

for (const [format, sense] of [
  ["fixed", FIXED],
  [
    "descriptor",
    descriptorCopySense({
      ...ABORTED,
      source: { status: 2, sense: hex("f0 00 03 000004d2 0a 00000000 11 00 00 000000") },
    }),
  ],
] as const) {
  test(`COPY ABORTED in ${format} format is explained: segment, field, what was left, what the device said`, async (t) => {
    const ran = await runXcopy(args(), (sent) =>
      kindOf(sent) === "copy-lid1" ? { sense } : { status: 2, sense: fixedSense(5, 0x24, 0) },
    );
    t.is(ran.code, 1);
    t.is(
      ran.err,
      [
        "gantry-xcopy: EXTENDED COPY(LID1) was aborted: COPY ABORTED in segment 1 (the last is 1) (XCOPY_FAILED)",
        "    blocks d0@9+128 -> t0/64KiB cat",
        "  why     copy target device not reachable (0Dh/02h)",
        "  field   byte 4 of the segment: SOURCE CSCD DESCRIPTOR ID",
        "  left    77 (bytes or blocks of t0) of the segment were not written",
        "  source  d0 said CHECK CONDITION: MEDIUM ERROR: unrecovered read error (11h/00h) at LBA 1234",
        "",
      ].join("\n"),
    );
  });
}

test("with --json the same is in parts", async (t) => {
  const ran = await runXcopy(
    args("--json"),
    byKind({ "copy-lid1": { sense: FIXED }, "failure-details": { data: encodeFailureDetails(undefined) } }),
  );
  t.is(ran.err, "");
  const { code, details } = errorOf(ran);
  t.is(code, "XCOPY_FAILED");
  t.like(details, {
    ...{ status: "CHECK CONDITION", key: "COPY ABORTED", asc: 0x0d, ascq: 2 },
    segment: { index: 1, of: 2, words: SEGMENTS[1] },
    field: { where: "the segment", byte: 4, name: "SOURCE CSCD DESCRIPTOR ID" },
    left: { count: 77, unit: "bytes or blocks of t0" },
  });
  t.like(details.source, { device: "d0", status: "CHECK CONDITION" });
  t.is((details.source as { sense: string }).sense.slice(0, 4), "f000");
});

test("sense data that came cut short are asked for again as failure details", async (t) => {
  const data = encodeFailureDetails({ status: 2, sense: FIXED });
  const ran = await runXcopy(
    args(),
    byKind({ "copy-lid1": { sense: FIXED.subarray(0, 18) }, "failure-details": { data } }),
  );
  t.deepEqual(ran.sent.map(kindOf), ["copy-lid1", "failure-details"]);
  t.regex(ran.err, /source {2}d0 said CHECK CONDITION: MEDIUM ERROR/);
});

test("a list that is refused is explained by the place in it", async (t) => {
  const refusedAt = async (byte: number, bit?: number): Promise<string> => {
    const sense = fixedCopySense({ key: 5, asc: 0x26, ascq: 0, pointer: { byte, ...(bit !== undefined && { bit }) } });
    return (await runXcopy(args(), byKind({ "copy-lid1": { sense } }))).err;
  };
  t.regex(
    await refusedAt(1, 4),
    /was refused: ILLEGAL REQUEST \(X.*\n.*\n {2}field {2}byte 1 bit 4 of the header: LIST ID USAGE/,
  );
  t.regex(await refusedAt(16 + 32 + 7), /byte 7 of the descriptor of d1: DESIGNATOR LENGTH/);
  t.regex(
    await refusedAt(16 + 96 + 10),
    /in segment 0 .*\n {4}blocks d0@0.*\n.*\n.*byte 10 of segment 0: BLOCK DEVICE NUMBER/,
  );
  t.regex(
    await refusedAt(16 + 96 + 28 + 9),
    /in segment 1 .*\n.*\n.*\n.*byte 9 of segment 1: STREAM DEVICE TRANSFER LENGTH/,
  );
  const cdb = fixedSense(5, 0x20, 0);
  t.regex(
    (await runXcopy(args(), byKind({ "copy-lid1": { sense: cdb } }))).err,
    /invalid command operation code \(20h\/00h\)/,
  );
});

test("IMMED is followed until the copy has ended, and its failure is explained like any other", async (t) => {
  const more = args("--lid4", "--immediate", "--list-id", "300", "--json");
  const steps = [
    {},
    running({ segments: 1, count: 1_048_576n }),
    running({ status: 1, segments: 2, units: 0xf1, count: 9n }),
  ];
  const good = await runXcopy(more, (_, index) => steps[index] ?? {});
  t.deepEqual(good.sent.map(kindOf), ["copy-lid4", "status-lid4", "status-lid4"]);
  t.is(decodeCopyCommand(good.sent[1]?.cdb ?? new Uint8Array(0))?.listId, 300);
  t.like(JSON.parse(good.out), {
    listId: 300,
    outcome: { state: "done", segments: 2, moved: { count: 9, units: "blocks" } },
  });
  const bad = await runXcopy(more, (_, index) =>
    index === 0 ? {} : running({ status: 2, completion: 2, sense: FIXED }),
  );
  t.is(bad.code, 1);
  t.like(errorOf(bad).details, { state: "failed", segment: { index: 1, words: SEGMENTS[1] } });
});

test("an interrupt of a copy that is followed aborts it at the copy manager", async (t) => {
  const more = args("--lid4", "--immediate", "--json");
  // The copy ends a while after it was asked to.
  let left = Number.POSITIVE_INFINITY;
  const ran = await runXcopy(
    more,
    (sent) => {
      if (kindOf(sent) === "abort") left = 2;
      return kindOf(sent) === "status-lid4" ? running(left-- === 0 ? { status: 0x60 } : {}) : {};
    },
    { interruptAt: 2 },
  );
  t.is(ran.sent.filter((sent) => kindOf(sent) === "abort").length, 1);
  t.is(ran.code, 1);
  t.like(errorOf(ran).details, { state: "terminated" });
});

test("sense data that come with GOOD are told", async (t) => {
  const steps: Told[] = [{ status: 0, sense: fixedSense(0, 0, 0x20) }, running({ status: 1, segments: 2 })];
  const ran = await runXcopy(args("--lid4", "--good-sense"), (_, index) => steps[index] ?? {});
  t.is(ran.code, 0, ran.err);
  t.true(decodeCopyList(ran.sent[0]?.dataOut ?? new Uint8Array(0), "LID4", LIMITS).goodSense);
  t.regex(ran.out, /\nNO SENSE: extended copy information available \(00h\/20h\)\n$/);
});

test("held data is fetched in the session of the copy", async (t) => {
  const held = Uint8Array.of(1, 2, 3);
  const ran = await runXcopy(
    args("--held", "kept"),
    byKind({ "data-lid1": { data: encodeDataLid1(held) }, "status-lid1": DONE }),
  );
  t.is(ran.code, 0, ran.err);
  t.deepEqual([...(ran.written.get("kept") ?? [])], [1, 2, 3]);
  t.regex(ran.out, /3 bytes of held data are in kept/);
});

test("a device that is named by its LUN or node is asked for its designator, type and block length", async (t) => {
  const inquiry = hex(`00 00 06 02 1f 00 00 00 ${"20".repeat(28)}`);
  const page = hex("00 83 0018 02 01 0008 5645 4e44 4f52 2041 01 03 0008 5001122334455667");
  const capacity = hex("0000000000000fff 00001000 00000000 0000000000000000 0000000000000000");
  const words = ["copy", UNIT, "image d1@0 -> s@0", ...US, "--device", "d1=lun:3,pad", "--device", "s=this"];
  const ran = await runXcopy(words, ({ cdb }) =>
    cdb[0] === 0x12 ? { data: cdb[1] === 1 ? page : inquiry } : cdb[0] === 0x9e ? { data: capacity } : {},
  );
  t.is(ran.code, 0, ran.err);
  const list = decodeCopyList(ran.sent.find((sent) => sent.dataOut)?.dataOut ?? new Uint8Array(0), "LID1", LIMITS);
  t.like(list.cscds[0], {
    deviceType: 0,
    pad: true,
    blockBytes: 4096,
    designator: { type: 3, value: hex("5001122334455667") },
  });
  t.is(list.cscds.length, 1);
  t.like(list.segments[0], { source: 0, destination: 0xffff });
  t.deepEqual([...new Set(ran.sent.map(({ target }) => (target.transport === "iscsi" ? target.lun : -1)))], [3, 0]);
  t.is(ran.closed, 2);
  const node = await runXcopy(["copy", "/dev/sg0", "verify d1", "--device", "d1=lun:3"], byKind({}));
  t.is(node.code, 2);
  t.regex(node.err, /\/dev\/sg0 is none/);
});

test("no list identifier means that nothing is asked about the copy", async (t) => {
  const ran = await runXcopy(args("--no-list-id"), byKind({}));
  t.deepEqual(ran.sent.map(kindOf), ["copy-lid1"]);
  t.like(decodeCopyList(ran.sent[0]?.dataOut ?? new Uint8Array(0), "LID1", LIMITS), { listId: 0, listIdUsage: 3 });
  t.is(ran.out, "done: 2 segments\n");
});

const WRONG: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["no unit", ["copy"], /Say which logical unit/],
  ["no segments", ["copy", "/dev/sg0"], /Give segments/],
  ["a unit that is none", ["copy", "sda", "verify this"], /"sda" is neither/],
  ["no initiator", ["copy", UNIT, "verify this"], /Give --initiator/],
  ["half of a CHAP pair", ["copy", UNIT, "verify this", ...US, "--chap-user", "me"], /--chap-secret-file together/],
  [
    "a secret that is nowhere",
    ["copy", UNIT, "verify this", ...US, "--chap-user", "me", "--chap-secret-file", "x"],
    /x cannot be read/,
  ],
  [
    "a word of no segment",
    ["copy", "/dev/sg0", "verfy this"],
    /"verfy" begins no segment.*\n {2}verfy this\n {2}\^{5}\n/,
  ],
  ["--immediate without --lid4", ["copy", "/dev/sg0", "verify this", "--immediate"], /give --lid4 too/],
  [
    "a list id of four bytes without --lid4",
    ["copy", "/dev/sg0", "verify this", "--list-id", "256"],
    /0 to 255, unless with --lid4/,
  ],
  [
    "held data of a list without id",
    ["copy", "/dev/sg0", "verify this", "--no-list-id", "--held", "f"],
    /Without a list identifier/,
  ],
  ["an option that is none", ["copy", "/dev/sg0", "verify this", "--fast"], /unknown option/],
  ["a priority that is none", ["copy", "/dev/sg0", "verify this", "--priority", "8"], /from 0 to 7/],
  [
    "a contradiction",
    ["copy", "/dev/sg0", "discard cscd:0/512+512 hold", "--no-list-id"],
    /held without a list identifier/,
  ],
];

for (const [what, words, message] of WRONG) {
  test(`${what} is wrong use, and nothing is sent`, async (t) => {
    const ran = await runXcopy(words, () => ({}));
    t.is(ran.code, 2);
    t.regex(ran.err, message);
    t.deepEqual(ran.sent, []);
  });
}

test("a unit that cannot be reached, or does not answer, is told apart from one that refuses", async (t) => {
  const closed = await runXcopy(args(), () => ({}), { refuseToOpen: true });
  t.is(closed.code, 3);
  t.regex(closed.err, /iscsi:\/\/127\.0\.0\.1:3260\/.* cannot be opened: nobody listens there \(XCOPY_UNANSWERED\)/);
  const silent = await runXcopy(args(), () => ({ outcome: "timed-out" }));
  t.is(silent.code, 3);
  t.is(silent.closed, 1);
});
