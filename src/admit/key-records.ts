// How the key ring lies in the store: one record for each installed key and each revocation order, holding
// the signed message itself, so that nothing has to be believed that was not signed.
import { createHash } from "node:crypto";
import { GantryError, messageOf } from "../sys/errors.js";
import type { Store, StoreKey } from "../sys/store.js";
import { CBOR_STRICT_MAX, type CborValue, decodeCbor, encodeCbor } from "../wire/cbor-strict.js";
import { toHex } from "../wire/hex.js";
import { decodeSign1 } from "./cose.js";
import type { ChapSecret } from "./credentials.js";
import { decodeRevocation, type RevocationOrder } from "./revocation.js";

export interface KeyRecord {
  readonly token: Uint8Array;
  /** Ids of keys that this one stands in for, oldest first. */
  readonly aliases: readonly Uint8Array[];
  /** CHAP name and secret that came with the key; lies here in clear, since CHAP needs it so. */
  readonly chap?: ChapSecret | undefined;
}

export interface StoredOrder {
  readonly name: StoreKey;
  readonly order: RevocationOrder;
  /** Milliseconds since 1970, by the bridge's clock when the order came. */
  readonly receivedMs: number;
}

const KEYS: StoreKey = ["keys", "installed"];
const ORDERS: StoreKey = ["keys", "revoked"];
/** A token, at most 64 aliases of 32 bytes, and a CHAP name and secret. */
const RECORD_MAX = CBOR_STRICT_MAX + 4096;

export const keyRecordName = (id: Uint8Array): StoreKey => [...KEYS, toHex(id)];

/** The same order sent twice is one record. */
export const orderRecordName = (payload: Uint8Array): StoreKey => [...ORDERS, sha256(payload)];

export const packKey = (record: KeyRecord): Uint8Array =>
  encodeCbor([
    record.token,
    record.aliases,
    ...(record.chap === undefined ? [] : [record.chap.name, record.chap.secret]),
  ]);

/** @throws GantryError KEY_RING_CORRUPT, CBOR_INVALID */
export function unpackKey(value: Uint8Array): KeyRecord {
  const [token, aliases, name, secret] = list(decodeCbor(value, RECORD_MAX));
  if (!(token instanceof Uint8Array)) throw new GantryError("KEY_RING_CORRUPT", "A stored key has no token.");
  const chap = typeof name === "string" && secret instanceof Uint8Array ? { name, secret } : undefined;
  const record = { token, aliases: list(aliases).filter((alias) => alias instanceof Uint8Array) };
  return chap === undefined ? record : { ...record, chap };
}

export const packOrder = (token: Uint8Array, receivedMs: number): Uint8Array =>
  encodeCbor([token, Math.floor(receivedMs)]);

/** Names and packed records of installed keys. */
export function* loadKeys(store: Store): Iterable<{ readonly name: string; readonly value: Uint8Array }> {
  for (const { key, value } of store.under(KEYS)) yield { name: String(key.at(-1)), value };
}

/** @throws GantryError KEY_RING_CORRUPT: what was taken back must not be forgotten because it cannot be read. */
export function* loadOrders(store: Store): Iterable<StoredOrder> {
  for (const { key, value } of store.under(ORDERS)) {
    try {
      const [token, receivedMs] = list(decodeCbor(value, RECORD_MAX));
      if (!(token instanceof Uint8Array) || typeof receivedMs !== "number") throw new Error("it has another form");
      yield { name: key, order: decodeRevocation(decodeSign1(token).payload), receivedMs };
    } catch (error) {
      throw new GantryError(
        "KEY_RING_CORRUPT",
        `The stored revocation order ${String(key.at(-1))} cannot be read: ${messageOf(error)} No key is taken before it is restored or removed.`,
        { cause: error },
      );
    }
  }
}

export const sha256 = (bytes: Uint8Array): string => toHex(createHash("sha256").update(bytes).digest());

const list = (value: CborValue | undefined): readonly CborValue[] =>
  Array.isArray(value) ? (value as CborValue[]) : [];
