// PERSISTENT RESERVE OUT and IN, service action by service action (SPC-4 5.13.7 to 5.13.11, 6.15, 6.16).
import test from "ava";
import { nexusText } from "../../../../src/admit/reservations/state.js";
import { PR_OUT } from "../../../../src/wire/persistent-reserve.js";
import { encodeTransportId } from "../../../../src/wire/transport-id.js";
import { A, B, C, KEY, PORT_A, PORT_B, PORT_C, prIn, prOut, Unit } from "./parts.js";

const TYPES = [1, 3, 5, 6, 7, 8];
const a = KEY[A] ?? 0n;
const b = KEY[B] ?? 0n;
const c = KEY[C] ?? 0n;
const keys = (unit: Unit): bigint[] => unit.state.registrations.map(({ key }) => key);

/** A holds, B is registered, C is not. */
function held(type: number): Unit {
  const unit = new Unit();
  unit.register(A, B);
  unit.reserve(A, type);
  return unit;
}

test("REGISTER: SPC-4 table 54", (t) => {
  const unit = new Unit();
  t.is(unit.out(A, PR_OUT.REGISTER, { key: 7n, actionKey: 1n }), "conflict", "not registered: the key is 0");
  t.is(unit.out(A, PR_OUT.REGISTER, {}), "good", "nothing to nothing");
  t.is(unit.state.generation, 0);
  t.is(unit.out(A, PR_OUT.REGISTER, { actionKey: 1n }), "good");
  t.is(unit.out(A, PR_OUT.REGISTER, { actionKey: 2n }), "conflict", "registered: the key is 1");
  t.is(unit.out(A, PR_OUT.REGISTER, { key: 1n, actionKey: 2n }), "good");
  t.deepEqual(keys(unit), [2n]);
  t.is(unit.out(A, PR_OUT.REGISTER, { key: 2n, ports: [PORT_B], actionKey: 3n }), "05/26/00");
  t.is(unit.out(A, PR_OUT.REGISTER, { key: 2n }), "good");
  t.deepEqual(keys(unit), []);
  t.is(unit.state.generation, 3);
});

test("REGISTER AND IGNORE EXISTING KEY: SPC-4 table 55", (t) => {
  const unit = new Unit();
  t.is(unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { key: 99n }), "good");
  t.is(unit.state.generation, 0);
  t.is(unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { key: 99n, actionKey: 1n }), "good");
  t.is(unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { key: 99n, actionKey: 2n }), "good");
  t.deepEqual(keys(unit), [2n]);
  t.is(unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { ports: [PORT_B], actionKey: 2n }), "05/26/00");
  t.is(unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { key: 99n }), "good");
  t.deepEqual(keys(unit), []);
  t.is(unit.state.generation, 3);
});

test("two nexuses may have the same key and stay two", (t) => {
  const unit = new Unit();
  unit.out(A, PR_OUT.REGISTER, { actionKey: 1n });
  unit.out(B, PR_OUT.REGISTER, { actionKey: 1n });
  t.deepEqual(keys(unit), [1n, 1n]);
  t.is(unit.out(A, PR_OUT.RESERVE, { key: 1n, type: 1 }), "good");
  t.is(unit.out(B, PR_OUT.RESERVE, { key: 1n, type: 1 }), "conflict");
});

test("SPEC_I_PT registers others through the same port; an iSCSI name alone stands for its known ports", (t) => {
  const unit = new Unit();
  t.is(
    unit.out(A, PR_OUT.REGISTER, { actionKey: 9n, ports: [PORT_B, { protocol: "iscsi", name: PORT_C.name }] }),
    "good",
  );
  t.deepEqual(unit.state.registrations.map(({ nexus }) => nexus).sort(), [A, B, C]);
  const other = new Unit();
  t.is(
    other.out(A, PR_OUT.REGISTER, { actionKey: 9n, ports: [{ protocol: "iscsi", name: "iqn.no:body" }] }),
    "05/26/00",
  );
  other.register(B);
  t.is(other.out(A, PR_OUT.REGISTER, { actionKey: 9n, ports: [PORT_B] }), "conflict", "B has its own");
  t.deepEqual(keys(other), [b]);
});

test("ALL_TG_PT registers and unregisters through every target port", (t) => {
  const unit = new Unit();
  t.is(unit.out(A, PR_OUT.REGISTER, { actionKey: 9n, allPorts: true }), "good");
  t.deepEqual(
    unit.state.registrations.map(({ nexus }) => nexus),
    [nexusText(PORT_A, 1), nexusText(PORT_A, 2)],
  );
  t.is(unit.out(nexusText(PORT_A, 2), PR_OUT.REGISTER, { key: 9n }), "good", "one nexus leaves alone");
  t.is(unit.state.registrations.length, 1);
  unit.out(nexusText(PORT_A, 2), PR_OUT.REGISTER, { actionKey: 9n });
  t.is(unit.out(A, PR_OUT.REGISTER, { key: 9n, allPorts: true }), "good");
  t.deepEqual(keys(unit), []);
});

