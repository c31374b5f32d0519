// Write privileges in the store: who had that of each disk, so that a restart moves none.
import type { Store, StoreKey } from "../sys/store.js";
import { decodeCbor, encodeCbor } from "../wire/cbor-strict.js";

const PREFIX = "privileges";
const VERSION = 1;

export interface PrivilegeRecord {
  /** Initiator name. */
  readonly writer: string;
  readonly sinceMs: number;
}

export const privilegeKey = (device: string): StoreKey => [PREFIX, device];

export const packPrivilege = ({ writer, sinceMs }: PrivilegeRecord): Uint8Array =>
  encodeCbor([VERSION, writer, Math.floor(sinceMs)]);

/** undefined: no record of ours. Then the oldest key decides, as if there had never been one; there is still only one. */
export function unpackPrivilege(value: Uint8Array): PrivilegeRecord | undefined {
  try {
    const record = decodeCbor(value);
    if (!Array.isArray(record)) return undefined;
    const [version, writer, sinceMs, ...rest] = record;
    if (version !== VERSION || rest.length > 0) return undefined;
    return typeof writer === "string" && typeof sinceMs === "number" ? { writer, sinceMs } : undefined;
  } catch {
    return undefined;
  }
}

export function loadPrivileges(store: Store): ReadonlyMap<string, PrivilegeRecord> {
  const found = new Map<string, PrivilegeRecord>();
  for (const { key, value } of store.under([PREFIX])) {
    const record = unpackPrivilege(value);
    if (record !== undefined) found.set(String(key.at(-1)), record);
  }
  return found;
}
