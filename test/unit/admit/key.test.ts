import test from "ava";
import fc from "fast-check";
import { decodeSign1 } from "../../../src/admit/cose.js";
import { CLAIM } from "../../../src/admit/cwt.js";
import { generateIssuerKeyPair, Issuer } from "../../../src/admit/issuer.js";
import { issuerKey, thumbprint } from "../../../src/admit/issuer-key.js";
import { cartridgeMatches, decodeKey, encodeKey, type Key } from "../../../src/admit/key.js";
import { decodeRevocation } from "../../../src/admit/revocation.js";
import { type ErrorCode, isGantryError } from "../../../src/sys/errors.js";
import { type CborKey, type CborValue, decodeCbor, encodeCbor } from "../../../src/wire/cbor-strict.js";
import { fromHex } from "../../../src/wire/hex.js";
import { vector } from "../../lib/vectors.js";
import { request, START_MS, TEST1_PEM } from "./helpers.js";

const EXAMPLE: Key = {
  id: fromHex("00112233445566778899aabbccddeeff"),
  issuer: "broker-1",
  holder: { kind: "job", id: "nightly-42" },
  audience: ["bridge-7"],
  issuedMs: 1_800_000_000_000,
  notBeforeMs: 1_800_000_000_000,
  expiresMs: 1_800_003_600_000,
  devices: [
    { kind: "device", name: "disk-a" },
    { kind: "class", deviceClass: "tape" },
  ],
  rights: ["read", "write", "media-control"],
  priority: 120,
  media: { cartridges: ["GAN001L8", "POOL-A*"], maxBytes: 12_000_000_000_000n },
  epoch: 3,
  maxBytes: 2n ** 53n + 1n,
};
const payload = () => decodeSign1(vector("cose/gantry-key")).payload;

test("the example of KEYS.md is decoded to its fields, and its fields are encoded to its bytes", (t) => {
  t.deepEqual(decodeKey(payload()), EXAMPLE);
  t.deepEqual(encodeKey(EXAMPLE), payload());
});

test("the issuer makes the example token byte for byte", (t) => {
  const issuer = new Issuer("broker-1", TEST1_PEM, "broker-1-2026");
  t.deepEqual(issuer.issue(EXAMPLE, 1_800_000_000_000).token, vector("cose/gantry-key"));
});

const changed = (...changes: [CborKey, CborValue | undefined][]): Uint8Array => {
  const map = new Map(decodeCbor(payload()) as ReadonlyMap<CborKey, CborValue>);
  for (const [label, value] of changes) {
    if (value === undefined) map.delete(label);
    else map.set(label, value);
  }
  return encodeCbor(map);
};

test("what may be left out has its default: nbf is iat, priority 100, no limits", (t) => {
  const { media: _media, maxBytes: _max, ...rest } = EXAMPLE;
  const bare = changed(
    [CLAIM.NBF, undefined],
    [CLAIM.PRIORITY, undefined],
    [CLAIM.MEDIA, undefined],
    [CLAIM.MAX_BYTES, undefined],
  );
  t.deepEqual(decodeKey(bare), { ...rest, priority: 100 });
});

test("aud may be one text or a list", (t) => {
  t.deepEqual(decodeKey(changed([CLAIM.AUD, ["a", "b"]])).audience, ["a", "b"]);
});

test("claims that nobody knows are passed over (RFC 8392 3), unless they are listed as critical", (t) => {
  t.deepEqual(decodeKey(changed([-80000, "new"], ["text", 1])), EXAMPLE);
  t.throws(() => decodeKey(changed([-80000, "new"], [CLAIM.CRITICAL, [-80000]])), { code: "KEY_CRITICAL_UNKNOWN" });
  t.throws(() => decodeKey(changed(["text", 1], [CLAIM.CRITICAL, ["text"]])), { code: "KEY_CRITICAL_UNKNOWN" });
  t.deepEqual(decodeKey(changed([CLAIM.CRITICAL, [CLAIM.MEDIA, CLAIM.MAX_BYTES]])), EXAMPLE);
});

