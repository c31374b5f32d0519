import test, { type ExecutionContext } from "ava";
import { signSign1 } from "../../../src/admit/cose.js";
import { Issuer, type KeyRequest } from "../../../src/admit/issuer.js";
import { encodeKey } from "../../../src/admit/key.js";
import { KeyRing, type RingChange } from "../../../src/admit/key-ring.js";
import type { ErrorCode } from "../../../src/sys/errors.js";
import type { CborKey, CborValue } from "../../../src/wire/cbor-strict.js";
import { fromHex, toHex } from "../../../src/wire/hex.js";
import { HOUR_MS, request, type Scene, START_MS, scene, TEST1_PEM, TEST2_PEM } from "./helpers.js";

const OTHER_ID = fromHex("ff".repeat(8));

async function installed(s: Scene, change: Partial<KeyRequest> = {}) {
  const signed = s.broker.issue(request(change), s.clock.nowMs());
  await s.ring.install(signed.token);
  return signed;
}

const refused = async (t: ExecutionContext, s: Scene, token: Uint8Array, code: ErrorCode) => {
  const before = s.store.writes;
  const error = await t.throwsAsync(s.ring.install(token), { code });
  t.is(s.store.writes, before, "nothing may be stored of what is refused");
  return error;
};

test("a good key is installed, and it is on stable storage when that is acknowledged", async (t) => {
  const s = scene();
  const { content, token } = s.broker.issue(request(), START_MS);
  const answer = s.ring.install(token);
  t.is(s.ring.lookup(content.id).state, "unknown", "nothing is granted before it is stored");
  t.deepEqual(await answer, { key: content, already: false });
  t.deepEqual(s.ring.lookup(content.id), { state: "installed", key: content });
  t.deepEqual(KeyRing.open(s.options).lookup(content.id), { state: "installed", key: content });
});

test("the same key sent again is taken again and changes nothing", async (t) => {
  const s = scene();
  const { content, token } = await installed(s);
  const changes: RingChange[] = [];
  s.ring.onChange((change) => changes.push(change));
  t.deepEqual(await s.ring.install(token), { key: content, already: true });
  t.deepEqual(changes, []);
});

const REFUSALS: readonly [string, ErrorCode, RegExp, (s: Scene) => Uint8Array][] = [
  ["bytes that are nothing", "KEY_MALFORMED", /Not a key/, () => fromHex("00")],
  [
    "a revocation order",
    "KEY_MALFORMED",
    /revocation order/,
    (s) => s.broker.revoke({ audience: ["bridge-7"], ids: [OTHER_ID] }, START_MS).token,
  ],
  [
    "an issuer that nobody trusts",
    "KEY_ISSUER_UNKNOWN",
    /"k9"/,
    () => new Issuer("broker-1", TEST2_PEM, "k9").issue(request(), START_MS).token,
  ],
  [
    "a forged signature under a trusted kid",
    "KEY_SIGNATURE_WRONG",
    /forged/,
    () => new Issuer("broker-1", TEST2_PEM, "k1").issue(request(), START_MS).token,
  ],
  [
    "an issuer that signs in another's name",
    "KEY_ISSUER_UNKNOWN",
    /"broker-2"/,
    () => new Issuer("broker-2", TEST1_PEM, "k1").issue(request(), START_MS).token,
  ],
  [
    "a key for another bridge",
    "KEY_AUDIENCE_WRONG",
    /bridge-8.*bridge-7/,
    (s) => s.broker.issue(request({ audience: ["bridge-8"] }), START_MS).token,
  ],
  [
    "a key that expires this second",
    "KEY_EXPIRED",
    /expired at/,
    (s) => s.broker.issue(request({ expiresMs: START_MS }), START_MS - HOUR_MS).token,
  ],
  [
    "a key whose time begins in a second",
    "KEY_NOT_YET_VALID",
    /valid from/,
    (s) => s.broker.issue(request({ notBeforeMs: START_MS + 1000 }), START_MS).token,
  ],
  [
    "a key that is issued in the future",
    "KEY_NOT_YET_VALID",
    /valid from/,
    (s) => s.broker.issue(request({ notBeforeMs: START_MS }), START_MS + 1000).token,
  ],
  [
    "a life longer than allowed",
    "KEY_LIFETIME_TOO_LONG",
    /86401 s.*86400 s/,
    (s) => s.broker.issue(request({ expiresMs: START_MS + 24 * HOUR_MS + 1000 }), START_MS).token,
  ],
  [
    "a life that is longer because it began before it was issued",
    "KEY_LIFETIME_TOO_LONG",
    /86401 s/,
    (s) =>
      s.broker.issue(request({ expiresMs: START_MS + 24 * HOUR_MS, notBeforeMs: START_MS - 1000 }), START_MS).token,
  ],
];
for (const [what, code, message, token] of REFUSALS) {
  test(`refused: ${what}`, async (t) => {
    const s = scene();
    const error = await refused(t, s, token(s), code);
    t.regex(error?.message ?? "", message);
  });
}

