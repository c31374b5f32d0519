import test from "ava";
import fc from "fast-check";
import { isGantryError } from "../../../src/sys/errors.js";
import { ascText } from "../../../src/wire/asc.js";
import { ASC_TABLE } from "../../../src/wire/asc-table.js";
import { fromHex } from "../../../src/wire/hex.js";
import { SENSE_KEYS, statusName } from "../../../src/wire/names.js";
import {
  decodeSense,
  endInWords,
  residual,
  type Sense,
  type SenseSource,
  senseInWords,
} from "../../../src/wire/sense.js";
import { vector } from "../../lib/vectors.js";

const SENTENCES: readonly [string, SenseSource | undefined, Partial<Sense>, string][] = [
  [
    "sense-fixed-medium-error",
    "disk",
    { format: "fixed", information: 1234n, retries: 7, fieldReplaceableUnit: 5 },
    "MEDIUM ERROR: unrecovered read error (11h/00h) at LBA 1234, after 7 tries",
  ],
  [
    "sense-fixed-medium-error",
    undefined,
    { key: 3 },
    "MEDIUM ERROR: unrecovered read error (11h/00h), information 1234, after 7 tries",
  ],
  [
    "sense-fixed-ili",
    "tape",
    { ili: true, filemark: false, eom: false },
    "NO SENSE: no additional sense information (00h/00h), residual -1024, incorrect length",
  ],
  [
    "sense-fixed-filemark",
    "tape",
    { filemark: true, ili: false },
    "NO SENSE: filemark detected (00h/01h), residual 262144, filemark",
  ],
  ["sense-fixed-deferred", "disk", { deferred: true }, "deferred HARDWARE ERROR: internal target failure (44h/00h)"],
  [
    "sense-fixed-field-pointer",
    "disk",
    { fieldPointer: { in: "CDB", byte: 2, bit: 4 } },
    "ILLEGAL REQUEST: invalid field in CDB (24h/00h), byte 2 bit 4 of the CDB",
  ],
  [
    "sense-fixed-progress",
    "disk",
    { progress: 0.5 },
    "NOT READY: logical unit not ready, format in progress (04h/04h), 50 % done",
  ],
  [
    "sense-descriptor-medium-error",
    "disk",
    { format: "descriptor", information: 0x123456789n },
    "MEDIUM ERROR: unrecovered read error (11h/00h) at LBA 4886718345, after 3 tries",
  ],
  [
    "sense-descriptor-stream",
    "tape",
    { eom: true },
    "NO SENSE: end-of-partition/medium detected (00h/02h), residual -5, end of medium",
  ],
  [
    "sense-descriptor-copy-aborted",
    undefined,
    { deferred: true, commandSpecific: 2n, fieldReplaceableUnit: 2 },
    "deferred COPY ABORTED: third party device failure (0Dh/01h), byte 16 of the segment descriptor",
  ],
];
for (const [name, source, parts, sentence] of SENTENCES) {
  test(`${name}${source === undefined ? "" : ` of a ${source}`} in words: ${sentence}`, (t) => {
    const bytes = vector(`scsi/${name}`);
    t.like(decodeSense(bytes), parts);
    t.is(senseInWords(bytes, source), sentence);
  });
}

test("INFORMATION that is not valid is not there", (t) => {
  t.is(decodeSense(vector("scsi/sense-fixed-deferred")).information, undefined);
  const descriptor = vector("scsi/sense-descriptor-medium-error");
  descriptor[10] = 0;
  t.is(decodeSense(descriptor).information, undefined);
});

test("the residual of a tape is signed, by 32 bits in fixed and 64 in descriptor format", (t) => {
  t.is(residual(decodeSense(vector("scsi/sense-fixed-ili"))), -1024n);
  t.is(residual(decodeSense(vector("scsi/sense-fixed-filemark"))), 262144n);
  t.is(residual(decodeSense(vector("scsi/sense-descriptor-stream"))), -5n);
  t.is(residual(decodeSense(vector("scsi/sense-fixed-progress"))), undefined);
});

test("the sense key specific bytes mean nothing without SKSV", (t) => {
  const bytes = vector("scsi/sense-fixed-field-pointer");
  bytes[15] = (bytes[15] ?? 0) & 0x7f;
  t.is(decodeSense(bytes).fieldPointer, undefined);
});

