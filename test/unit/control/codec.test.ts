import test from "ava";
import { Encoder } from "cbor-x";
import fc from "fast-check";
import { decode, encode, encodeDeterministic, MESSAGE_LIMITS } from "../../../src/control/codec.js";
import { isGantryError } from "../../../src/sys/errors.js";
import { RFC8949_REFUSED, RFC8949_VALUES } from "./rfc8949-appendix-a.js";

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const refused = test.macro({
  exec(t, input: string, why: RegExp) {
    t.throws(() => decode(hex(input)), { code: "MESSAGE_MALFORMED", message: why });
  },
  title: (name) => `refused: ${name}`,
});

test("RFC 8949 Appendix A: values decode to what is written beside them", (t) => {
  for (const [bytes, value] of RFC8949_VALUES) t.deepEqual(decode(hex(bytes)), value, bytes);
});

test("RFC 8949 Appendix A: values encode to the shortest form that is given there", (t) => {
  for (const [bytes, value, form] of RFC8949_VALUES) {
    if (form === "preferred") t.is(toHex(encode(value)), bytes, String(value));
  }
});

test("RFC 8949 Appendix A: what the protocol does not use is refused", (t) => {
  for (const bytes of RFC8949_REFUSED) t.throws(() => decode(hex(bytes)), { code: "MESSAGE_MALFORMED" }, bytes);
});

test("an empty message", refused, "", /ends too early/);
test("more after the value", refused, "0000", /after the end/);
test("a byte string longer than the message", refused, "5903e8 00", /ends too early/);
test("a text of 2^32-1 bytes", refused, "7affffffff 61", /ends too early/);
test("an array of 2^32-1 items in five bytes", refused, "9affffffff", /larger than the message/);
test("a map of 2^63 entries", refused, "bb8000000000000000", /larger than the message/);
test("a map with half of its last entry", refused, "a2 6161 01 6162", /ends too early/);
test("a map with a key and no value", refused, "a1 6261", /ends too early/);
test("a key twice", refused, "a2 6161 01 6161 02", /`a` occurs twice/);
test("a key twice, once written longer", refused, "a2 6161 01 780161 02", /`a` occurs twice/);
test("a number as key", refused, "a1 01 02", /not text/);
test("__proto__ as key", refused, `a1 69 ${toHex(Buffer.from("__proto__"))} a0`, /__proto__/);
test("text that is not UTF-8", refused, "62 c328", /UTF-8/);
test("text with an encoded surrogate", refused, "63 eda080", /UTF-8/);
test("a key that is not UTF-8", refused, "a1 61ff 01", /UTF-8/);
test("an indefinite map", refused, "bf6161 01ff", /indefinite/);
test("an indefinite byte string", refused, "5f4101ff", /indefinite/);
test("a break alone", refused, "ff", /simple value/);
test("reserved additional information", refused, "1c", /reserved/);
test("a date (tag 1)", refused, "c11a514b67b0", /tag 1 /);
test("a bignum (tag 2)", refused, "c249010000000000000000", /tag 2 /);
test("a shared reference (tag 28)", refused, "d81c80", /tag 28 /);
test("a cbor-x record (tag 105)", refused, "d869 80", /tag 105 /);
test("a typed array of floats (tag 85)", refused, "d855 4400000000", /tag 85 /);
test("a typed array that is not a byte string", refused, "d847 8101", /needs a byte string/);
test("a typed array with a broken element", refused, "d847 4901020304050607 0809", /9 bytes/);
test("a tag within a tag", refused, "d847 d847 480000000000000000", /needs a byte string/);
test("an unassigned simple value", refused, "f0", /simple value/);
test("seventeen levels", refused, `${"81".repeat(17)}00`, /16 deep/);
test("twenty thousand levels", refused, `${"81".repeat(20_000)}00`, /16 deep/);

test("sixteen levels are taken", (t) => {
  t.notThrows(() => decode(hex(`${"81".repeat(16)}00`)));
});

