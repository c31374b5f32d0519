import test from "ava";
import fc from "fast-check";
import {
  formatText,
  parseBinary,
  parseList,
  parseNumber,
  parseText,
  pieces,
  TextGatherer,
} from "../../../src/fabric/iscsi/text-keys.js";
import { isGantryError } from "../../../src/sys/errors.js";
import { text } from "../../lib/iscsi-initiator.js";

const INVALID = { code: "ISCSI_TEXT_INVALID" } as const;

test("text is pairs ended by NULs; a value may be empty and hold equals signs", (t) => {
  t.deepEqual(parseText(text("A=1", "X-com.example.b=", "SendTargets=All=x", "iSCSIProtocolLevel=1")), [
    { key: "A", value: "1" },
    { key: "X-com.example.b", value: "" },
    { key: "SendTargets", value: "All=x" },
    { key: "iSCSIProtocolLevel", value: "1" },
  ]);
  t.deepEqual(parseText(new Uint8Array()), []);
  t.deepEqual(parseText(Buffer.from("A=1\0\0\0")), [{ key: "A", value: "1" }], "padding that was counted");
});

const broken: readonly (readonly [string, Buffer])[] = [
  ["a last pair without NUL", Buffer.from("A=1")],
  ["no equals sign", text("A")],
  ["no key", text("=1")],
  ["a key of 64 characters", text(`${"A".repeat(64)}=1`)],
  ["a key that begins with a digit", text("1A=1")],
  ["a space in a key", text("A B=1")],
  ["an empty pair between others", Buffer.from("A=1\0\0B=2\0")],
  ["a value of 256 bytes", text(`A=${"v".repeat(256)}`)],
  ["a value of 256 bytes in 128 characters", text(`A=${"é".repeat(128)}`)],
  ["a challenge of 8193 characters", text(`CHAP_C=${"0".repeat(8193)}`)],
  ["control characters", text("A=b\nc")],
  ["no UTF-8", Buffer.from([0x41, 0x3d, 0xff, 0x00])],
  ["more than 64 KiB", Buffer.concat([Buffer.alloc(65_536, "A"), Buffer.of(0)])],
  ["more pairs than anybody needs", text(...Array.from({ length: 1025 }, (_, index) => `A${index}=1`))],
];
for (const [what, bytes] of broken) {
  test(`text is refused that has ${what}`, (t) => {
    t.throws(() => parseText(bytes), INVALID);
  });
}

test("the longest key and value are taken, and a binary item of 1024 bytes", (t) => {
  t.is(parseText(text(`${"A".repeat(63)}=${"v".repeat(255)}`)).length, 1);
  t.is(parseText(text(`CHAP_C=0x${"0".repeat(2048)}`)).length, 1);
});

test("numbers are decimal or hexadecimal", (t) => {
  t.deepEqual(["0", "65536", "0x10000", "0XfF", "007"].map(parseNumber), [0, 65536, 65536, 255, 7]);
  for (const wrong of [
    "",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "0x",
    "x10",
    "10 ",
    "99999999999999999999",
    "0xffffffffffffffff",
    "Infinity",
  ])
    t.is(parseNumber(wrong), undefined, wrong);
});

test("lists have no empty values", (t) => {
  t.deepEqual(parseList("CRC32C,None"), ["CRC32C", "None"]);
  for (const wrong of ["", ",None", "None,", "CRC32C,,None"]) t.is(parseList(wrong), undefined, wrong);
});

test("binary values are hexadecimal or base64, and not longer than they may be", (t) => {
  const bytes = (value: string, most = 16): readonly number[] | undefined => {
    const found = parseBinary(value, most);
    return found === undefined ? undefined : [...found];
  };
  t.deepEqual(bytes("0xABcd"), [0xab, 0xcd]);
  t.deepEqual(bytes("0X123"), [0x01, 0x23], "a leading zero may be left out");
  t.deepEqual(bytes("0bAQID"), [1, 2, 3]);
  t.deepEqual(bytes("0BAQI="), [1, 2]);
  t.deepEqual(bytes("0bAQI"), [1, 2]);
  for (const wrong of ["", "0x", "0b", "ab", "0xzz", "0bA!", "0bA", "0bAR==", "0bAQI=A", `0x${"00".repeat(17)}`])
    t.is(bytes(wrong), undefined, wrong);
});

test("text of several PDUs is put together, up to 64 KiB", (t) => {
  const gathered = new TextGatherer();
  gathered.add(Buffer.from("Initiator"));
  gathered.add(Buffer.from("Alias=me\0"));
  t.deepEqual(parseText(gathered.take()), [{ key: "InitiatorAlias", value: "me" }]);
  t.true(gathered.empty);
  for (let count = 0; count < 8; count++) gathered.add(Buffer.alloc(8192));
  t.throws(() => gathered.add(Buffer.of(0)), INVALID);
});

test("an answer is cut into pieces that make the whole", (t) => {
  const whole = formatText([{ key: "A", value: "x".repeat(20) }]);
  const cut = pieces(whole, 7);
  t.true(cut.every((piece) => piece.length <= 7));
  t.deepEqual(Buffer.concat(cut), Buffer.from(whole));
  t.is(pieces(new Uint8Array(), 7).length, 1);
});

test("whatever bytes come, text is pairs or our own error", (t) => {
  const near = fc
    .array(fc.oneof(fc.string(), fc.constantFrom("=", "\0", "A=", "CHAP_R=0x", "SendTargets=All\0")))
    .map((parts) => new Uint8Array(Buffer.from(parts.join(""))));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), near), (bytes) => {
      try {
        const pairs = parseText(bytes);
        t.deepEqual(parseText(formatText(pairs)), pairs);
      } catch (error) {
        if (!isGantryError(error)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
