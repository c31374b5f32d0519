// The data plane through its TypeScript face: rows, answers that find nobody, and notes.
import test from "ava";
import { CLASS_ROWS } from "../../src/admit/opcodes.js";
import type { Addon, RawNote, Taken } from "../../src/native/addon.js";
import { openPlane } from "../../src/native/plane.js";
import type { PlaneEvents, PlaneNote, Punt } from "../../src/plane.js";
import { native } from "./support.js";

const OPTIONS = { reactors: 1, poolBytes: 64n << 20n };
const deaf: PlaneEvents = {
  onLogin: () => undefined,
  onGone: () => undefined,
  onColdReset: () => undefined,
  onPunt: () => undefined,
  onNote: () => undefined,
};

test("the data plane takes the whole opcode table, and no patient row that is not a punt", async (t) => {
  const plane = native.openPlane(OPTIONS, deaf);
  plane.classes(CLASS_ROWS);
  t.throws(() => plane.classes([{ opcode: 0x83, action: 0, class: 15, handling: "forward", patient: true }]), {
    message: /A row of the opcode table is wrong/,
  });
  await plane.close();
});

test("an answer that finds nobody does nothing: to a punt that is gone, and after the plane is closed", async (t) => {
  const plane = native.openPlane(OPTIONS, deaf);
  const sense = new Uint8Array(252).fill(1);
  const data = new Uint8Array(98_304);
  t.notThrows(() => plane.answer(256n, 2, sense, data));
  t.notThrows(() => plane.pass(256n));
  t.throws(() => plane.answer(256n, 2, undefined, new Uint8Array(98_305)), { message: /data/ });
  t.throws(() => plane.answer(256n, 2, new Uint8Array(253)), { message: /sense/ });
  await plane.close();
  t.notThrows(() => plane.answer(256n, 2, sense, data));
  t.notThrows(() => plane.pass(256n));
});

const NOTE: RawNote = {
  kind: 0,
  nexus: 0xffff_ffff,
  lun: 0,
  unit: 0,
  cookie: 0n,
  why: 0,
  opcode: 0,
  count: 0n,
  function: 0,
};

test("a punt that is gone is told by its number, after the punt, before what follows", (t) => {
  const told: (Punt["id"] | PlaneNote)[] = [];
  const punt: Punt = { id: 77n, nexus: 1, lun: 0, unit: 0, cdb: new Uint8Array(16), data: new Uint8Array(), room: 0 };
  const taken: Taken = {
    events: [],
    rings: [],
    punts: [punt],
    notes: [
      { ...NOTE, kind: 8, nexus: 1, cookie: 77n },
      { ...NOTE, kind: 6, nexus: 1 },
    ],
  };
  let tell = (): void => undefined;
  const addon: Pick<Addon, "planeOpen" | "planeTake"> = {
    planeOpen: (...args) => {
      tell = args[7];
      return {} as ReturnType<Addon["planeOpen"]>;
    },
    planeTake: () => taken,
  };
  openPlane(addon as Addon, OPTIONS, {
    ...deaf,
    onPunt: ({ id }) => told.push(id),
    onNote: (note) => told.push(note),
  });
  tell();
  t.deepEqual(told, [77n, { kind: "punt-gone", punt: 77n }, { kind: "nexus-closed", nexus: 1 }]);
});