test("a message over the limit is refused before it is looked at", (t) => {
  const bytes = new Uint8Array(MESSAGE_LIMITS.maxBytes + 1).fill(0xff);
  t.throws(() => decode(bytes), { code: "MESSAGE_TOO_LARGE", message: /1048577 bytes; at most 1048576/ });
  t.throws(() => encode(new Uint8Array(100), 101), { code: "MESSAGE_TOO_LARGE" });
  t.notThrows(() => encode(new Uint8Array(100), 102));
});

test("integers are numbers when they are safe and bigints when not, however wide they were sent", (t) => {
  t.is(decode(hex("1b0000000000000005")), 5);
  t.is(decode(hex("3b0000000000000005")), -6);
  t.deepEqual(decode(hex("82 1b001fffffffffffff 1b0020000000000000")), [9007199254740991, 9007199254740992n]);
  t.deepEqual(decode(hex("a1 6161 81 1b0000000100000000")), { a: [4294967296] });
  t.is(decode(hex("3bffffffffffffffff")), -18446744073709551616n);
});

test("numbers and bigints of one value have one encoding, also from 2^32", (t) => {
  for (const value of [0, 23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 2]) {
    t.is(toHex(encode(value)), toHex(encode(BigInt(value))));
    t.is(toHex(encode(-1 - value)), toHex(encode(-1n - BigInt(value))));
  }
  t.is(toHex(encode(2 ** 32)), "1b0000000100000000");
});

test("floats take the shortest of three widths that keeps the value", (t) => {
  const widths: [number, number][] = [
    [1.5, 3],
    [65504.5, 5],
    [-0, 3],
    [2 ** -24, 3],
    [2 ** -25, 5],
    [0.00006103515625, 3],
    [100000.5, 5],
    [3.4028234663852886e38, 5],
    [1.1, 9],
    [Number.POSITIVE_INFINITY, 3],
    [2 ** 60, 5],
  ];
  for (const [value, length] of widths) {
    const bytes = encode(value);
    t.is(bytes.length, length, String(value));
    t.is(decode(bytes), value);
  }
  t.is(toHex(encode(Number.NaN)), "f97e00");
});

test("map keys are sorted by length, then bytes (RFC 8949 4.2.1), and undefined is left out", (t) => {
  t.is(
    toHex(encodeDeterministic({ bb: 1, a: 2, é: 3, ab: 4, gone: undefined })),
    toHex(encodeDeterministic({ é: 3, ab: 4, a: 2, bb: 1 })),
  );
  t.is(toHex(encode({ z: 0, aa: 1 })), "a2617a0062616101");
});

test("every kind of item is written whole wherever the encoder's buffer has to grow", (t) => {
  const items = [
    1,
    -1,
    200,
    60_000,
    2 ** 31,
    2 ** 40,
    true,
    null,
    1.5,
    0.1,
    "",
    "é",
    [],
    {},
    new Uint8Array(2),
    new Uint32Array(1),
  ];
  for (const item of items) {
    for (let before = 490; before <= 520; before++) {
      const value = [new Uint8Array(before), item, item];
      t.deepEqual(decode(encode(value)), value, `${typeof item} after ${before}`);
    }
  }
});

test("byte strings and typed arrays are copies of the message", (t) => {
  const message = encode({
    bytes: new Uint8Array([1, 2, 3]),
    small: new Uint32Array([7]),
    large: new BigUint64Array([8n]),
  });
  const value = decode(message) as { bytes: Uint8Array; small: Uint32Array; large: BigUint64Array };
  message.fill(0xff);
  t.deepEqual(value, {
    bytes: new Uint8Array([1, 2, 3]),
    small: new Uint32Array([7]),
    large: new BigUint64Array([8n]),
  });
  t.is(Object.getPrototypeOf(value.bytes), Uint8Array.prototype);
});

