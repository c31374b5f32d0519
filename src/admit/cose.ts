// COSE_Sign1 (RFC 9052 4.2) over node:crypto: one signer, one signature. EdDSA over Ed25519 signs Gantry's
// keys; ES256 can be verified as well, because that is what the examples of RFC 8392 are signed with.
import { type KeyObject, sign, verify } from "node:crypto";
import { GantryError, isGantryError } from "../sys/errors.js";
import { type CborKey, type CborMap, CborTag, type CborValue, decodeCbor, encodeCbor } from "../wire/cbor-strict.js";

/** Header labels (RFC 9052 3.1) that are understood here; others are passed over unless they are critical. */
export const HEADER = { ALG: 1, CRIT: 2, KID: 4 } as const;
/** Algorithms (RFC 9053 2). */
export const ALG = { ES256: -7, EDDSA: -8 } as const;
/** CBOR tags: COSE_Sign1 (RFC 9052 2) and CWT (RFC 8392 6). */
const TAG = { COSE_SIGN1: 18, CWT: 61 } as const;

export interface Sign1 {
  /** The protected header as it was signed, byte for byte. */
  readonly protectedBytes: Uint8Array;
  readonly protectedHeader: CborMap;
  readonly unprotectedHeader: CborMap;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** What is signed: ["Signature1", protected, external_aad, payload] (RFC 9052 4.4). */
export function sigStructure(
  protectedBytes: Uint8Array,
  payload: Uint8Array,
  externalAad: Uint8Array = EMPTY,
): Uint8Array {
  return encodeCbor(["Signature1", protectedBytes, externalAad, payload]);
}

/**
 * Takes a message apart without judging its signature. The tag 18 may be there or not, and the tag 61 may
 * stand around it.
 * @throws GantryError KEY_MALFORMED, KEY_CRITICAL_UNKNOWN (the "crit" header, RFC 9052 3.1).
 */
export function decodeSign1(message: Uint8Array): Sign1 {
  const parts = untag(strictly(message, "the message"));
  if (!Array.isArray(parts) || parts.length !== 4) throw malformed("a COSE_Sign1 is an array of four");
  const [protectedBytes, unprotectedHeader, payload, signature] = parts as CborValue[];
  if (!(protectedBytes instanceof Uint8Array)) throw malformed("the protected header is not a byte string");
  if (!isMap(unprotectedHeader)) throw malformed("the unprotected header is not a map");
  if (!(payload instanceof Uint8Array))
    throw malformed("the payload is not a byte string (detached payloads are not taken)");
  if (!(signature instanceof Uint8Array)) throw malformed("the signature is not a byte string");
  // RFC 9052 3: an empty protected header is a byte string of length zero, and a0h inside is the same.
  const protectedHeader = protectedBytes.length === 0 ? new Map() : strictly(protectedBytes, "the protected header");
  if (!isMap(protectedHeader)) throw malformed("the protected header is not a map");
  for (const label of unprotectedHeader.keys()) {
    if (protectedHeader.has(label)) throw malformed(`header ${String(label)} stands in both headers`);
  }
  checkCritical(protectedHeader, unprotectedHeader);
  return { protectedBytes, protectedHeader, unprotectedHeader, payload, signature };
}

/** @returns the algorithm, which is only believed where the signature covers it. @throws KEY_ALGORITHM */
export function algorithmOf(message: Sign1): number {
  const alg = message.protectedHeader.get(HEADER.ALG);
  if (typeof alg === "number") return alg;
  throw new GantryError(
    "KEY_ALGORITHM",
    `The protected header names no known algorithm (${describe(alg)}); EdDSA is -8.`,
  );
}

/** The key id of the signer from either header; undefined when there is none. @throws KEY_MALFORMED */
export function kidOf(message: Sign1): Uint8Array | undefined {
  const kid = message.protectedHeader.get(HEADER.KID) ?? message.unprotectedHeader.get(HEADER.KID);
  if (kid === undefined || kid instanceof Uint8Array) return kid;
  throw malformed("the kid header is not a byte string");
}

/**
 * Whether the signature is right under this public key. The algorithm must be one of `algorithms` and fit
 * the key's type; it is never taken from the key or the message alone.
 * @throws GantryError KEY_ALGORITHM, KEY_SIGNATURE_WRONG
 */
export function verifySign1(
  message: Sign1,
  publicKey: KeyObject,
  algorithms: readonly number[] = [ALG.EDDSA],
  externalAad: Uint8Array = EMPTY,
): void {
  const alg = algorithmOf(message);
  if (!algorithms.includes(alg)) {
    throw new GantryError("KEY_ALGORITHM", `Algorithm ${alg} is not taken here; sign with EdDSA (-8) over Ed25519.`);
  }
  if (keyAlgorithm(publicKey) !== alg)
    throw new GantryError("KEY_ALGORITHM", `Algorithm ${alg} does not fit the issuer's key.`);
  const signed = sigStructure(normalProtected(message), message.payload, externalAad);
  const good =
    alg === ALG.ES256
      ? verify("sha256", signed, { key: publicKey, dsaEncoding: "ieee-p1363" }, message.signature)
      : verify(null, signed, publicKey, message.signature);
  if (!good) {
    throw new GantryError(
      "KEY_SIGNATURE_WRONG",
      "The signature does not match its content: it was changed on the way or is forged.",
    );
  }
}

/** Signs with Ed25519. `alg` is added to the protected header. @throws GantryError KEY_ISSUER_INVALID */
export function signSign1(
  protectedHeader: CborMap,
  payload: Uint8Array,
  privateKey: KeyObject,
  externalAad: Uint8Array = EMPTY,
): Uint8Array {
  if (privateKey.type !== "private" || privateKey.asymmetricKeyType !== "ed25519") {
    throw new GantryError("KEY_ISSUER_INVALID", "Keys are signed with a private Ed25519 key.");
  }
  const protectedBytes = encodeCbor(new Map<CborKey, CborValue>([...protectedHeader, [HEADER.ALG, ALG.EDDSA]]));
  const signature = sign(null, sigStructure(protectedBytes, payload, externalAad), privateKey);
  return encodeCbor(new CborTag(TAG.COSE_SIGN1, [protectedBytes, new Map(), payload, Uint8Array.from(signature)]));
}

/** RFC 9052 4.4: an empty protected map is signed as an empty byte string, however it was encoded. */
const normalProtected = (message: Sign1): Uint8Array =>
  message.protectedHeader.size === 0 ? EMPTY : message.protectedBytes;

/** The one algorithm that a public key is used with; undefined: none. */
function keyAlgorithm(key: KeyObject): number | undefined {
  if (key.asymmetricKeyType === "ed25519") return ALG.EDDSA;
  if (key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1") return ALG.ES256;
  return undefined;
}

/** Labels of this list must be understood and must stand in the protected header (RFC 9052 3.1). */
function checkCritical(protectedHeader: CborMap, unprotectedHeader: CborMap): void {
  if (unprotectedHeader.has(HEADER.CRIT)) throw malformed("the crit header stands outside the protected header");
  const crit = protectedHeader.get(HEADER.CRIT);
  if (crit === undefined) return;
  if (!Array.isArray(crit) || crit.length === 0) throw malformed("the crit header is not a list of labels");
  const known: readonly CborValue[] = Object.values(HEADER);
  for (const label of crit as CborValue[]) {
    if ((typeof label !== "number" && typeof label !== "string") || !protectedHeader.has(label)) {
      throw malformed(`the crit header lists ${describe(label)}, which is not in the protected header`);
    }
    if (!known.includes(label)) {
      throw new GantryError("KEY_CRITICAL_UNKNOWN", `Header ${label} is critical and this version does not know it.`);
    }
  }
}

function untag(value: CborValue): CborValue {
  let inner = value;
  if (inner instanceof CborTag && inner.tag === TAG.CWT) {
    inner = inner.value;
    // RFC 8392 6: inside a CWT tag there must be a tagged COSE object.
    if (!(inner instanceof CborTag)) throw malformed("a CWT tag has to hold a tagged COSE_Sign1");
  }
  if (!(inner instanceof CborTag)) return inner;
  if (inner.tag !== TAG.COSE_SIGN1) throw malformed(`tag ${inner.tag} is not COSE_Sign1 (18)`);
  return inner.value;
}

function strictly(bytes: Uint8Array, what: string): CborValue {
  try {
    return decodeCbor(bytes);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    throw new GantryError("KEY_MALFORMED", `Not a key: ${what} cannot be decoded. ${error.message}`, { cause: error });
  }
}

const isMap = (value: CborValue | undefined): value is CborMap => value instanceof Map;

const describe = (value: CborValue | undefined): string =>
  typeof value === "string" || typeof value === "number"
    ? JSON.stringify(value)
    : value === undefined
      ? "none"
      : "another type";

function malformed(what: string): GantryError {
  return new GantryError("KEY_MALFORMED", `Not a key: ${what}.`);
}
