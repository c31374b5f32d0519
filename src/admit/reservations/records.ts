// Reservations in the store: one record a device while APTPL is in force (SPC-4 5.13.5), none otherwise.
import type { Store, StoreChange, StoreKey } from "../../sys/store.js";
import { type CborValue, decodeCbor, encodeCbor } from "../../wire/cbor-strict.js";
import { fromHex, toHex } from "../../wire/hex.js";
import { isAllRegistrants, isPrType } from "./classes.js";
import {
  LOST,
  nexusParts,
  REGISTRATIONS_MAX,
  type Registration,
  type Reservation,
  UNRESERVED,
  type UnitReservations,
} from "./state.js";

const PREFIX = "reservations";
const VERSION = 1;
/** As many registrations as are taken, with the longest names. */
const RECORD_MAX = REGISTRATIONS_MAX * 320 + 1024;

const keyOf = (device: string): StoreKey => [PREFIX, device];

/** undefined: nothing of it survives a power loss. */
function pack(state: UnitReservations): Uint8Array | undefined {
  if (!state.aptpl || state.lost) return undefined;
  const { reservation } = state;
  return encodeCbor([
    VERSION,
    state.registrations.map(({ nexus, key }) => [nexus, key.toString(16)]),
    reservation === undefined ? [] : [reservation.type, reservation.holder ?? "", Math.floor(reservation.sinceMs)],
  ]);
}

/** What has to be on stable storage before a step is answered; undefined: nothing. */
export function changeOf(device: string, before: UnitReservations, after: UnitReservations): StoreChange | undefined {
  const [was, is] = [pack(before), pack(after)];
  // A record that could not be read is still there.
  const stale = before.lost && !after.lost;
  if (is === undefined) return was === undefined && !stale ? undefined : { delete: keyOf(device) };
  return was !== undefined && toHex(was) === toHex(is) ? undefined : { put: keyOf(device), value: is };
}

/** Every device that has a record. What cannot be read is LOST: somebody holds it, and nobody may touch the medium. */
export function loadReservations(store: Store): ReadonlyMap<string, UnitReservations> {
  const found = new Map<string, UnitReservations>();
  for (const { key, value } of store.under([PREFIX])) found.set(String(key.at(-1)), unpack(value) ?? LOST);
  return found;
}

function unpack(value: Uint8Array): UnitReservations | undefined {
  try {
    const [version, registered, held, ...rest] = list(decodeCbor(value, RECORD_MAX));
    if (version !== VERSION || rest.length > 0) return undefined;
    const registrations = list(registered).map(registration);
    const reservation = reservationOf(list(held), registrations);
    return { ...UNRESERVED, aptpl: true, registrations, ...(reservation === undefined ? {} : { reservation }) };
  } catch {
    return undefined;
  }
}

function registration(value: CborValue): Registration {
  const [nexus, key] = list(value);
  if (typeof nexus !== "string" || nexusParts(nexus) === undefined) throw new Error("no nexus");
  if (typeof key !== "string" || !/^[0-9a-f]{1,16}$/.test(key)) throw new Error("no key");
  return { nexus, key: BigInt(`0x${toHex(fromHex(key.padStart(16, "0")))}`) };
}

function reservationOf(value: readonly CborValue[], registrations: readonly Registration[]): Reservation | undefined {
  if (value.length === 0) return undefined;
  const [type, holder, sinceMs] = value;
  if (typeof type !== "number" || !isPrType(type) || typeof sinceMs !== "number") throw new Error("no reservation");
  if (isAllRegistrants(type)) return { type, sinceMs };
  if (typeof holder !== "string" || !registrations.some(({ nexus }) => nexus === holder)) throw new Error("no holder");
  return { type, holder, sinceMs };
}

function list(value: CborValue | undefined): readonly CborValue[] {
  if (!Array.isArray(value)) throw new Error("no list");
  return value as readonly CborValue[];
}