const REFUSED: readonly [string, [CborKey, CborValue | undefined][], RegExp][] = [
  ...(
    [
      CLAIM.ISS,
      CLAIM.SUB,
      CLAIM.AUD,
      CLAIM.EXP,
      CLAIM.IAT,
      CLAIM.CTI,
      CLAIM.DEVICES,
      CLAIM.RIGHTS,
      CLAIM.EPOCH,
    ] as const
  ).map((label): [string, [CborKey, undefined][], RegExp] => [
    `claim ${label} missing`,
    [[label, undefined]],
    /missing/,
  ]),
  ["an id of 7 bytes", [[CLAIM.CTI, new Uint8Array(7)]], /8 to 32 bytes/],
  ["an id of 33 bytes", [[CLAIM.CTI, new Uint8Array(33)]], /8 to 32 bytes/],
  ["an expiry that is text", [[CLAIM.EXP, "soon"]], /whole number/],
  ["an expiry beyond the year 9999", [[CLAIM.EXP, 253_402_300_800]], /whole number/],
  ["an expiry at the moment when it begins", [[CLAIM.EXP, 1_800_000_000]], /not after nbf/],
  ["an expiry before it was issued", [[CLAIM.IAT, 1_800_003_600]], /not after iat/],
  ["a subject of an unknown kind", [[CLAIM.SUB, "user:me"]], /"user:me"/],
  ["a subject without a name", [[CLAIM.SUB, "job:"]], /"job:"/],
  ["an empty list of devices", [[CLAIM.DEVICES, []]], /list of texts/],
  ["an unknown class", [[CLAIM.DEVICES, ["class:printer"]]], /class:printer/],
  ["an unknown right", [[CLAIM.RIGHTS, ["read", "format"]]], /"format"/],
  ["a priority of 256", [[CLAIM.PRIORITY, 256]], /0 to 255/],
  ["a negative epoch", [[CLAIM.EPOCH, -1]], /whole number/],
  ["a negative limit", [[CLAIM.MAX_BYTES, -1]], /whole number/],
  ["media that are not a map", [[CLAIM.MEDIA, ["A"]]], /not a map/],
  ["media without cartridges", [[CLAIM.MEDIA, new Map([[2, 5]])]], /cartridges/],
  [
    "a member of media that nobody knows",
    [
      [
        CLAIM.MEDIA,
        new Map<CborKey, CborValue>([
          [1, ["A"]],
          [3, 0],
        ]),
      ],
    ],
    /unknown member 3/,
  ],
  ["a star inside a cartridge name", [[CLAIM.MEDIA, new Map([[1, ["A*B"]]])]], /"\*"/],
  ["control characters in a name", [[CLAIM.ISS, "a\u001b[2J"]], /control/],
  ["a renewal of itself", [[CLAIM.REPLACES, EXAMPLE.id]], /own id/],
  ["an empty list of critical claims", [[CLAIM.CRITICAL, []]], /critical/],
  ["a critical claim that is not there", [[CLAIM.CRITICAL, [-80000]]], /not there/],
  ["a revocation order", [[CLAIM.REVOKE, [EXAMPLE.id]]], /revocation order/],
];
for (const [what, changes, message] of REFUSED) {
  test(`refused as no key: ${what}`, (t) => {
    t.throws(() => decodeKey(changed(...changes)), { code: "KEY_MALFORMED", message });
  });
}

test("an issuer cannot issue what a bridge would refuse", (t) => {
  const issuer = new Issuer("broker-1", TEST1_PEM);
  t.throws(() => issuer.issue(request({ expiresMs: START_MS }), START_MS), { code: "KEY_MALFORMED" });
  t.throws(() => issuer.issue(request({ rights: [] }), START_MS), { code: "KEY_MALFORMED" });
});

test("a renewal has the grants of the old key, a new id, and says what it replaces", (t) => {
  const issuer = new Issuer("broker-1", TEST1_PEM);
  const old = issuer.issue(request({ media: { cartridges: ["A*"] }, maxBytes: 5n }), START_MS).content;
  const renewed = issuer.renew(old, START_MS + 7_200_000, START_MS + 1000).content;
  t.deepEqual(renewed.replaces, old.id);
  t.notDeepEqual(renewed.id, old.id);
  const { id, replaces, issuedMs, notBeforeMs, expiresMs, ...grants } = renewed;
  t.like(old, grants);
  t.is(expiresMs - issuedMs, 7_199_000);
});

test("a pair that was just made signs, and its public half verifies; the kid is from the thumbprint", (t) => {
  const pair = generateIssuerKeyPair();
  const issuer = new Issuer("b", pair.privatePem);
  t.is(issuer.kid, pair.kid);
  const trusted = issuerKey(pair.kid, pair.publicKey, "b");
  t.is(thumbprint(trusted.publicKey).slice(0, 16), pair.kid);
  t.notThrows(() => issuer.issue(request(), START_MS));
});

const UNUSABLE: readonly [string, () => unknown][] = [
  ["a private key that is no PEM", () => new Issuer("b", "hello")],
  ["a public key of 42 characters", () => issuerKey("k", "A".repeat(42))],
];
for (const [what, make] of UNUSABLE) {
  test(`refused as an issuer key: ${what}`, (t) => {
    t.throws(make, { code: "KEY_ISSUER_INVALID" });
  });
}

const PATTERNS: readonly [string, string, boolean][] = [
  ["GAN001L8", "GAN001L8", true],
  ["GAN001L8", "GAN001L80", false],
  ["GAN001L80", "GAN001L8", false],
  ["GAN*", "GAN001L8", true],
  ["GAN*", "GAN", true],
  ["GAN*", "GA", false],
  ["*", "anything", true],
  ["gan*", "GAN001", false],
];
for (const [pattern, name, expected] of PATTERNS) {
  test(`cartridge pattern ${pattern} ${expected ? "covers" : "does not cover"} ${name}`, (t) => {
    t.is(cartridgeMatches(pattern, name), expected);
  });
}

const only = (codes: readonly ErrorCode[], work: () => unknown): void => {
  try {
    work();
  } catch (error) {
    if (!isGantryError(error) || !codes.includes(error.code)) throw error;
  }
};

test("of any claims at all, only our own errors come out", (t) => {
  const anything = fc.oneof(
    fc.constant(undefined),
    fc.integer(),
    fc.string(),
    fc.uint8Array(),
    fc.array(fc.string()),
    fc.boolean(),
  );
  const label = fc.constantFrom<CborKey>(...Object.values(CLAIM));
  fc.assert(
    fc.property(fc.array(fc.tuple(label, anything), { maxLength: 6 }), (changes) => {
      const bytes = changed(...(changes as [CborKey, CborValue | undefined][]));
      only(["KEY_MALFORMED", "KEY_CRITICAL_UNKNOWN"], () => decodeKey(bytes));
      only(["KEY_MALFORMED", "KEY_CRITICAL_UNKNOWN"], () => decodeRevocation(bytes));
    }),
    { numRuns: 2000 },
  );
  t.pass();
});