test("refused: a key without a kid", async (t) => {
  const s = scene();
  const { content } = s.broker.issue(request(), START_MS);
  const { createPrivateKey } = await import("node:crypto");
  const token = signSign1(new Map<CborKey, CborValue>(), encodeKey(content), createPrivateKey(TEST1_PEM));
  await refused(t, s, token, "KEY_ISSUER_UNKNOWN");
});

test("leeway widens both ends by as much and no more", async (t) => {
  for (const [shiftMs, code] of [
    [2000, undefined],
    [2001, "KEY_EXPIRED"],
  ] as const) {
    const s = scene({ leewayMs: 2001 });
    s.clock.set(START_MS + shiftMs);
    const { token } = s.broker.issue(request({ expiresMs: START_MS }), START_MS - HOUR_MS);
    if (code === undefined) await t.notThrowsAsync(s.ring.install(token));
    else await refused(t, s, token, code);
  }
  const s = scene({ leewayMs: 5000 });
  await t.notThrowsAsync(s.ring.install(s.broker.issue(request({ notBeforeMs: START_MS + 5000 }), START_MS).token));
  await refused(t, s, s.broker.issue(request({ notBeforeMs: START_MS + 6000 }), START_MS).token, "KEY_NOT_YET_VALID");
});

test("refused: another key with an id that was seen before", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  const other = s.broker.issue(request({ id: content.id, rights: ["read"] }), START_MS).token;
  await refused(t, s, other, "KEY_REPLAYED");
  s.clock.advance(HOUR_MS - 1);
  await s.ring.prune();
  await refused(
    t,
    s,
    s.broker.issue(request({ id: content.id, expiresMs: START_MS + 2 * HOUR_MS }), s.clock.nowMs()).token,
    "KEY_REPLAYED",
  );
});

test("of two installs of one id at the same time, one is taken and the other refused", async (t) => {
  const s = scene();
  const id = fromHex("0102030405060708");
  const results = await Promise.allSettled([
    s.ring.install(s.broker.issue(request({ id, rights: ["read"] }), START_MS).token),
    s.ring.install(s.broker.issue(request({ id, rights: ["write"] }), START_MS).token),
  ]);
  t.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected"],
  );
  t.like(s.ring.lookup(id), { key: { rights: ["read"] } });
});

test("an expired key is kept until exp and leeway, then pruned, from the store as well", async (t) => {
  const s = scene({ leewayMs: 1000 });
  const { content } = await installed(s);
  const changes: RingChange[] = [];
  s.ring.onChange((change) => changes.push(change));
  s.clock.advance(HOUR_MS + 999);
  t.is(await s.ring.prune(), 0);
  s.clock.advance(1);
  t.is(await s.ring.prune(), 1);
  t.deepEqual(changes, [{ type: "expired", ids: [content.id] }]);
  t.is(s.ring.lookup(content.id).state, "unknown");
  t.is(KeyRing.open(s.options).keys().length, 0);
});

