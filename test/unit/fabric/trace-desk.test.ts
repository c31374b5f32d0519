import test from "ava";
import type { OwnCommand } from "../../../src/device/own-commands.js";
import { TraceDesk } from "../../../src/fabric/trace-desk.js";
import type { TraceFilter, TraceRecord } from "../../../src/native/records.js";
import { ManualClock } from "../../../src/sys/clock.js";

const A = "iqn.2024-01.x:a";

function setUp() {
  const clock = new ManualClock();
  const set: (readonly TraceFilter[])[] = [];
  const own: (readonly string[])[] = [];
  let ours: OwnCommand[] = [];
  let waiting: TraceRecord[] = [];
  const plant = {
    sessions: [{ nexus: 1, initiator: A, peer: "p:1" }],
    units: [{ device: "disk0", unit: 4 }],
    lost: 0n,
  };
  const base: TraceRecord = {
    beganNs: 1_000_000_000n,
    endedNs: 1_000_250_000n,
    nexus: 1,
    lun: 0,
    unit: 4,
    direction: "none",
    dataBytes: 0,
    residual: 0,
    outcome: "delivered",
    status: 0,
    cdb: new Uint8Array(6),
    sense: new Uint8Array(0),
  };
  const record = (more: Partial<TraceRecord> = {}): void => {
    waiting.push({ ...base, ...more });
  };
  const desk = new TraceDesk({
    source: {
      sessions: () => plant.sessions,
      units: () => plant.units,
      trace: (filters) => set.push(filters),
      takeTrace: () => {
        const taken = { records: waiting, lost: plant.lost };
        waiting = [];
        plant.lost = 0n;
        return taken;
      },
    },
    own: {
      record: (devices) => own.push(devices),
      take: () => {
        const taken = { commands: ours, lost: 0n };
        ours = [];
        return taken;
      },
    },
    isDevice: (name) => name === "disk0",
    clock,
    timers: clock,
    nowNs: () => 3_000_000_000n,
  });
  const ownRecord = (more: Partial<OwnCommand> = {}): void => {
    const { nexus: _nexus, lun: _lun, unit: _unit, ...plain } = base;
    ours.push({ ...plain, device: "disk0", ...more });
  };
  return { clock, desk, set, own, plant, record, ownRecord };
}

test("a device and an initiator become numbers, and follow when those change", (t) => {
  const { clock, desk, set, plant } = setUp();
  t.like(desk.on("disk0", 60), { what: "disk0", kind: "device" });
  t.like(desk.on(A, 60), { what: A, kind: "initiator", nexuses: 1 });
  t.deepEqual(set.at(-1), [{ unit: 4 }, { nexus: 1 }]);
  plant.sessions = [
    { nexus: 1025, initiator: A, peer: "p:2" },
    { nexus: 2, initiator: "iqn.other", peer: "p:3" },
  ];
  plant.units = [];
  clock.advance(200);
  t.deepEqual(set.at(-1), [{ nexus: 1025 }]);
  desk.off(undefined);
  t.deepEqual(set.at(-1), []);
  const before = set.length;
  desk.list();
  t.is(set.length, before, "nothing is told where nothing is recorded");
});

test("it ends by itself after its time, and at once by off; what was recorded stays", (t) => {
  const { clock, desk, set, record } = setUp();
  desk.on("disk0", 60);
  record();
  clock.advance(59_000);
  t.is(desk.list().length, 1);
  clock.advance(1500);
  t.deepEqual(set.at(-1), []);
  t.is(desk.list().length, 0);
  t.is(desk.commands(0).commands.length, 1);
  desk.on("disk0", 60);
  desk.on(A, 60);
  desk.off("disk0");
  t.deepEqual(set.at(-1), [{ nexus: 1 }]);
  t.throws(() => desk.off("disk0"), { code: "DEVICE_UNKNOWN" });
  desk.off(undefined);
  t.deepEqual(set.at(-1), []);
});

test("commands get names and the time of the wall clock, also of a server that has gone meanwhile", (t) => {
  const { clock, desk, plant, record } = setUp();
  desk.on("disk0", 60);
  record();
  plant.sessions = [];
  clock.advance(150);
  const [first] = desk.commands(0).commands;
  t.like(first, { initiator: A, peer: "p:1", device: "disk0", tookUs: 250, serial: 1 });
  // Taken after 100 ms, when it had begun 2 s before.
  t.is(first?.beganMs, clock.nowMs() - 50 - 2000);
  record({ nexus: 99 });
  t.like(desk.commands(1).commands[0], { initiator: "", serial: 2 });
});

test("the last 4096 are kept; what was lost is counted on", (t) => {
  const { clock, desk, plant, record } = setUp();
  desk.on("disk0", 60);
  for (let turn = 0; turn < 5; turn++) {
    for (let index = 0; index < 1000; index++) record();
    plant.lost = 2n;
    clock.advance(150);
  }
  const { commands, lost } = desk.commands(0);
  t.is(commands.length, 4096);
  t.is(commands.at(-1)?.serial, 5000);
  t.is(lost, 10n);
});

test("of a device also what the bridge itself sends, in the order of the ends; of an initiator not", (t) => {
  const { clock, desk, own, record, ownRecord } = setUp();
  desk.on(A, 60);
  t.deepEqual(own.at(-1), []);
  desk.on("disk0", 60);
  t.deepEqual(own.at(-1), ["disk0"]);
  record({ endedNs: 1_000_300_000n });
  ownRecord({ endedNs: 1_000_200_000n });
  ownRecord({ endedNs: 1_000_400_000n });
  clock.advance(150);
  const { commands } = desk.commands(0);
  t.deepEqual(
    commands.map(({ nexus, lun, tookUs }) => [nexus, lun, tookUs]),
    [
      [undefined, undefined, 200],
      [1, 0, 300],
      [undefined, undefined, 400],
    ],
  );
  t.like(commands[0], { device: "disk0", initiator: "", peer: "", serial: 1 });
  desk.off("disk0");
  t.deepEqual(own.at(-1), []);
});

test("what is no device and no initiator's name is refused, and the ninth trace", (t) => {
  const { desk } = setUp();
  t.throws(() => desk.on("disk9", 60), { code: "DEVICE_UNKNOWN" });
  for (let index = 0; index < 8; index++) desk.on(`iqn.2024-01.x:${index}`, 60);
  t.throws(() => desk.on("disk0", 60), { code: "TRACE_FULL" });
  t.notThrows(() => desk.on("iqn.2024-01.x:7", 60));
});
