// CLEAR (SPC-4 5.13.11.6), REPLACE LOST RESERVATION (5.13.11.7), and the order in which unit attentions come (SAM-5
// 5.14, SPC-4 5.13): by three initiators.
import test from "ava";
import { MemoryStore } from "../../../src/sys/memory-store.js";
import { startRig } from "./rig.js";
import {
  CLEAR,
  EXCLUSIVE_ACCESS,
  EXCLUSIVE_ACCESS_REGISTRANTS,
  INQUIRY,
  PREEMPT,
  prIn,
  prOut,
  READ_KEYS,
  REGISTER,
  RELEASE,
  REPLACE_LOST,
  REQUEST_SENSE,
  RESERVE,
  RESERVE_6,
  read10,
  TEST_UNIT_READY,
  WRITE_EXCLUSIVE_REGISTRANTS,
  write10,
} from "./words.js";

const BLOCK = new Uint8Array(512);

for (const device of ["disk0", "tape0"] as const) {
  test(`${device}: CLEAR by any registrant leaves nothing, and tells the other registrants only`, async (t) => {
    const rig = await startRig(t);
    const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device)];
    await a.put(prOut(REGISTER, { actionKey: 1 }));
    await b.put(prOut(REGISTER, { actionKey: 2 }));
    await a.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS }));
    t.is(await c.put(prOut(CLEAR, { key: 0 })), "conflict", "not registered");
    t.is(await b.put(prOut(CLEAR, { key: 1 })), "conflict", "another's key");
    t.is(await b.put(prOut(CLEAR, { key: 2 })), "good");
    t.deepEqual(await a.attentions(), ["2a/03"], "RESERVATIONS PREEMPTED");
    t.deepEqual(await b.attentions(), []);
    t.deepEqual(await c.attentions(), []);
    const { data } = await c.send(prIn(READ_KEYS), { in: 64 });
    t.is(data.readUInt32BE(4), 0);
    t.is(data.readUInt32BE(0), 3, "PRGENERATION: two REGISTERs and a CLEAR, no RESERVE");
    t.is(await c.says(RESERVE_6), "good");
  });

  test(`${device}: while what was stored is lost, only REPLACE LOST RESERVATION helps`, async (t) => {
    const store = new MemoryStore();
    await store.put(["reservations", device], Uint8Array.of(0xff, 0x00));
    const rig = await startRig(t, { store });
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    t.is(await a.says(prIn(READ_KEYS), { in: 64 }), "4/44/01", "PERSISTENT RESERVATION INFORMATION LOST");
    t.is(await a.put(prOut(REGISTER, { actionKey: 1 })), "4/44/01");
    t.is(await a.says(RESERVE_6), "4/44/01");
    t.is(await a.says(TEST_UNIT_READY), "conflict");
    t.is(await a.says(INQUIRY, { in: 96 }), "good");
    t.is(await a.put(prOut(REPLACE_LOST, { key: 1, actionKey: 1, type: EXCLUSIVE_ACCESS })), "conflict");
    t.is(await a.put(prOut(REPLACE_LOST, { actionKey: 0, type: EXCLUSIVE_ACCESS })), "5/26/00");
    t.is(await a.put(prOut(REPLACE_LOST, { actionKey: 1, type: EXCLUSIVE_ACCESS, aptpl: true })), "good");
    t.is(await a.says(TEST_UNIT_READY), "good");
    t.is(await b.says(prIn(READ_KEYS), { in: 64 }), "good");
    t.is(await b.says(RESERVE_6), "conflict");
    t.is(await b.put(prOut(REPLACE_LOST, { actionKey: 2, type: EXCLUSIVE_ACCESS })), "5/24/00", "nothing is lost now");
  });

  test(`${device}: unit attentions of two causes come both, in the order of their causes, and one of each`, async (t) => {
    const rig = await startRig(t);
    const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device)];
    for (const [host, key] of [
      [a, 1],
      [b, 2],
      [c, 3],
    ] as const)
      await host.put(prOut(REGISTER, { actionKey: key }));
    await a.put(prOut(RESERVE, { key: 1, type: EXCLUSIVE_ACCESS_REGISTRANTS }));
    await a.put(prOut(RELEASE, { key: 1, type: EXCLUSIVE_ACCESS_REGISTRANTS }));
    await a.put(prOut(RESERVE, { key: 1, type: WRITE_EXCLUSIVE_REGISTRANTS }));
    await a.put(prOut(RELEASE, { key: 1, type: WRITE_EXCLUSIVE_REGISTRANTS }));
    await a.put(prOut(PREEMPT, { key: 1, actionKey: 3, type: 0 }));
    t.deepEqual(await a.attentions(), [], "who causes it is not told");
    t.deepEqual(await b.attentions(), ["2a/04"], "RESERVATIONS RELEASED, once for two");
    t.deepEqual(await c.attentions(), ["2a/04", "2a/05"]);
    t.deepEqual(await c.attentions(), []);
  });
}

test("INQUIRY goes past a unit attention, REQUEST SENSE takes it, a conflict comes before it", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "disk0"), await rig.host("b", "disk0")];
  await a.put(prOut(REGISTER, { actionKey: 1 }));
  await b.put(prOut(REGISTER, { actionKey: 2 }));
  await b.put(prOut(RESERVE, { key: 2, type: EXCLUSIVE_ACCESS_REGISTRANTS }));
  await a.put(prOut(PREEMPT, { key: 1, actionKey: 2, type: EXCLUSIVE_ACCESS }));
  t.is(await b.says(INQUIRY, { in: 96 }), "good");
  const sense = await b.send(REQUEST_SENSE, { in: 96 });
  t.is(sense.words, "good");
  t.is((sense.data[2] ?? 0) & 15, 6);
  t.is(sense.data[12], 0x2a);
  t.is(sense.data[13], 0x05);
  t.deepEqual(await b.attentions(), [], "REQUEST SENSE has taken it");
  // SAM-5 5.3.3: RESERVATION CONFLICT is judged before a unit attention is reported.
  await b.put(prOut(REGISTER, { actionKey: 3 }));
  await a.put(prOut(PREEMPT, { key: 1, actionKey: 3, type: EXCLUSIVE_ACCESS }));
  t.is(await b.says(write10(0, 1), { out: BLOCK }), "conflict");
  t.is(await b.says(read10(0, 1), { in: 512 }), "conflict");
  t.deepEqual(await b.attentions(), ["2a/05"], "and the unit attention waits");
});

test("a nexus that comes anew has its power-on attention and none of what was before", async (t) => {
  const rig = await startRig(t);
  const [a, b] = [await rig.host("a", "disk0"), await rig.host("b", "disk0")];
  await a.put(prOut(REGISTER, { actionKey: 1 }));
  await b.put(prOut(REGISTER, { actionKey: 2 }));
  await a.put(prOut(CLEAR, { key: 1 }));
  await b.lu.close();
  const again = await rig.host("b", "disk0");
  t.deepEqual(await again.attentions(), [], "rig.host() has taken 29h/00h, and nothing follows");
});