test("a key that could not be stored is not installed and not acknowledged", async (t) => {
  const s = scene();
  const { content, token } = s.broker.issue(request(), START_MS);
  s.store.failNext = true;
  await t.throwsAsync(s.ring.install(token), { code: "KEY_NOT_STORED" });
  t.is(s.ring.lookup(content.id).state, "unknown");
  await t.notThrowsAsync(s.ring.install(token), "and the next try may succeed");
});

test("no more keys than the limit are taken", async (t) => {
  const s = scene({ maxKeys: 2 });
  await installed(s);
  await installed(s);
  await refused(t, s, s.broker.issue(request(), START_MS).token, "KEY_RING_FULL");
});

test("no key is taken while the clock is not trusted, and revocation works all the same", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  s.time.fault();
  s.clock.set(START_MS - HOUR_MS / 2);
  const error = await refused(t, s, s.broker.issue(request(), START_MS - HOUR_MS).token, "CLOCK_UNTRUSTED");
  t.regex(error?.message ?? "", /went back by 1800 s/);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token);
  t.is(s.ring.lookup(content.id).state, "revoked");
});

// ---- revocation

test("a revocation is in force, and listeners know, before the call returns; stored when it resolves", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  const changes: RingChange[] = [];
  s.ring.onChange((change) => changes.push(change));
  const done = s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token);
  t.deepEqual(changes, [{ type: "revoked", issuer: "broker-1", ids: [content.id] }]);
  t.is(s.ring.lookup(content.id).state, "revoked");
  await done;
  t.is(KeyRing.open(s.options).lookup(content.id).state, "revoked");
});

test("a revocation that cannot be stored is in force and is not acknowledged", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  s.store.failNext = true;
  const order = s.broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token;
  await t.throwsAsync(s.ring.revoke(order), { code: "KEY_NOT_STORED" });
  t.is(s.ring.lookup(content.id).state, "revoked");
});

test("a key that was revoked before it came is refused, also after a restart", async (t) => {
  const s = scene();
  const { content, token } = s.broker.issue(request(), START_MS);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token);
  await refused(t, s, token, "KEY_REVOKED");
  await t.throwsAsync(KeyRing.open(s.options).install(token), { code: "KEY_REVOKED" });
});

test("a key that is revoked while it is being stored never comes into force", async (t) => {
  const s = scene();
  const { content, token } = s.broker.issue(request(), START_MS);
  const order = s.broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token;
  const installing = s.ring.install(token);
  await Promise.resolve();
  const revoking = s.ring.revoke(order);
  await t.throwsAsync(installing, { code: "KEY_REVOKED" });
  await revoking;
  t.is(s.ring.lookup(content.id).state, "revoked");
});

test("an epoch takes back everything older, installed or still to come, and nothing else", async (t) => {
  const s = scene();
  const old = await installed(s, { epoch: 4 });
  const current = await installed(s, { epoch: 5 });
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [], epoch: 5 }, START_MS).token);
  for (const ring of [s.ring, KeyRing.open(s.options)]) {
    t.is(ring.lookup(old.content.id).state, "revoked");
    t.is(ring.lookup(current.content.id).state, "installed");
    const late = s.broker.issue(request({ epoch: 4 }), START_MS).token;
    await t.throwsAsync(ring.install(late), { code: "KEY_EPOCH_OLD" });
  }
});

test("an older order that comes late does not bring the epoch down", async (t) => {
  const s = scene();
  const order = (epoch: number) => s.broker.revoke({ audience: ["bridge-7"], ids: [], epoch }, START_MS).token;
  await s.ring.revoke(order(5));
  await s.ring.revoke(order(3));
  await refused(t, s, s.broker.issue(request({ epoch: 4 }), START_MS).token, "KEY_EPOCH_OLD");
  await t.throwsAsync(KeyRing.open(s.options).install(s.broker.issue(request({ epoch: 4 }), START_MS).token), {
    code: "KEY_EPOCH_OLD",
  });
});

