// Every command that reservations decide: RESERVE and RELEASE, PERSISTENT RESERVE IN and OUT, and the two whose
// conflict hangs on their CDB. State and command in, Step out; one unit, any device type.
import {
  decodePrOut,
  encodeCapabilities,
  encodeFullStatus,
  encodeKeys,
  encodeReservation,
  isPlainReserve,
  PR_IN,
  PR_OUT,
  type PrOut,
} from "../../wire/persistent-reserve.js";
import { encodeTransportId } from "../../wire/transport-id.js";
import { admitsRegistrants, goesThrough, type ReservationClass } from "./classes.js";
import { clear, preempt, release, replaceLost, reserve } from "./preempt.js";
import { register, registerAndIgnore, registerAndMove, type Situation } from "./register.js";
import { isHolder, nexusParts, registrationOf, standingOf, type UnitReservations } from "./state.js";
import { answered, conflict, done, informationLost, invalidField, refused, type Step } from "./step.js";

const OPCODE = {
  RESERVE_6: 0x16,
  RELEASE_6: 0x17,
  START_STOP: 0x1b,
  PREVENT_ALLOW: 0x1e,
  RESERVE_10: 0x56,
  RELEASE_10: 0x57,
  PR_IN: 0x5e,
  PR_OUT: 0x5f,
} as const;

/** What the arbiter has to say to a command: a step, or that it goes on to the unit. */
export type Judgement = Step | "pass";

/** @param deviceType peripheral device type: 1Bh is START STOP UNIT of disks, LOAD UNLOAD of tapes */
export function judge(
  state: UnitReservations,
  cdb: Uint8Array,
  list: Uint8Array,
  situation: Situation,
  deviceType: number,
): Judgement {
  switch (cdb[0]) {
    case OPCODE.RESERVE_6:
    case OPCODE.RESERVE_10:
      return reserveUnit(state, cdb, situation);
    case OPCODE.RELEASE_6:
    case OPCODE.RELEASE_10:
      return releaseUnit(state, cdb, situation);
    case OPCODE.PR_IN:
      return persistentIn(state, cdb);
    case OPCODE.PR_OUT:
      return persistentOut(state, cdb, list, situation);
    default:
      return goesThrough(standingOf(state, situation.nexus), classByCdb(cdb, deviceType)) ? "pass" : conflict(state);
  }
}

const MEDIUM_REMOVAL_FIELD = 0x03;
const DISK_TYPES: readonly number[] = [0x00, 0x04, 0x05, 0x07, 0x0e, 0x14];

/** SPC-4 table 66 and SBC-3 table 13, the rows with a condition. What is not known conflicts. */
export function classByCdb(cdb: Uint8Array, deviceType: number): ReservationClass {
  const last = cdb[4] ?? 0;
  if (cdb[0] === OPCODE.PREVENT_ALLOW) return (last & MEDIUM_REMOVAL_FIELD) === 0 ? "always" : "change";
  // To start a unit harms nobody; to stop it, eject its medium or change its power condition does.
  const starts = (last & 0x01) !== 0 && (last & 0xf0) === 0;
  return cdb[0] === OPCODE.START_STOP && starts && DISK_TYPES.includes(deviceType) ? "always" : "change";
}

/** SPC-2 7.21 with the exceptions of SPC-4 5.13.3 (CRH=1). */
function reserveUnit(state: UnitReservations, cdb: Uint8Array, { nexus, nowMs }: Situation): Step {
  if (!isPlainReserve(cdb)) return invalidField(state);
  if (state.lost) return informationLost(state);
  if (compatible(state, nexus)) return done(state);
  if (state.registrations.length > 0 || standingOf(state, nexus) !== "free") return conflict(state);
  return state.reserved === undefined ? done({ ...state, reserved: { nexus, sinceMs: nowMs } }) : done(state);
}

/** SPC-2 7.16: who holds nothing has nothing to release, which is GOOD. */
function releaseUnit(state: UnitReservations, cdb: Uint8Array, { nexus }: Situation): Step {
  if (!isPlainReserve(cdb)) return invalidField(state);
  if (state.lost) return informationLost(state);
  if (compatible(state, nexus)) return done(state);
  if (state.registrations.length > 0) return conflict(state);
  return done(state.reserved?.nexus === nexus ? withoutReserved(state) : state);
}

/** SPC-4 5.13.3: RESERVE and RELEASE of who holds, or shares, the persistent reservation are GOOD and change nothing. */
function compatible(state: UnitReservations, nexus: string): boolean {
  const { reservation } = state;
  if (reservation === undefined) return false;
  return isHolder(state, nexus) || (admitsRegistrants(reservation.type) && registrationOf(state, nexus) !== undefined);
}

