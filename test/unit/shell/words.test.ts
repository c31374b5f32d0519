// What devices say, in the words of the standards.
import test from "ava";
import { alertWords } from "../../../src/shell/alert-words.js";
import { flagsOf, inquiryWords, vpdName, vpdWords } from "../../../src/shell/inquiry-words.js";
import { logPageName, logWords } from "../../../src/shell/log-words.js";
import { TAPE_ALERTS } from "../../../src/wire/names.js";

const page = (code: number, ...parameters: [number, ...number[]][]): Uint8Array => {
  const body = parameters.flatMap(([parameter, ...bytes]) => [
    parameter >> 8,
    parameter & 255,
    3,
    bytes.length,
    ...bytes,
  ]);
  return Uint8Array.from([code, 0, body.length >> 8, body.length & 255, ...body]);
};

test("log pages: counters with what they count, and what is not known with its number", (t) => {
  t.is(logPageName(0x0c, "tape"), "0Ch sequential-access device");
  t.is(logPageName(0x0c, "disk"), "0Ch logical block provisioning");
  t.is(logPageName(0x33, "tape"), "33h vendor specific");
  t.deepEqual(logWords(page(0x03, [5, 0, 0, 0, 1, 0, 0, 0, 0], [6, 2], [0x8001, 0xab]), "tape"), [
    { code: "0005h", what: "bytes processed", value: "4294967296 bytes" },
    { code: "0006h", what: "uncorrected errors", value: "2" },
    { code: "8001h", what: "", value: "ab" },
  ]);
  // The same number says something else on another type of device.
  t.is(logWords(page(0x0c, [0x100, 0, 0, 0, 1]), "tape")[0]?.value, "yes");
  t.is(logWords(page(0x0c, [0x100, 0, 0, 0, 1]), "disk")[0]?.what, "");
});

test("log pages: temperature, exceptions and the drive's own state in words", (t) => {
  t.is(logWords(page(0x0d, [0, 0, 41]), "disk")[0]?.value, "41 °C");
  t.is(logWords(page(0x0d, [0, 0, 0xff]), "disk")[0]?.value, "not known");
  t.regex(
    String(logWords(page(0x2f, [0, 0x5d, 0, 38]), "disk")[0]?.value),
    /failure prediction threshold exceeded, 38 °C/,
  );
  t.is(
    logWords(page(0x11, [0, 0x86, 0x11, 0, 0]), "tape")[0]?.value,
    "medium removal prevented, cleaning requested, cleaning required, medium present, mounted",
  );
});

test("TapeAlert: flag 1 is the first bit; every flag of the table has a severity, and cleaning says what to do", (t) => {
  t.deepEqual(flagsOf(Uint8Array.from([0x80, 0, 0x10, 0, 0, 0, 0, 1])), [1, 20, 64]);
  t.deepEqual(logWords(page(0x12, [0, 0, 0, 0x10, 0, 0, 0, 0, 0]), "tape")[0]?.value, "20 cleaning required");
  const now = alertWords(20, TAPE_ALERTS[20]);
  t.is(now.severity, "CRITICAL");
  t.regex(String(now.do), /clean the drive now/);
  t.is(alertWords(21, "x").severity, "warning");
  t.is(alertWords(19, "x").severity, "information");
});

test("INQUIRY: names instead of numbers; a page means what it does on that type of device", (t) => {
  const data = Buffer.alloc(96);
  data[0] = 0x21;
  data[2] = 6;
  data[5] = 0x30;
  data.write("IBM     ULT3580-TD8     J4D0", 8, "latin1");
  t.like(inquiryWords(data), {
    type: "tape drive",
    qualifier: "a device could be there, and is not",
    standard: "SPC-4",
    vendor: "IBM",
    product: "ULT3580-TD8",
    targetPortGroups: "implicit and explicit",
  });
  t.is(vpdName(0xb2, 1), "B2h TapeAlert supported flags");
  t.is(vpdName(0xb2, 0), "B2h logical block provisioning");
  t.is(vpdName(0xc3, 0), "C3h vendor specific");
  t.deepEqual(vpdWords(0xb1, Uint8Array.from([0, 0xb1, 0, 4, 0x1c, 0x20, 0, 3]), 0), {
    rotation: "7200 per minute",
    formFactor: "2.5 inch",
  });
});

test("a page that is cut off or not known is shown as it is", (t) => {
  t.like(vpdWords(0x86, Uint8Array.from([0, 0x86, 0, 60, 0]), 0), { bytes: "00 86 00 3c 00" });
  t.deepEqual(vpdWords(0xc0, Uint8Array.from([1, 2]), 0), { bytes: "01 02" });
});
