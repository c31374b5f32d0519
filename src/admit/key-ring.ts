// The installed keys: takes signed keys and revocation orders, keeps them on stable storage, and says what
// an id stands for now. The ring judges a key once, when it comes in; gate.ts judges what is done under it.
//
// Taking away is immediate (in memory and by event, before the first await) and then made durable; giving
// is the other way round: nothing is granted, and nothing acknowledged, before it is on stable storage.
import { GantryError, messageOf } from "../sys/errors.js";
import type { Store, StoreChange } from "../sys/store.js";
import { toHex } from "../wire/hex.js";
import type { ChapSecret } from "./credentials.js";
import { type InstalledKey, InstalledKeys } from "./installed-keys.js";
import type { IssuerKey } from "./issuer-key.js";
import { decodeKey, holderText, type Key } from "./key.js";
import { chapOfKey } from "./key-chap.js";
import { authenticate, checkAudience, checkIssuer, checkTime } from "./key-checks.js";
import {
  keyRecordName,
  loadKeys,
  loadOrders,
  orderRecordName,
  packKey,
  packOrder,
  sha256,
  unpackKey,
} from "./key-records.js";
import { decodeRevocation, type RevocationOrder } from "./revocation.js";
import { RevocationBook } from "./revocation-book.js";
import type { TrustedTime } from "./trusted-clock.js";

export interface KeyRingOptions {
  /** This bridge's id: must be in a key's audience. */
  readonly bridgeId: string;
  readonly issuers: readonly IssuerKey[];
  readonly store: Store;
  readonly time: TrustedTime;
  /** Added to both ends of a key's life, milliseconds. Default 0. */
  readonly leewayMs?: number;
  /** Longest life of a key, from the earlier of iat and nbf to exp, milliseconds. */
  readonly maxLifetimeMs: number;
  /** Most keys installed at once. Default 16384. */
  readonly maxKeys?: number;
}

export interface Installed {
  readonly key: Key;
  /** The very same key was here already; nothing changed. */
  readonly already: boolean;
}

export type KeyState =
  | { readonly state: "installed"; readonly key: Key }
  | { readonly state: "revoked"; readonly key?: Key }
  | { readonly state: "unknown" };

export type RingChange =
  | { readonly type: "installed"; readonly id: Uint8Array }
  | { readonly type: "renewed"; readonly id: Uint8Array; readonly replaced: Uint8Array }
  | { readonly type: "revoked"; readonly issuer: string; readonly ids: readonly Uint8Array[]; readonly epoch?: number }
  | { readonly type: "expired"; readonly ids: readonly Uint8Array[] };

/** What the gate needs of a ring. */
export interface KeyView {
  lookup(id: Uint8Array): KeyState;
  /** Why the time is not to be believed; undefined when it is. */
  fault(): string | undefined;
  readonly leewayMs: number;
}

/** Ids of keys that a renewal stands in for; the oldest go first when there are more. */
const ALIASES_MAX = 64;
const DEFAULT_MAX_KEYS = 16_384;

export class KeyRing implements KeyView {
  readonly leewayMs: number;
  /** Records that open() could not take up again, with the reason; such a key grants nothing. */
  readonly skipped: readonly { readonly name: string; readonly error: unknown }[];
  readonly #options: KeyRingOptions;
  readonly #keys = new InstalledKeys();
  readonly #takenBack: RevocationBook;
  readonly #listeners = new Set<(change: RingChange) => void>();
  /** Installs and pruning, one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(options: KeyRingOptions, skipped: KeyRing["skipped"]) {
    this.#options = options;
    this.leewayMs = options.leewayMs ?? 0;
    this.skipped = skipped;
    this.#takenBack = new RevocationBook(options.maxLifetimeMs + this.leewayMs);
  }

  /**
   * Reads what the store has. Keys are verified again, so that one whose issuer is no longer trusted is left
   * out; orders are not, because they can only take away.
   * @throws GantryError KEY_RING_CORRUPT when an order cannot be read.
   */
  static open(options: KeyRingOptions): KeyRing {
    const skipped: { name: string; error: unknown }[] = [];
    const ring = new KeyRing(options, skipped);
    for (const { order, receivedMs } of loadOrders(options.store)) ring.#takenBack.add(order, receivedMs);
    for (const { name, value } of loadKeys(options.store)) {
      try {
        const record = unpackKey(value);
        const known = ring.#authenticate(record.token);
        ring.#keys.add({ ...record, ...known, chap: chapOfKey(known.key, record.chap) });
      } catch (error) {
        skipped.push({ name, error });
      }
    }
    return ring;
  }

