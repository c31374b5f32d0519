// What the installed keys give servers: by initiator name, kept up to date key by key, so that one key among ten
// thousand costs no more than those of its own holder. A key counts for a server when it is issued to its name
// ("initiator:<name>") and covers the device; what it does not say, it does not give.
import { toHex } from "../wire/hex.js";
import { type DeviceClass, type Key, type Right, selects } from "./key.js";
import type { KeyRing, RingChange } from "./key-ring.js";

/** One right, and until when: milliseconds since 1970 by the trusted clock, leeway included. */
export interface ServerGrant {
  readonly rights: ReadonlyMap<Right, number>;
  /** When the rights change by time alone: the next key that begins or ends; absent: never. */
  readonly changesMs?: number;
  /** When the key that gives `write` was issued; decides who writes first. */
  readonly writeSinceMs?: number;
}

export type GrantRing = Pick<KeyRing, "keys" | "lookup" | "leewayMs" | "onChange">;

const NOTHING: ServerGrant = { rights: new Map() };

export class ServerGrants {
  readonly #ring: GrantRing;
  readonly #byName = new Map<string, Map<string, Key>>();
  /** Id of a key, in hexadecimal → its initiator. */
  readonly #holders = new Map<string, string>();

  constructor(ring: GrantRing) {
    this.#ring = ring;
  }

  /**
   * Reads what is installed and follows it. @param onChange synchronously with every change, with the keys whose
   * coming or going it was, and whether it gives; none: nothing that servers hold @returns unsubscribe
   */
  start(onChange: (initiators: ReadonlySet<string>, gives: boolean) => void): () => void {
    for (const key of this.#ring.keys()) this.#add(key);
    return this.#ring.onChange((change) => {
      const concerned = this.#follow(change);
      if (concerned.size > 0) onChange(concerned, change.type === "installed" || change.type === "renewed");
    });
  }

  /** Initiators that hold a key at all. */
  names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** What the initiator may do with the device at that moment. */
  of(initiator: string, device: string, type: DeviceClass, nowMs: number): ServerGrant {
    const keys = this.#byName.get(initiator);
    if (keys === undefined) return NOTHING;
    const rights = new Map<Right, number>();
    let [changesMs, writeSinceMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (const key of keys.values()) {
      if (!this.#covers(key, device, type)) continue;
      const [fromMs, untilMs] = [key.notBeforeMs - this.#ring.leewayMs, key.expiresMs + this.#ring.leewayMs];
      if (nowMs >= untilMs) continue;
      changesMs = Math.min(changesMs, nowMs < fromMs ? fromMs : untilMs);
      if (nowMs < fromMs) continue;
      for (const right of key.rights) rights.set(right, Math.max(rights.get(right) ?? 0, untilMs));
      if (key.rights.includes("write")) writeSinceMs = Math.min(writeSinceMs, key.issuedMs);
    }
    return {
      rights,
      ...(Number.isFinite(changesMs) && { changesMs }),
      ...(Number.isFinite(writeSinceMs) && { writeSinceMs }),
    };
  }

  /** Highest priority of the keys in force by which the initiator may reserve the device; undefined: it may not. */
  priorityOf(initiator: string, device: string, type: DeviceClass, nowMs: number): number | undefined {
    const leewayMs = this.#ring.leewayMs;
    const priorities = [...(this.#byName.get(initiator)?.values() ?? [])]
      .filter((key) => key.rights.includes("exclusive") && this.#covers(key, device, type))
      .filter(({ notBeforeMs, expiresMs }) => notBeforeMs - leewayMs <= nowMs && nowMs < expiresMs + leewayMs)
      .map(({ priority }) => priority);
    return priorities.length === 0 ? undefined : Math.max(...priorities);
  }

  /**
   * Whether a key that is in force counts. Nobody counts a server's bytes or looks at which cartridge it found in a
   * drive, so a key that limits either gives servers nothing.
   */
  #covers(key: Key, device: string, type: DeviceClass): boolean {
    if (!key.devices.some((selector) => selects(selector, device, type))) return false;
    if (key.maxBytes !== undefined) return false;
    if (key.media !== undefined && type !== "disk") {
      if (!key.media.cartridges.includes("*") || key.media.maxBytes !== undefined) return false;
    }
    const state = this.#ring.lookup(key.id);
    // A key that was renewed is another one now, whose grants count instead.
    return state.state === "installed" && state.key === key;
  }

  #follow(change: RingChange): ReadonlySet<string> {
    if (change.type === "expired") return this.#forget(change.ids);
    if (change.type === "revoked") return this.#revoked(change.ids, change.epoch !== undefined);
    const state = this.#ring.lookup(change.id);
    return state.state === "installed" ? this.#add(state.key) : new Set();
  }

  #add(key: Key): ReadonlySet<string> {
    if (key.holder.kind !== "initiator") return new Set();
    const { name } = key.holder;
    const keys = this.#byName.get(name) ?? new Map<string, Key>();
    this.#byName.set(name, keys.set(toHex(key.id), key));
    this.#holders.set(toHex(key.id), name);
    return new Set([name]);
  }

  #forget(ids: readonly Uint8Array[]): ReadonlySet<string> {
    const concerned = new Set<string>();
    for (const id of ids) {
      const idHex = toHex(id);
      const name = this.#holders.get(idHex);
      if (name === undefined) continue;
      concerned.add(name);
      this.#holders.delete(idHex);
      const keys = this.#byName.get(name);
      keys?.delete(idHex);
      if (keys?.size === 0) this.#byName.delete(name);
    }
    return concerned;
  }

  #revoked(ids: readonly Uint8Array[], byEpoch: boolean): ReadonlySet<string> {
    if (byEpoch) return new Set(this.#byName.keys());
    return new Set(ids.map((id) => this.#holders.get(toHex(id))).filter((name) => name !== undefined));
  }
}
