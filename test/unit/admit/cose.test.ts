import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import test from "ava";
import { ALG, algorithmOf, decodeSign1, kidOf, signSign1, sigStructure, verifySign1 } from "../../../src/admit/cose.js";
import type { ErrorCode } from "../../../src/sys/errors.js";
import { type CborKey, CborTag, type CborValue, decodeCbor, encodeCbor } from "../../../src/wire/cbor-strict.js";
import { fromHex, toHex } from "../../../src/wire/hex.js";
import { vector } from "../../lib/vectors.js";

const b64 = (hex: string) => Buffer.from(hex, "hex").toString("base64url");
const p256 = (x: string, y: string) => createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
const SIGN1_KEY = p256("usWxHK2PmfnHKwXPS54m0kTcGJ90UiglWiGahtagnv8", "IBOL-C3BttVivg-lSreASjpkttcsz-1rb7btKLv8EX4");
const RFC8392_KEY = p256(
  b64("143329cce7868e416927599cf65a34f3ce2ffda55a7eca69ed8919a394d42f0f"),
  b64("60f7f1a780d8a783bfb7a2dd6b2796e8128dbbcef9d3d168db9529971a36e7b9"),
);
// RFC 8032 7.1 TEST 1.
const ED_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const ED_PRIVATE = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const ED_JWK = { kty: "OKP", crv: "Ed25519", x: b64(ED_PUBLIC) };
const ED_KEY = createPublicKey({ key: ED_JWK, format: "jwk" });
const ED448_KEY = createPublicKey({
  key: {
    kty: "OKP",
    crv: "Ed448",
    x: b64(
      "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180",
    ),
  },
  format: "jwk",
});
const BOTH = [ALG.EDDSA, ALG.ES256];
const CONTENT = new TextEncoder().encode("This is the content.");

const ACCEPTED: readonly [string, KeyObject, string?][] = [
  ["sign-pass-02", SIGN1_KEY, "11aa22bb33cc44dd55006699"],
  ["sign-pass-03", SIGN1_KEY],
  ["eddsa-sig-01", ED_KEY],
];
for (const [name, key, aad] of ACCEPTED) {
  test(`cose-wg example ${name} is verified`, (t) => {
    const message = decodeSign1(vector(`cose/${name}`));
    t.notThrows(() => verifySign1(message, key, BOTH, fromHex(aad ?? "")));
    t.deepEqual(message.payload, CONTENT);
    t.deepEqual(kidOf(message), new TextEncoder().encode("11"));
  });
}

test("RFC 8392 A.3: the signed CWT is verified and holds the claims of A.1", (t) => {
  const message = decodeSign1(vector("cose/rfc8392-a3-signed"));
  t.notThrows(() => verifySign1(message, RFC8392_KEY, BOTH));
  t.deepEqual(message.payload, vector("cose/rfc8392-a1-claims"));
});

const STRUCTURES: readonly [string, string, string][] = [
  ["sign-pass-01", "", "846a5369676e617475726531404054546869732069732074686520636f6e74656e742e"],
  [
    "sign-pass-02",
    "11aa22bb33cc44dd55006699",
    "846a5369676e61747572653143a101264c11aa22bb33cc44dd5500669954546869732069732074686520636f6e74656e742e",
  ],
  ["eddsa-sig-02", "", "846a5369676e61747572653143a101274054546869732069732074686520636f6e74656e742e"],
];
for (const [name, aad, expected] of STRUCTURES) {
  test(`the Sig_structure of ${name} has the bytes that the example gives`, (t) => {
    const { protectedBytes, protectedHeader, payload } = decodeSign1(vector(`cose/${name}`));
    const signed = protectedHeader.size === 0 ? new Uint8Array(0) : protectedBytes;
    t.is(toHex(sigStructure(signed, payload, fromHex(aad))), expected);
  });
}

