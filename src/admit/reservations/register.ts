// Registering, changing keys and unregistering (SPC-4 5.13.7, 5.13.8, 5.13.11.3).
import { type PrOut, REFUSAL } from "../../wire/persistent-reserve.js";
import type { InitiatorPort, TransportId } from "../../wire/transport-id.js";
import { admitsRegistrants, isAllRegistrants } from "./classes.js";
import {
  isHolder,
  type NexusText,
  nexusParts,
  nexusText,
  REGISTRATIONS_MAX,
  type Registration,
  registrationOf,
  type UnitReservations,
} from "./state.js";
import { ATTENTION, type Attention, conflict, done, refused, type Step, tell } from "./step.js";

/** What a command is judged in. */
export interface Situation {
  /** Who sends it. */
  readonly nexus: NexusText;
  readonly nowMs: number;
  /** Relative target port identifiers through which the unit is reached. */
  readonly targetPorts: readonly number[];
  /** Initiator ports that were seen here: an iSCSI name without session identifier stands for those of that name. */
  readonly initiators: readonly InitiatorPort[];
}

/** PRGENERATION, 32 bits (SPC-4 6.15.2). */
export const nextGeneration = (state: UnitReservations): number => (state.generation + 1) % 2 ** 32;

/** SPC-4 table 54. */
export function register(state: UnitReservations, command: PrOut, situation: Situation): Step {
  const own = registrationOf(state, situation.nexus);
  if (command.key !== (own?.key ?? 0n)) return conflict(state);
  if (own !== undefined && command.ports !== undefined) return refused(state, REFUSAL.LIST_FIELD);
  return setKeys(state, command, situation, own);
}

/** SPC-4 table 55: as REGISTER, whatever the key. */
export function registerAndIgnore(state: UnitReservations, command: PrOut, situation: Situation): Step {
  return setKeys(state, command, situation, registrationOf(state, situation.nexus), true);
}

function setKeys(
  state: UnitReservations,
  command: PrOut,
  situation: Situation,
  own: Registration | undefined,
  ignore = false,
): Step {
  if (command.actionKey === 0n) {
    return own === undefined ? done(state) : unregisterAll(state, command, situation, own.key, ignore);
  }
  const ports = portsOf(command.ports ?? [], situation.initiators);
  if (ports === undefined) return refused(state, REFUSAL.LIST_FIELD);
  const named = ports.map(({ initiator }) => initiator);
  const nexuses = new Set([...ownNexuses(command, situation), ...spread(named, command, situation)]);
  for (const nexus of nexuses) {
    // Who is registered already under another key than ours keeps it: nobody takes over another's registration.
    const there = registrationOf(state, nexus);
    if (!ignore && there !== undefined && there.key !== own?.key) return conflict(state);
  }
  const registrations = withKeys(state.registrations, nexuses, command.actionKey);
  if (registrations.length > REGISTRATIONS_MAX) return refused(state, REFUSAL.NO_ROOM);
  return done({ ...state, registrations, aptpl: command.aptpl, generation: nextGeneration(state) });
}

/** The sender's nexus, and with ALL_TG_PT those of its initiator port through every other target port. */
function ownNexuses(command: PrOut, { nexus, targetPorts }: Situation): readonly NexusText[] {
  const parts = nexusParts(nexus);
  if (!command.allPorts || parts === undefined) return [nexus];
  return [nexus, ...targetPorts.map((port) => nexusText(parts.initiator, port))];
}

function spread(initiators: readonly InitiatorPort[], command: PrOut, situation: Situation): readonly NexusText[] {
  const here = nexusParts(situation.nexus)?.port;
  const targetPorts = command.allPorts || here === undefined ? situation.targetPorts : [here];
  return initiators.flatMap((initiator) => targetPorts.map((port) => nexusText(initiator, port)));
}

