import test from "ava";
import fc from "fast-check";
import { isGantryError } from "../../../src/sys/errors.js";
import {
  CBOR_STRICT_DEPTH,
  CBOR_STRICT_MAX,
  type CborKey,
  CborTag,
  type CborValue,
  decodeCbor,
  encodeCbor,
} from "../../../src/wire/cbor-strict.js";
import { fromHex, toHex } from "../../../src/wire/hex.js";

const map = (...entries: [CborKey, CborValue][]) => new Map<CborKey, CborValue>(entries);

// RFC 8949 appendix A, the examples that the strict form has.
const EXAMPLES: readonly [CborValue, string][] = [
  [0, "00"],
  [1, "01"],
  [10, "0a"],
  [23, "17"],
  [24, "1818"],
  [25, "1819"],
  [100, "1864"],
  [1000, "1903e8"],
  [1_000_000, "1a000f4240"],
  [1_000_000_000_000, "1b000000e8d4a51000"],
  [18446744073709551615n, "1bffffffffffffffff"],
  [-18446744073709551616n, "3bffffffffffffffff"],
  [-1, "20"],
  [-10, "29"],
  [-100, "3863"],
  [-1000, "3903e7"],
  [false, "f4"],
  [true, "f5"],
  [null, "f6"],
  [new CborTag(1, 1363896240), "c11a514b67b0"],
  [new CborTag(23, fromHex("01020304")), "d74401020304"],
  [new CborTag(32, "http://www.example.com"), "d82076687474703a2f2f7777772e6578616d706c652e636f6d"],
  [fromHex(""), "40"],
  [fromHex("01020304"), "4401020304"],
  ["", "60"],
  ["a", "6161"],
  ["IETF", "6449455446"],
  ['"\\', "62225c"],
  ["\u00fc", "62c3bc"],
  ["\u6c34", "63e6b0b4"],
  ["\u{10151}", "64f0908591"],
  [[], "80"],
  [[1, 2, 3], "83010203"],
  [[1, [2, 3], [4, 5]], "8301820203820405"],
  [Array.from({ length: 25 }, (_, index) => index + 1), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"],
  [map(), "a0"],
  [map([1, 2], [3, 4]), "a201020304"],
  [map(["a", 1], ["b", [2, 3]]), "a26161016162820203"],
  [["a", map(["b", "c"])], "826161a161626163"],
];

for (const [value, hex] of EXAMPLES) {
  test(`RFC 8949 appendix A: ${hex} is encoded and decoded as it stands there`, (t) => {
    t.is(toHex(encodeCbor(value)), hex);
    t.deepEqual(decodeCbor(fromHex(hex)), value);
  });
}

test("map keys go in the order of their encodings (RFC 8949 4.2.1)", (t) => {
  const unordered = map(["aa", 1], [-1, 2], [100, 3], ["z", 4], [10, 5], [-70001, 6]);
  t.is(toHex(encodeCbor(unordered)), "a60a0518640320023a0001117006617a0462616101");
});

const REFUSED: readonly [string, string, RegExp][] = [
  ["nothing at all", "", /ends inside/],
  ["bytes after the item", "0000", /1 bytes follow/],
  ["an integer that is not in the shortest form", "1817", /shortest/],
  ["two bytes where one is enough", "1900ff", /shortest/],
  ["four bytes where two are enough", "1a0000ffff", /shortest/],
  ["eight bytes where four are enough", "1b00000000ffffffff", /shortest/],
  ["a text length that is not in the shortest form", "780161", /shortest/],
  ["an indefinite byte string", "5f4101ff", /indefinite/],
  ["an indefinite array", "9f01ff", /indefinite/],
  ["an indefinite map", "bf0102ff", /indefinite/],
  ["a lone break", "ff", /simple values/],
  ["a half float", "f93c00", /floating/],
  ["a double", "fb3ff199999999999a", /floating/],
  ["undefined", "f7", /simple values/],
  ["a reserved length", "1c", /reserved/],
  ["a map key twice", "a201020103", /twice/],
  ["a map as a map key", "a1a001", /neither an integer nor text/],
  ["text that is not UTF-8", "61ff", /UTF-8/],
  ["an array of four billion announced in nine bytes", "9affffffff", /announced/],
  ["a map that announces more than follows", "a20102", /announced/],
  ["a byte string of 2⁶⁴-1 bytes", "5bffffffffffffffff", /announced/],
  ["an item that ends inside its head", "19ff", /ends inside/],
  ["an enormous tag", "dbffffffffffffffff00", /tag/],
];

for (const [what, hex, message] of REFUSED) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => decodeCbor(fromHex(hex)), { code: "CBOR_INVALID", message });
  });
}

test(`nesting is taken to depth ${CBOR_STRICT_DEPTH} and no deeper`, (t) => {
  const nested = (depth: number) => fromHex(`${"81".repeat(depth - 1)}00`);
  t.notThrows(() => decodeCbor(nested(CBOR_STRICT_DEPTH)));
  t.throws(() => decodeCbor(nested(CBOR_STRICT_DEPTH + 1)), { code: "CBOR_INVALID", message: /deeper/ });
  t.throws(() => decodeCbor(nested(10_000)), { code: "CBOR_INVALID", message: /deeper/ });
});

test("an item of the largest size is taken, one byte more is not", (t) => {
  const head = 3;
  t.notThrows(() => decodeCbor(encodeCbor(new Uint8Array(CBOR_STRICT_MAX - head))));
  t.throws(() => decodeCbor(encodeCbor(new Uint8Array(CBOR_STRICT_MAX - head + 1))), { code: "CBOR_INVALID" });
});

test("byte strings are copies: changing the message afterwards changes nothing", (t) => {
  const bytes = fromHex("420102");
  const value = decodeCbor(bytes);
  bytes.fill(0xff);
  t.deepEqual(value, fromHex("0102"));
});

test("the encoder refuses fractions, integers beyond 64 bits, lone surrogates and equal keys", (t) => {
  for (const value of [0.5, Number.NaN, 2 ** 60, 2n ** 64n, -(2n ** 64n) - 1n, "\ud800", map([1, 0], [1n, 0])]) {
    t.throws(() => encodeCbor(value), { code: "CBOR_INVALID" }, String(value));
  }
});

const leaf = fc.oneof(
  fc.maxSafeInteger(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array({ maxLength: 300 }),
  fc.boolean(),
  fc.constant(null),
);
const value = fc.letrec<{ item: CborValue }>((tie) => ({
  item: fc.oneof(
    { maxDepth: 5 },
    leaf as fc.Arbitrary<CborValue>,
    fc.array(tie("item"), { maxLength: 5 }),
    fc
      .uniqueArray(fc.tuple(fc.oneof(fc.integer(), fc.string()) as fc.Arbitrary<CborKey>, tie("item")), {
        selector: ([key]) => key,
        maxLength: 5,
      })
      .map((entries) => new Map(entries)),
    fc.tuple(fc.nat(), tie("item")).map(([tag, inner]) => new CborTag(tag, inner)),
  ),
})).item;

test("whatever is encoded is decoded to the same, and encoded again to the same bytes", (t) => {
  fc.assert(
    fc.property(value, (item) => {
      const bytes = encodeCbor(item);
      if (bytes.length > CBOR_STRICT_MAX) return;
      t.deepEqual(encodeCbor(decodeCbor(bytes)), bytes);
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test("of any bytes at all, only CBOR_INVALID comes out", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeCbor(bytes);
      } catch (error) {
        if (!isGantryError(error) || error.code !== "CBOR_INVALID") throw error;
      }
    }),
    { numRuns: 5000 },
  );
  t.pass();
});
