// The reservations of one logical unit, as a value: who is registered, who holds what, and what that leaves to a
// nexus. What commands make of it is in the files beside; nothing here does anything.
import { type InitiatorPort, initiatorOf, initiatorText } from "../../wire/transport-id.js";
import { admitsRegistrants, isAllRegistrants, isWriteExclusive, type PrType, type Standing } from "./classes.js";

/** An I_T nexus in words: initiator port "@" relative target port: "iscsi:iqn.x:y,i,0x…@1". Survives its session. */
export type NexusText = string;

export function nexusText(initiator: InitiatorPort, port: number): NexusText {
  return `${initiatorText(initiator)}@${port}`;
}

export interface NexusParts {
  readonly initiator: InitiatorPort;
  /** Relative target port identifier. */
  readonly port: number;
}

/** undefined: these are no words of a nexus. */
export function nexusParts(nexus: NexusText): NexusParts | undefined {
  const at = nexus.lastIndexOf("@");
  const digits = nexus.slice(at + 1);
  const initiator = at < 0 ? undefined : initiatorOf(nexus.slice(0, at));
  if (initiator === undefined || !/^[1-9][0-9]{0,4}$/.test(digits) || Number(digits) > 0xffff) return undefined;
  return { initiator, port: Number(digits) };
}

export interface Registration {
  readonly nexus: NexusText;
  readonly key: bigint;
}

export interface Reservation {
  readonly type: PrType;
  /** undefined: every registered nexus (All Registrants). */
  readonly holder?: NexusText;
  readonly sinceMs: number;
}

export interface UnitReservations {
  /** PRGENERATION; begins at 0 with every start, as after a power on (SPC-4 5.13.2). */
  readonly generation: number;
  /** What the last registration asked for: all this survives a power loss. */
  readonly aptpl: boolean;
  /** In the order of registration. */
  readonly registrations: readonly Registration[];
  readonly reservation?: Reservation;
  /** RESERVE (6) or (10). Never beside a registration. */
  readonly reserved?: { readonly nexus: NexusText; readonly sinceMs: number };
  /** What was stored cannot be read: somebody holds it, nobody knows who. */
  readonly lost: boolean;
}

export const UNRESERVED: UnitReservations = { generation: 0, aptpl: false, registrations: [], lost: false };

export const LOST: UnitReservations = { ...UNRESERVED, lost: true };

/** Registrations of one unit that are taken. */
export const REGISTRATIONS_MAX = 256;

export const registrationOf = (state: UnitReservations, nexus: NexusText): Registration | undefined =>
  state.registrations.find((entry) => entry.nexus === nexus);

export function isHolder(state: UnitReservations, nexus: NexusText): boolean {
  const { reservation } = state;
  if (reservation === undefined) return false;
  return isAllRegistrants(reservation.type) ? registrationOf(state, nexus) !== undefined : reservation.holder === nexus;
}

/** SPC-4 table 66, SPC-2 5.5.1: what is left to this nexus. */
export function standingOf(state: UnitReservations, nexus: NexusText): Standing {
  if (state.lost) return "lost";
  if (state.reserved !== undefined) return state.reserved.nexus === nexus ? "free" : "reserved";
  const { reservation } = state;
  if (reservation === undefined || isHolder(state, nexus)) return "free";
  if (admitsRegistrants(reservation.type) && registrationOf(state, nexus) !== undefined) return "free";
  return isWriteExclusive(reservation.type) ? "write-exclusive" : "exclusive-access";
}

/** Every nexus that holds the persistent reservation; none: there is none. */
export function persistentHolders({ reservation, registrations }: UnitReservations): readonly NexusText[] {
  if (reservation === undefined) return [];
  return reservation.holder === undefined ? registrations.map(({ nexus }) => nexus) : [reservation.holder];
}

/** Who holds the unit, for people: every refusal can say it. */
export interface HolderFacts {
  readonly kind: "reserve" | "persistent" | "lost";
  readonly type?: PrType;
  /** Every nexus that may write. */
  readonly holders: readonly NexusText[];
  readonly sinceMs?: number;
}

export function holderFacts(state: UnitReservations): HolderFacts | undefined {
  if (state.lost) return { kind: "lost", holders: [] };
  if (state.reserved !== undefined)
    return { kind: "reserve", holders: [state.reserved.nexus], sinceMs: state.reserved.sinceMs };
  const { reservation } = state;
  if (reservation === undefined) return undefined;
  return {
    kind: "persistent",
    type: reservation.type,
    holders: persistentHolders(state),
    sinceMs: reservation.sinceMs,
  };
}
