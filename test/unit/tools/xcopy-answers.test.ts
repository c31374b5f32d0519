// What copy managers tell of themselves, of copies and of tokens, in words.
import test from "ava";
import { fixedSense } from "../../../src/wire/sense-encode.js";
import { decodeCopyCommand } from "../../../src/wire/xcopy/commands.js";
import {
  encodeDataLid4,
  encodeFailureDetails,
  encodeStatusLid1,
  encodeStatusLid4,
  encodeTokenInformation,
} from "../../../src/wire/xcopy/copy-results.js";
import { fixedCopySense } from "../../../src/wire/xcopy/copy-sense.js";
import { encodeOperatingParameters, type OperatingParameters } from "../../../src/wire/xcopy/operating-parameters.js";
import { encodeAllTokens, encodeRodToken, type RodToken, zeroToken } from "../../../src/wire/xcopy/rod-token.js";
import { encodeThirdPartyPage } from "../../../src/wire/xcopy/third-party-page.js";
import { decodePopulateToken, decodeWriteUsingToken } from "../../../src/wire/xcopy/token-lists.js";
import { disk, TOKEN_LIMITS } from "../../lib/xcopy.js";
import { runXcopy, type Sent, type Told } from "../../lib/xcopy-unit.js";

const kindOf = ({ cdb }: Sent): string => decodeCopyCommand(cdb)?.kind ?? (cdb[0] === 0x12 ? `page ${cdb[2]}` : "");
const byKind =
  (answers: Readonly<Record<string, Told>>) =>
  (sent: Sent): Told =>
    answers[kindOf(sent)] ?? { sense: fixedSense(5, 0x24, 0) };

const PARAMETERS: OperatingParameters = {
  ...{ withoutListId: true, maxCscds: 64, maxSegments: 1024, maxListBytes: 30_720, maxSegmentBytes: 0 },
  ...{ maxInlineBytes: 65_536, heldBytes: 65_536, maxStreamTransferBytes: 8 << 20, totalCopies: 64, maxCopies: 16 },
  ...{ segmentGranularity: 9, inlineGranularity: 2, heldGranularity: 0, descriptors: [0x02, 0x0f, 0x10, 0x11, 0xe4] },
};
const PAGE = encodeThirdPartyPage(0, [
  { kind: "commands", commands: [{ opcode: 0x83, actions: [0, 1, 0x1c, 0x1f] }] },
  { kind: "parameter-data", maxCscds: 64, maxSegments: 1000, maxListBytes: 30_720, maxInlineBytes: 65_536 },
  { kind: "descriptors", codes: [0x02, 0xe4] },
  { kind: "cscd-ids", ids: [0xc000, 0xffff] },
]);
const TOKEN: RodToken = {
  ...{ type: 0x0080_0001, identifier: 0x1234n, creator: disk(), byteCount: 1_048_576n },
  ...{
    deviceData: new Uint8Array(32),
    extended: new Uint8Array(256),
    target: { codeSet: 3, association: 2, type: 8, value: Uint8Array.from(Buffer.from("iqn.a:b")) },
  },
};
const TOLD = {
  ...{
    action: 0x10,
    status: 1,
    operations: 1,
    delayMs: 0xffff_fffe,
    completion: 0,
    units: 0xf1,
    count: 100n,
    segments: 1,
  },
  sense: new Uint8Array(0),
};
const UNIT = "/dev/sg0";

test("parameters shows what both ways tell, side by side, and what only the page tells", async (t) => {
  const answers = {
    "operating-parameters": { data: encodeOperatingParameters(PARAMETERS) },
    "page 143": { data: PAGE },
  };
  const { code, out, err } = await runXcopy(["parameters", UNIT], byKind(answers));
  t.is(code, 0, err);
  t.regex(out, /^limit +parameters +page8Fh$/m);
  t.regex(out, /^segments +1024 +1000$/m);
  t.regex(out, /^bytes of a tape block +8MiB$/m);
  t.regex(out, /^bytes of a segment +no limit$/m);
  t.regex(out, /^descriptor types +02h 0Fh–11h E4h +02h E4h$/m);
  t.regex(out, /^ {2}83h\/1Ch COPY OPERATION ABORT$/m);
  t.regex(out, /^ {2}83h\/1Fh \(not known here\)$/m);
  t.regex(out, /^CSCD descriptor IDs without a descriptor: C000h FFFFh$/m);
  t.regex(
    out,
    /segments that it takes:\n {2}blocks D@LBA\+N -> D@LBA \[cat\] \[dc\] \[hold\]\n {2}discard .*\n {2}filemarks .*\n {2}space .*\n$/,
  );
  const json = JSON.parse((await runXcopy(["parameters", UNIT, "--json"], byKind(answers))).out) as Record<
    string,
    unknown
  >;
  t.like(json, { parameters: { maxSegments: 1024 }, missing: [] });
  t.is((json.page8Fh as unknown[]).length, 4);
});