test("sense data that ends early has what it has; without a sense key it is refused", (t) => {
  const whole = vector("scsi/sense-fixed-medium-error");
  t.like(decodeSense(whole.subarray(0, 3)), { key: 3, asc: 0 });
  t.is(decodeSense(whole.subarray(0, 6)).information, undefined);
  t.like(decodeSense(whole.subarray(0, 14)), { key: 3, asc: 0x11, information: 1234n });
  t.throws(() => decodeSense(whole.subarray(0, 2)), { code: "SCSI_DATA_TRUNCATED" });
  t.throws(() => decodeSense(new Uint8Array(0)), { code: "SCSI_DATA_TRUNCATED" });
  t.like(decodeSense(fromHex("7203")), { key: 3 });
  t.throws(() => decodeSense(fromHex("72")), { code: "SCSI_DATA_TRUNCATED" });
});

test("a descriptor that is cut off, of an unknown type, or of a wrong length is passed over", (t) => {
  const whole = vector("scsi/sense-descriptor-medium-error");
  t.like(decodeSense(whole.subarray(0, 24)), { information: 0x123456789n, retries: undefined });
  t.like(decodeSense(fromHex("72031100000000060901000202")), { key: 3 });
  t.is(decodeSense(fromHex("720300000000000c000280000000000000000001")).information, undefined);
});

test("other response codes are refused, and shown in hexadecimal", (t) => {
  t.throws(() => decodeSense(fromHex("7f0000")), { code: "SCSI_DATA_INVALID", message: /7fh/ });
  t.is(senseInWords(fromHex("7f0001")), "sense data that cannot be decoded (7f 00 01)");
  t.is(senseInWords(new Uint8Array(0)), "no sense data");
});

test("how a command ended is told by outcome before status before sense", (t) => {
  const sense = vector("scsi/sense-fixed-medium-error");
  t.regex(endInWords({ outcome: "transport", status: 0, sense }), /transport failure/);
  t.regex(endInWords({ outcome: "timed-out", status: 2, sense }), /in time/);
  t.is(endInWords({ outcome: "delivered", status: 0x18, sense }), "RESERVATION CONFLICT");
  t.regex(endInWords({ outcome: "delivered", status: 2, sense }, "disk"), /^MEDIUM ERROR.*LBA 1234/);
  t.is(statusName(0x77), "status 77h");
});

const ASC: readonly [number, number, string][] = [
  [0x00, 0x00, "no additional sense information"],
  [0x04, 0x01, "logical unit is in process of becoming ready"],
  [0x29, 0x00, "power on, reset, or bus device reset occurred"],
  [0x3a, 0x00, "medium not present"],
  [0x74, 0x79, "security conflict in translated device"],
  [0x40, 0x85, "diagnostic failure on component 85h"],
  [0x4d, 0x07, "tagged overlapped commands, task tag 07h"],
  [0x11, 0x7f, "unrecovered read error, unknown qualifier"],
  [0x11, 0x80, "unrecovered read error, vendor specific qualifier"],
  [0x80, 0x00, "vendor specific"],
  [0x7f, 0x00, "unknown additional sense code"],
];
for (const [asc, ascq, text] of ASC) {
  test(`additional sense ${asc.toString(16)}h/${ascq.toString(16)}h is "${text}"`, (t) => {
    t.is(ascText(asc, ascq), text);
  });
}

test("the table of additional sense codes rises, has no code twice, and no empty text", (t) => {
  const lines = ASC_TABLE.trim().split("\n");
  t.true(lines.length > 750);
  let before = -1;
  for (const line of lines) {
    t.regex(line, /^[0-9a-f]{4} \S.*\S$/);
    const code = Number.parseInt(line.slice(0, 4), 16);
    t.true(code > before, line);
    before = code;
  }
  t.is(SENSE_KEYS.length, 16);
});

test("of any sense data at all, only our own errors come out, and the sentence always does", (t) => {
  const bytes = fc.tuple(fc.constantFrom(0x70, 0x71, 0x72, 0x73, 0xf0, 0x00), fc.uint8Array({ maxLength: 64 }));
  fc.assert(
    fc.property(bytes, ([first, rest]) => {
      const sense = Uint8Array.from([first, ...rest]);
      if (senseInWords(sense, "tape").length === 0) throw new Error("no words");
      try {
        decodeSense(sense);
      } catch (error) {
        if (!isGantryError(error)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
  t.pass();
});
