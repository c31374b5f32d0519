// Who takes a device from whom by priority: jobs from servers, servers from jobs, and the broker's word between them.
import test from "ava";
import type { ClaimingJob } from "../../../../src/admit/reservations/job-claims.js";
import type { JobAccess } from "../../../../src/admit/reservations/job-holds.js";
import type { PreemptPolicy, Wanted } from "../../../../src/admit/reservations/preemption.js";
import { ReservationRoom } from "../../../../src/admit/reservations/room.js";
import { ManualClock } from "../../../../src/sys/clock.js";
import { silentLogger } from "../../../../src/sys/log.js";
import { MemoryStore } from "../../../../src/sys/memory-store.js";
import { PR_OUT, type PrOutAction } from "../../../../src/wire/persistent-reserve.js";
import type { InitiatorPort } from "../../../../src/wire/transport-id.js";
import { A, KEY, type OutFields, PORT_A, PORT_B, prOut, RELEASE_6, RESERVE_6 } from "./parts.js";

const DEVICE = "tape";
const UNIT = 3;
const CLASSES = ["always", "read", "change"] as const;
const USE = { device: DEVICE, access: "write" } as const;
const a = KEY[A] ?? 0n;
const nameOf = (port: InitiatorPort): string => (port.protocol === "iscsi" ? port.name : "");
const [NAME_A, NAME_B] = [nameOf(PORT_A), nameOf(PORT_B)];

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Server 1 (A) has priority 100, server 2 (B) 200. */
function rig(preempt: PreemptPolicy, store = new MemoryStore()) {
  const clock = new ManualClock();
  const notes: string[] = [];
  const wanted: Wanted[] = [];
  const answers = new Map<bigint, number>();
  const policy = { reading: "shared", leaseMs: 0, preempt } as const;
  let next = 1n;
  const room = new ReservationRoom({
    plane: {
      attention: (nexus, _lun, asc, ascq) => {
        notes.push(`attention ${nexus} ${asc.toString(16)}/${ascq}`);
      },
      abort: async (_unit, { nexus }) => {
        notes.push(`abort ${nexus}`);
      },
      drain: async () => {
        notes.push("drain");
      },
      answer: (id, status) => {
        answers.set(id, status);
      },
      pass: () => undefined,
    },
    store,
    clock,
    timers: clock,
    log: silentLogger(),
    policy: () => policy,
    priorityOf: (_device, initiator) => (initiator === NAME_A ? 100 : 200),
    onWanted: (one) => wanted.push(one),
    onChange: () => undefined,
    deviceType: () => 1,
    changed: () => undefined,
  });
  room.arbiter.load();
  for (const [nexus, initiator] of [
    [1, PORT_A],
    [2, PORT_B],
  ] as const)
    room.opened({ nexus, initiator, port: 1, luns: [{ lun: 0, device: DEVICE, unit: UNIT }] });
  /** The answer's status; undefined: none yet. */
  const begin = (nexus: number, cdb: Uint8Array, data: Uint8Array = new Uint8Array(0)) => {
    const id = next++;
    const done = room.arbiter.punt({ id, nexus, lun: 0, unit: UNIT, cdb, data, room: 0 });
    return { status: () => answers.get(id), done };
  };
  const send = async (nexus: number, cdb: Uint8Array, data?: Uint8Array): Promise<number | undefined> => {
    const { status, done } = begin(nexus, cdb, data);
    await done;
    await settle();
    return status();
  };
  const out = (nexus: number, action: PrOutAction, fields: OutFields) => {
    const { cdb, list } = prOut(action, fields);
    return send(nexus, cdb, list);
  };
  const yields: string[] = [];
  const claim = (job: ClaimingJob, access: JobAccess = "write") =>
    room.arbiter.claim(job, [{ device: DEVICE, access }], {
      lost: () => undefined,
      free: () => undefined,
      yield: (_device, taker) => yields.push(`${job.jobId} to ${taker}`),
    });
  const mask = (nexus: number) => room.arbiter.mask(DEVICE, room.textOf(nexus) ?? "", CLASSES);
  return { arbiter: room.arbiter, clock, notes, wanted, yields, begin, send, out, claim, mask };
}