test("parameters goes without the page, or without the command, and fails without both", async (t) => {
  const without = await runXcopy(
    ["parameters", UNIT],
    byKind({ "operating-parameters": { data: encodeOperatingParameters(PARAMETERS) } }),
  );
  t.is(without.code, 0, without.err);
  t.regex(without.out, /^segments +1024$/m);
  t.regex(
    without.out,
    /INQUIRY of VPD page 8Fh was refused: ILLEGAL REQUEST\n {2}why {2}.*invalid field in CDB \(24h\/00h\)/,
  );
  const page = await runXcopy(["parameters", UNIT], byKind({ "page 143": { data: PAGE } }));
  t.regex(page.out, /^segments +1000$/m);
  const neither = await runXcopy(["parameters", UNIT], byKind({}));
  t.is(neither.code, 1);
  t.regex(neither.err, /RECEIVE COPY OPERATING PARAMETERS was refused/);
});

test("status, data, failure and abort ask for their list identifier and say what they are told", async (t) => {
  const run = async (answers: Readonly<Record<string, Told>>, ...args: string[]) => {
    const ran = await runXcopy([args[0] ?? "", UNIT, ...args.slice(1)], byKind(answers));
    t.is(ran.code, 0, ran.err);
    return { ...ran, listId: decodeCopyCommand(ran.sent[0]?.cdb ?? new Uint8Array(0))?.listId };
  };
  const lid1 = encodeStatusLid1({ heldDiscarded: true, status: 0, segments: 3, units: 2, count: 5 });
  const status = await run({ "status-lid1": { data: lid1 } }, "status", "9");
  t.is(status.out, "running: 3 segments processed, 5.0 MiB moved\nheld data was discarded\n");
  t.is(status.listId, 9);
  const lid4 = encodeStatusLid4({ ...TOLD, status: 0x12, delayMs: 40 });
  const background = await run({ "status-lid4": { data: lid4 } }, "status", "0x1234567", "--lid4");
  t.is(background.out, "running in the background: 1 segment processed, 100 blocks moved\nmore is known in 40 ms\n");
  t.is(background.listId, 0x1234567);
  const held = Uint8Array.from(Buffer.from("held data"));
  const data = { "data-lid4": { data: encodeDataLid4({ ...TOLD, heldDiscarded: false, held }) } };
  t.regex((await run(data, "data", "1", "--lid4")).out, /^9 bytes of held data\n000000 {2}68 65 6c .* held data\n$/);
  t.deepEqual((await run(data, "data", "1", "--lid4", "--out", "f")).written.get("f"), held);
  const details = encodeFailureDetails({
    status: 2,
    sense: fixedCopySense({ key: 0xa, asc: 0x26, ascq: 0x0a, segment: 4 }),
  });
  t.regex(
    (await run({ "failure-details": { data: details } }, "failure", "1")).out,
    /^COPY ABORTED in segment 4\n.*unexpected inexact segment/,
  );
  t.is(
    (await run({ "failure-details": { data: encodeFailureDetails(undefined) } }, "failure", "1")).out,
    "nothing is known of a failure\n",
  );
  const abort = await run({ abort: {} }, "abort", "5");
  t.is(abort.out, "copy 5 is aborted\n");
  t.is(abort.listId, 5);
  t.is((await runXcopy(["status", UNIT], byKind({}))).code, 2);
  t.is((await runXcopy(["status", UNIT, "x"], byKind({}))).code, 2);
  t.is((await runXcopy(["status", UNIT, "1", "2"], byKind({}))).code, 2);
});

