// What is answered of an operation (SPC-4 tables 240 to 257), read by the decoders.
import test from "ava";
import { Operation, type OperationEnd, type OperationFacts } from "../../../src/copy-manager/operation.js";
import {
  dataLid4,
  failureDetails,
  statusLid1,
  statusLid4,
  tokenInformation,
} from "../../../src/copy-manager/operation-answers.js";
import { LIST_ID_USAGE } from "../../../src/wire/xcopy/copy-list.js";
import {
  DELAY_ENDED,
  DELAY_UNKNOWN,
  decodeDataLid4,
  decodeFailureDetails,
  decodeStatusLid1,
  decodeStatusLid4,
  decodeTokenInformation,
  STATUS_LID1,
  STATUS_LID4,
  UNITS_BLOCKS,
} from "../../../src/wire/xcopy/copy-results.js";
import { zeroToken } from "../../../src/wire/xcopy/rod-token.js";
import { hex } from "../../lib/xcopy.js";

const SENSE = hex("70 00 0a 00 00 00 00 0a 00 00 00 00 0d 02 00 00 00 00");
const none = new Uint8Array(0);

function operation(more: Partial<OperationFacts> = {}): Operation {
  const facts: OperationFacts = {
    ...{ nexus: "a", lun: 0, device: "d0", kind: "copy-lid4", listId: 7, usage: LIST_ID_USAGE.HOLD },
    ...{ background: false, segments: 3 },
  };
  return new Operation(
    { ...facts, ...more },
    { nowMs: () => 1000, roomToHold: (_, bytes) => bytes, ended: () => undefined },
  );
}

function ended(end: OperationEnd, more: Partial<OperationFacts> = {}): Operation {
  const one = operation(more);
  one.end(end);
  return one;
}

const ENDS: readonly (readonly [OperationEnd, lid1: number, lid4: number])[] = [
  [{ state: "done" }, STATUS_LID1.DONE, STATUS_LID4.DONE],
  [{ state: "partial" }, STATUS_LID1.DONE, STATUS_LID4.PARTIAL_TOKEN],
  [{ state: "residual" }, STATUS_LID1.DONE, STATUS_LID4.RESIDUAL],
  [{ state: "failed", status: 2, sense: SENSE }, STATUS_LID1.FAILED, STATUS_LID4.FAILED],
  [{ state: "terminated", status: 0x40 }, STATUS_LID1.FAILED, STATUS_LID4.TERMINATED],
];

test("how an operation ended is told in the codes of both forms, with status and sense data", (t) => {
  for (const [end, lid1, lid4] of ENDS) {
    const one = ended(end);
    t.is(decodeStatusLid1(statusLid1(one)).status, lid1, end.state);
    const { status, completion, sense, delayMs } = decodeStatusLid4(statusLid4(one, 2000));
    t.deepEqual(
      { status, completion, sense, delayMs },
      { status: lid4, completion: end.status ?? 0, sense: end.sense ?? none, delayMs: DELAY_ENDED },
    );
    const details = end.status === undefined ? undefined : { status: end.status, sense: end.sense ?? none };
    t.deepEqual(decodeFailureDetails(failureDetails(one)), details, end.state);
  }
});

test("one that runs says whether the command waits for it, how far it is, and has no details, data or tokens yet", (t) => {
  const one = operation();
  one.hold(hex("0102"));
  one.made(zeroToken());
  one.progress({ segments: 2, bytes: 4096n, commands: 0x1_0003 });
  one.progress({ bytes: 5120n });
  const lid1 = { heldDiscarded: false, status: STATUS_LID1.RUNNING, segments: 2, units: 0, count: 5120 };
  t.deepEqual(decodeStatusLid1(statusLid1(one)), lid1);
  const lid4 = {
    ...{ action: 0x01, status: STATUS_LID4.FOREGROUND, operations: 4, delayMs: DELAY_UNKNOWN },
    ...{ completion: 0, units: 0, count: 5120n, segments: 2, sense: none },
  };
  t.deepEqual(decodeStatusLid4(statusLid4(one, 2000)), lid4);
  t.deepEqual(decodeDataLid4(dataLid4(one, 2000)), { ...lid4, heldDiscarded: false, held: none });
  t.deepEqual(decodeTokenInformation(tokenInformation(one, 2000)), { ...lid4, tokens: [] });
  t.is(decodeFailureDetails(failureDetails(one)), undefined);
  const background = operation({ background: true, kind: "copy-lid1" });
  t.like(decodeStatusLid4(statusLid4(background, 0)), { action: 0x00, status: STATUS_LID4.BACKGROUND });
});

test("held data and tokens come with the status when it has ended", (t) => {
  const one = operation({ kind: "populate-token" });
  one.countsBlocksOf(512);
  one.hold(hex("0102"));
  one.hold(hex("03"));
  one.made(zeroToken());
  one.progress({ bytes: 1n << 42n });
  one.end({ state: "done" });
  const blocks = { action: 0x10, status: STATUS_LID4.DONE, units: UNITS_BLOCKS, count: 1n << 33n };
  t.like(decodeTokenInformation(tokenInformation(one, 0)), { ...blocks, tokens: [{ cscdId: 0, token: zeroToken() }] });
  t.deepEqual(decodeDataLid4(dataLid4(one, 0)).held, hex("010203"));
});

test("a count that has no room in four bytes is told in larger units", (t) => {
  const counts: readonly (readonly [bigint, units: number, count: number])[] = [
    [0xffff_ffffn, 0, 0xffff_ffff],
    [0x1_0000_03ffn, 1, 0x40_0000],
    [1n << 52n, 3, 1 << 22],
    [(1n << 64n) - 1n, 4, 0xff_ffff],
  ];
  for (const [bytes, units, count] of counts) {
    const one = operation();
    one.progress({ bytes });
    t.like(decodeStatusLid1(statusLid1(one)), { units, count });
    t.like(decodeStatusLid4(statusLid4(one, 0)), { units: 0, count: bytes });
  }
});

test("when to ask again is estimated by the pace, not sooner than 100 ms and not later than 5 s", (t) => {
  const delay = (bytes: bigint, nowMs: number) => {
    const one = operation({ totalBytes: 1000n });
    one.progress({ bytes });
    return decodeStatusLid4(statusLid4(one, nowMs)).delayMs;
  };
  t.is(delay(0n, 2000), DELAY_UNKNOWN);
  t.is(delay(500n, 2000), 1000);
  t.is(delay(999n, 2000), 100);
  t.is(delay(1000n, 2000), 100);
  t.is(delay(1001n, 2000), 100);
  t.is(delay(1n, 2000), 5000);
});

test("sense data longer than a device may send is cut in the status and whole in the details", (t) => {
  const sense = new Uint8Array(300).fill(1);
  const one = ended({ state: "failed", status: 2, sense });
  t.is(decodeStatusLid4(statusLid4(one, 0)).sense.length, 252);
  t.is(decodeFailureDetails(failureDetails(one))?.sense.length, 300);
});
