// PREEMPT AND ABORT (SPC-4 5.13.11.5): the tasks of who is preempted end, and they end before the answer. A tape and a
// disk that are slow, three initiators, commands in flight.
import test from "ava";
import { RawHost } from "./raw-host.js";
import { type Device, startRig } from "./rig.js";
import {
  EXCLUSIVE_ACCESS,
  PREEMPT,
  PREEMPT_AND_ABORT,
  prIn,
  prOut,
  READ_POSITION,
  READ_RESERVATION,
  REGISTER,
  RESERVE,
  RESERVE_6,
  TEST_UNIT_READY,
  WRITE_EXCLUSIVE,
  write10,
  writeVariable,
} from "./words.js";

const SLOW_MS = 200;
const BLOCK = new Uint8Array(512);
const WRITE: Readonly<Record<Device, Uint8Array>> = { disk0: write10(0, 1), tape0: writeVariable(512) };
const OPCODE: Readonly<Record<Device, number>> = { disk0: 0x2a, tape0: 0x0a };
const COMMANDS = 8;
const [GOOD, CONFLICT, ABORTED] = [0, 0x18, 0x40];

async function scene(t: Parameters<typeof startRig>[0], device: Device) {
  const rig = await startRig(t);
  const [b, c] = [await rig.host("b", device), await rig.host("c", device)];
  // Its key comes with the first login of its name.
  await (await rig.host("a", device)).lu.close();
  const a = await RawHost.login(rig.port, "a");
  t.teardown(() => a.close());
  while ((await a.send(device, TEST_UNIT_READY).status) !== GOOD);
  const put = ({ cdb, out }: { cdb: Uint8Array; out: Uint8Array }) => a.send(device, cdb, { out }).status;
  t.is(await put(prOut(REGISTER, { actionKey: 0xa })), GOOD);
  t.is(await b.put(prOut(REGISTER, { actionKey: 0xb })), "good");
  t.is(await put(prOut(RESERVE, { key: 0xa, type: WRITE_EXCLUSIVE })), GOOD);
  rig.inject(device, { opcode: OPCODE[device], delayMs: SLOW_MS, count: 1000 });
  const flying = Array.from({ length: COMMANDS }, () => a.send(device, WRITE[device], { out: BLOCK }));
  // The last of them has arrived when what was sent behind it is answered.
  t.is(await a.send(device, prIn(READ_RESERVATION), { room: 24 }).status, GOOD);
  return { rig, a, b, c, flying };
}

for (const device of ["disk0", "tape0"] as const) {
  test(`${device}: commands of the preempted holder are aborted before the answer`, async (t) => {
    const { rig, a, b, c, flying } = await scene(t, device);
    t.is(await b.put(prOut(PREEMPT_AND_ABORT, { key: 0xb, actionKey: 0xa, type: EXCLUSIVE_ACCESS })), "good");
    const ends = await Promise.all(flying.map(({ status }) => status));
    t.deepEqual([...new Set(ends.slice(2))], [ABORTED], "those that had not begun");
    t.true(
      ends.every((status) => status === GOOD || status === ABORTED),
      ends.join(),
    );
    rig.devices.emulated(device)?.clearFaults();
    t.is(await a.send(device, WRITE[device], { out: BLOCK }).status, CONFLICT);
    t.is(await a.send(device, TEST_UNIT_READY).status, 2, "REGISTRATIONS PREEMPTED");
    t.is(await a.send(device, TEST_UNIT_READY).status, GOOD);
    t.is(await c.says(WRITE[device], { out: BLOCK }), "conflict");
    const held = await b.send(prIn(READ_RESERVATION), { in: 24 });
    t.is(held.data.readBigUInt64BE(8), 0xbn);
    t.is(held.data[21], EXCLUSIVE_ACCESS);
    t.is(await b.says(WRITE[device], { out: BLOCK }), "good");
  });

  test(`${device}: PREEMPT alone lets the commands of the preempted end`, async (t) => {
    const { a, b, flying } = await scene(t, device);
    t.is(await b.put(prOut(PREEMPT, { key: 0xb, actionKey: 0xa, type: EXCLUSIVE_ACCESS })), "good");
    const ends = await Promise.all(flying.map(({ status }) => status));
    t.false(ends.includes(ABORTED));
    t.is(ends[0], GOOD);
    t.is(await a.send(device, WRITE[device], { out: BLOCK }).status, CONFLICT);
  });
}

test("tape0: no command that was aborted while it waited is on the tape", async (t) => {
  const { rig, b, flying } = await scene(t, "tape0");
  await b.put(prOut(PREEMPT_AND_ABORT, { key: 0xb, actionKey: 0xa, type: EXCLUSIVE_ACCESS }));
  const ends = await Promise.all(flying.map(({ status }) => status));
  rig.devices.emulated("tape0")?.clearFaults();
  const good = ends.filter((status) => status === GOOD).length;
  const { data } = await b.send(READ_POSITION, { in: 20 });
  const blocks = data.readUInt32BE(4);
  // The command that was being carried out when it was aborted may have written its block (SAM-5 7.1).
  t.true(blocks === good || blocks === good + 1, `${blocks} blocks, ${good} commands`);
});

test("PREEMPT AND ABORT of nobody's key, or by nobody, conflicts and aborts nothing", async (t) => {
  const { b, c, flying } = await scene(t, "disk0");
  t.is(await b.put(prOut(PREEMPT_AND_ABORT, { key: 0xb, actionKey: 0x99, type: WRITE_EXCLUSIVE })), "conflict");
  t.is(await c.put(prOut(PREEMPT_AND_ABORT, { key: 0, actionKey: 0xa, type: WRITE_EXCLUSIVE })), "conflict");
  t.is(await c.put(prOut(PREEMPT_AND_ABORT, { key: 0xb, actionKey: 0xa, type: WRITE_EXCLUSIVE })), "conflict");
  t.deepEqual([...new Set(await Promise.all(flying.map(({ status }) => status)))], [GOOD]);
  t.is(await c.says(RESERVE_6), "conflict", "a still holds");
});