test("registrations have a limit", (t) => {
  const targetPorts = Array.from({ length: 300 }, (_, index) => index + 1);
  const unit = new Unit({ targetPorts });
  t.is(unit.out(A, PR_OUT.REGISTER, { actionKey: 1n, allPorts: true }), "05/55/04");
  t.deepEqual(keys(unit), []);
});

for (const holderType of [0, ...TYPES]) {
  for (const intruder of ["registered", "not registered"] as const) {
    test(`service actions of an intruder that is ${intruder}, held as type ${holderType} (SPC-4 table 67)`, (t) => {
      const nexus = intruder === "registered" ? B : C;
      const key = KEY[nexus] ?? 0n;
      const run = (action: Parameters<typeof prOut>[0], fields = {}): string => {
        const unit = holderType === 0 ? new Unit() : held(holderType);
        if (holderType === 0) unit.register(A, B);
        return unit.out(nexus, action, { key, type: 1, ...fields });
      };
      const registered = intruder === "registered";
      const only = (word: string): string => (registered ? word : "conflict");
      t.is(run(PR_OUT.REGISTER, { key: registered ? key : 0n, actionKey: 5n }), "good");
      t.is(run(PR_OUT.REGISTER_AND_IGNORE, { actionKey: 5n }), "good");
      for (const type of TYPES) {
        const free = holderType === 0 || (holderType >= 7 && holderType === type);
        t.is(run(PR_OUT.RESERVE, { type }), only(free ? "good" : "conflict"), `RESERVE of type ${type}`);
      }
      t.is(run(PR_OUT.RELEASE, { type: holderType || 1 }), only("good"));
      t.is(run(PR_OUT.CLEAR), only("good"));
      t.is(run(PR_OUT.PREEMPT, { actionKey: a }), only("good"));
      t.is(run(PR_OUT.PREEMPT_AND_ABORT, { actionKey: a }), only("good"));
      t.is(run(PR_OUT.PREEMPT, { actionKey: 0x99n }), "conflict", "nobody has that key");
      t.is(run(PR_OUT.PREEMPT, { actionKey: 0n }), only(holderType >= 7 ? "good" : "05/26/00"));
      t.is(
        run(PR_OUT.REGISTER_AND_MOVE, { actionKey: 5n, move: { to: PORT_C, port: 1 } }),
        only(holderType === 0 ? "05/24/00" : "conflict"),
      );
      t.is(run(PR_OUT.REPLACE_LOST, { key: 0n, actionKey: 5n }), "05/24/00");
      t.is(run(PR_OUT.RELEASE, { key: key + 1n }), "conflict", "a wrong key");
    });
  }
}

for (const type of TYPES) {
  test(`the holder: RESERVE again, RELEASE, and who is told, type ${type}`, (t) => {
    const unit = held(type);
    const generation = unit.state.generation;
    t.is(unit.reserve(A, type), "good");
    for (const other of TYPES.filter((each) => each !== type)) t.is(unit.reserve(A, other), "conflict");
    t.is(unit.out(A, PR_OUT.RELEASE, { key: a, type: type === 1 ? 3 : 1 }), "05/26/04");
    t.is(unit.out(A, PR_OUT.RELEASE, { key: a, type, scope: 1 }), "05/26/04");
    t.is(unit.out(A, PR_OUT.RELEASE, { key: a, type }), "good");
    t.is(unit.state.reservation, undefined);
    t.deepEqual(unit.attentions, type >= 5 ? ["B: reservations released"] : []);
    t.is(unit.state.generation, generation, "PRGENERATION counts no RESERVE and no RELEASE");
  });

  test(`a holder that unregisters releases what it holds alone, type ${type}`, (t) => {
    const unit = held(type);
    unit.out(A, PR_OUT.REGISTER, { key: a });
    t.is(unit.state.reservation === undefined, type < 7);
    t.deepEqual(unit.attentions, type === 5 || type === 6 ? ["B: reservations released"] : []);
    unit.out(B, PR_OUT.REGISTER, { key: b });
    t.is(unit.state.reservation, undefined, "the last registrant takes it along");
  });

  test(`CLEAR leaves nothing and tells the others, type ${type}`, (t) => {
    const unit = held(type);
    t.is(unit.out(B, PR_OUT.CLEAR, { key: b }), "good");
    t.deepEqual([unit.state.reservation, keys(unit)], [undefined, []]);
    t.deepEqual(unit.attentions, ["A: reservations preempted"]);
    t.is(unit.state.generation, 3);
  });

  test(`PREEMPT AND ABORT of the holder's key, type ${type}`, (t) => {
    const unit = held(type);
    unit.register(C);
    t.is(unit.out(B, PR_OUT.PREEMPT_AND_ABORT, { key: b, actionKey: a, type: 3 }), "good");
    t.deepEqual(keys(unit), [b, c]);
    t.deepEqual(unit.aborted, ["A"]);
    if (type >= 7) t.is(unit.state.reservation?.type, type as 7, "all registrants keep it");
    else t.like(unit.state.reservation, { type: 3, holder: B });
    const changed = type < 7 && type !== 3;
    t.deepEqual(unit.attentions, ["A: registrations preempted", ...(changed ? ["C: reservations released"] : [])]);
    t.is(unit.state.generation, 4);
  });

  test(`PREEMPT aborts nothing, type ${type}`, (t) => {
    const unit = held(type);
    unit.out(B, PR_OUT.PREEMPT, { key: b, actionKey: a, type });
    t.deepEqual(unit.aborted, []);
  });
}

