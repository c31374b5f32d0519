// The signing side, for the broker: makes its key pair, issues keys, renews them, takes them back. The
// bridge itself never signs a key.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { GantryError } from "../sys/errors.js";
import type { CborKey, CborValue } from "../wire/cbor-strict.js";
import { HEADER, signSign1 } from "./cose.js";
import type { ChapSecret } from "./credentials.js";
import { type IssuerKey, publicKeyText, thumbprint } from "./issuer-key.js";
import { DEFAULT_PRIORITY, encodeKey, type Key } from "./key.js";
import { sealChap } from "./key-chap.js";
import { encodeRevocation, type RevocationOrder } from "./revocation.js";

export interface IssuerKeyPair {
  /** PKCS #8 PEM; a secret. */
  readonly privatePem: string;
  /** What goes into the bridge's configuration. */
  readonly publicKey: string;
  /** First 16 digits of the COSE Key Thumbprint. */
  readonly kid: string;
}

export interface Signed<T> {
  readonly content: T;
  /** COSE_Sign1, tagged. */
  readonly token: Uint8Array;
}

/** What the caller of issue() decides; the rest is filled in. */
export type KeyRequest = Pick<Key, "holder" | "audience" | "devices" | "rights" | "expiresMs" | "epoch"> &
  Partial<Pick<Key, "id" | "notBeforeMs" | "priority" | "media" | "maxBytes" | "replaces" | "chap">>;

export function generateIssuerKeyPair(): IssuerKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKeyText(publicKey),
    kid: thumbprint(publicKey).slice(0, 16),
  };
}

/** Times are cut to whole seconds, as CWT has them. All methods throw GantryError KEY_MALFORMED for what no bridge would take. */
export class Issuer {
  readonly name: string;
  readonly kid: string;
  readonly #privateKey: KeyObject;
  readonly #random: (bytes: number) => Uint8Array;

  /**
   * @param kid default: first 16 digits of the key's COSE Key Thumbprint.
   * @throws GantryError KEY_ISSUER_INVALID
   */
  constructor(name: string, privatePem: string, kid?: string, random: (bytes: number) => Uint8Array = randomBytes) {
    this.name = name;
    this.#privateKey = readPrivateKey(privatePem);
    this.kid = kid ?? thumbprint(this.#privateKey).slice(0, 16);
    this.#random = random;
  }

  /** The public half, for a ring in the same process. */
  get issuerKey(): IssuerKey {
    return { kid: this.kid, issuer: this.name, publicKey: createPublicKey(this.#privateKey) };
  }

  /** The claim `chap` of a key that comes with this name and secret. */
  seal(chap: ChapSecret): Uint8Array {
    return sealChap(chap, Uint8Array.from(this.#random(16)));
  }

  issue(request: KeyRequest, nowMs: number): Signed<Key> {
    const issuedMs = wholeSeconds(nowMs);
    const key: Key = {
      ...request,
      id: request.id ?? this.#newId(),
      issuer: this.name,
      issuedMs,
      notBeforeMs: wholeSeconds(request.notBeforeMs ?? issuedMs),
      expiresMs: wholeSeconds(request.expiresMs),
      priority: request.priority ?? DEFAULT_PRIORITY,
    };
    return { content: key, token: this.#sign(encodeKey(key)) };
  }

  /** A new key with the same grants that takes the place of the old one on the bridge, also for running jobs. */
  renew(old: Key, expiresMs: number, nowMs: number): Signed<Key> {
    const { issuer: _issuer, issuedMs: _issued, notBeforeMs: _notBefore, replaces: _replaces, ...kept } = old;
    return this.issue({ ...kept, id: this.#newId(), expiresMs, replaces: old.id }, nowMs);
  }

  revoke(what: Pick<RevocationOrder, "audience" | "ids" | "epoch">, nowMs: number): Signed<RevocationOrder> {
    const order: RevocationOrder = {
      id: this.#newId(),
      issuer: this.name,
      audience: what.audience,
      issuedMs: wholeSeconds(nowMs),
      ids: what.ids,
      ...(what.epoch !== undefined && { epoch: what.epoch }),
    };
    return { content: order, token: this.#sign(encodeRevocation(order)) };
  }

  #newId(): Uint8Array {
    return Uint8Array.from(this.#random(16));
  }

  #sign(payload: Uint8Array): Uint8Array {
    const header = new Map<CborKey, CborValue>([[HEADER.KID, new TextEncoder().encode(this.kid)]]);
    return signSign1(header, payload, this.#privateKey);
  }
}

function readPrivateKey(pem: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (error) {
    throw new GantryError("KEY_ISSUER_INVALID", "The issuer's private key cannot be read; it has to be PKCS #8 PEM.", {
      cause: error,
    });
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new GantryError(
    "KEY_ISSUER_INVALID",
    `The issuer's private key is ${key.asymmetricKeyType}; it has to be Ed25519.`,
  );
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;
