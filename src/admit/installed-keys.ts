// The keys that are installed, by id, and which of them stands in for ids that were renewed. Says nothing about time,
// trust or revocation.
import { toHex } from "../wire/hex.js";
import type { Key } from "./key.js";
import type { KeyRecord } from "./key-records.js";

export interface InstalledKey extends KeyRecord {
  readonly key: Key;
  /** SHA-256 of the claims, hexadecimal: tells the same key from another one with its id. */
  readonly digest: string;
}

export class InstalledKeys {
  readonly #keys = new Map<string, InstalledKey>();
  /** Id of a renewed key → id of the key that stands in for it. */
  readonly #aliases = new Map<string, string>();
  /** Initiator name → its keys. */
  readonly #ofInitiators = new Map<string, Set<InstalledKey>>();

  get size(): number {
    return this.#keys.size;
  }

  /** As many steps from one successor to the next are enough. */
  get renewals(): number {
    return this.#aliases.size;
  }

  all(): readonly InstalledKey[] {
    return [...this.#keys.values()];
  }

  get(idHex: string): InstalledKey | undefined {
    return this.#keys.get(idHex);
  }

  /** Keys that were issued to this initiator name; costs what they cost, however many others there are. */
  of(initiator: string): Iterable<InstalledKey> {
    return this.#ofInitiators.get(initiator) ?? [];
  }

  /** Id of the key that stands in for this one. */
  successor(idHex: string): string | undefined {
    return this.#aliases.get(idHex);
  }

  add(entry: InstalledKey): void {
    const before = this.#keys.get(toHex(entry.key.id));
    if (before !== undefined) this.remove(before);
    this.#keys.set(toHex(entry.key.id), entry);
    const { holder } = entry.key;
    if (holder.kind === "initiator") {
      const own = this.#ofInitiators.get(holder.name) ?? new Set();
      this.#ofInitiators.set(holder.name, own.add(entry));
    }
    for (const alias of entry.aliases) this.#setAlias(toHex(alias), entry);
  }

  remove(entry: InstalledKey): void {
    const idHex = toHex(entry.key.id);
    this.#keys.delete(idHex);
    const { holder } = entry.key;
    if (holder.kind === "initiator") {
      const own = this.#ofInitiators.get(holder.name);
      own?.delete(entry);
      if (own?.size === 0) this.#ofInitiators.delete(holder.name);
    }
    for (const alias of entry.aliases) {
      if (this.#aliases.get(toHex(alias)) === idHex) this.#aliases.delete(toHex(alias));
    }
  }

  /** Of two keys that stand in for one id, the later issued one counts, in whatever order they are loaded. */
  #setAlias(aliasHex: string, entry: InstalledKey): void {
    const other = this.#keys.get(this.#aliases.get(aliasHex) ?? "");
    if (other !== undefined && other.key.issuedMs > entry.key.issuedMs) return;
    this.#aliases.set(aliasHex, toHex(entry.key.id));
  }
}