const REFUSED: readonly [string, string, KeyObject, ErrorCode][] = [
  ["alg outside the protected header", "sign-pass-01", SIGN1_KEY, "KEY_ALGORITHM"],
  ["another tag", "sign-fail-01", SIGN1_KEY, "KEY_MALFORMED"],
  ["content changed", "sign-fail-02", SIGN1_KEY, "KEY_SIGNATURE_WRONG"],
  ["alg changed to an unknown number", "sign-fail-03", SIGN1_KEY, "KEY_ALGORITHM"],
  ["alg changed to text", "sign-fail-04", SIGN1_KEY, "KEY_ALGORITHM"],
  ["a protected attribute added", "sign-fail-06", SIGN1_KEY, "KEY_SIGNATURE_WRONG"],
  ["a protected attribute removed", "sign-fail-07", SIGN1_KEY, "KEY_SIGNATURE_WRONG"],
  ["external data missing", "sign-pass-02", SIGN1_KEY, "KEY_SIGNATURE_WRONG"],
  ["another key of the same kind", "rfc8392-a3-signed", SIGN1_KEY, "KEY_SIGNATURE_WRONG"],
  ["a key that does not fit the algorithm", "eddsa-sig-01", SIGN1_KEY, "KEY_ALGORITHM"],
  ["Ed448 where EdDSA means Ed25519", "eddsa-sig-02", ED448_KEY, "KEY_ALGORITHM"],
];
for (const [what, name, key, code] of REFUSED) {
  test(`refused: ${what} (${name})`, (t) => {
    t.throws(() => verifySign1(decodeSign1(vector(`cose/${name}`)), key, BOTH), { code });
  });
}

test("by default only EdDSA is taken, even with a right ES256 signature", (t) => {
  const message = decodeSign1(vector("cose/sign-pass-03"));
  t.throws(() => verifySign1(message, SIGN1_KEY), { code: "KEY_ALGORITHM" });
});

test("signing makes the very bytes that openssl made (Ed25519 is deterministic)", (t) => {
  const key = createPrivateKey({ key: { ...ED_JWK, d: b64(ED_PRIVATE) }, format: "jwk" });
  const expected = vector("cose/gantry-key");
  const header = new Map<CborKey, CborValue>([[4, new TextEncoder().encode("broker-1-2026")]]);
  t.deepEqual(signSign1(header, decodeSign1(expected).payload, key), expected);
});

test("every single changed bit of a signed message is noticed", (t) => {
  const good = vector("cose/gantry-key");
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = Uint8Array.from(good);
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.throws(() => verifySign1(decodeSign1(bad), ED_KEY), { name: "GantryError" }, `bit ${bit}`);
  }
});

const parts = () => (decodeCbor(vector("cose/eddsa-sig-01")) as CborTag).value as CborValue[];
const header = (...entries: [CborKey, CborValue][]) => encodeCbor(new Map<CborKey, CborValue>([[1, -8], ...entries]));
const withHeader = (...entries: [CborKey, CborValue][]) => [header(...entries), new Map(), CONTENT, new Uint8Array(64)];

test("a CWT tag may stand around a tagged message, and not around an untagged one (RFC 8392 6)", (t) => {
  t.is(algorithmOf(decodeSign1(encodeCbor(new CborTag(61, new CborTag(18, parts()))))), ALG.EDDSA);
  t.throws(() => decodeSign1(encodeCbor(new CborTag(61, parts()))), { code: "KEY_MALFORMED" });
});

const MISSHAPEN: readonly [string, CborValue, ErrorCode][] = [
  ["three parts", parts().slice(0, 3), "KEY_MALFORMED"],
  ["no array", new Map(), "KEY_MALFORMED"],
  ["a payload that is not bytes", [header(), new Map(), null, new Uint8Array(64)], "KEY_MALFORMED"],
  ["a protected header that is not a map", [encodeCbor([]), new Map(), CONTENT, new Uint8Array(64)], "KEY_MALFORMED"],
  ["a protected header that is no CBOR", [fromHex("ff"), new Map(), CONTENT, new Uint8Array(64)], "KEY_MALFORMED"],
  ["one label in both headers", [header(), new Map([[1, -8]]), CONTENT, new Uint8Array(64)], "KEY_MALFORMED"],
  ["crit outside the protected header", [header(), new Map([[2, [1]]]), CONTENT, new Uint8Array(64)], "KEY_MALFORMED"],
  ["an empty crit", withHeader([2, []]), "KEY_MALFORMED"],
  ["crit that lists what is not there", withHeader([2, [99]]), "KEY_MALFORMED"],
  ["crit that lists what is not known", withHeader([2, [99]], [99, 0]), "KEY_CRITICAL_UNKNOWN"],
];
for (const [what, value, code] of MISSHAPEN) {
  test(`refused: ${what}`, (t) => {
    t.throws(() => decodeSign1(encodeCbor(value)), { code });
  });
}

test("crit that lists what is known is taken", (t) => {
  t.notThrows(() => decodeSign1(encodeCbor(withHeader([2, [1, 4]], [4, fromHex("01")]))));
});
