// The gate: may this job do all this, now? Pure, and denies by default: every leg must be granted by one key
// that the job names, that is installed, in force, issued to this job (or to any job of the mover), and that
// covers the device, what is done with it, the cartridge, the amount and the priority.
import type { ErrorCode } from "../sys/errors.js";
import { toHex } from "../wire/hex.js";
import { cartridgeMatches, type DeviceClass, holderText, type Key, type Right, selectorText, selects } from "./key.js";
import { date } from "./key-checks.js";
import type { KeyView } from "./key-ring.js";

/** One thing that a job does with one device. */
export interface Leg {
  /** Name in the configuration. */
  readonly device: string;
  readonly class: DeviceClass;
  readonly right: Right;
  /** Tape and changer: cartridge concerned; absent: whatever is in the drive. */
  readonly cartridge?: string;
  /** Bytes that it will move, where that is known before. */
  readonly bytes?: bigint;
}

export interface AccessRequest {
  readonly jobId: string;
  /** Ids of the keys that the job names. */
  readonly keyIds: readonly Uint8Array[];
  /** 0–255. */
  readonly priority: number;
  /** At least one. */
  readonly legs: readonly Leg[];
}

export interface LegGrant {
  readonly leg: Leg;
  readonly keyId: Uint8Array;
  /** Most bytes that this leg may move under its key; absent: no limit. The leg's own number is below it. */
  readonly maxBytes?: bigint;
}

export interface Grant {
  readonly granted: true;
  /** When the first of the keys relied on ends, milliseconds since 1970, leeway included. */
  readonly expiresMs: number;
  /** Ids of the keys relied on, each once. */
  readonly keyIds: readonly Uint8Array[];
  readonly legs: readonly LegGrant[];
}

export interface LegRefusal {
  readonly leg?: Leg;
  readonly code: ErrorCode;
  /** Who may not do what, and why: one sentence. */
  readonly message: string;
  /** Id of the key that came nearest, in hexadecimal. */
  readonly keyId?: string;
}

export interface Refusal {
  readonly granted: false;
  readonly refusals: readonly LegRefusal[];
}

/** Why one key does not grant one leg; the rank says how near it came. */
interface Obstacle {
  readonly rank: number;
  readonly code: ErrorCode;
  readonly why: string;
  readonly keyId?: string;
}

/** @param nowMs milliseconds since 1970, by the trusted clock. Never throws. */
export function judge(request: AccessRequest, view: KeyView, nowMs: number): Grant | Refusal {
  const fault = view.fault();
  if (fault !== undefined) {
    return refuseAll("CLOCK_UNTRUSTED", `Job ${request.jobId} is not admitted, because ${fault}.`);
  }
  if (request.legs.length === 0) {
    return refuseAll(
      "GATE_REFUSED",
      `Job ${request.jobId} is not admitted, because it says nothing of what it will do.`,
    );
  }
  const grants: LegGrant[] = [];
  const refusals: LegRefusal[] = [];
  let expiresMs = Number.POSITIVE_INFINITY;
  for (const leg of request.legs) {
    const found = findKey(leg, request, view, nowMs);
    if ("why" in found) {
      const message = `Job ${request.jobId} may not ${inWords(leg)}: ${found.why}.`;
      refusals.push({ leg, code: found.code, message, ...(found.keyId !== undefined && { keyId: found.keyId }) });
      continue;
    }
    const maxBytes = limitOf(found, leg);
    grants.push({ leg, keyId: found.id, ...(maxBytes !== undefined && { maxBytes }) });
    expiresMs = Math.min(expiresMs, found.expiresMs + view.leewayMs);
  }
  if (refusals.length > 0) return { granted: false, refusals };
  const keyIds = new Map(grants.map(({ keyId }) => [toHex(keyId), keyId]));
  return { granted: true, expiresMs, keyIds: [...keyIds.values()], legs: grants };
}

/** The key that grants the leg for longest, or why the nearest one does not. */
function findKey(leg: Leg, request: AccessRequest, view: KeyView, nowMs: number): Key | Obstacle {
  let best: Key | undefined;
  let nearest: Obstacle = { rank: -1, code: "GATE_NO_KEY", why: "it names no key" };
  for (const id of request.keyIds) {
    const found = examine(id, leg, request, view, nowMs);
    if ("why" in found) {
      if (found.rank > nearest.rank) nearest = found;
    } else if (best === undefined || found.expiresMs > best.expiresMs) best = found;
  }
  return best ?? nearest;
}

