// The questions that every key and order is asked when it comes in; each has an error code of its own.
import { GantryError } from "../sys/errors.js";
import { toHex } from "../wire/hex.js";
import { decodeSign1, kidOf, verifySign1 } from "./cose.js";
import type { IssuerKey } from "./issuer-key.js";
import type { Key } from "./key.js";

/**
 * Who signed it, and is the signature right?
 * @throws GantryError KEY_MALFORMED, KEY_CRITICAL_UNKNOWN, KEY_ISSUER_UNKNOWN, KEY_ALGORITHM, KEY_SIGNATURE_WRONG
 */
export function authenticate(
  token: Uint8Array,
  issuers: readonly IssuerKey[],
): { payload: Uint8Array; signer: IssuerKey } {
  const message = decodeSign1(token);
  const kid = kidOf(message);
  const signer = kid === undefined ? undefined : issuers.find((issuer) => kidHex(issuer) === toHex(kid));
  if (signer === undefined) {
    const named =
      kid === undefined ? "no issuer key" : `the issuer key ${JSON.stringify(new TextDecoder().decode(kid))}`;
    throw new GantryError("KEY_ISSUER_UNKNOWN", `The key names ${named}, which the configuration does not trust.`);
  }
  verifySign1(message, signer.publicKey);
  return { payload: message.payload, signer };
}

/** Does the signer sign in its own name? @throws KEY_ISSUER_UNKNOWN */
export function checkIssuer(signer: IssuerKey, named: string): void {
  if (signer.issuer === named) return;
  throw new GantryError(
    "KEY_ISSUER_UNKNOWN",
    `The key says that "${named}" issued it, but it is signed by "${signer.issuer}".`,
  );
}

/** Is it for this bridge? @throws KEY_AUDIENCE_WRONG */
export function checkAudience(audience: readonly string[], bridgeId: string): void {
  if (audience.includes(bridgeId)) return;
  throw new GantryError("KEY_AUDIENCE_WRONG", `The key is for ${audience.join(", ")}, and this bridge is ${bridgeId}.`);
}

/**
 * Is this its time (RFC 7519 4.1.4, 4.1.5: before exp, not before nbf), and is its life short enough?
 * @throws KEY_EXPIRED, KEY_NOT_YET_VALID, KEY_LIFETIME_TOO_LONG
 */
export function checkTime(key: Key, nowMs: number, leewayMs: number, maxLifetimeMs: number): void {
  if (nowMs >= key.expiresMs + leewayMs) {
    throw new GantryError(
      "KEY_EXPIRED",
      `The key ${toHex(key.id)} expired at ${date(key.expiresMs)}; it is ${date(nowMs)} here.`,
    );
  }
  const fromMs = Math.max(key.notBeforeMs, key.issuedMs);
  if (nowMs < fromMs - leewayMs) {
    throw new GantryError(
      "KEY_NOT_YET_VALID",
      `The key ${toHex(key.id)} is valid from ${date(fromMs)}; it is ${date(nowMs)} here.`,
    );
  }
  const lifetimeMs = key.expiresMs - Math.min(key.issuedMs, key.notBeforeMs);
  if (lifetimeMs <= maxLifetimeMs) return;
  const [seconds, most] = [lifetimeMs, maxLifetimeMs].map((ms) => Math.floor(ms / 1000));
  throw new GantryError(
    "KEY_LIFETIME_TOO_LONG",
    `The key is valid for ${seconds} s; the configuration allows ${most} s.`,
  );
}

const kidHex = (issuer: IssuerKey): string => toHex(new TextEncoder().encode(issuer.kid));

/** ISO 8601 in UTC, whole seconds. */
export const date = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
