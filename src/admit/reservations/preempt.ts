// Taking a reservation away: RELEASE, CLEAR, PREEMPT, PREEMPT AND ABORT (SPC-4 5.13.11).
import { PR_OUT, type PrOut, REFUSAL } from "../../wire/persistent-reserve.js";
import { admitsRegistrants, isAllRegistrants, isPrType, type PrType } from "./classes.js";
import { nextGeneration, type Situation, unregister, withoutReservation } from "./register.js";
import { isHolder, type NexusText, type Registration, type Reservation, type UnitReservations } from "./state.js";
import { ATTENTION, conflict, done, invalidField, refused, type Step, tell } from "./step.js";

const nexusesOf = (registrations: readonly Registration[]): readonly NexusText[] =>
  registrations.map(({ nexus }) => nexus);

/** SPC-4 5.13.9: the first to ask has it; the holder may ask again for the same. */
export function reserve(state: UnitReservations, command: PrOut, { nexus, nowMs }: Situation): Step {
  if (command.scope !== 0 || !isPrType(command.type)) return invalidField(state);
  const { reservation } = state;
  if (reservation === undefined) return done({ ...state, reservation: reservationOf(command.type, nexus, nowMs) });
  return isHolder(state, nexus) && reservation.type === command.type ? done(state) : conflict(state);
}

export function reservationOf(type: PrType, nexus: NexusText, sinceMs: number): Reservation {
  return isAllRegistrants(type) ? { type, sinceMs } : { type, holder: nexus, sinceMs };
}

/** SPC-4 5.13.11.2. */
export function release(state: UnitReservations, command: PrOut, { nexus }: Situation): Step {
  const { reservation } = state;
  if (reservation === undefined || !isHolder(state, nexus)) return done(state);
  if (command.scope !== 0 || command.type !== reservation.type) return refused(state, REFUSAL.INVALID_RELEASE);
  const others = admitsRegistrants(reservation.type) ? nexusesOf(state.registrations) : [];
  return done(withoutReservation(state), tell(others, nexus, ATTENTION.RESERVATIONS_RELEASED));
}

/** SPC-4 5.13.11.6: nothing is left. */
export function clear(state: UnitReservations, { nexus }: Situation): Step {
  const attentions = tell(nexusesOf(state.registrations), nexus, ATTENTION.RESERVATIONS_PREEMPTED);
  return done({ ...withoutReservation(state), registrations: [], generation: nextGeneration(state) }, attentions);
}

/** SPC-4 5.13.11.4 and table 58; PREEMPT AND ABORT (5.13.11.5) is the same with an end to the tasks of who is removed. */
export function preempt(state: UnitReservations, command: PrOut, situation: Situation): Step {
  const { reservation, registrations } = state;
  const { actionKey } = command;
  const all = reservation !== undefined && isAllRegistrants(reservation.type);
  if (actionKey === 0n) {
    if (!all) return refused(state, REFUSAL.LIST_FIELD);
    return takeOver(state, command, situation, registrations, reservation);
  }
  const meant = registrations.filter(({ key }) => key === actionKey);
  if (meant.length === 0) return conflict(state);
  const holds = !all && meant.some(({ nexus }) => nexus === reservation?.holder);
  if (reservation !== undefined && holds) return takeOver(state, command, situation, meant, reservation);
  return removeRegistrations(state, command, situation, meant);
}

/** The reservation is the sender's now, in one step, under the scope and type that it names. */
function takeOver(
  state: UnitReservations,
  command: PrOut,
  { nexus, nowMs }: Situation,
  meant: readonly Registration[],
  before: Reservation,
): Step {
  if (command.scope !== 0 || !isPrType(command.type)) return invalidField(state);
  const gone = nexusesOf(meant).filter((other) => other !== nexus);
  const registrations = state.registrations.filter((entry) => !gone.includes(entry.nexus));
  // Those that keep their registration learn that what they may do has changed.
  const told = command.type === before.type ? [] : nexusesOf(registrations);
  return done(
    {
      ...state,
      registrations,
      reservation: reservationOf(command.type, nexus, nowMs),
      generation: nextGeneration(state),
    },
    [...tell(gone, nexus, ATTENTION.REGISTRATIONS_PREEMPTED), ...tell(told, nexus, ATTENTION.RESERVATIONS_RELEASED)],
    command.action === PR_OUT.PREEMPT_AND_ABORT ? gone : [],
  );
}

/** All that have the key, the sender too if it is its own. */
function removeRegistrations(
  state: UnitReservations,
  command: PrOut,
  { nexus }: Situation,
  meant: readonly Registration[],
): Step {
  const gone = nexusesOf(meant);
  const { state: left } = unregister(state, gone, nexus);
  return done(
    { ...left, generation: nextGeneration(state) },
    tell(gone, nexus, ATTENTION.REGISTRATIONS_PREEMPTED),
    command.action === PR_OUT.PREEMPT_AND_ABORT ? gone.filter((other) => other !== nexus) : [],
  );
}

/** SPC-4 5.13.11.7: only where what was stored is lost; the sender begins anew as the only registrant and holder. */
export function replaceLost(state: UnitReservations, command: PrOut, { nexus, nowMs }: Situation): Step {
  if (!state.lost || command.scope !== 0 || !isPrType(command.type)) return invalidField(state);
  if (command.key !== 0n) return conflict(state);
  if (command.actionKey === 0n) return refused(state, REFUSAL.LIST_FIELD);
  return done({
    generation: nextGeneration(state),
    aptpl: command.aptpl,
    registrations: [{ nexus, key: command.actionKey }],
    reservation: reservationOf(command.type, nexus, nowMs),
    lost: false,
  });
}
