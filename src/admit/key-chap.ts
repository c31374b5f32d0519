// CHAP secrets that come with keys. The signed key carries only a seal over name and secret, so that whoever carries the
// message can neither read them from the key nor put others in their place; the secret travels beside the key, once,
// and is never shown again.
import { createHmac, timingSafeEqual } from "node:crypto";
import { GantryError } from "../sys/errors.js";
import { toHex } from "../wire/hex.js";
import { CHAP_NAME_BYTES_MAX, CHAP_SECRET_BYTES, type ChapSecret, type SecretSource } from "./credentials.js";
import type { Key } from "./key.js";
import type { KeyRing } from "./key-ring.js";
import type { TrustedTime } from "./trusted-clock.js";

const SALT_BYTES = 16;

/** The claim `chap`: a salt, and the HMAC-SHA-256 under it of the name, a zero byte and the secret. */
export function sealChap({ name, secret }: ChapSecret, salt: Uint8Array): Uint8Array {
  if (salt.length !== SALT_BYTES) throw wrong(`the salt has ${salt.length} bytes, not ${SALT_BYTES}`);
  checkForm({ name, secret });
  const seal = createHmac("sha256", salt).update(name).update(Uint8Array.of(0)).update(secret).digest();
  return Uint8Array.from([...salt, ...seal]);
}

/**
 * The secret that belongs to a key: the one that came with it, or that of the key that it renews under the same seal.
 * @throws GantryError KEY_CHAP_WRONG
 */
export function chapOfKey(key: Key, given?: ChapSecret, inherited?: ChapSecret): ChapSecret | undefined {
  if (key.chap === undefined) {
    if (given === undefined) return undefined;
    throw wrong(`a secret came with the key ${toHex(key.id)}, which has no claim for one`);
  }
  if (key.holder.kind !== "initiator") throw wrong("only an initiator's key comes with a secret");
  const candidate = given ?? inherited;
  if (candidate === undefined) throw wrong(`the key ${toHex(key.id)} comes with a secret, which was not sent`);
  checkForm(candidate);
  const seal = sealChap(candidate, key.chap.subarray(0, SALT_BYTES));
  if (key.chap.length !== seal.length || !timingSafeEqual(key.chap, seal))
    throw wrong("the name and secret are not those that the issuer sealed in the key");
  return { name: candidate.name, secret: Uint8Array.from(candidate.secret) };
}

/** Secrets of the keys that are in force. */
export class KeySecrets implements SecretSource {
  readonly #ring: KeyRing;
  readonly #time: TrustedTime;

  constructor(ring: KeyRing, time: TrustedTime) {
    this.#ring = ring;
    this.#time = time;
  }

  chapOf(initiator: string): readonly ChapSecret[] {
    return this.#ring
      .keysOf(initiator)
      .filter((key) => key.chap !== undefined && this.#inForce(key))
      .flatMap((key) => this.#ring.secretOf(key.id) ?? []);
  }

  /** A renewed key's secret ends with the key. Without a trusted clock every secret counts: that lets in fewer, not more. */
  #inForce(key: Key): boolean {
    const found = this.#ring.lookup(key.id);
    if (found.state !== "installed" || found.key !== key) return false;
    if (this.#time.fault() !== undefined) return true;
    const now = this.#time.nowMs();
    return now >= key.notBeforeMs - this.#ring.leewayMs && now < key.expiresMs + this.#ring.leewayMs;
  }
}

function checkForm({ name, secret }: ChapSecret): void {
  const nameBytes = Buffer.byteLength(name);
  if (nameBytes < 1 || nameBytes > CHAP_NAME_BYTES_MAX || name.includes("\0"))
    throw wrong(`a CHAP name has 1 to ${CHAP_NAME_BYTES_MAX} bytes`);
  const { min, max } = CHAP_SECRET_BYTES;
  if (secret.length < min || secret.length > max) throw wrong(`a CHAP secret has ${min} to ${max} bytes`);
}

const wrong = (what: string): GantryError =>
  new GantryError("KEY_CHAP_WRONG", `The key's CHAP secret cannot be taken: ${what}.`);