  /** @returns unsubscribe. Listeners are called synchronously and must not throw. */
  onChange(listener: (change: RingChange) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Installed keys, expired ones that are not pruned yet among them. */
  keys(): readonly Key[] {
    return this.#keys.all().map(({ key }) => key);
  }

  /** Installed keys that were issued to this initiator name. */
  keysOf(initiator: string): readonly Key[] {
    return [...this.#keys.of(initiator)].map(({ key }) => key);
  }

  fault(): string | undefined {
    return this.#options.time.fault();
  }

  /** The key that an id stands for now: itself, or the one that renewed it. Says nothing about time. */
  lookup(id: Uint8Array): KeyState {
    let current = toHex(id);
    let own = this.#keys.get(current)?.key;
    // As many steps as there are aliases are enough; a circle, which install() refuses, would end here too.
    for (let step = 0; step <= this.#keys.renewals; step++) {
      const successor = this.#keys.successor(current);
      const issuer = own?.issuer ?? this.#keys.get(successor ?? "")?.key.issuer;
      // A key that was taken back by its id stays so, whatever renewed it.
      if (this.#takenBack.hasId(current, issuer)) break;
      if (successor === undefined) {
        if (own === undefined) return { state: "unknown" };
        return own.epoch < this.#takenBack.epoch(own.issuer)
          ? { state: "revoked", key: own }
          : { state: "installed", key: own };
      }
      current = successor;
      own = this.#keys.get(current)?.key;
    }
    return own === undefined ? { state: "revoked" } : { state: "revoked", key: own };
  }

  /**
   * Takes a signed key, and the CHAP secret that comes with it. When the promise resolves it is on stable storage and
   * in force.
   * @throws GantryError CLOCK_UNTRUSTED, KEY_* (see KEYS.md), KEY_NOT_STORED
   */
  install(token: Uint8Array, chap?: ChapSecret): Promise<Installed> {
    const own = chap === undefined ? undefined : { name: chap.name, secret: Uint8Array.from(chap.secret) };
    const bytes = Uint8Array.from(token);
    return this.#inTurn(() => this.#install(bytes, own));
  }

  /** The CHAP secret of an installed key; for logins only, never to be shown. Says nothing about time or revocation. */
  secretOf(id: Uint8Array): ChapSecret | undefined {
    return this.#keys.get(toHex(id))?.chap;
  }

  /**
   * Takes a revocation order. It is in force when this call returns its promise, and on stable storage
   * when the promise resolves. Works with an untrusted clock too.
   * @throws GantryError KEY_MALFORMED, KEY_ISSUER_UNKNOWN, KEY_SIGNATURE_WRONG, KEY_AUDIENCE_WRONG, KEY_NOT_STORED
   */
  async revoke(token: Uint8Array): Promise<RevocationOrder> {
    const { payload, signer } = authenticate(token, this.#options.issuers);
    const order = decodeRevocation(payload);
    checkIssuer(signer, order.issuer);
    checkAudience(order.audience, this.#options.bridgeId);
    const receivedMs = this.#options.time.nowMs();
    this.#takenBack.add(order, receivedMs);
    try {
      this.#emit({
        type: "revoked",
        issuer: order.issuer,
        ids: order.ids,
        ...(order.epoch !== undefined && { epoch: order.epoch }),
      });
    } finally {
      await this.#put([{ put: orderRecordName(payload), value: packOrder(token, receivedMs) }]);
    }
    return order;
  }

  /**
   * Forgets keys whose time is over, and orders that can no longer matter. Does nothing while the clock is
   * not trusted. @returns how many keys went.
   */
  prune(): Promise<number> {
    return this.#inTurn(async () => {
      if (this.fault() !== undefined) return 0;
      const nowMs = this.#options.time.nowMs();
      const over = this.#keys.all().filter(({ key }) => nowMs >= key.expiresMs + this.leewayMs);
      const changes: StoreChange[] = over.map(({ key }) => ({ delete: keyRecordName(key.id) }));
      for (const stored of loadOrders(this.#options.store)) {
        if (this.#takenBack.isPast(stored.order, stored.receivedMs, nowMs)) changes.push({ delete: stored.name });
      }
      if (changes.length > 0) await this.#put(changes);
      for (const entry of over) this.#keys.remove(entry);
      this.#takenBack.prune(nowMs);
      if (over.length > 0) this.#emit({ type: "expired", ids: over.map(({ key }) => key.id) });
      return over.length;
    });
  }

  async #install(token: Uint8Array, given: ChapSecret | undefined): Promise<Installed> {
    const fault = this.fault();
    if (fault !== undefined) {
      throw new GantryError(
        "CLOCK_UNTRUSTED",
        `No key is taken, because ${fault}. Set the clock, or tell the bridge that it is right.`,
      );
    }
    const { key, digest } = this.#authenticate(token);
    checkAudience(key.audience, this.#options.bridgeId);
    checkTime(key, this.#options.time.nowMs(), this.leewayMs, this.#options.maxLifetimeMs);
    this.#checkNotRevoked(key);
    const before = this.#keys.get(toHex(key.id));
    const renewed = key.replaces === undefined ? undefined : this.#keys.get(toHex(key.replaces));
    const chap = chapOfKey(key, given, before?.digest === digest ? before.chap : renewed?.chap);
    if (before?.digest === digest) return { key: before.key, already: true };
    if (before !== undefined || this.#keys.successor(toHex(key.id)) !== undefined) {
      throw new GantryError(
        "KEY_REPLAYED",
        `Another key with the id ${toHex(key.id)} is or was installed; every key needs an id of its own.`,
      );
    }
    const entry: InstalledKey = { key, digest, token, aliases: this.#aliasesOf(key), chap };
    this.#checkRoom();
    await this.#put([{ put: keyRecordName(key.id), value: packKey(entry) }, ...this.#options.time.toRemember()]);
    this.#keys.add(entry);
    // An order may have come while the key was being stored; it is in force, so the key never was.
    this.#checkNotRevoked(key);
    this.#emit(
      key.replaces === undefined
        ? { type: "installed", id: key.id }
        : { type: "renewed", id: key.id, replaced: key.replaces },
    );
    return { key, already: false };
  }

  /** Signature, issuer and form; nothing that changes with time. */
  #authenticate(token: Uint8Array): { key: Key; digest: string } {
    const { payload, signer } = authenticate(token, this.#options.issuers);
    const key = decodeKey(payload);
    checkIssuer(signer, key.issuer);
    return { key, digest: sha256(payload) };
  }

  #checkNotRevoked(key: Key): void {
    const epoch = this.#takenBack.epoch(key.issuer);
    if (key.epoch < epoch) {
      throw new GantryError(
        "KEY_EPOCH_OLD",
        `The key is of epoch ${key.epoch}; ${key.issuer} revoked everything before ${epoch}.`,
      );
    }
    if (this.#takenBack.has(key)) {
      throw new GantryError("KEY_REVOKED", `The key ${toHex(key.id)} was revoked by ${key.issuer}.`);
    }
  }

  #checkRoom(): void {
    const most = this.#options.maxKeys ?? DEFAULT_MAX_KEYS;
    if (this.#keys.size < most) return;
    throw new GantryError(
      "KEY_RING_FULL",
      `${this.#keys.size} keys are installed, which is the limit; revoke some or wait until some expire.`,
    );
  }

  /** Ids that the key stands in for: those of the key that it renews, and that key's own. */
  #aliasesOf(key: Key): readonly Uint8Array[] {
    if (key.replaces === undefined) return [];
    const old = this.#keys.get(toHex(key.replaces));
    if (old === undefined) return [key.replaces];
    const [wasFor, isFor] = [old.key, key].map(({ issuer, holder }) => `${holderText(holder)} by ${issuer}`);
    if (wasFor !== isFor) {
      throw new GantryError(
        "KEY_RENEWAL_WRONG",
        `The key renews ${toHex(key.replaces)}, which is for ${wasFor}, but is itself for ${isFor}.`,
      );
    }
    return [...old.aliases, key.replaces].slice(-ALIASES_MAX);
  }

  #emit(change: RingChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #put(changes: readonly StoreChange[]): Promise<void> {
    try {
      await this.#options.store.batch(changes);
    } catch (error) {
      throw new GantryError("KEY_NOT_STORED", `The key could not be put on stable storage: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}