test("an answer that is cut short is asked for again with more room", async (t) => {
  const data = encodeDataLid4({ ...TOLD, heldDiscarded: false, held: new Uint8Array(200_000).fill(7) });
  const ran = await runXcopy(["data", UNIT, "1", "--lid4", "--out", "f"], ({ cdb }) => ({
    data: data.subarray(0, decodeCopyCommand(cdb)?.length),
  }));
  t.is(ran.code, 0, ran.err);
  t.is(ran.sent.length, 2);
  t.is(ran.written.get("f")?.length, 200_000);
});

test("populate sends the ranges and keeps the token that it is told", async (t) => {
  const token = encodeRodToken(TOKEN);
  const information = encodeTokenInformation({ ...TOLD, tokens: [{ cscdId: 0, token }] });
  const args = [
    "populate",
    UNIT,
    "0+2048",
    "0x1000+16",
    "--out",
    "kept",
    "--type",
    "0x00800001",
    "--inactivity",
    "60",
    "--list-id",
    "77",
  ];
  const ran = await runXcopy(args, byKind({ "populate-token": {}, "token-information": { data: information } }));
  t.is(ran.code, 0, ran.err);
  t.deepEqual(decodePopulateToken(ran.sent[0]?.dataOut ?? new Uint8Array(0), TOKEN_LIMITS), {
    ...{ immediate: false, inactivitySeconds: 60, type: 0x0080_0001 },
    ranges: [
      { lba: 0n, blocks: 2048 },
      { lba: 4096n, blocks: 16 },
    ],
  });
  t.deepEqual(
    ran.sent.map(({ cdb }) => decodeCopyCommand(cdb)?.listId),
    [77, 77],
  );
  t.deepEqual(ran.written.get("kept"), token);
  t.regex(ran.out, /change vulnerable \(00800001h\)/);
  t.regex(ran.out, /maker +naa\.600112233445566778899aabbccddeef/);
});

test("write sends a token or zeros to ranges, and fails as the copy manager tells", async (t) => {
  const token = encodeRodToken(TOKEN);
  const information = (more: object): Told => ({ data: encodeTokenInformation({ ...TOLD, tokens: [], ...more }) });
  const write = (told: Told, ...args: string[]) =>
    runXcopy(["write", UNIT, "10+100", ...args], byKind({ "write-using-token": {}, "token-information": told }), {
      files: { token },
    });
  const good = await write(information({}), "--token", "token", "--offset", "5", "--delete");
  t.is(good.out, "done, without errors: 100 blocks written\n");
  t.like(decodeWriteUsingToken(good.sent[0]?.dataOut ?? new Uint8Array(0), TOKEN_LIMITS), {
    deleteToken: true,
    offset: 5n,
    token,
  });
  const zero = await write(information({}), "--zero");
  t.deepEqual(decodeWriteUsingToken(zero.sent[0]?.dataOut ?? new Uint8Array(0), TOKEN_LIMITS).token, zeroToken());
  const bad = await write(
    information({ status: 2, completion: 2, sense: fixedSense(5, 0x23, 7) }),
    "--zero",
    "--immediate",
  );
  t.is(bad.code, 1);
  t.regex(bad.err, /invalid token operation, token expired/);
  t.regex((await write({}, "--zero", "--token", "token")).err, /either --token or --zero/);
  const short = await runXcopy(["write", UNIT, "1+1", "--token", "t"], byKind({}), { files: { t: "text" } });
  t.regex(short.err, /4 bytes, and a token has 512/);
});

test("ranges are told by words, and no block is in two of them", async (t) => {
  const wrong = async (...ranges: string[]): Promise<string> => {
    const ran = await runXcopy(["write", UNIT, ...ranges, "--zero"], () => ({}));
    t.is(ran.code, 2);
    return ran.err;
  };
  t.regex(await wrong(), /Give ranges/);
  t.regex(await wrong("1+1", "5"), /range 1: "\+" and a number of blocks is missing.*\n {2}5\n {3}\^/);
  t.regex(await wrong("0+10", "20+5", "9+1"), /range 2: a block of it is in another range too/);
});

test("tokens lists those of the copy manager", async (t) => {
  const data = encodeAllTokens([encodeRodToken(TOKEN), encodeRodToken({ ...TOKEN, identifier: 0x99n })]);
  const ran = await runXcopy(["tokens", UNIT], byKind({ "all-tokens": { data } }));
  t.is(ran.out.trim().split("\n").length, 3);
  t.regex(ran.out, /0x0000000000000099/);
  t.regex(ran.out, /1\.0 MiB/);
});