const LOW = { jobId: "low", priority: 50 };
const SAME = { jobId: "same", priority: 100 };
const HIGH = { jobId: "high", priority: 150 };

test("off: no job takes a device, and the broker is not asked", async (t) => {
  const it = rig("off");
  await it.send(1, RESERVE_6);
  t.false(it.arbiter.jobMay({ jobId: "top", priority: 255 }, USE));
  it.arbiter.want({ jobId: "top", priority: 255 }, DEVICE);
  t.deepEqual(it.wanted, []);
  await t.throwsAsync(it.claim({ jobId: "top", priority: 255 }), { code: "DEVICE_RESERVED" });
  t.throws(() => it.arbiter.preempt(DEVICE, { jobId: "top" }), { code: "PREEMPT_UNWANTED" });
});

test("automatic: a job of higher priority takes what a server reserved, one of the same priority waits", async (t) => {
  const it = rig("automatic");
  await it.send(1, RESERVE_6);
  t.false(it.arbiter.jobMay(LOW, USE));
  t.false(it.arbiter.jobMay(SAME, USE));
  await t.throwsAsync(it.claim(SAME), { code: "DEVICE_RESERVED" });
  t.deepEqual(it.notes, []);
  t.true(it.arbiter.jobMay(HIGH, USE));
  const release = await it.claim(HIGH);
  t.deepEqual(it.notes, ["attention 1 2a/3", "abort 1", "drain"], "told, its tasks aborted, all others done");
  t.deepEqual([it.mask(1), it.mask(2)], [1, 1]);
  t.like(it.arbiter.facts(DEVICE), { kind: "job", jobs: ["high"] });
  t.is(await it.send(1, RESERVE_6), 0x18);
  release();
  t.is(await it.send(1, RESERVE_6), 0);
});

test("automatic: a persistent reservation goes, its registrations stay, and all who could use the device are told", async (t) => {
  const it = rig("automatic");
  await it.out(1, PR_OUT.REGISTER, { actionKey: a, aptpl: true });
  await it.out(1, PR_OUT.RESERVE, { key: a, type: 6 });
  const release = await it.claim(HIGH);
  t.deepEqual(it.notes, ["attention 1 2a/3", "abort 1", "drain"]);
  t.like(it.arbiter.facts(DEVICE), { kind: "job", registered: [A], aptpl: true });
  release();
  await it.out(2, PR_OUT.REGISTER, { actionKey: 2n });
  await it.out(1, PR_OUT.RESERVE, { key: a, type: 6 });
  t.false(it.arbiter.jobMay(HIGH, USE), "registrants only: the highest of the registrants counts");
});

test("automatic: what nobody knows the holder of is taken from nobody", async (t) => {
  const store = new MemoryStore();
  await store.put(["reservations", DEVICE], Uint8Array.of(0xff));
  const it = rig("automatic", store);
  t.false(it.arbiter.jobMay({ jobId: "top", priority: 255 }, USE));
  await t.throwsAsync(it.claim({ jobId: "top", priority: 255 }), { code: "DEVICE_RESERVED" });
});