test("typed arrays are found at every alignment, little- and big-endian", (t) => {
  for (let shift = 0; shift < 9; shift++) {
    const at = (bytes: string): Uint8Array => {
      const room = new Uint8Array(64 + shift);
      const coded = hex(bytes);
      room.set(coded, shift);
      return room.subarray(shift, shift + coded.length);
    };
    t.deepEqual(decode(at("d847 50 0100000000000000 ffffffffffffffff")), new BigUint64Array([1n, 2n ** 64n - 1n]));
    t.deepEqual(decode(at("d843 48 0000000000000102")), new BigUint64Array([258n]));
    t.deepEqual(decode(at("d846 44 01020000")), new Uint32Array([513]));
    t.deepEqual(decode(at("d842 44 00000102")), new Uint32Array([258]));
    t.deepEqual(decode(at("d840 42 0102")), new Uint8Array([1, 2]));
  }
});

const unencodable = test.macro({
  exec(t, value: unknown) {
    t.throws(() => encode(value), { code: "MESSAGE_UNENCODABLE" });
  },
  title: (name) => `not encoded: ${name}`,
});
test("a date", unencodable, new Date(0));
test("a Map", unencodable, new Map());
test("a function", unencodable, () => 1);
test("undefined in an array", unencodable, [undefined]);
test("2^64", unencodable, 1n << 64n);
test("-2^64 - 1", unencodable, -(1n << 64n) - 1n);
test("a lone surrogate", unencodable, "\ud800");
test("a lone surrogate in a key", unencodable, { "\udc00": 1 });
test(
  "a value that contains itself",
  unencodable,
  (() => {
    const loop: unknown[] = [];
    loop.push(loop);
    return loop;
  })(),
);

/** Everything that messages are made of, integers in the form that decode() gives them. */
const valuesWith = (...numbers: fc.Arbitrary<unknown>[]): fc.Arbitrary<unknown> =>
  fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      ...numbers,
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.double({ noNaN: true }).filter((x) => !Number.isSafeInteger(x)),
      fc.string({ unit: "binary" }),
      fc.string({ unit: "grapheme", minLength: 20, maxLength: 200 }),
      fc.uint8Array(),
      fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })).map((a) => new BigUint64Array(a)),
      fc.array(fc.nat()).map((a) => new Uint32Array(a)),
      fc.array(tie("value"), { maxLength: 6 }),
      fc.dictionary(
        fc.string({ unit: "binary" }).filter((key) => key !== "__proto__"),
        tie("value"),
        { maxKeys: 6, noNullPrototype: true },
      ),
    ),
  })).value;

const values = valuesWith(fc.constant(-0), fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }));
/** cbor-x writes -0 as 0 and refuses integers below -2^63. */
const valuesOfCborX = valuesWith(fc.bigInt({ min: -(2n ** 63n) + 1n, max: -(2n ** 53n) }));

test("what is encoded decodes to the same value, and encodes to the same bytes again", (t) => {
  fc.assert(
    fc.property(values, (value) => {
      const bytes = encode(value);
      const back = decode(bytes);
      t.deepEqual(back, value);
      t.is(toHex(encode(back)), toHex(bytes));
    }),
    { numRuns: 500 },
  );
});

test("what cbor-x encodes is read: the same values by way of another encoder", (t) => {
  const other = new Encoder({ useRecords: false, tagUint8Array: false });
  fc.assert(
    fc.property(valuesOfCborX, (value) => {
      t.deepEqual(decode(new Uint8Array(other.encode(value))), value);
    }),
    { numRuns: 300 },
  );
});

test("any bytes at all give a value or a GantryError, nothing else", (t) => {
  const mutated = fc.tuple(values, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
    const bytes = encode(value);
    bytes[at % bytes.length] = byte;
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        t.true(isGantryError(error), String(error));
      }
    }),
    { numRuns: 3000 },
  );
  t.pass();
});
