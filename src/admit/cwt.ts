// The claims of a CBOR Web Token (RFC 8392): which number means what, and a reader that gives each claim
// with its type checked. What a claim means to Gantry is in key.ts and revocation.ts.
import { GantryError, isGantryError } from "../sys/errors.js";
import { type CborKey, type CborMap, type CborValue, decodeCbor, encodeCbor } from "../wire/cbor-strict.js";

/** Registered claims (RFC 8392 4) and Gantry's own, in the range for private use (below -65536). */
export const CLAIM = {
  ISS: 1,
  SUB: 2,
  AUD: 3,
  EXP: 4,
  NBF: 5,
  IAT: 6,
  CTI: 7,
  DEVICES: -70001,
  RIGHTS: -70002,
  PRIORITY: -70003,
  MEDIA: -70004,
  EPOCH: -70005,
  MAX_BYTES: -70006,
  CRITICAL: -70007,
  REPLACES: -70008,
  REVOKE: -70009,
  CHAP: -70010,
} as const;

/** 9999-12-31T23:59:59Z, seconds: the last moment that a claim may name. */
const LAST_SECOND = 253_402_300_799;
const NAME_MAX = 255;

export type ClaimValue = CborValue;

/** Claims in, bytes out (RFC 8949 4.2.1); claims that are undefined are left out. */
export function encodeClaims(claims: ReadonlyArray<readonly [number, ClaimValue | undefined]>): Uint8Array {
  const map = new Map<CborKey, CborValue>();
  for (const [label, value] of claims) if (value !== undefined) map.set(label, value);
  return encodeCbor(map);
}

/** Every method throws GantryError KEY_MALFORMED with the claim's name when it is missing or of the wrong kind. */
export class Claims {
  readonly #map: CborMap;

  private constructor(map: CborMap) {
    this.#map = map;
  }

  static decode(payload: Uint8Array): Claims {
    let value: CborValue;
    try {
      value = decodeCbor(payload);
    } catch (error) {
      if (!isGantryError(error)) throw error;
      throw new GantryError("KEY_MALFORMED", `Not a key: the claims cannot be decoded. ${error.message}`, {
        cause: error,
      });
    }
    if (!(value instanceof Map)) throw malformed("claims", "are not a map");
    return new Claims(value as CborMap);
  }

  has(label: number): boolean {
    return this.#map.has(label);
  }

  raw(label: number): CborValue | undefined {
    return this.#map.get(label);
  }

  text(label: number, name: string): string {
    return checkText(this.#map.get(label), name);
  }

  /** A text or a list of texts (RFC 7519 4.1.3, RFC 8392 3.1.3); at least one. */
  texts(label: number, name: string): readonly string[] {
    const value = this.#map.get(label);
    return typeof value === "string" ? [checkText(value, name)] : checkTexts(value, name);
  }

  bytes(label: number, name: string, least: number, most: number): Uint8Array {
    return checkBytes(this.#map.get(label), name, least, most);
  }

  /** RFC 8392 2: seconds since 1970 without a tag. Here in milliseconds. Fractions are not taken. */
  timeMs(label: number, name: string): number {
    return this.uint(label, name, LAST_SECOND) * 1000;
  }

  uint(label: number, name: string, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.#map.get(label);
    if (typeof value !== "number" || value < 0 || value > most) {
      throw malformed(name, `has to be a whole number from 0 to ${most}${missing(value)}`);
    }
    return value;
  }

  /** The private claim "critical": claims that must be understood. @throws also KEY_CRITICAL_UNKNOWN */
  checkCritical(understood: readonly number[]): void {
    const list = this.#map.get(CLAIM.CRITICAL);
    if (list === undefined) return;
    if (!Array.isArray(list) || list.length === 0) throw malformed("critical", "is not a list of claim numbers");
    for (const label of list as CborValue[]) {
      if ((typeof label !== "number" && typeof label !== "string") || !this.#map.has(label)) {
        throw malformed("critical", "lists a claim that is not there");
      }
      if (typeof label === "string" || !understood.includes(label)) {
        throw new GantryError("KEY_CRITICAL_UNKNOWN", `Claim ${label} is critical and this version does not know it.`);
      }
    }
  }
}

export function checkText(value: CborValue | undefined, name: string): string {
  if (typeof value !== "string" || value.length === 0 || value.length > NAME_MAX) {
    throw malformed(name, `has to be text of 1 to ${NAME_MAX} characters${missing(value)}`);
  }
  // Names go into logs and on screens: what could steer a terminal or break a line is refused here, once.
  if (/\p{Cc}/u.test(value)) throw malformed(name, "has control characters in it");
  return value;
}

export function checkTexts(value: CborValue | undefined, name: string): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) throw malformed(name, `has to be a list of texts${missing(value)}`);
  return (value as CborValue[]).map((item) => checkText(item, name));
}

export function checkBytes(value: CborValue | undefined, name: string, least: number, most: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
    throw malformed(name, `has to be a byte string of ${least} to ${most} bytes${missing(value)}`);
  }
  return value;
}

/** A whole number up to 2⁶⁴-1. */
export function checkUint64(value: CborValue | undefined, name: string): bigint {
  if ((typeof value !== "number" && typeof value !== "bigint") || value < 0) {
    throw malformed(name, `has to be a whole number from 0${missing(value)}`);
  }
  return BigInt(value);
}

export function malformed(claim: string, what: string): GantryError {
  return new GantryError("KEY_MALFORMED", `Not a key: ${claim} ${what}.`, { details: { claim } });
}

const missing = (value: CborValue | undefined): string => (value === undefined ? ", and it is missing" : "");
