// The live arbiter with a data plane that only notes down: order of storage, masks, attentions and answers.
import test from "ava";
import { PR_TYPE } from "../../../../src/admit/reservations/classes.js";
import type { JobHold, ReadingPolicy } from "../../../../src/admit/reservations/job-holds.js";
import type { PreemptPolicy } from "../../../../src/admit/reservations/preemption.js";
import { ReservationRoom, type ReservingSession } from "../../../../src/admit/reservations/room.js";
import type { Punt } from "../../../../src/plane.js";
import { ManualClock } from "../../../../src/sys/clock.js";
import { silentLogger } from "../../../../src/sys/log.js";
import { MemoryStore } from "../../../../src/sys/memory-store.js";
import type { Store, StoreChange } from "../../../../src/sys/store.js";
import { PR_OUT, type PrOutAction } from "../../../../src/wire/persistent-reserve.js";
import { A, B, KEY, type OutFields, PORT_A, PORT_B, prIn, prOut, RELEASE_6, RESERVE_6 } from "./parts.js";

const CLASSES = ["always", "read", "change"] as const;
const ALL = 0b111;
const NOBODY = { lost: () => undefined, free: () => undefined, yield: () => undefined };
const JOB = { jobId: "j1", priority: 100 };
const DEVICE = "disk";
const UNIT = 7;
const a = KEY[A] ?? 0n;
const b = KEY[B] ?? 0n;

/** Notes when each write is on stable storage. */
class NotedStore extends MemoryStore {
  readonly #notes: string[];
  constructor(notes: string[]) {
    super();
    this.#notes = notes;
  }
  override async batch(changes: readonly StoreChange[]): Promise<void> {
    await super.batch(changes);
    this.#notes.push("stored");
  }
}

interface Rig {
  readonly room: ReservationRoom;
  readonly notes: string[];
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly policy: { reading: ReadingPolicy; leaseMs: number; preempt: PreemptPolicy };
  send(nexus: number, cdb: Uint8Array, data?: Uint8Array): Promise<string>;
  out(nexus: number, action: PrOutAction, fields?: OutFields): Promise<string>;
  mask(nexus: number): number;
  /** Tasks that are being aborted or drained end when this is called. */
  finish(): void;
}

