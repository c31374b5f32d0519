// The rows of third-party copies: which there are, what they ask of a key, and what the data plane makes of them.
import test from "ava";
import { RIGHTS } from "../../../src/admit/key.js";
import {
  CLASS_ROWS,
  COMMAND_CLASSES,
  gateMask,
  isArbitrated,
  OPCODES,
  reservationClasses,
} from "../../../src/admit/opcodes.js";
import { goesThrough, type Standing } from "../../../src/admit/reservations/classes.js";
import { supportsCommand } from "../../../src/copy-manager/limits.js";
import { COPY_COMMANDS, COPY_IN, COPY_OUT, type CopyCommandKind } from "../../../src/wire/xcopy/commands.js";

const COPIES = CLASS_ROWS.filter(({ opcode }) => opcode === COPY_OUT || opcode === COPY_IN);
const KINDS = Object.keys(COPY_COMMANDS) as CopyCommandKind[];
const STANDINGS: readonly Standing[] = ["free", "write-exclusive", "exclusive-access", "reserved", "lost"];

test("every third-party copy command has a row of its own, for the devices that have it, and no other has one", (t) => {
  for (const type of ["disk", "tape", "changer"] as const) {
    const rows = OPCODES.filter(({ opcode, names }) => [COPY_OUT, COPY_IN].includes(opcode) && type in names);
    const known = KINDS.filter((kind) => type !== "changer" && supportsCommand(type, kind));
    t.deepEqual(
      rows.map(({ opcode, action }) => `${opcode}/${action}`).sort(),
      known.map((kind) => `${COPY_COMMANDS[kind].opcode}/${COPY_COMMANDS[kind].action}`).sort(),
      type,
    );
  }
  t.is(COPIES.length, KINDS.length);
});

test("all of them are punts; those that move or stop data have no time-out", (t) => {
  t.true(COPIES.every(({ handling }) => handling === "punt"));
  const patient = CLASS_ROWS.filter((row) => row.patient === true);
  t.true(patient.every(({ opcode }) => opcode === COPY_OUT));
  t.deepEqual(
    patient.map(({ action }) => action ?? -1).sort((a, b) => a - b),
    [0x00, 0x01, 0x10, 0x11, 0x1c],
  );
});

test("any right lets them through, no right does not, and no reservation stands in their way", (t) => {
  for (const type of ["disk", "tape"] as const) {
    for (const row of COPIES) {
      const reservation = reservationClasses(type)[row.class];
      t.truthy(reservation);
      for (const right of RIGHTS) t.truthy(gateMask(type, new Set([right])) & (1 << row.class));
      t.is(gateMask(type, new Set()), 0);
      for (const standing of STANDINGS) t.true(reservation !== undefined && goesThrough(standing, reservation));
    }
  }
  t.true(COPIES.every((row) => row.class === COMMAND_CLASSES.supervisor.bit));
});

test("they are not the arbiter's, and neither are security protocols or INQUIRY; reservations are", (t) => {
  for (const opcode of [COPY_OUT, COPY_IN, 0xa2, 0xb5, 0x12]) t.false(isArbitrated(opcode));
  for (const opcode of [0x16, 0x17, 0x1b, 0x1e, 0x5e, 0x5f]) t.true(isArbitrated(opcode));
});
