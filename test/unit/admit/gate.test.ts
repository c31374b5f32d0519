import test from "ava";
import { admitJob } from "../../../src/admit/admitted.js";
import { type AccessRequest, judge, type Leg } from "../../../src/admit/gate.js";
import { GateWatch } from "../../../src/admit/gate-watch.js";
import type { KeyRequest } from "../../../src/admit/issuer.js";
import { legsOf } from "../../../src/admit/legs.js";
import type { JobSpec } from "../../../src/job.js";
import type { ErrorCode } from "../../../src/sys/errors.js";
import { fromHex, toHex } from "../../../src/wire/hex.js";
import { HOUR_MS, request, type Scene, START_MS, scene } from "./helpers.js";

const READ_DISK: Leg = { device: "disk-a", class: "disk", right: "read" };
const WRITE_TAPE: Leg = { device: "tape-1", class: "tape", right: "write", cartridge: "GAN001L8" };

async function give(s: Scene, change: Partial<KeyRequest> = {}) {
  const signed = s.broker.issue(request(change), s.clock.nowMs());
  await s.ring.install(signed.token);
  return signed.content;
}

const ask = (
  keyIds: readonly Uint8Array[],
  legs: readonly Leg[],
  change: Partial<AccessRequest> = {},
): AccessRequest => ({
  jobId: "j1",
  keyIds,
  priority: 100,
  legs,
  ...change,
});

interface Row {
  readonly what: string;
  readonly key?: Partial<KeyRequest>;
  readonly leg?: Partial<Leg>;
  readonly request?: Partial<AccessRequest>;
  /** undefined: granted. */
  readonly code?: ErrorCode;
  readonly why?: RegExp;
}

const ROWS: readonly Row[] = [
  { what: "its own job, device by name", leg: READ_DISK },
  { what: "its own job, device by class", leg: WRITE_TAPE },
  { what: "any job, when the key is for the mover", key: { holder: { kind: "mover" } } },
  { what: "another job", key: { holder: { kind: "job", id: "j2" } }, code: "GATE_HOLDER", why: /was issued to job:j2/ },
  { what: "a job whose id only begins like it", key: { holder: { kind: "job", id: "j" } }, code: "GATE_HOLDER" },
  {
    what: "a job, when the key is for an initiator of that name",
    key: { holder: { kind: "initiator", name: "j1" } },
    code: "GATE_HOLDER",
  },
  { what: "another device", leg: { device: "disk-b" }, code: "GATE_DEVICE", why: /covers disk-a, class:tape/ },
  { what: "another class", leg: { device: "robot", class: "changer" }, code: "GATE_DEVICE" },
  {
    what: "a device that is called like a class",
    key: { devices: [{ kind: "class", deviceClass: "disk" }] },
    leg: { device: "class:disk", class: "tape" },
    code: "GATE_DEVICE",
  },
  {
    what: "a right that the key does not give",
    leg: { right: "media-control" },
    code: "GATE_RIGHT",
    why: /may not load or unload disk "disk-a".*gives only read, write/,
  },
  {
    what: "writing under a key for reading",
    key: { rights: ["read"] },
    leg: { right: "write" },
    code: "GATE_RIGHT",
    why: /may not write disk "disk-a"/,
  },
  { what: "reading under a key for writing only", key: { rights: ["write"] }, code: "GATE_RIGHT" },
  { what: "a cartridge that the key names", key: { media: { cartridges: ["X", "GAN001L8"] } }, leg: WRITE_TAPE },
  { what: "a cartridge by prefix", key: { media: { cartridges: ["GAN*"] } }, leg: WRITE_TAPE },
  {
    what: "another cartridge",
    key: { media: { cartridges: ["GAN002*"] } },
    leg: WRITE_TAPE,
    code: "GATE_MEDIA",
    why: /cartridge "GAN001L8" in tape "tape-1".*covers only the cartridges GAN002\*/,
  },
  {
    what: "whatever is in the drive, under a key for some cartridges",
    key: { media: { cartridges: ["GAN*"] } },
    leg: { device: "tape-1", class: "tape", right: "write" },
    code: "GATE_MEDIA",
    why: /names no cartridge/,
  },
  {
    what: "whatever is in the drive, under a key for all cartridges",
    key: { media: { cartridges: ["*"] } },
    leg: { device: "tape-1", class: "tape", right: "write" },
  },
  {
    what: "whatever is in the drive, under a key without media limits",
    leg: { device: "tape-1", class: "tape", right: "write" },
  },
  { what: "a disk, under a key with media limits", key: { media: { cartridges: ["GAN*"] } }, leg: READ_DISK },
  { what: "as many bytes as allowed", key: { maxBytes: 10n }, leg: { bytes: 10n } },
  {
    what: "a byte more than allowed",
    key: { maxBytes: 10n },
    leg: { bytes: 11n },
    code: "GATE_LIMIT",
    why: /11 bytes.*allows 10/,
  },
  {
    what: "an amount that nobody knows before, under a key with a limit",
    key: { maxBytes: 10n },
    leg: READ_DISK,
    code: "GATE_LIMIT",
    why: /allows 10 bytes and no list says/,
  },
  {
    what: "loading a cartridge under a key with a limit of bytes",
    key: { maxBytes: 10n, rights: ["media-control"] },
    leg: { ...WRITE_TAPE, right: "media-control" },
  },
  {
    what: "more on tape than the media limit",
    key: { media: { cartridges: ["*"], maxBytes: 5n }, maxBytes: 10n },
    leg: { ...WRITE_TAPE, bytes: 6n },
    code: "GATE_LIMIT",
    why: /allows 5/,
  },
  {
    what: "reading more from tape than may be written",
    key: { media: { cartridges: ["*"], maxBytes: 5n } },
    leg: { ...WRITE_TAPE, right: "read", bytes: 6n },
  },
  { what: "the priority of the key", key: { priority: 7 }, request: { priority: 7 } },
  {
    what: "a higher priority than the key's",
    key: { priority: 7 },
    request: { priority: 8 },
    code: "GATE_PRIORITY",
    why: /allows priority 7.*asks for 8/,
  },
  { what: "a job that names no key", request: { keyIds: [] }, code: "GATE_NO_KEY", why: /names no key/ },
  {
    what: "a key that is not installed",
    request: { keyIds: [fromHex("ee".repeat(8))] },
    code: "GATE_NO_KEY",
    why: /eeeeeeeeeeeeeeee is not installed/,
  },
  { what: "a job that does nothing", request: { legs: [] }, code: "GATE_REFUSED" },
];