test("PREEMPT of a key that does not hold removes registrations and looks at neither scope nor type", (t) => {
  const unit = held(1);
  unit.register(C);
  t.is(unit.out(B, PR_OUT.PREEMPT, { key: b, actionKey: c, type: 15, scope: 3 }), "good");
  t.deepEqual(keys(unit), [a, b]);
  t.like(unit.state.reservation, { holder: A, type: 1 });
  t.deepEqual(unit.attentions, ["C: registrations preempted"]);
  t.is(unit.out(B, PR_OUT.PREEMPT, { key: b, actionKey: a, type: 15 }), "05/24/00");
  t.is(unit.out(B, PR_OUT.PREEMPT, { key: b, actionKey: b }), "good", "its own");
  t.deepEqual(keys(unit), [a]);
});

test("PREEMPT with key 0 takes an All Registrants reservation from all", (t) => {
  const unit = held(8);
  unit.register(C);
  t.is(unit.out(B, PR_OUT.PREEMPT_AND_ABORT, { key: b, actionKey: 0n, type: 1 }), "good");
  t.deepEqual(keys(unit), [b]);
  t.like(unit.state.reservation, { holder: B, type: 1 });
  t.deepEqual(unit.aborted, ["A", "C"]);
  t.deepEqual(unit.attentions, ["A: registrations preempted", "C: registrations preempted"]);
});

test("a holder changes the type of its reservation by PREEMPT of its own key", (t) => {
  const unit = held(1);
  t.is(unit.out(A, PR_OUT.PREEMPT, { key: a, actionKey: a, type: 6 }), "good");
  t.like(unit.state.reservation, { holder: A, type: 6 });
  t.deepEqual(keys(unit), [a, b]);
  t.deepEqual(unit.attentions, ["B: reservations released"]);
});

test("the last registrant that preempts its own key takes an All Registrants reservation along", (t) => {
  const unit = new Unit();
  unit.register(A);
  unit.reserve(A, 7);
  t.is(unit.out(A, PR_OUT.PREEMPT, { key: a, actionKey: a, type: 7 }), "good");
  t.deepEqual([unit.state.reservation, keys(unit)], [undefined, []]);
});

test("REGISTER AND MOVE: registration and reservation go to a nexus that need not be there", (t) => {
  for (const type of [1, 3, 5, 6]) {
    const unit = held(type);
    const move = { to: PORT_C, port: 2 };
    const target = nexusText(PORT_C, 2);
    t.is(unit.out(A, PR_OUT.REGISTER_AND_MOVE, { key: a, actionKey: 0n, move }), "05/26/00");
    t.is(unit.out(A, PR_OUT.REGISTER_AND_MOVE, { key: a, actionKey: 5n, move: { to: PORT_A, port: 1 } }), "05/26/00");
    t.is(unit.out(A, PR_OUT.REGISTER_AND_MOVE, { key: a, actionKey: 5n, move: { to: PORT_C, port: 3 } }), "05/26/00");
    t.is(unit.out(A, PR_OUT.REGISTER_AND_MOVE, { key: 1n, actionKey: 5n, move }), "conflict");
    t.is(unit.out(A, PR_OUT.REGISTER_AND_MOVE, { key: a, actionKey: 5n, move }), "good");
    t.like(unit.state.reservation, { type, holder: target });
    t.deepEqual(keys(unit), [a, b, 5n]);
    t.is(unit.state.generation, 3);
    t.is(unit.out(A, PR_OUT.RESERVE, { key: a, type }), "conflict");
    t.is(
      unit.out(target, PR_OUT.REGISTER_AND_MOVE, {
        key: 5n,
        actionKey: b,
        move: { to: PORT_B, port: 1, unregister: true },
      }),
      "good",
    );
    t.like(unit.state.reservation, { type, holder: B });
    t.deepEqual(keys(unit), [a, b]);
  }
  for (const type of [7, 8]) {
    t.is(
      held(type).out(A, PR_OUT.REGISTER_AND_MOVE, { key: a, actionKey: 5n, move: { to: PORT_C, port: 1 } }),
      "conflict",
    );
  }
});

