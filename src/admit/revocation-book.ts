// What was taken back, in memory: ids and the lowest valid epoch, each by issuer, because an issuer can
// only take back its own keys.
import { toHex } from "../wire/hex.js";
import type { Key } from "./key.js";
import type { RevocationOrder } from "./revocation.js";

export class RevocationBook {
  /** How long after an order every key that it can mean has expired, milliseconds. */
  readonly #reachMs: number;
  /** Id in hexadecimal → issuer → when the entry may be forgotten. */
  readonly #ids = new Map<string, Map<string, number>>();
  readonly #epochs = new Map<string, number>();

  /** @param reachMs longest life that a key may have, and the leeway. */
  constructor(reachMs: number) {
    this.#reachMs = reachMs;
  }

  add(order: RevocationOrder, receivedMs: number): void {
    for (const id of order.ids) {
      const issuers = this.#ids.get(toHex(id)) ?? new Map<string, number>();
      const before = issuers.get(order.issuer) ?? 0;
      this.#ids.set(toHex(id), issuers.set(order.issuer, Math.max(before, this.#keepUntil(order, receivedMs))));
    }
    this.#epochs.set(order.issuer, Math.max(order.epoch ?? 0, this.epoch(order.issuer)));
  }

  /** Keys of this issuer with a smaller epoch are not valid. */
  epoch(issuer: string): number {
    return this.#epochs.get(issuer) ?? 0;
  }

  /** Whether the key was taken back by its id. */
  has(key: Key): boolean {
    return this.#ids.get(toHex(key.id))?.has(key.issuer) ?? false;
  }

  /** For an id whose key is not here: whether this issuer took it back; anybody, when the issuer is not known. */
  hasId(idHex: string, issuer: string | undefined): boolean {
    const issuers = this.#ids.get(idHex);
    return issuers !== undefined && (issuer === undefined || issuers.has(issuer));
  }

  /** Whether an order can no longer matter. One that raised the epoch does for as long as that is the highest. */
  isPast(order: RevocationOrder, receivedMs: number, nowMs: number): boolean {
    const holdsEpoch = order.epoch !== undefined && order.epoch === this.epoch(order.issuer);
    return !holdsEpoch && nowMs >= this.#keepUntil(order, receivedMs);
  }

  /** Forgets ids whose keys have all expired. */
  prune(nowMs: number): void {
    for (const [idHex, issuers] of this.#ids) {
      for (const [issuer, keepUntilMs] of issuers) if (nowMs >= keepUntilMs) issuers.delete(issuer);
      if (issuers.size === 0) this.#ids.delete(idHex);
    }
  }

  #keepUntil(order: RevocationOrder, receivedMs: number): number {
    return Math.max(order.issuedMs, receivedMs) + this.#reachMs;
  }
}