function rig(store?: MemoryStore, deviceType = 0): Rig {
  const notes: string[] = [];
  const clock = new ManualClock();
  const policy: Rig["policy"] = { reading: "shared", leaseMs: 0, preempt: "off" };
  const kept = store ?? new NotedStore(notes);
  const waiting: (() => void)[] = [];
  const answers = new Map<bigint, string>();
  let next = 1n;
  const later = (note: string): Promise<void> => {
    notes.push(note);
    return new Promise((resolve) => waiting.push(resolve));
  };
  const room = new ReservationRoom({
    plane: {
      attention: (nexus, lun, asc, ascq) => {
        notes.push(`attention ${nexus}/${lun} ${asc.toString(16)}/${ascq}`);
      },
      abort: (unit, { nexus, status }) => later(`abort ${unit} ${nexus} ${status}`),
      drain: (unit) => later(`drain ${unit}`),
      answer: (id, status, sense) => {
        notes.push(`answer ${status}`);
        answers.set(id, sense === undefined ? String(status) : `${status} ${Buffer.from(sense).toString("hex")}`);
      },
      pass: (id) => {
        answers.set(id, "pass");
      },
    },
    store: kept as Store,
    clock,
    log: silentLogger(),
    policy: () => policy,
    timers: clock,
    priorityOf: () => 100,
    onWanted: () => undefined,
    onChange: () => undefined,
    deviceType: () => deviceType,
    changed: () => {
      notes.push(`masks ${[1, 2].map((nexus) => mask(nexus)).join(" ")}`);
    },
  });
  const mask = (nexus: number): number => room.arbiter.mask(DEVICE, room.textOf(nexus) ?? "", CLASSES);
  room.arbiter.load();
  for (const [index, initiator] of [PORT_A, PORT_B].entries()) room.opened(session(index + 1, initiator));
  const send = async (nexus: number, cdb: Uint8Array, data = new Uint8Array(0)): Promise<string> => {
    const id = next++;
    const punt: Punt = { id, nexus, lun: 3, unit: UNIT, cdb, data, room: 4096 };
    await room.arbiter.punt(punt);
    return answers.get(id) ?? "nothing yet";
  };
  return {
    room,
    notes,
    clock,
    store: kept,
    policy,
    send,
    out: (nexus, action, fields = {}) => {
      const { cdb, list } = prOut(action, fields);
      return send(nexus, cdb, new Uint8Array(list));
    },
    mask,
    finish: () => {
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}

function session(nexus: number, initiator: ReservingSession["initiator"]): ReservingSession {
  return { nexus, initiator, port: 1, luns: [{ lun: 3, device: DEVICE, unit: UNIT }] };
}

async function registerBoth({ out, notes }: Rig, aptpl = false): Promise<void> {
  await out(1, PR_OUT.REGISTER, { actionKey: a, aptpl });
  await out(2, PR_OUT.REGISTER, { actionKey: b, aptpl });
  notes.length = 0;
}

test("masks are set before the answer, and storage comes before both when it has to survive", async (t) => {
  for (const aptpl of [false, true]) {
    const it = rig();
    await registerBoth(it, aptpl);
    t.is(await it.out(1, PR_OUT.RESERVE, { key: a, type: PR_TYPE.EXCLUSIVE_ACCESS }), "0");
    t.deepEqual(it.notes, [...(aptpl ? ["stored"] : []), "masks 7 1", "answer 0"]);
  }
});

test("what cannot be stored is not done and not acknowledged", async (t) => {
  const it = rig();
  await registerBoth(it, true);
  it.store.failNext = true;
  const answer = await it.out(1, PR_OUT.RESERVE, { key: a, type: PR_TYPE.WRITE_EXCLUSIVE });
  t.regex(answer, /^2 70000400/);
  t.is(it.mask(2), ALL);
  t.is(await it.out(2, PR_OUT.RESERVE, { key: b, type: PR_TYPE.WRITE_EXCLUSIVE }), "0", "nobody holds it");
});

test("a registration with APTPL survives with its reservation; without, nothing does", async (t) => {
  for (const aptpl of [true, false]) {
    const before = rig();
    await registerBoth(before, aptpl);
    await before.out(1, PR_OUT.RESERVE, { key: a, type: PR_TYPE.WRITE_EXCLUSIVE_REGISTRANTS });
    const after = rig(before.store);
    const { registrations, reservation, generation } = after.room.arbiter.state(DEVICE);
    t.deepEqual(
      registrations,
      aptpl
        ? [
            { nexus: A, key: a },
            { nexus: B, key: b },
          ]
        : [],
    );
    t.is(reservation?.holder, aptpl ? A : undefined);
    t.is(generation, 0, "PRGENERATION begins anew");
    t.is(after.mask(2), ALL, "B is registered, or nobody holds it");
  }
});

test("the last registration says whether things survive (SPC-4 5.13.5)", async (t) => {
  const it = rig();
  await registerBoth(it, true);
  await it.out(2, PR_OUT.REGISTER, { key: b, actionKey: b, aptpl: false });
  t.deepEqual(rig(it.store).room.arbiter.list(), []);
});

test("a record that cannot be read forbids everybody the medium until somebody says what is to be", async (t) => {
  const store = new MemoryStore();
  await store.put(["reservations", DEVICE], Uint8Array.of(0xff));
  const it = rig(store);
  t.deepEqual([it.mask(1), it.mask(2)], [1, 1]);
  t.regex(it.room.arbiter.holder(DEVICE) ?? "", /cannot be read/);
  t.regex(await it.out(1, PR_OUT.REGISTER, { actionKey: a }), /^2 /);
  t.is(await it.out(1, PR_OUT.REPLACE_LOST, { actionKey: a, type: 1 }), "0");
  t.deepEqual([it.mask(1), it.mask(2)], [ALL, 0b011]);
  t.is(store.get(["reservations", DEVICE]), undefined);
});

test("PREEMPT AND ABORT is answered when the last task is gone; others have their turn meanwhile", async (t) => {
  const it = rig();
  await registerBoth(it);
  await it.out(1, PR_OUT.RESERVE, { key: a, type: PR_TYPE.WRITE_EXCLUSIVE });
  it.notes.length = 0;
  t.is(await it.out(2, PR_OUT.PREEMPT_AND_ABORT, { key: b, actionKey: a, type: 1 }), "nothing yet");
  t.deepEqual(it.notes, ["masks 3 7", "attention 1/3 2a/5", `abort ${UNIT} 1 64`]);
  t.is(await it.send(1, prIn(0)), "0");
  it.finish();
  await new Promise((resolve) => setImmediate(resolve));
  t.is(it.notes.at(-1), "answer 0");
});

test("RESERVE ends with the session and with a reset; persistent reservations end with neither", async (t) => {
  for (const end of ["session", "unit reset", "nexus reset"]) {
    const it = rig();
    const happens = (): void => {
      if (end === "session") it.room.closed(1);
      else it.room.onNote({ kind: "reset", nexus: 1, lun: 3, unit: UNIT, function: end === "unit reset" ? 8 : 0x10 });
    };
    await it.send(1, RESERVE_6);
    t.is(it.mask(2), 1);
    happens();
    t.is(await it.send(2, RESERVE_6), "0", end);
    await it.send(2, RELEASE_6);
    const other = rig();
    await registerBoth(other);
    await other.out(1, PR_OUT.RESERVE, { key: a, type: 3 });
    if (end === "session") other.room.closed(1);
    else other.room.onNote({ kind: "reset", nexus: 1, lun: 3, unit: UNIT, function: end === "unit reset" ? 8 : 0x10 });
    t.is(await other.send(2, RESERVE_6), "24");
    t.is(other.mask(2), 1);
  }
});

test("a registrant that logs in again has its registration, with no command of its own", async (t) => {
  const it = rig();
  await registerBoth(it);
  await it.out(1, PR_OUT.RESERVE, { key: a, type: 6 });
  it.room.closed(2);
  it.room.opened(session(9, PORT_B));
  t.is(it.mask(9), ALL);
  t.is(it.room.arbiter.mask(DEVICE, "iscsi:iqn.2001-01.org.example:z,i,0x000000000000@1", CLASSES), 1);
});

test("the lease ends a persistent reservation whose holder stays away, and no other", async (t) => {
  const it = rig();
  await registerBoth(it, true);
  await it.out(1, PR_OUT.RESERVE, { key: a, type: PR_TYPE.EXCLUSIVE_ACCESS_REGISTRANTS });
  const pass = async (ms: number): Promise<void> => {
    it.clock.advance(ms);
    await it.room.arbiter.expire();
  };
  it.policy.leaseMs = 1000;
  await pass(5000);
  t.is(it.room.arbiter.state(DEVICE).reservation?.holder, A, "it is there");
  it.room.closed(1);
  await pass(0);
  await pass(999);
  t.is(it.room.arbiter.state(DEVICE).reservation?.holder, A);
  it.policy.leaseMs = 0;
  await pass(5000);
  t.is(it.room.arbiter.state(DEVICE).reservation?.holder, A, "no lease is the default");
  it.policy.leaseMs = 1000;
  it.notes.length = 0;
  await pass(0);
  t.is(it.room.arbiter.state(DEVICE).reservation, undefined);
  t.deepEqual(
    it.room.arbiter.state(DEVICE).registrations.map(({ nexus }) => nexus),
    [B],
  );
  t.true(it.notes.includes("attention 2/3 2a/4"));
  t.is(rig(it.store).room.arbiter.state(DEVICE).reservation, undefined, "it is gone from the store too");
});

test("clear takes everything away durably and tells who held it", async (t) => {
  const it = rig();
  await registerBoth(it, true);
  await it.out(1, PR_OUT.RESERVE, { key: a, type: 3 });
  t.is(it.mask(2), 1);
  it.notes.length = 0;
  const before = await it.room.arbiter.clear(DEVICE);
  t.deepEqual(before.holders, [A]);
  t.deepEqual(it.notes, ["stored", "masks 7 7", "attention 1/3 2a/3", "attention 2/3 2a/3"]);
  t.deepEqual(rig(it.store).room.arbiter.list(), []);
});

test("a job that writes, or has a tape, has it alone, from a command boundary on", async (t) => {
  const it = rig();
  const claim = it.room.arbiter.claim(JOB, [{ device: DEVICE, access: "write" }], NOBODY);
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(it.notes, ["masks 1 1", `drain ${UNIT}`]);
  it.finish();
  const release = await claim;
  t.is(await it.send(1, RESERVE_6), "24");
  t.is(await it.out(1, PR_OUT.REGISTER, { actionKey: a }), "0");
  t.is(await it.out(1, PR_OUT.RESERVE, { key: a, type: 1 }), "24");
  t.regex(it.room.arbiter.holder(DEVICE) ?? "", /^job j1 /);
  t.deepEqual(it.room.arbiter.facts(DEVICE).jobs, ["j1"]);
  release();
  t.deepEqual([it.mask(1), it.mask(2)], [ALL, ALL]);
  t.is(await it.out(1, PR_OUT.RESERVE, { key: a, type: 1 }), "0");
});

const CLAIMS: readonly (readonly [type: number, access: JobHold["access"], may: boolean])[] = [
  [0, "read", false],
  [0, "write", false],
  [1, "read", true],
  [1, "write", false],
  [3, "read", false],
  [5, "read", true],
  [5, "write", false],
  [6, "read", false],
  [7, "read", true],
  [8, "read", false],
];
for (const [type, access, may] of CLAIMS) {
  test(`a job that wants to ${access} and a reservation of type ${type}: ${may ? "goes on" : "is refused"}`, async (t) => {
    const it = rig();
    if (type === 0) await it.send(1, RESERVE_6);
    else {
      await registerBoth(it);
      await it.out(1, PR_OUT.RESERVE, { key: a, type });
    }
    t.is(it.room.arbiter.jobMay(JOB, { device: DEVICE, access }), may);
    const claim = it.room.arbiter.claim(JOB, [{ device: DEVICE, access }], NOBODY);
    if (may) await t.notThrowsAsync(claim);
    else {
      const error = await t.throwsAsync(claim, { code: "DEVICE_RESERVED" });
      t.true(error?.message.includes(A), "it says who");
      t.deepEqual(it.room.arbiter.facts(DEVICE).jobs, []);
    }
  });
}

test("a job that shares a disk is told, once, when a server takes it away, and when it is free again", async (t) => {
  const it = rig();
  const told: string[] = [];
  await it.room.arbiter.claim(JOB, [{ device: DEVICE, access: "read" }], {
    lost: (device, who) => told.push(`${device}: ${who}`),
    free: (device) => told.push(`${device} is free`),
    yield: (device, taker) => told.push(`${device} to ${taker}`),
  });
  await registerBoth(it);
  await it.out(1, PR_OUT.RESERVE, { key: a, type: 1 });
  t.deepEqual(told, [], "Write Exclusive lets it read");
  await it.out(1, PR_OUT.PREEMPT, { key: a, actionKey: a, type: 3 });
  t.is(told.length, 1);
  t.true(told[0]?.startsWith(`${DEVICE}: ${A} has reserved it (exclusive access)`));
  await it.out(1, PR_OUT.PREEMPT, { key: a, actionKey: a, type: 6 });
  t.is(told.length, 1);
  await it.out(1, PR_OUT.RELEASE, { key: a, type: 6 });
  t.deepEqual(told.slice(1), [`${DEVICE} is free`]);
});

test("a disk that a job reads is shared, read only, or closed to servers, as the policy says", async (t) => {
  for (const [reading, left] of [
    ["shared", ALL],
    ["write-exclusive", 0b011],
    ["exclusive", 0b001],
  ] as const) {
    const it = rig();
    it.policy.reading = reading;
    const claim = it.room.arbiter.claim(JOB, [{ device: DEVICE, access: "read" }], NOBODY);
    await new Promise((resolve) => setImmediate(resolve));
    it.finish();
    await claim;
    t.is(it.mask(1), left);
    t.is(await it.send(1, RESERVE_6), reading === "shared" ? "0" : "24");
  }
});

test("a command whose CDB decides is passed on, but not to a device that a job has alone", async (t) => {
  const it = rig();
  const prevent = Uint8Array.of(0x1e, 0, 0, 0, 1, 0);
  const allow = Uint8Array.of(0x1e, 0, 0, 0, 0, 0);
  t.is(await it.send(1, prevent), "pass");
  const claim = it.room.arbiter.claim(JOB, [{ device: DEVICE, access: "write" }], NOBODY);
  await new Promise((resolve) => setImmediate(resolve));
  it.finish();
  await claim;
  t.is(await it.send(1, prevent), "24");
  t.is(await it.send(1, allow), "pass");
});

test("a command of a session that is gone is answered BUSY", async (t) => {
  const it = rig();
  it.room.closed(1);
  t.is(await it.send(1, RESERVE_6), "8");
});
