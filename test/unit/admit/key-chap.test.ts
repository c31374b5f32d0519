import { createHmac } from "node:crypto";
import test from "ava";
import type { ChapSecret } from "../../../src/admit/credentials.js";
import { KeySecrets } from "../../../src/admit/key-chap.js";
import { KeyRing } from "../../../src/admit/key-ring.js";
import { HOUR_MS, request, START_MS, scene } from "./helpers.js";

const SERVER = "iqn.2024-01.org.example:server";
const CHAP: ChapSecret = { name: "server", secret: Buffer.from("sixteen random b") };
const WRONG = { code: "KEY_CHAP_WRONG" } as const;

function plant() {
  const all = scene();
  const holder = { kind: "initiator", name: SERVER } as const;
  const issue = (chap: ChapSecret | undefined = CHAP) =>
    all.broker.issue(request({ holder, ...(chap !== undefined && { chap: all.broker.seal(chap) }) }), START_MS);
  const secrets = new KeySecrets(all.ring, all.time);
  const names = (): readonly string[] =>
    secrets.chapOf(SERVER).map(({ name, secret }) => `${name}/${Buffer.from(secret)}`);
  return { ...all, issue, names, secrets };
}

test("the seal is HMAC-SHA-256 of name, zero and secret under a salt of 16 bytes", (t) => {
  const { broker } = plant();
  const seal = Buffer.from(broker.seal(CHAP));
  const expected = createHmac("sha256", seal.subarray(0, 16)).update("server\0sixteen random b").digest("hex");
  t.is(seal.subarray(16).toString("hex"), expected);
  t.false(seal.includes("sixteen"));
});

test("a secret that comes with a key is good for the key's initiator, while the key is in force", async (t) => {
  const { ring, issue, names, secrets, clock } = plant();
  await ring.install(issue().token, CHAP);
  t.deepEqual(names(), ["server/sixteen random b"]);
  t.deepEqual(secrets.chapOf("iqn.2024-01.org.example:other"), []);
  clock.advance(HOUR_MS);
  t.deepEqual(names(), []);
});

test("a revoked key's secret is good for nothing", async (t) => {
  const { ring, issue, names, broker } = plant();
  const { token, content } = issue();
  await ring.install(token, CHAP);
  await ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [content.id] }, START_MS).token);
  t.deepEqual(names(), []);
});

test("nobody on the way can leave out, add or exchange a secret", async (t) => {
  const { ring, issue, names, broker } = plant();
  await t.throwsAsync(ring.install(issue().token), WRONG);
  await t.throwsAsync(ring.install(issue().token, { ...CHAP, secret: Buffer.from("sixteen random c") }), WRONG);
  await t.throwsAsync(ring.install(issue().token, { ...CHAP, name: "Server" }), WRONG);
  await t.throwsAsync(ring.install(broker.issue(request(), START_MS).token, CHAP), WRONG);
  const ofJob = broker.issue(request({ chap: broker.seal(CHAP) }), START_MS);
  await t.throwsAsync(ring.install(ofJob.token, CHAP), WRONG, "a job does not log in");
  t.deepEqual(ring.keys(), []);
  t.deepEqual(names(), []);
});

test("secrets have 12 to 255 bytes", (t) => {
  const { broker } = plant();
  for (const bytes of [11, 256]) t.throws(() => broker.seal({ name: "a", secret: Buffer.alloc(bytes, "a") }), WRONG);
  for (const bytes of [12, 255]) t.is(broker.seal({ name: "a", secret: Buffer.alloc(bytes, "a") }).length, 48);
  t.throws(() => broker.seal({ name: "", secret: CHAP.secret }), WRONG);
});

test("the same key sent again is the same, with its secret or without", async (t) => {
  const { ring, issue } = plant();
  const { token } = issue();
  await ring.install(token, CHAP);
  t.true((await ring.install(token, CHAP)).already);
  t.true((await ring.install(token)).already);
  await t.throwsAsync(ring.install(token, { ...CHAP, name: "other" }), WRONG);
});

test("a renewal keeps the secret; one with another seal needs another secret, and the old one ends", async (t) => {
  const { ring, issue, names, broker } = plant();
  const first = issue();
  await ring.install(first.token, CHAP);
  const second = broker.renew(first.content, START_MS + 2 * HOUR_MS, START_MS);
  await ring.install(second.token);
  t.deepEqual(names(), ["server/sixteen random b"]);
  const fresh: ChapSecret = { name: "server", secret: Buffer.from("another secret of it") };
  const { issuedMs: _issued, ...kept } = { ...second.content, chap: broker.seal(fresh), replaces: second.content.id };
  const third = broker.issue({ ...kept, id: Buffer.from("an id of its own") }, START_MS);
  await t.throwsAsync(ring.install(third.token), WRONG);
  await ring.install(third.token, fresh);
  t.deepEqual(names(), ["server/another secret of it"]);
});

test("secrets outlive the process with their keys", async (t) => {
  const { ring, issue, options, time } = plant();
  await ring.install(issue().token, CHAP);
  const again = KeyRing.open(options);
  t.deepEqual(again.skipped, []);
  t.deepEqual(
    new KeySecrets(again, time).chapOf(SERVER).map(({ secret }) => Buffer.from(secret).toString()),
    ["sixteen random b"],
  );
});
