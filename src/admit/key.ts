// Gantry's key: who may do what with which devices and cartridges of one bridge, until when. KEYS.md is its
// reference. Here are the type, and the claims as bytes and back; signatures are cose.ts, time is key-ring.ts.
import { GantryError } from "../sys/errors.js";
import type { CborMap, CborValue } from "../wire/cbor-strict.js";
import { toHex } from "../wire/hex.js";
import { CLAIM, Claims, checkText, checkTexts, checkUint64, encodeClaims, malformed } from "./cwt.js";

export type DeviceClass = "disk" | "tape" | "changer";
export const DEVICE_CLASSES: readonly DeviceClass[] = ["disk", "tape", "changer"];

export type Right = "read" | "write" | "exclusive" | "media-control";
export const RIGHTS: readonly Right[] = ["read", "write", "exclusive", "media-control"];

/** Who may use the key: one initiator (iSCSI name or WWPN), one job, or any job of the mover. */
export type Holder =
  | { readonly kind: "initiator"; readonly name: string }
  | { readonly kind: "job"; readonly id: string }
  | { readonly kind: "mover" };

export type DeviceSelector =
  | { readonly kind: "device"; readonly name: string }
  | { readonly kind: "class"; readonly deviceClass: DeviceClass };

export interface MediaLimits {
  /** Names of cartridges; a "*" at the end stands for any rest. At least one. */
  readonly cartridges: readonly string[];
  /** Most bytes that one job may write on tape. */
  readonly maxBytes?: bigint;
}

export interface Key {
  /** cti: 8–32 bytes, different for every key. */
  readonly id: Uint8Array;
  readonly issuer: string;
  readonly holder: Holder;
  /** Ids of the bridges that it is for. */
  readonly audience: readonly string[];
  /** Milliseconds since 1970, whole seconds. Valid from notBeforeMs (included) to expiresMs (not included). */
  readonly issuedMs: number;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
  readonly devices: readonly DeviceSelector[];
  readonly rights: readonly Right[];
  /** Highest priority that a job may have under it, 0–255. */
  readonly priority: number;
  readonly media?: MediaLimits;
  readonly epoch: number;
  /** Most bytes that one leg of a job may move. */
  readonly maxBytes?: bigint;
  /** Id of the key that this one renews. */
  readonly replaces?: Uint8Array;
  /** Seal over the CHAP name and secret that come with it (key-chap.ts). */
  readonly chap?: Uint8Array;
}

export const DEFAULT_PRIORITY = 100;
export const KEY_ID_BYTES = { min: 8, max: 32 } as const;
/** A salt of 16 bytes and an HMAC-SHA-256. */
export const CHAP_SEAL_BYTES = 48;
const MEDIA = { CARTRIDGES: 1, MAX_BYTES: 2 } as const;

const UNDERSTOOD: readonly number[] = Object.values(CLAIM).filter((label) => label !== CLAIM.REVOKE);

/** Claims as bytes, to be signed. @throws GantryError KEY_MALFORMED for a key that decodeKey would refuse */
export function encodeKey(key: Key): Uint8Array {
  const payload = encodeClaims([
    [CLAIM.ISS, key.issuer],
    [CLAIM.SUB, holderText(key.holder)],
    [CLAIM.AUD, key.audience.length === 1 ? key.audience[0] : key.audience],
    [CLAIM.EXP, seconds(key.expiresMs)],
    [CLAIM.NBF, seconds(key.notBeforeMs)],
    [CLAIM.IAT, seconds(key.issuedMs)],
    [CLAIM.CTI, key.id],
    [CLAIM.DEVICES, key.devices.map(selectorText)],
    [CLAIM.RIGHTS, key.rights],
    [CLAIM.PRIORITY, key.priority],
    [CLAIM.MEDIA, key.media === undefined ? undefined : encodeMedia(key.media)],
    [CLAIM.EPOCH, key.epoch],
    [CLAIM.MAX_BYTES, key.maxBytes],
    [CLAIM.REPLACES, key.replaces],
    [CLAIM.CHAP, key.chap],
  ]);
  decodeKey(payload);
  return payload;
}