test("ask: the broker is asked once for each holder, and its word is for that holder only", async (t) => {
  const it = rig("ask");
  await it.send(1, RESERVE_6);
  it.arbiter.want(SAME, DEVICE);
  t.deepEqual(it.wanted, [], "not for the same priority");
  for (let turn = 0; turn < 3; turn++) it.arbiter.want(HIGH, DEVICE);
  t.is(it.wanted.length, 1);
  t.like(it.wanted[0], { device: DEVICE, by: { jobId: "high" }, priority: 150, holderPriority: 100 });
  t.true(it.wanted[0]?.holder.includes(A));
  t.false(it.arbiter.jobMay(HIGH, USE), "not before the answer");
  t.throws(() => it.arbiter.preempt(DEVICE, { jobId: "other" }), { code: "PREEMPT_UNWANTED" });
  t.like(it.arbiter.preempt(DEVICE, { jobId: "high" }), { kind: "reserve", holders: [A] });
  t.true(it.arbiter.jobMay(HIGH, USE));
  it.clock.advance(5);
  await it.send(1, RELEASE_6);
  await it.send(1, RESERVE_6);
  t.false(it.arbiter.jobMay(HIGH, USE), "another reservation than the one that it was about");
  t.throws(() => it.arbiter.preempt(DEVICE, { jobId: "high" }), { code: "PREEMPT_UNWANTED" });
  it.arbiter.want(HIGH, DEVICE);
  t.is(it.wanted.length, 2);
  it.arbiter.preempt(DEVICE, { jobId: "high" });
  await it.claim(HIGH);
  t.like(it.arbiter.facts(DEVICE), { kind: "job", jobs: ["high"] });
});

test("automatic: a server of higher priority gets the device when the job has stopped, and not before", async (t) => {
  const it = rig("automatic");
  const release = await it.claim(HIGH);
  t.is(await it.send(1, RESERVE_6), 0x18, "A has 100, the job 150");
  t.deepEqual(it.yields, []);
  const { status, done } = it.begin(2, RESERVE_6);
  await settle();
  t.deepEqual(it.yields, [`high to ${NAME_B}`]);
  t.is(status(), undefined);
  t.is(it.mask(2), 1, "nothing goes through while the job stops");
  release();
  await done;
  t.is(status(), 0);
  t.deepEqual([it.mask(1), it.mask(2)], [1, 0b111]);
  t.false(it.arbiter.jobMay(HIGH, USE), "B has it now");
  await it.send(2, RELEASE_6);
  t.true(it.arbiter.jobMay(HIGH, USE));
});

test("automatic: a job that does not stop keeps the device", async (t) => {
  const it = rig("automatic");
  await it.claim(HIGH);
  const { status, done } = it.begin(2, RESERVE_6);
  await settle();
  it.clock.advance(20_000);
  await done;
  t.is(status(), 0x18);
  t.like(it.arbiter.facts(DEVICE), { kind: "job", jobs: ["high"] });
});

test("ask: the job stops at the broker's word, and the device waits for the server a minute", async (t) => {
  const it = rig("ask");
  const release = await it.claim(HIGH);
  t.is(await it.send(2, RESERVE_6), 0x18);
  t.is(it.wanted.length, 1);
  t.like(it.wanted[0], { by: { initiator: NAME_B }, priority: 200, holderPriority: 150 });
  t.deepEqual(it.yields, []);
  it.arbiter.preempt(DEVICE, { initiator: NAME_B });
  t.deepEqual(it.yields, [`high to ${NAME_B}`]);
  release();
  t.false(it.arbiter.jobMay(HIGH, USE));
  await t.throwsAsync(it.claim(HIGH), { code: "DEVICE_RESERVED" });
  t.is(await it.send(2, RESERVE_6), 0);
  await it.send(2, RELEASE_6);
  t.true(it.arbiter.jobMay(HIGH, USE), "it came, and went");
});

test("ask: a server that does not come loses its turn", async (t) => {
  const it = rig("ask");
  const release = await it.claim(HIGH);
  await it.send(2, RESERVE_6);
  it.arbiter.preempt(DEVICE, { initiator: NAME_B });
  release();
  it.clock.advance(59_999);
  t.false(it.arbiter.jobMay(HIGH, USE));
  it.clock.advance(1);
  t.true(it.arbiter.jobMay(HIGH, USE));
});

test("automatic: a server does not stop a job of higher priority by reserving the disk that it reads", async (t) => {
  for (const [preempt, status] of [
    ["automatic", 0x18],
    ["off", 0],
  ] as const) {
    const it = rig(preempt);
    await it.claim(HIGH, "read");
    t.is(await it.send(1, RESERVE_6), status);
    t.is(await it.send(2, RESERVE_6), preempt === "off" ? 0x18 : 0);
  }
});
