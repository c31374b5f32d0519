// Public keys of the brokers that the configuration trusts. Several may stand side by side, each with its
// kid, so that an issuer can change its key without a gap.
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { GantryError } from "../sys/errors.js";
import { type CborKey, type CborValue, encodeCbor } from "../wire/cbor-strict.js";
import { toHex } from "../wire/hex.js";

export interface IssuerKey {
  /** Text whose UTF-8 bytes are the kid header of what this key signs. */
  readonly kid: string;
  /** The iss claim that this key may sign for. Keys of one issuer have the same name here. */
  readonly issuer: string;
  readonly publicKey: KeyObject;
}

/**
 * @param publicKey 32 bytes in base64url without padding (43 characters), as in the configuration.
 * @param issuer name of the issuer; default: the kid.
 * @throws GantryError KEY_ISSUER_INVALID
 */
export function issuerKey(kid: string, publicKey: string, issuer: string = kid): IssuerKey {
  if (!/^[A-Za-z0-9_-]{43}$/.test(publicKey)) {
    throw new GantryError(
      "KEY_ISSUER_INVALID",
      `The public key of issuer key "${kid}" is not 32 bytes in base64url (43 characters).`,
    );
  }
  try {
    return {
      kid,
      issuer,
      publicKey: createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" }),
    };
  } catch (error) {
    throw new GantryError("KEY_ISSUER_INVALID", `The public key of issuer key "${kid}" is not an Ed25519 key.`, {
      cause: error,
    });
  }
}

/** The 32 bytes of an Ed25519 key (public, or the public half of a private one). @throws KEY_ISSUER_INVALID */
export function publicKeyBytes(key: KeyObject): Uint8Array {
  const x = key.asymmetricKeyType === "ed25519" ? key.export({ format: "jwk" }).x : undefined;
  if (x === undefined) throw new GantryError("KEY_ISSUER_INVALID", "The issuer's key is not an Ed25519 key.");
  return Uint8Array.from(Buffer.from(x, "base64url"));
}

/** As issuerKey and the configuration take it. */
export function publicKeyText(key: KeyObject): string {
  return Buffer.from(publicKeyBytes(key)).toString("base64url");
}

/** COSE Key Thumbprint (RFC 9679 3): SHA-256 over {1: 1 (OKP), -1: 6 (Ed25519), -2: x}; 64 hexadecimal digits. */
export function thumbprint(key: KeyObject): string {
  const required = new Map<CborKey, CborValue>([
    [1, 1],
    [-1, 6],
    [-2, publicKeyBytes(key)],
  ]);
  return toHex(createHash("sha256").update(encodeCbor(required)).digest());
}
