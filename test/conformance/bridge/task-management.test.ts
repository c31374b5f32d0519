// Task management while sixteen commands fly (SAM-5 7, RFC 7143 11.5): what is aborted, what is not, and what others see.
import test from "ava";
import { type Flying, FUNCTION, RawHost } from "./raw-host.js";
import { type Device, type Rig, startRig } from "./rig.js";
import { READ_POSITION, RESERVE_6, REWIND, readVariable, TEST_UNIT_READY, write10, writeVariable } from "./words.js";

const COMMANDS = 16;
const SLOW_MS = 150;
const BLOCK = new Uint8Array(512);
const [GOOD, CONFLICT] = [0, 0x18];
const OPCODE: Readonly<Record<Device, number>> = { disk0: 0x2a, tape0: 0x0a };
/** No two of them on the same block, so that none waits for another. */
const write = (device: Device, at: number): Uint8Array =>
  device === "disk0" ? write10(at * 8, 1) : writeVariable(512);

async function raw(t: Parameters<typeof startRig>[0], rig: Rig, name: string, device: Device): Promise<RawHost> {
  await (await rig.host(name, device)).lu.close();
  const host = await RawHost.login(rig.port, name);
  t.teardown(() => host.close());
  while ((await host.send(device, TEST_UNIT_READY).status) !== GOOD);
  return host;
}

async function load(host: RawHost, device: Device): Promise<readonly Flying[]> {
  const flying = Array.from({ length: COMMANDS }, (_, at) => host.send(device, write(device, at), { out: BLOCK }));
  // INQUIRY goes ahead of what waits: all are there when it is answered.
  await host.send(device, Uint8Array.of(0x12, 0, 0, 0, 36, 0), { room: 36 }).status;
  return flying;
}

const ends = (flying: readonly Flying[]): Promise<readonly (number | undefined)[]> =>
  Promise.all(flying.map(({ status }) => status));

for (const device of ["disk0", "tape0"] as const) {
  test(`${device}: ABORT TASK ends one of sixteen, and no other`, async (t) => {
    const rig = await startRig(t);
    const a = await raw(t, rig, "a", device);
    rig.inject(device, { opcode: OPCODE[device], delayMs: SLOW_MS, count: 1000 });
    const flying = await load(a, device);
    const victim = flying[COMMANDS - 1];
    if (victim === undefined) return t.fail();
    t.is(await a.manage(device, FUNCTION.ABORT_TASK, victim), 0);
    rig.devices.emulated(device)?.clearFaults();
    t.deepEqual([...new Set(await ends(flying.slice(0, -1)))], [GOOD]);
    t.is(await a.send(device, TEST_UNIT_READY).status, GOOD, "no unit attention for who aborts its own");
    t.false(a.has(victim), "an aborted task is not answered (SAM-5 5.3.1)");
    t.is(await a.manage(device, FUNCTION.ABORT_TASK, flying[0]), 1, "a task that has ended does not exist");
  });

  test(`${device}: ABORT TASK SET ends those of its nexus, another's go on`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await raw(t, rig, "a", device), await raw(t, rig, "b", device)];
    rig.inject(device, { opcode: OPCODE[device], delayMs: SLOW_MS, count: 1000 });
    const [mine, others] = [await load(a, device), await load(b, device)];
    t.is(await a.manage(device, FUNCTION.ABORT_TASK_SET), 0);
    rig.devices.emulated(device)?.clearFaults();
    t.deepEqual([...new Set(await ends(others))], [GOOD]);
    t.true(
      mine.some((task) => !a.has(task)),
      "only what was done before has an answer",
    );
    t.is(await a.send(device, TEST_UNIT_READY).status, GOOD);
    t.is(await b.send(device, TEST_UNIT_READY).status, GOOD);
  });

  test(`${device}: LOGICAL UNIT RESET ends all of both, releases RESERVE, and both are told`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await raw(t, rig, "a", device), await raw(t, rig, "b", device)];
    rig.inject(device, { opcode: OPCODE[device], delayMs: SLOW_MS, count: 1000 });
    const [mine, others] = [await load(a, device), await load(b, device)];
    t.is(await a.manage(device, FUNCTION.LU_RESET), 0);
    rig.devices.emulated(device)?.clearFaults();
    // SAM-5 6.3.3: the unit attention tells who else had commands there; they have no answer of their own.
    t.is(await b.send(device, TEST_UNIT_READY).status, 2, "BUS DEVICE RESET FUNCTION OCCURRED");
    t.is(await b.send(device, TEST_UNIT_READY).status, GOOD);
    for (const [host, flying] of [
      [a, mine],
      [b, others],
    ] as const)
      t.true(
        flying.some((task) => !host.has(task)),
        "what was not done before has no answer",
      );
    while ((await a.send(device, TEST_UNIT_READY).status) !== GOOD);
    t.is(await a.send(device, RESERVE_6).status, GOOD);
    t.is(await b.send(device, TEST_UNIT_READY).status, CONFLICT);
    t.is(await b.manage(device, FUNCTION.LU_RESET), 0, "whoever may use it may reset it");
    while ((await b.send(device, TEST_UNIT_READY).status) !== GOOD);
    t.is(await b.send(device, RESERVE_6).status, GOOD, "a reset releases RESERVE (SPC-2 5.5.1)");
  });
}

test("a tape is where it was after its commands were aborted, and reads what was acknowledged", async (t) => {
  const rig = await startRig(t);
  const a = await raw(t, rig, "a", "tape0");
  rig.inject("tape0", { opcode: 0x0a, delayMs: 50, count: 1000 });
  const flying = await load(a, "tape0");
  await flying[3]?.status;
  t.is(await a.manage("tape0", FUNCTION.ABORT_TASK_SET), 0);
  rig.devices.emulated("tape0")?.clearFaults();
  const good = flying.filter((task) => a.has(task)).length;
  t.true(good >= 4 && good < COMMANDS);
  const host = await rig.host("a", "tape0");
  const { data } = await host.send(READ_POSITION, { in: 20 });
  const blocks = data.readUInt32BE(4);
  t.true(blocks === good || blocks === good + 1, `${blocks} blocks, ${good} answered`);
  t.is(await host.says(REWIND), "good");
  for (let at = 0; at < good; at++) t.is(await host.says(readVariable(512), { in: 512 }), "good");
});