for (const row of ROWS) {
  test(`${row.code === undefined ? "granted" : "refused"}: ${row.what}`, async (t) => {
    const s = scene();
    const key = await give(s, row.key);
    const answer = judge(ask([key.id], [{ ...READ_DISK, ...row.leg }], row.request), s.ring, START_MS);
    if (answer.granted) {
      t.is(row.code, undefined, "it must not be granted");
      t.deepEqual(answer.keyIds, [key.id]);
      t.is(answer.expiresMs, key.expiresMs);
    } else {
      t.is(answer.refusals[0]?.code, row.code);
      t.regex(answer.refusals[0]?.message ?? "", row.why ?? /^Job j1 /);
    }
  });
}

test("a key is in force from its first millisecond to the one before its expiry", async (t) => {
  const s = scene();
  const key = await give(s);
  const at = (nowMs: number) => judge(ask([key.id], [READ_DISK]), s.ring, nowMs);
  t.true(at(key.notBeforeMs).granted);
  t.true(at(key.expiresMs - 1).granted);
  t.like(at(key.notBeforeMs - 1), { refusals: [{ code: "KEY_NOT_YET_VALID" }] });
  t.like(at(key.expiresMs), { refusals: [{ code: "KEY_EXPIRED" }] });
});

test("a revoked key grants nothing", async (t) => {
  const s = scene();
  const key = await give(s);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [key.id] }, START_MS).token);
  t.like(judge(ask([key.id], [READ_DISK]), s.ring, START_MS), { granted: false, refusals: [{ code: "KEY_REVOKED" }] });
});

test("nothing is granted while the clock is not trusted", async (t) => {
  const s = scene();
  const key = await give(s);
  s.time.fault();
  s.clock.set(START_MS - HOUR_MS / 2);
  t.like(judge(ask([key.id], [READ_DISK]), s.ring, s.time.nowMs()), {
    granted: false,
    refusals: [{ code: "CLOCK_UNTRUSTED" }],
  });
});

test("legs may be granted by different keys; the grant ends with the first of them and names each once", async (t) => {
  const s = scene();
  const disk = await give(s, { devices: [{ kind: "device", name: "disk-a" }], rights: ["read"] });
  const tape = await give(s, {
    devices: [{ kind: "class", deviceClass: "tape" }],
    expiresMs: START_MS + HOUR_MS / 2,
    maxBytes: 9n,
  });
  const answer = judge(
    ask([disk.id, tape.id], [READ_DISK, { ...WRITE_TAPE, bytes: 9n }, { ...WRITE_TAPE, cartridge: "B", bytes: 1n }]),
    s.ring,
    START_MS,
  );
  t.like(answer, { granted: true, expiresMs: tape.expiresMs, keyIds: [disk.id, tape.id] });
  t.like(answer, { legs: [{ keyId: disk.id }, { keyId: tape.id, maxBytes: 9n }, { keyId: tape.id }] });
});

