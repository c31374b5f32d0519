// Which command of whom goes through which reservation of another: SPC-4 table 66, SPC-2 5.5.1, written down here
// once more as the standards print it: A allowed, C conflict.
import test from "ava";
import { goesThrough, RESERVATION_CLASSES, reservationMask } from "../../../../src/admit/reservations/classes.js";
import { standingOf } from "../../../../src/admit/reservations/state.js";
import { A, B, C, prIn, RELEASE_6, RELEASE_10, RESERVE_6, RESERVE_10, Unit } from "./parts.js";

type Pair = readonly [registered: string, unregistered: string];

/** Per class of command, for an intruder that is registered and for one that is not. */
const TABLE: Readonly<Record<number, Readonly<Record<"always" | "status" | "read" | "change", Pair>>>> = {
  1: { always: ["A", "A"], status: ["A", "A"], read: ["A", "A"], change: ["C", "C"] },
  3: { always: ["A", "A"], status: ["A", "A"], read: ["C", "C"], change: ["C", "C"] },
  5: { always: ["A", "A"], status: ["A", "A"], read: ["A", "A"], change: ["A", "C"] },
  6: { always: ["A", "A"], status: ["A", "A"], read: ["A", "C"], change: ["A", "C"] },
  7: { always: ["A", "A"], status: ["A", "A"], read: ["A", "A"], change: ["A", "C"] },
  8: { always: ["A", "A"], status: ["A", "A"], read: ["A", "C"], change: ["A", "C"] },
};
const CLASSES = ["always", "status", "read", "change"] as const;

for (const [type, rows] of Object.entries(TABLE)) {
  for (const kind of CLASSES) {
    test(`SPC-4 table 66: a command of class ${kind} against a reservation of type ${type}`, (t) => {
      const unit = new Unit();
      unit.register(A, B);
      t.is(unit.reserve(A, Number(type)), "good");
      const seen = [B, C].map((nexus) => (goesThrough(standingOf(unit.state, nexus), kind) ? "A" : "C"));
      t.deepEqual(seen, [...rows[kind]]);
      t.true(goesThrough(standingOf(unit.state, A), kind), "the holder may do everything");
    });
  }
}

test("SPC-2 5.5.1: RESERVE lets only through what changes and asks nothing of the medium", (t) => {
  for (const cdb of [RESERVE_6, RESERVE_10]) {
    const unit = new Unit();
    t.is(unit.send(A, cdb), "good");
    const through = RESERVATION_CLASSES.filter((kind) => goesThrough(standingOf(unit.state, B), kind));
    t.deepEqual(through, ["always", "arbiter"]);
    t.is(standingOf(unit.state, A), "free");
  }
});

test("when what was stored is lost, nobody reaches the medium, not even to read", (t) => {
  const unit = new Unit();
  unit.state = { ...unit.state, lost: true };
  t.deepEqual(
    [A, B].map((nexus) => goesThrough(standingOf(unit.state, nexus), "read")),
    [false, false],
  );
  t.is(unit.send(A, prIn(0)), "04/44/01");
  t.is(unit.send(A, RESERVE_6), "04/44/01");
});

test("a mask has a bit for each class number whose reservation class goes through", (t) => {
  t.is(reservationMask("free", ["always", "change", "read"]), 0b111);
  t.is(reservationMask("write-exclusive", ["always", "change", "read"]), 0b101);
  t.is(reservationMask("exclusive-access", ["always", "change", "read"]), 0b001);
  t.is(reservationMask("reserved", ["status", "arbiter"]), 0b10);
});

const PREVENT = Uint8Array.of(0x1e, 0, 0, 0, 1, 0);
const ALLOW = Uint8Array.of(0x1e, 0, 0, 0, 0, 0);
const START = Uint8Array.of(0x1b, 0, 0, 0, 1, 0);
const STOP = Uint8Array.of(0x1b, 0, 0, 0, 0, 0);
const STANDBY = Uint8Array.of(0x1b, 0, 0, 0, 0x31, 0);