test("an issuer takes back its own keys only", async (t) => {
  const other = new Issuer("broker-2", TEST2_PEM, "k2");
  const s = scene({ issuers: [new Issuer("broker-1", TEST1_PEM, "k1").issuerKey, other.issuerKey] });
  const { content } = await installed(s);
  await s.ring.revoke(other.revoke({ audience: ["bridge-7"], ids: [content.id], epoch: 99 }, START_MS).token);
  t.is(s.ring.lookup(content.id).state, "installed");
});

const BAD_ORDERS: readonly [string, ErrorCode, (s: Scene) => Uint8Array][] = [
  [
    "for another bridge",
    "KEY_AUDIENCE_WRONG",
    (s) => s.broker.revoke({ audience: ["x"], ids: [OTHER_ID] }, START_MS).token,
  ],
  [
    "by somebody unknown",
    "KEY_ISSUER_UNKNOWN",
    () => new Issuer("broker-1", TEST2_PEM, "k9").revoke({ audience: ["bridge-7"], ids: [OTHER_ID] }, START_MS).token,
  ],
  [
    "with a forged signature",
    "KEY_SIGNATURE_WRONG",
    () => new Issuer("broker-1", TEST2_PEM, "k1").revoke({ audience: ["bridge-7"], ids: [OTHER_ID] }, START_MS).token,
  ],
  ["that is a key", "KEY_MALFORMED", (s) => s.broker.issue(request(), START_MS).token],
];
for (const [what, code, token] of BAD_ORDERS) {
  test(`refused: an order ${what}`, async (t) => {
    const s = scene();
    const changes: RingChange[] = [];
    s.ring.onChange((change) => changes.push(change));
    await t.throwsAsync(s.ring.revoke(token(s)), { code });
    t.deepEqual(changes, []);
    t.is(s.store.writes, 0);
  });
}

test("an order that names neither a key nor an epoch cannot be issued", (t) => {
  const s = scene();
  t.throws(() => s.broker.revoke({ audience: ["bridge-7"], ids: [] }, START_MS), { code: "KEY_MALFORMED" });
});

test("a revoked id is remembered for as long as a key with it could live, then forgotten; the epoch is kept", async (t) => {
  const s = scene();
  const { content, token } = s.broker.issue(request({ expiresMs: START_MS + 24 * HOUR_MS }), START_MS);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [content.id], epoch: 1 }, START_MS).token);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [OTHER_ID] }, START_MS).token);
  s.clock.advance(24 * HOUR_MS - 1000);
  await s.ring.prune();
  await refused(t, s, token, "KEY_REVOKED");
  s.clock.advance(1000);
  await s.ring.prune();
  t.is([...s.store.under(["keys", "revoked"])].length, 1, "only the order that holds the epoch is left");
  await refused(t, s, token, "KEY_EXPIRED");
  const late = s.broker.issue(request({ epoch: 0, expiresMs: s.clock.nowMs() + HOUR_MS }), s.clock.nowMs()).token;
  await t.throwsAsync(KeyRing.open(s.options).install(late), { code: "KEY_EPOCH_OLD" });
});

// ---- renewal

test("a renewal stands in for the key that it replaces, over several steps and a restart", async (t) => {
  const s = scene();
  const first = (await installed(s)).content;
  const changes: RingChange[] = [];
  s.ring.onChange((change) => changes.push(change));
  const second = s.broker.renew(first, START_MS + 2 * HOUR_MS, START_MS);
  await s.ring.install(second.token);
  t.deepEqual(changes, [{ type: "renewed", id: second.content.id, replaced: first.id }]);
  s.clock.advance(HOUR_MS);
  await s.ring.prune();
  const third = s.broker.renew(second.content, START_MS + 3 * HOUR_MS, s.clock.nowMs());
  await s.ring.install(third.token);
  for (const ring of [s.ring, KeyRing.open(s.options)]) {
    t.deepEqual(ring.lookup(first.id), { state: "installed", key: third.content });
    t.deepEqual(ring.lookup(second.content.id), { state: "installed", key: third.content });
  }
});