test("two keys do not add up to one leg: each leg needs one key that grants all of it", async (t) => {
  const s = scene();
  const right = await give(s, { devices: [{ kind: "device", name: "disk-b" }], rights: ["write"] });
  const device = await give(s, { devices: [{ kind: "device", name: "disk-a" }], rights: ["read"] });
  const answer = judge(ask([right.id, device.id], [{ ...READ_DISK, right: "write" }]), s.ring, START_MS);
  t.like(answer, { granted: false, refusals: [{ code: "GATE_RIGHT", keyId: toHex(device.id) }] });
});

test("of several keys that grant a leg, the one that lasts longest is relied on", async (t) => {
  const s = scene();
  const short = await give(s);
  const long = await give(s, { expiresMs: START_MS + 2 * HOUR_MS });
  t.like(judge(ask([short.id, long.id], [READ_DISK]), s.ring, START_MS), {
    keyIds: [long.id],
    expiresMs: long.expiresMs,
  });
});

test("one leg that is refused refuses all; every refused leg is told", async (t) => {
  const s = scene();
  const key = await give(s, { rights: ["read"] });
  const answer = judge(ask([key.id], [READ_DISK, WRITE_TAPE, { ...READ_DISK, device: "disk-z" }]), s.ring, START_MS);
  t.like(answer, { granted: false });
  t.deepEqual(answer.granted ? [] : answer.refusals.map(({ code, leg }) => [code, leg?.device]), [
    ["GATE_RIGHT", "tape-1"],
    ["GATE_DEVICE", "disk-z"],
  ]);
});

test("a job that names the old key is granted under its renewal, and the renewal is what it relies on", async (t) => {
  const s = scene();
  const old = await give(s);
  const renewed = s.broker.renew(old, START_MS + 3 * HOUR_MS, START_MS);
  await s.ring.install(renewed.token);
  const answer = judge(ask([old.id], [READ_DISK]), s.ring, START_MS + 2 * HOUR_MS);
  t.like(answer, { granted: true, keyIds: [renewed.content.id], expiresMs: renewed.content.expiresMs });
});

// ---- jobs

const spec = (change: Partial<JobSpec>): JobSpec => ({
  jobId: "j1",
  type: "backup",
  keys: [],
  priority: 100,
  options: {},
  ...change,
});
const drive = { device: "tape-1", cartridges: ["A", "B"] };

const JOBS: readonly [string, JobSpec, readonly string[]][] = [
  [
    "backup",
    spec({ disk: { device: "d" }, tape: drive }),
    ["read d", "write tape-1 A", "media-control tape-1 A", "write tape-1 B", "media-control tape-1 B"],
  ],
  [
    "backup to what is in the drive",
    spec({ disk: { device: "d" }, tape: { device: "tape-1", cartridges: [] } }),
    ["read d", "write tape-1"],
  ],
  [
    "restore",
    spec({ type: "restore", disk: { device: "d" }, tape: { device: "tape-1", cartridges: [] } }),
    ["write d", "read tape-1"],
  ],
  ["verify", spec({ type: "verify", tape: { device: "tape-1", cartridges: [] } }), ["read tape-1"]],
  [
    "verify against a disk",
    spec({ type: "verify", disk: { device: "d" }, tape: { device: "tape-1", cartridges: [] } }),
    ["read d", "read tape-1"],
  ],
  ["clone", spec({ type: "clone", disk: { device: "d" }, toDisk: { device: "e" } }), ["read d", "write e"]],
];
for (const [what, job, expected] of JOBS) {
  test(`legs of a job: ${what}`, (t) => {
    const words = legsOf(job, 7n).map(({ right, device, cartridge }) =>
      [right, device, cartridge].filter(Boolean).join(" "),
    );
    t.deepEqual(words, expected);
    for (const leg of legsOf(job, 7n)) t.is(leg.bytes, leg.right === "media-control" ? undefined : 7n);
  });
}