export function withoutReserved(state: UnitReservations): UnitReservations {
  const { reserved: _, ...rest } = state;
  return rest;
}

function persistentIn(state: UnitReservations, cdb: Uint8Array): Step {
  // SPC-2 7.12: while RESERVE holds, for everybody.
  if (state.reserved !== undefined) return conflict(state);
  const action = (cdb[1] ?? 0) & 0x1f;
  if (action > PR_IN.READ_FULL_STATUS) return invalidField(state);
  if (action !== PR_IN.REPORT_CAPABILITIES && state.lost) return informationLost(state);
  const data = action === PR_IN.REPORT_CAPABILITIES ? encodeCapabilities(state.aptpl) : inData(state, action);
  const room = ((cdb[7] ?? 0) << 8) | (cdb[8] ?? 0);
  return answered(state, data.subarray(0, room));
}

function inData(state: UnitReservations, action: number): Uint8Array {
  const { generation, registrations, reservation } = state;
  if (action === PR_IN.READ_KEYS)
    return encodeKeys(
      generation,
      registrations.map(({ key }) => key),
    );
  if (action === PR_IN.READ_RESERVATION) {
    if (reservation === undefined) return encodeReservation(generation);
    // The key of All Registrants is 0 (SPC-4 6.15.3.2).
    const key = reservation.holder === undefined ? 0n : (registrationOf(state, reservation.holder)?.key ?? 0n);
    return encodeReservation(generation, { key, type: reservation.type });
  }
  return encodeFullStatus(
    generation,
    registrations.map(({ nexus, key }) => {
      const parts = nexusParts(nexus);
      const holds = isHolder(state, nexus) ? reservation?.type : undefined;
      return {
        key,
        port: parts?.port ?? 0,
        transportId: parts === undefined ? new Uint8Array(0) : encodeTransportId(parts.initiator),
        ...(holds === undefined ? {} : { holds }),
      };
    }),
  );
}

function persistentOut(state: UnitReservations, cdb: Uint8Array, list: Uint8Array, situation: Situation): Step {
  // SPC-2 7.13: while RESERVE holds, for everybody.
  if (state.reserved !== undefined) return conflict(state);
  const command = decodePrOut(cdb, list);
  if (!("action" in command)) return refused(state, command);
  if (state.lost && command.action !== PR_OUT.REPLACE_LOST) return informationLost(state);
  return carryOut(state, command, situation);
}

function carryOut(state: UnitReservations, command: PrOut, situation: Situation): Step {
  switch (command.action) {
    case PR_OUT.REGISTER:
      return register(state, command, situation);
    case PR_OUT.REGISTER_AND_IGNORE:
      return registerAndIgnore(state, command, situation);
    case PR_OUT.REGISTER_AND_MOVE:
      return registerAndMove(state, command, situation);
    case PR_OUT.REPLACE_LOST:
      return replaceLost(state, command, situation);
    default:
      return forRegistrants(state, command, situation);
  }
}

/** SPC-4 table 67: RESERVE, RELEASE, CLEAR and PREEMPT need a registration and its key. */
function forRegistrants(state: UnitReservations, command: PrOut, situation: Situation): Step {
  const own = registrationOf(state, situation.nexus);
  if (own === undefined || own.key !== command.key) return conflict(state);
  switch (command.action) {
    case PR_OUT.RESERVE:
      return reserve(state, command, situation);
    case PR_OUT.RELEASE:
      return release(state, command, situation);
    case PR_OUT.CLEAR:
      return clear(state, situation);
    default:
      return preempt(state, command, situation);
  }
}

/** RESERVE ends with its nexus (SPC-2 5.5.1); registrations and persistent reservations outlive it. */
export function nexusLost(state: UnitReservations, nexus: string): UnitReservations {
  return state.reserved?.nexus === nexus ? withoutReserved(state) : state;
}

/** LOGICAL UNIT RESET, target reset: RESERVE ends, whoever holds it; the rest stays (SPC-4 5.13.5). */
export function unitReset(state: UnitReservations): UnitReservations {
  return withoutReserved(state);
}

/** Whether a step gives somebody a reservation that was not there before: what a running job forbids. */
export function isReserving(before: UnitReservations, after: UnitReservations): boolean {
  const taken = after.reservation !== undefined && after.reservation !== before.reservation;
  return taken || (after.reserved !== undefined && before.reserved === undefined);
}