/** @throws GantryError KEY_MALFORMED, KEY_CRITICAL_UNKNOWN. Says nothing about time, issuer or audience. */
export function decodeKey(payload: Uint8Array): Key {
  const claims = Claims.decode(payload);
  if (claims.has(CLAIM.REVOKE)) throw malformed("revoke", "makes this a revocation order; send it as one");
  claims.checkCritical(UNDERSTOOD);
  const issuedMs = claims.timeMs(CLAIM.IAT, "iat");
  const key: Key = {
    id: claims.bytes(CLAIM.CTI, "cti", KEY_ID_BYTES.min, KEY_ID_BYTES.max),
    issuer: claims.text(CLAIM.ISS, "iss"),
    holder: parseHolder(claims.text(CLAIM.SUB, "sub")),
    audience: claims.texts(CLAIM.AUD, "aud"),
    issuedMs,
    notBeforeMs: claims.has(CLAIM.NBF) ? claims.timeMs(CLAIM.NBF, "nbf") : issuedMs,
    expiresMs: claims.timeMs(CLAIM.EXP, "exp"),
    devices: claims.texts(CLAIM.DEVICES, "devices").map(parseSelector),
    rights: parseRights(claims.texts(CLAIM.RIGHTS, "rights")),
    priority: claims.has(CLAIM.PRIORITY) ? claims.uint(CLAIM.PRIORITY, "priority", 255) : DEFAULT_PRIORITY,
    epoch: claims.uint(CLAIM.EPOCH, "epoch"),
    ...(claims.has(CLAIM.MEDIA) && { media: parseMedia(claims.raw(CLAIM.MEDIA)) }),
    ...(claims.has(CLAIM.MAX_BYTES) && { maxBytes: checkUint64(claims.raw(CLAIM.MAX_BYTES), "maxBytes") }),
    ...(claims.has(CLAIM.REPLACES) && {
      replaces: claims.bytes(CLAIM.REPLACES, "replaces", KEY_ID_BYTES.min, KEY_ID_BYTES.max),
    }),
    ...(claims.has(CLAIM.CHAP) && { chap: claims.bytes(CLAIM.CHAP, "chap", CHAP_SEAL_BYTES, CHAP_SEAL_BYTES) }),
  };
  if (key.expiresMs <= key.notBeforeMs) throw malformed("exp", "is not after nbf");
  if (key.expiresMs <= key.issuedMs) throw malformed("exp", "is not after iat");
  if (key.replaces !== undefined && toHex(key.replaces) === toHex(key.id))
    throw malformed("replaces", "is the key's own id");
  return key;
}

export function holderText(holder: Holder): string {
  if (holder.kind === "mover") return "mover";
  return holder.kind === "job" ? `job:${holder.id}` : `initiator:${holder.name}`;
}

/** @throws GantryError KEY_MALFORMED */
export function parseHolder(text: string): Holder {
  if (text === "mover") return { kind: "mover" };
  const at = text.indexOf(":");
  const rest = text.slice(at + 1);
  if (rest.length > 0 && text.startsWith("job:")) return { kind: "job", id: rest };
  if (rest.length > 0 && text.startsWith("initiator:")) return { kind: "initiator", name: rest };
  throw malformed("sub", `"${text}" is not "mover", "job:<id>" or "initiator:<name>"`);
}

export function selectorText(selector: DeviceSelector): string {
  return selector.kind === "class" ? `class:${selector.deviceClass}` : selector.name;
}

/** @throws GantryError KEY_MALFORMED */
export function parseSelector(text: string): DeviceSelector {
  if (!text.startsWith("class:")) return { kind: "device", name: text };
  const deviceClass = DEVICE_CLASSES.find((known) => text === `class:${known}`);
  if (deviceClass === undefined) throw malformed("devices", `"${text}" is not class:disk, class:tape or class:changer`);
  return { kind: "class", deviceClass };
}

export function selects(selector: DeviceSelector, device: string, deviceClass: DeviceClass): boolean {
  return selector.kind === "class" ? selector.deviceClass === deviceClass : selector.name === device;
}

/** Exact name, or everything before a "*" at the end. */
export function cartridgeMatches(pattern: string, cartridge: string): boolean {
  return pattern.endsWith("*") ? cartridge.startsWith(pattern.slice(0, -1)) : cartridge === pattern;
}

/** An unknown right is refused, not ignored: a key must not seem to grant more than it does. */
function parseRights(texts: readonly string[]): readonly Right[] {
  return texts.map((text) => {
    const right = RIGHTS.find((known) => known === text);
    if (right === undefined) throw malformed("rights", `has "${text}"; known are ${RIGHTS.join(", ")}`);
    return right;
  });
}

function encodeMedia(media: MediaLimits): CborMap {
  const map = new Map<number, CborValue>([[MEDIA.CARTRIDGES, media.cartridges]]);
  if (media.maxBytes !== undefined) map.set(MEDIA.MAX_BYTES, media.maxBytes);
  return map;
}

/** Unlike other claims, an unknown member here would loosen a limit if it were ignored, so it is refused. */
function parseMedia(value: CborValue | undefined): MediaLimits {
  if (!(value instanceof Map)) throw malformed("media", "is not a map");
  const map = value as CborMap;
  for (const label of map.keys()) {
    if (label !== MEDIA.CARTRIDGES && label !== MEDIA.MAX_BYTES)
      throw malformed("media", `has an unknown member ${label}`);
  }
  const cartridges = checkTexts(map.get(MEDIA.CARTRIDGES), "media cartridges");
  for (const pattern of cartridges) {
    checkText(pattern, "media cartridges");
    if (pattern.slice(0, -1).includes("*"))
      throw malformed("media cartridges", `has "*" inside "${pattern}"; it may only end it`);
  }
  const maxBytes = map.get(MEDIA.MAX_BYTES);
  return maxBytes === undefined ? { cartridges } : { cartridges, maxBytes: checkUint64(maxBytes, "media maxBytes") };
}

function seconds(ms: number): number {
  if (!Number.isInteger(ms / 1000))
    throw new GantryError("KEY_MALFORMED", `A key's times are whole seconds; ${ms} ms is not.`);
  return ms / 1000;
}