/** undefined: one of them stands for no initiator port that is known. */
function portsOf(
  ids: readonly TransportId[],
  known: readonly InitiatorPort[],
): readonly { initiator: InitiatorPort }[] | undefined {
  const found: { initiator: InitiatorPort }[] = [];
  for (const id of ids) {
    const ports = initiatorsOf(id, known);
    if (ports.length === 0) return undefined;
    found.push(...ports.map((initiator) => ({ initiator })));
  }
  return found;
}

function initiatorsOf(id: TransportId, known: readonly InitiatorPort[]): readonly InitiatorPort[] {
  if (id.protocol !== "iscsi" || "isid" in id) return [id];
  return known.filter((port) => port.protocol === "iscsi" && port.name === id.name);
}

function withKeys(
  before: readonly Registration[],
  nexuses: ReadonlySet<NexusText>,
  key: bigint,
): readonly Registration[] {
  const changed = before.map((entry) => (nexuses.has(entry.nexus) ? { ...entry, key } : entry));
  const there = new Set(before.map(({ nexus }) => nexus));
  return [...changed, ...[...nexuses].filter((nexus) => !there.has(nexus)).map((nexus) => ({ nexus, key }))];
}

function unregisterAll(
  state: UnitReservations,
  command: PrOut,
  situation: Situation,
  key: bigint,
  ignore: boolean,
): Step {
  const gone = ownNexuses(command, situation).filter((nexus) => {
    const there = registrationOf(state, nexus);
    return there !== undefined && (ignore || there.key === key);
  });
  const { state: left, attentions } = unregister(state, gone, situation.nexus);
  return done({ ...left, aptpl: command.aptpl, generation: nextGeneration(state) }, attentions);
}

/** SPC-4 5.13.11.3: registrations go, and the reservation of a holder with them. */
export function unregister(
  state: UnitReservations,
  gone: readonly NexusText[],
  sender: NexusText,
): { state: UnitReservations; attentions: readonly Attention[] } {
  const registrations = state.registrations.filter(({ nexus }) => !gone.includes(nexus));
  const { reservation } = state;
  const left = { ...state, registrations };
  if (reservation === undefined) return { state: left, attentions: [] };
  if (isAllRegistrants(reservation.type)) {
    return { state: registrations.length === 0 ? withoutReservation(left) : left, attentions: [] };
  }
  if (reservation.holder === undefined || !gone.includes(reservation.holder)) return { state: left, attentions: [] };
  const others = admitsRegistrants(reservation.type) ? registrations.map(({ nexus }) => nexus) : [];
  return { state: withoutReservation(left), attentions: tell(others, sender, ATTENTION.RESERVATIONS_RELEASED) };
}

export function withoutReservation(state: UnitReservations): UnitReservations {
  const { reservation: _, ...rest } = state;
  return rest;
}

/** SPC-4 5.13.8. */
export function registerAndMove(state: UnitReservations, command: PrOut, situation: Situation): Step {
  const { nexus, targetPorts, initiators } = situation;
  const own = registrationOf(state, nexus);
  const { reservation } = state;
  if (own === undefined || own.key !== command.key) return conflict(state);
  if (reservation === undefined) return refused(state, REFUSAL.CDB_FIELD);
  if (!isHolder(state, nexus) || isAllRegistrants(reservation.type)) return conflict(state);
  const { move, actionKey } = command;
  const [to, ...more] = move === undefined ? [] : initiatorsOf(move.to, initiators);
  if (move === undefined || to === undefined || more.length > 0) return refused(state, REFUSAL.LIST_FIELD);
  const target = nexusText(to, move.port);
  if (actionKey === 0n || target === nexus || !targetPorts.includes(move.port))
    return refused(state, REFUSAL.LIST_FIELD);
  const registered = withKeys(state.registrations, new Set([target]), actionKey);
  if (registered.length > REGISTRATIONS_MAX) return refused(state, REFUSAL.NO_ROOM);
  const registrations = move.unregister ? registered.filter((entry) => entry.nexus !== nexus) : registered;
  return done({
    ...state,
    registrations,
    reservation: { ...reservation, holder: target, sinceMs: situation.nowMs },
    aptpl: command.aptpl,
    generation: nextGeneration(state),
  });
}