test("to start a disk and to allow removal goes through, to stop it and to prevent removal does not", (t) => {
  const unit = new Unit();
  unit.register(A);
  unit.reserve(A, 1);
  t.deepEqual(
    [PREVENT, ALLOW, START, STOP, STANDBY].map((cdb) => unit.send(B, cdb)),
    ["conflict", "pass", "pass", "conflict", "conflict"],
  );
  t.deepEqual(
    [PREVENT, STOP].map((cdb) => unit.send(A, cdb)),
    ["pass", "pass"],
  );
});

test("1Bh of a tape drive loads and unloads: another's reservation forbids both", (t) => {
  const unit = new Unit();
  unit.send(A, RESERVE_6);
  t.is(unit.send(B, START, undefined, 1), "conflict");
  t.is(unit.send(B, STOP, undefined, 1), "conflict");
  t.is(unit.send(A, START, undefined, 1), "pass");
});

test("what the arbiter is given by mistake conflicts with every reservation", (t) => {
  const unit = new Unit();
  unit.send(A, RESERVE_6);
  t.is(unit.send(B, Uint8Array.of(0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0)), "conflict");
});

test("RESERVE and RELEASE: third parties, extents and long identifiers are refused", (t) => {
  const unit = new Unit();
  for (const cdb of [RESERVE_6, RELEASE_6]) {
    for (const bit of [0x10, 0x01])
      t.is(
        unit.send(
          A,
          Uint8Array.from(cdb, (b, i) => (i === 1 ? bit : b)),
        ),
        "05/24/00",
      );
  }
  for (const cdb of [RESERVE_10, RELEASE_10]) {
    for (const bit of [0x10, 0x02, 0x01])
      t.is(
        unit.send(
          A,
          Uint8Array.from(cdb, (b, i) => (i === 1 ? bit : b)),
        ),
        "05/24/00",
      );
  }
  t.is(unit.state.reserved, undefined);
});

test("RESERVE: the second initiator conflicts, its RELEASE changes nothing, the holder's frees the unit", (t) => {
  const unit = new Unit();
  t.is(unit.send(A, RESERVE_6), "good");
  t.is(unit.send(A, RESERVE_10), "good", "the holder may repeat it");
  t.is(unit.send(B, RESERVE_6), "conflict");
  t.is(unit.send(B, RELEASE_10), "good");
  t.is(unit.send(B, RESERVE_10), "conflict");
  t.is(unit.send(A, RELEASE_6), "good");
  t.is(unit.send(B, RESERVE_10), "good");
});

test("PERSISTENT RESERVE IN and OUT conflict while RESERVE holds, for its holder too", (t) => {
  const unit = new Unit();
  unit.send(A, RESERVE_6);
  for (const nexus of [A, B]) {
    for (const action of [0, 1, 2, 3]) t.is(unit.send(nexus, prIn(action)), "conflict");
    t.is(unit.out(nexus, 6, { actionKey: 5n }), "conflict");
  }
  t.deepEqual(unit.state.registrations, []);
});

/** SPC-4 5.13.3 (CRH=1): holder or sharer: good and nothing; else, while anybody is registered: conflict. */
test("RESERVE and RELEASE beside persistent reservations", (t) => {
  for (const type of [0, 1, 3, 5, 6, 7, 8]) {
    const unit = new Unit();
    unit.register(A, B);
    if (type !== 0) unit.reserve(A, type);
    const before = unit.state;
    const seen = [A, B, C].flatMap((nexus) =>
      [RESERVE_6, RESERVE_10, RELEASE_6, RELEASE_10].map((cdb) => unit.send(nexus, cdb)),
    );
    const four = (word: string): string[] => [word, word, word, word];
    const holder = type === 0 ? "conflict" : "good";
    const sharer = type >= 5 ? "good" : "conflict";
    t.deepEqual(seen, [...four(holder), ...four(sharer), ...four("conflict")], `type ${type}`);
    t.deepEqual(unit.state, before);
  }
});