test("refused: a renewal for another holder", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  const token = s.broker.issue(request({ replaces: content.id, holder: { kind: "mover" } }), START_MS).token;
  await refused(t, s, token, "KEY_RENEWAL_WRONG");
});

test("refused: a key that comes after it was renewed, so that two keys cannot stand in for each other", async (t) => {
  const s = scene();
  const [a, b] = [fromHex("aa".repeat(8)), fromHex("bb".repeat(8))];
  await installed(s, { id: a, replaces: b });
  await refused(t, s, s.broker.issue(request({ id: b, replaces: a }), START_MS).token, "KEY_REPLAYED");
});

test("revoking the old key ends what is named by it; revoking the new one ends both", async (t) => {
  const s = scene();
  const old = (await installed(s)).content;
  const renewed = s.broker.renew(old, START_MS + 2 * HOUR_MS, START_MS);
  await s.ring.install(renewed.token);
  const revoke = (id: Uint8Array) =>
    s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [id] }, START_MS).token);
  await revoke(old.id);
  t.is(s.ring.lookup(old.id).state, "revoked");
  t.is(s.ring.lookup(renewed.content.id).state, "installed");
  await revoke(renewed.content.id);
  t.is(s.ring.lookup(renewed.content.id).state, "revoked");
});

test("a job goes on under the renewal when the epoch of the old key is taken back", async (t) => {
  const s = scene();
  const old = (await installed(s, { epoch: 1 })).content;
  const renewed = s.broker.renew({ ...old, epoch: 2 }, START_MS + 2 * HOUR_MS, START_MS);
  await s.ring.install(renewed.token);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [], epoch: 2 }, START_MS).token);
  t.like(s.ring.lookup(old.id), { state: "installed", key: { epoch: 2 } });
});

// ---- issuer keys and the store

test("two keys of one issuer are trusted side by side, and what one installed the other can take back", async (t) => {
  const next = new Issuer("broker-1", TEST2_PEM, "k2");
  const s = scene({ issuers: [new Issuer("broker-1", TEST1_PEM, "k1").issuerKey, next.issuerKey] });
  const { content } = await installed(s);
  await s.ring.revoke(next.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token);
  t.is(s.ring.lookup(content.id).state, "revoked");
});

test("when an issuer is no longer trusted, its keys grant nothing after a restart, and its orders still hold", async (t) => {
  const s = scene();
  const { content } = await installed(s);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [OTHER_ID] }, START_MS).token);
  const next = new Issuer("broker-1", TEST2_PEM, "k2");
  const ring = KeyRing.open({ ...s.options, issuers: [next.issuerKey] });
  t.is(ring.lookup(content.id).state, "unknown");
  t.deepEqual(
    ring.skipped.map(({ name }) => name),
    [toHex(content.id)],
  );
  await t.throwsAsync(ring.install(next.issue(request({ id: OTHER_ID }), START_MS).token), { code: "KEY_REVOKED" });
});

test("a stored key that was tampered with grants nothing; the others do", async (t) => {
  const s = scene();
  const [bad, good] = [await installed(s), await installed(s)];
  const name = ["keys", "installed", toHex(bad.content.id)];
  const record = Uint8Array.from(s.store.get(name) ?? []);
  record[record.length - 3] = (record[record.length - 3] ?? 0) ^ 1;
  await s.store.put(name, record);
  const ring = KeyRing.open(s.options);
  t.is(ring.lookup(bad.content.id).state, "unknown");
  t.is(ring.lookup(good.content.id).state, "installed");
  t.is(ring.skipped.length, 1);
});

test("a stored order that cannot be read keeps the ring shut", async (t) => {
  const s = scene();
  await s.store.put(["keys", "revoked", "x"], fromHex("ff"));
  t.throws(() => KeyRing.open(s.options), { code: "KEY_RING_CORRUPT", message: /revocation order x/ });
});