test("a job is admitted with its grant; one that is not throws with every reason", async (t) => {
  const s = scene();
  const key = await give(s);
  const job = spec({ keys: [key.id], disk: { device: "disk-a" }, tape: { device: "tape-1", cartridges: [] } });
  const admitted = admitJob(job, s.ring, START_MS, 5n);
  t.is(admitted.subject, job);
  t.deepEqual(admitted.keyIds, [key.id]);
  t.is(admitted.expiresMs, key.expiresMs);
  const error = t.throws(() => admitJob({ ...job, tape: drive }, s.ring, START_MS), { code: "GATE_REFUSED" });
  t.like(error, {
    details: { refusals: [{ code: "GATE_RIGHT", device: "tape-1", right: "media-control" }, { code: "GATE_RIGHT" }] },
  });
});

// ---- watching

async function watching(change: Partial<KeyRequest> = {}) {
  const s = scene();
  const key = await give(s, change);
  const wanted = ask([key.id], [READ_DISK]);
  const grant = judge(wanted, s.ring, START_MS);
  if (!grant.granted) throw new Error("not granted");
  const lost: (string | undefined)[] = [];
  const watch = new GateWatch(s.ring, s.time, s.clock).watch(wanted, grant, ({ refusals }) =>
    lost.push(refusals[0]?.code),
  );
  return { ...s, key, lost, watch };
}

test("a watch tells of the expiry when it comes, not before and only once", async (t) => {
  const { clock, lost } = await watching();
  clock.advance(HOUR_MS - 1);
  t.deepEqual(lost, []);
  clock.advance(1);
  t.deepEqual(lost, ["KEY_EXPIRED"]);
  clock.advance(HOUR_MS);
  t.deepEqual(lost, ["KEY_EXPIRED"]);
  t.is(clock.pending, 0);
});

test("a watch tells of a revocation before revoke() returns", async (t) => {
  const { ring, broker, key, lost, clock } = await watching();
  const done = ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [key.id] }, START_MS).token);
  t.deepEqual(lost, ["KEY_REVOKED"]);
  await done;
  t.is(clock.pending, 0);
});

test("a watch tells of a new epoch, and not of the revocation of another key", async (t) => {
  const { ring, broker, lost } = await watching({ epoch: 1 });
  await ring.revoke(
    broker.revoke({ audience: ["bridge-7"], ids: [fromHex("ee".repeat(8))], epoch: 1 }, START_MS).token,
  );
  t.deepEqual(lost, []);
  await ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [], epoch: 2 }, START_MS).token);
  t.deepEqual(lost, ["KEY_REVOKED"]);
});

test("a watch goes on under the renewal, to its expiry", async (t) => {
  const { ring, broker, key, lost, clock, watch } = await watching();
  await ring.install(broker.renew(key, START_MS + 2 * HOUR_MS, START_MS).token);
  t.is(watch.grant.expiresMs, START_MS + 2 * HOUR_MS);
  clock.advance(2 * HOUR_MS - 1);
  await ring.prune();
  t.deepEqual(lost, []);
  clock.advance(1);
  t.deepEqual(lost, ["KEY_EXPIRED"]);
});

test("a key that was revoked just before the watch began is noticed at once", async (t) => {
  const s = scene();
  const key = await give(s);
  const wanted = ask([key.id], [READ_DISK]);
  const grant = judge(wanted, s.ring, START_MS);
  await s.ring.revoke(s.broker.revoke({ audience: ["bridge-7"], ids: [key.id] }, START_MS).token);
  const lost: unknown[] = [];
  if (grant.granted) new GateWatch(s.ring, s.time, s.clock).watch(wanted, grant, (refusal) => lost.push(refusal));
  t.is(lost.length, 0, "not from inside watch()");
  s.clock.advance(0);
  t.is(lost.length, 1);
});

test("a wall clock that is set forward past the expiry is noticed within half a minute", async (t) => {
  const { clock, lost } = await watching();
  clock.set(START_MS + HOUR_MS);
  clock.advance(30_000);
  t.deepEqual(lost, ["KEY_EXPIRED"]);
});

test("a wall clock that is set back stops nothing that runs, and does not make it run longer", async (t) => {
  const { clock, lost, time } = await watching();
  clock.advance(1000);
  clock.set(START_MS - HOUR_MS);
  t.truthy(time.fault());
  clock.advance(HOUR_MS - 1001);
  t.deepEqual(lost, []);
  clock.advance(1);
  t.deepEqual(lost, ["KEY_EXPIRED"]);
});

test("a closed watch tells nothing", async (t) => {
  const { clock, lost, watch, ring, broker, key } = await watching();
  watch.close();
  watch.close();
  await ring.revoke(broker.revoke({ audience: ["bridge-7"], ids: [key.id] }, START_MS).token);
  clock.advance(2 * HOUR_MS);
  t.deepEqual(lost, []);
  t.is(clock.pending, 0);
});
