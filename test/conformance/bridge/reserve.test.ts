// RESERVE and RELEASE of 6 and 10 bytes (SPC-2 7.16, 7.21; SPC-4 5.13.3), on a disk and on a tape, by three initiators.
import test from "ava";
import { type Device, startRig } from "./rig.js";
import {
  prIn,
  prOut,
  READ_KEYS,
  REGISTER,
  RELEASE,
  RELEASE_6,
  RELEASE_10,
  RESERVE,
  RESERVE_6,
  RESERVE_10,
  TEST_UNIT_READY,
} from "./words.js";

const DEVICES: readonly Device[] = ["disk0", "tape0"];
const KINDS = [
  ["6", RESERVE_6, RELEASE_6],
  ["10", RESERVE_10, RELEASE_10],
] as const;

for (const device of DEVICES) {
  for (const [bytes, reserve, release] of KINDS) {
    test(`${device}: RESERVE(${bytes}) keeps two others out until its own initiator releases`, async (t) => {
      const rig = await startRig(t);
      const [a, b, c] = [await rig.host("a", device), await rig.host("b", device), await rig.host("c", device)];
      t.is(await a.says(reserve), "good");
      t.is(await a.says(reserve), "good", "again by the holder (SPC-2 5.5.1)");
      for (const other of [b, c]) {
        t.is(await other.says(reserve), "conflict");
        t.is(await other.says(TEST_UNIT_READY), "conflict");
        t.is(await other.says(release), "good", "nothing of its own to release is no error (SPC-2 7.16)");
        t.is(await other.says(TEST_UNIT_READY), "conflict", "and it released nothing");
      }
      t.is(await a.says(TEST_UNIT_READY), "good");
      t.is(await a.says(release), "good");
      t.is(await b.says(TEST_UNIT_READY), "good");
      t.is(await c.says(reserve), "good");
      t.is(await a.says(TEST_UNIT_READY), "conflict");
    });
  }

  test(`${device}: what RESERVE(6) took RELEASE(10) gives back, and the other way round`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    t.is(await a.says(RESERVE_6), "good");
    t.is(await a.says(RELEASE_10), "good");
    t.is(await b.says(RESERVE_10), "good");
    t.is(await b.says(RELEASE_6), "good");
    t.is(await a.says(TEST_UNIT_READY), "good");
  });

  test(`${device}: RESERVE ends with the session of its holder`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    t.is(await a.says(RESERVE_6), "good");
    t.is(await b.says(TEST_UNIT_READY), "conflict");
    await a.lu.close();
    while ((await b.says(TEST_UNIT_READY)) === "conflict") await new Promise((resolve) => setTimeout(resolve, 5));
    t.is(await b.says(RESERVE_6), "good");
  });

  test(`${device}: RESERVE and persistent reservations exclude each other (SPC-4 5.13.3)`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    t.is(await a.says(RESERVE_6), "good");
    for (const host of [a, b]) {
      t.is(await host.says(prIn(READ_KEYS), { in: 64 }), "conflict");
      t.is(await host.put(prOut(REGISTER, { actionKey: 1 })), "conflict");
    }
    t.is(await a.says(RELEASE_6), "good");
    t.is(await b.put(prOut(REGISTER, { actionKey: 2 })), "good");
    for (const host of [a, b])
      for (const cdb of [RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10]) t.is(await host.says(cdb), "conflict");
    t.is(await b.put(prOut(RESERVE, { key: 2, type: 3 })), "good");
    for (const cdb of [RESERVE_6, RELEASE_6, RESERVE_10, RELEASE_10]) {
      t.is(await b.says(cdb), "good", "the holder's, which change nothing");
      t.is(await a.says(cdb), "conflict");
    }
    t.is(await b.put(prOut(RELEASE, { key: 2, type: 3 })), "good");
    t.is(await a.says(TEST_UNIT_READY), "good");
  });

  test(`${device}: extents, third parties and long identifiers are refused (SPC-2 7.21)`, async (t) => {
    const rig = await startRig(t);
    const [a, b] = [await rig.host("a", device), await rig.host("b", device)];
    for (const [opcode, flags] of [
      [0x16, [0x01, 0x10]],
      [0x17, [0x01, 0x10]],
      [0x56, [0x01, 0x02, 0x10]],
      [0x57, [0x01, 0x02, 0x10]],
    ] as const) {
      for (const flag of flags) {
        const cdb = new Uint8Array(opcode < 0x20 ? 6 : 10);
        cdb.set([opcode, flag]);
        t.is(await a.says(cdb), "5/24/00", `${opcode.toString(16)}h, byte 1 ${flag}`);
      }
    }
    t.is(await b.says(TEST_UNIT_READY), "good", "nothing was reserved");
  });
}
