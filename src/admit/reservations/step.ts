// What a command makes of a unit's reservations: the new state, the answer, and what others are to be told. Steps are
// pure; the arbiter makes them true.
import { SENSE_KEY, STATUS } from "../../wire/names.js";
import { REFUSAL, type Refusal } from "../../wire/persistent-reserve.js";
import type { NexusText, UnitReservations } from "./state.js";

/** Additional sense codes of the unit attentions of SPC-4 5.13. */
export const ATTENTION = {
  RESERVATIONS_PREEMPTED: [0x2a, 0x03],
  RESERVATIONS_RELEASED: [0x2a, 0x04],
  REGISTRATIONS_PREEMPTED: [0x2a, 0x05],
} as const;
export type AttentionCode = (typeof ATTENTION)[keyof typeof ATTENTION];

export interface Attention {
  readonly nexus: NexusText;
  readonly code: AttentionCode;
}

export interface Answer {
  readonly status: number;
  /** Sense key, ASC, ASCQ of a CHECK CONDITION. */
  readonly sense?: readonly [number, number, number];
  readonly data?: Uint8Array;
}

export interface Step {
  readonly state: UnitReservations;
  readonly answer: Answer;
  readonly attentions: readonly Attention[];
  /** Nexuses whose tasks are to be aborted before the answer (PREEMPT AND ABORT). */
  readonly abort: readonly NexusText[];
}

const GOOD: Answer = { status: STATUS.GOOD };

/** It is done. */
export const done = (
  state: UnitReservations,
  attentions: readonly Attention[] = [],
  abort: readonly NexusText[] = [],
): Step => ({ state, answer: GOOD, attentions, abort });

export const answered = (state: UnitReservations, data: Uint8Array): Step => ({
  state,
  answer: { status: STATUS.GOOD, data },
  attentions: [],
  abort: [],
});

export const conflict = (state: UnitReservations): Step => ({
  state,
  answer: { status: STATUS.RESERVATION_CONFLICT },
  attentions: [],
  abort: [],
});

const check = (state: UnitReservations, sense: readonly [number, number, number]): Step => ({
  state,
  answer: { status: STATUS.CHECK_CONDITION, sense },
  attentions: [],
  abort: [],
});

export const refused = (state: UnitReservations, [asc, ascq]: Refusal): Step =>
  check(state, [SENSE_KEY.ILLEGAL_REQUEST, asc, ascq]);

export const invalidField = (state: UnitReservations): Step => refused(state, REFUSAL.CDB_FIELD);

/** SPC-4 5.13.5: PERSISTENT RESERVATION INFORMATION LOST. */
export const informationLost = (state: UnitReservations): Step => check(state, [SENSE_KEY.HARDWARE_ERROR, 0x44, 0x01]);

/** One attention for each of these but the sender. */
export const tell = (nexuses: readonly NexusText[], sender: NexusText, code: AttentionCode): readonly Attention[] =>
  [...new Set(nexuses)].filter((nexus) => nexus !== sender).map((nexus) => ({ nexus, code }));

/** What an operator does: nothing is left, and everybody who held or was registered is told. */
export function cleared(state: UnitReservations): {
  state: UnitReservations;
  attentions: readonly Attention[];
} {
  const nexuses = [
    ...state.registrations.map(({ nexus }) => nexus),
    ...(state.reserved === undefined ? [] : [state.reserved.nexus]),
  ];
  return {
    state: { generation: (state.generation + 1) % 2 ** 32, aptpl: false, registrations: [], lost: false },
    attentions: tell(nexuses, "", ATTENTION.RESERVATIONS_PREEMPTED),
  };
}

/**
 * A job of higher priority takes the unit: the reservation ends, registrations stay. Who lost is told, and its tasks are
 * to be aborted.
 */
export function dispossessed(
  state: UnitReservations,
  losers: readonly NexusText[],
): { state: UnitReservations; attentions: readonly Attention[] } {
  const { reservation: _reservation, reserved: _reserved, ...left } = state;
  return { state: left, attentions: tell(losers, "", ATTENTION.RESERVATIONS_PREEMPTED) };
}