/** The questions, in order; a later one that fails came nearer. */
function examine(id: Uint8Array, leg: Leg, request: AccessRequest, view: KeyView, nowMs: number): Key | Obstacle {
  const state = view.lookup(id);
  const idHex = toHex(state.state === "installed" ? state.key.id : id);
  const obstacle = (rank: number, code: ErrorCode, why: string): Obstacle => ({ rank, code, why, keyId: idHex });
  if (state.state === "unknown") return obstacle(0, "GATE_NO_KEY", `the key ${idHex} is not installed`);
  if (state.state === "revoked") return obstacle(3, "KEY_REVOKED", `the key ${idHex} was revoked`);
  const { key } = state;
  if (key.holder.kind !== "mover" && !(key.holder.kind === "job" && key.holder.id === request.jobId)) {
    return obstacle(1, "GATE_HOLDER", `the key ${idHex} was issued to ${holderText(key.holder)}`);
  }
  if (!key.devices.some((selector) => selects(selector, leg.device, leg.class))) {
    const covered = key.devices.map(selectorText).join(", ");
    return obstacle(2, "GATE_DEVICE", `the key ${idHex} covers ${covered}`);
  }
  if (nowMs >= key.expiresMs + view.leewayMs) {
    return obstacle(3, "KEY_EXPIRED", `the key ${idHex} expired at ${date(key.expiresMs)}`);
  }
  if (nowMs < key.notBeforeMs - view.leewayMs) {
    return obstacle(3, "KEY_NOT_YET_VALID", `the key ${idHex} is valid from ${date(key.notBeforeMs)}`);
  }
  if (!key.rights.includes(leg.right)) {
    return obstacle(4, "GATE_RIGHT", `the key ${idHex} gives only ${key.rights.join(", ")}`);
  }
  return mediaObstacle(key, leg, obstacle) ?? amountObstacle(key, leg, request, obstacle) ?? key;
}

type MakeObstacle = (rank: number, code: ErrorCode, why: string) => Obstacle;

function mediaObstacle(key: Key, leg: Leg, obstacle: MakeObstacle): Obstacle | undefined {
  if (key.media === undefined || leg.class === "disk") return undefined;
  const covered = key.media.cartridges.join(", ");
  const cartridge = leg.cartridge;
  // Whatever lies in the drive could be any cartridge: only a key for all of them covers that.
  if (cartridge === undefined) {
    if (key.media.cartridges.includes("*")) return undefined;
    return obstacle(5, "GATE_MEDIA", `the job names no cartridge and the key ${toHex(key.id)} covers only ${covered}`);
  }
  if (key.media.cartridges.some((pattern) => cartridgeMatches(pattern, cartridge))) return undefined;
  return obstacle(5, "GATE_MEDIA", `the key ${toHex(key.id)} covers only the cartridges ${covered}`);
}

function amountObstacle(key: Key, leg: Leg, request: AccessRequest, obstacle: MakeObstacle): Obstacle | undefined {
  const idHex = toHex(key.id);
  const most = limitOf(key, leg);
  const moves = leg.right === "read" || leg.right === "write";
  if (most !== undefined && moves && leg.bytes === undefined) {
    return obstacle(6, "GATE_LIMIT", `the key ${idHex} allows ${most} bytes and no list says how many that would be`);
  }
  if (most !== undefined && leg.bytes !== undefined && leg.bytes > most) {
    return obstacle(6, "GATE_LIMIT", `that is ${leg.bytes} bytes and the key ${idHex} allows ${most}`);
  }
  if (request.priority <= key.priority) return undefined;
  return obstacle(
    7,
    "GATE_PRIORITY",
    `the key ${idHex} allows priority ${key.priority} and the job asks for ${request.priority}`,
  );
}

function limitOf(key: Key, leg: Leg): bigint | undefined {
  const limits = [key.maxBytes, leg.class === "tape" && leg.right === "write" ? key.media?.maxBytes : undefined];
  return limits.filter((limit) => limit !== undefined).sort((a, b) => (a < b ? -1 : 1))[0];
}

function inWords(leg: Leg): string {
  const cartridge = leg.cartridge === undefined ? "" : ` cartridge "${leg.cartridge}" in`;
  const device = `${leg.class} "${leg.device}"`;
  if (leg.right === "media-control") return `load or unload${cartridge} ${device}`;
  if (leg.right === "exclusive") return `have ${device} for itself`;
  return `${leg.right}${cartridge} ${device}`;
}

const refuseAll = (code: ErrorCode, message: string): Refusal => ({ granted: false, refusals: [{ code, message }] });
