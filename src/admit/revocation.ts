// The revocation order: signed like a key, by the same issuer; takes keys back by id, by epoch, or both.
// It can only take away, so an old order that is sent again does no harm and needs no expiry.
import { CLAIM, Claims, checkBytes, encodeClaims, malformed } from "./cwt.js";
import { KEY_ID_BYTES } from "./key.js";

export interface RevocationOrder {
  /** cti of the order itself, 8–32 bytes. */
  readonly id: Uint8Array;
  readonly issuer: string;
  readonly audience: readonly string[];
  /** Milliseconds since 1970, whole seconds. */
  readonly issuedMs: number;
  /** Ids of keys that are no longer valid. May be empty when epoch is there. */
  readonly ids: readonly Uint8Array[];
  /** Keys of the issuer with a smaller epoch are no longer valid. */
  readonly epoch?: number;
}

const UNDERSTOOD: readonly number[] = [
  CLAIM.ISS,
  CLAIM.AUD,
  CLAIM.IAT,
  CLAIM.CTI,
  CLAIM.REVOKE,
  CLAIM.EPOCH,
  CLAIM.CRITICAL,
];

/** @throws GantryError KEY_MALFORMED for an order that decodeRevocation would refuse */
export function encodeRevocation(order: RevocationOrder): Uint8Array {
  const payload = encodeClaims([
    [CLAIM.ISS, order.issuer],
    [CLAIM.AUD, order.audience.length === 1 ? order.audience[0] : order.audience],
    [CLAIM.IAT, Math.floor(order.issuedMs / 1000)],
    [CLAIM.CTI, order.id],
    [CLAIM.REVOKE, order.ids],
    [CLAIM.EPOCH, order.epoch],
  ]);
  decodeRevocation(payload);
  return payload;
}

/** @throws GantryError KEY_MALFORMED, KEY_CRITICAL_UNKNOWN */
export function decodeRevocation(payload: Uint8Array): RevocationOrder {
  const claims = Claims.decode(payload);
  const list = claims.raw(CLAIM.REVOKE);
  if (!Array.isArray(list)) throw malformed("revoke", "is missing or not a list, so this is no revocation order");
  claims.checkCritical(UNDERSTOOD);
  const order: RevocationOrder = {
    id: claims.bytes(CLAIM.CTI, "cti", KEY_ID_BYTES.min, KEY_ID_BYTES.max),
    issuer: claims.text(CLAIM.ISS, "iss"),
    audience: claims.texts(CLAIM.AUD, "aud"),
    issuedMs: claims.timeMs(CLAIM.IAT, "iat"),
    ids: list.map((id) => checkBytes(id, "revoke", KEY_ID_BYTES.min, KEY_ID_BYTES.max)),
    ...(claims.has(CLAIM.EPOCH) && { epoch: claims.uint(CLAIM.EPOCH, "epoch") }),
  };
  if (order.ids.length === 0 && order.epoch === undefined)
    throw malformed("revoke", "names neither a key nor an epoch");
  return order;
}