test("REPLACE LOST RESERVATION begins anew where what was stored is lost", (t) => {
  const unit = new Unit();
  unit.state = { ...unit.state, lost: true };
  t.is(unit.out(A, PR_OUT.REGISTER, { actionKey: 1n }), "04/44/01");
  t.is(unit.out(A, PR_OUT.REPLACE_LOST, { key: 1n, actionKey: 1n, type: 1 }), "conflict");
  t.is(unit.out(A, PR_OUT.REPLACE_LOST, { actionKey: 0n, type: 1 }), "05/26/00");
  t.is(unit.out(A, PR_OUT.REPLACE_LOST, { actionKey: 1n, type: 2 }), "05/24/00");
  t.is(unit.out(A, PR_OUT.REPLACE_LOST, { actionKey: 1n, type: 1 }), "good");
  t.like(unit.state, { lost: false, reservation: { type: 1, holder: A, sinceMs: 1000 } });
});

test("parameter lists of a wrong length and service actions that are none are refused", (t) => {
  const unit = new Unit();
  const { cdb, list } = prOut(PR_OUT.REGISTER, { actionKey: 1n });
  t.is(unit.send(A, cdb, list.subarray(0, 23)), "05/1a/00");
  const longer = Uint8Array.from([...list, 0, 0, 0, 0]);
  t.is(
    unit.send(
      A,
      Uint8Array.from(cdb, (byte, index) => (index === 8 ? 28 : byte)),
      longer,
    ),
    "05/1a/00",
  );
  t.is(
    unit.send(
      A,
      Uint8Array.from(cdb, (byte, index) => (index === 1 ? 9 : byte)),
      list,
    ),
    "05/24/00",
  );
  t.is(unit.send(A, prIn(4)), "05/24/00");
  unit.register(A);
  t.is(unit.reserve(A, 2), "05/24/00");
  t.is(unit.out(A, PR_OUT.RESERVE, { key: a, type: 1, scope: 1 }), "05/24/00");
});

test("READ KEYS, READ RESERVATION, REPORT CAPABILITIES: their bytes", (t) => {
  const unit = held(1);
  const read = (action: number): string => {
    unit.send(C, prIn(action));
    return Buffer.from(unit.data ?? []).toString("hex");
  };
  t.is(read(0), "00000002" + "00000010" + "00000000000000aa" + "00000000000000bb");
  t.is(read(1), "00000002" + "00000010" + "00000000000000aa" + "00000000" + "00" + "01" + "0000");
  t.is(read(2), "0008" + "9d" + "b0" + "ea01" + "0000");
  unit.out(A, PR_OUT.REGISTER_AND_IGNORE, { actionKey: a, aptpl: true });
  t.is(read(2), "0008" + "9d" + "b1" + "ea01" + "0000");
  unit.out(A, PR_OUT.CLEAR, { key: a });
  t.is(read(0), "00000004" + "00000000");
  t.is(read(1), "00000004" + "00000000");
});

test("READ RESERVATION of All Registrants shows key 0", (t) => {
  const unit = held(8);
  unit.send(C, prIn(1));
  t.is(
    Buffer.from(unit.data ?? [])
      .toString("hex")
      .slice(16, 32),
    "0".repeat(16),
  );
});

test("READ FULL STATUS names every registrant by TransportID and marks the holders", (t) => {
  for (const [type, marks] of [
    [
      5,
      [
        [1, 5],
        [0, 0],
      ],
    ],
    [
      7,
      [
        [1, 7],
        [1, 7],
      ],
    ],
  ] as const) {
    const unit = held(type);
    unit.send(C, prIn(3));
    const data = Buffer.from(unit.data ?? []);
    t.is(data.readUInt32BE(4), data.length - 8);
    let at = 8;
    for (const [index, port] of [PORT_A, PORT_B].entries()) {
      const id = Buffer.from(encodeTransportId(port));
      t.is(data.readBigUInt64BE(at), index === 0 ? a : b);
      t.deepEqual([data[at + 12], data[at + 13]], [...(marks[index] ?? [])]);
      t.is(data.readUInt16BE(at + 18), 1);
      t.is(data.readUInt32BE(at + 20), id.length);
      t.deepEqual(data.subarray(at + 24, at + 24 + id.length), id);
      at += 24 + id.length;
    }
    t.is(at, data.length);
  }
});
