// A broker and a bridge's key ring in memory, with a clock that the test moves.
import { Issuer, type KeyRequest } from "../../../src/admit/issuer.js";
import type { IssuerKey } from "../../../src/admit/issuer-key.js";
import { KeyRing, type KeyRingOptions } from "../../../src/admit/key-ring.js";
import { TrustedClock } from "../../../src/admit/trusted-clock.js";
import { ManualClock } from "../../../src/sys/clock.js";
import { MemoryStore } from "../../../src/sys/memory-store.js";

// RFC 8032 7.1 TEST 1 and TEST 2, as PKCS #8.
export const TEST1_PEM = pem("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
export const TEST2_PEM = pem("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
export const START_MS = 1_800_000_000_000;
export const HOUR_MS = 3_600_000;

export interface Scene {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly time: TrustedClock;
  readonly broker: Issuer;
  readonly options: KeyRingOptions;
  readonly ring: KeyRing;
}

export function scene(change: Partial<KeyRingOptions> & { issuers?: readonly IssuerKey[] } = {}): Scene {
  const clock = new ManualClock(START_MS);
  const store = new MemoryStore();
  const time = new TrustedClock(clock, { mode: "assume", builtMs: START_MS - HOUR_MS }, store, () => false);
  const broker = new Issuer("broker-1", TEST1_PEM, "k1");
  const options: KeyRingOptions = {
    bridgeId: "bridge-7",
    issuers: [broker.issuerKey],
    store,
    time,
    maxLifetimeMs: 24 * HOUR_MS,
    ...change,
  };
  return { clock, store, time, broker, options, ring: KeyRing.open(options) };
}

/** A key for job j1: an hour, disk-a and any tape, read and write. */
export function request(change: Partial<KeyRequest> = {}): KeyRequest {
  return {
    holder: { kind: "job", id: "j1" },
    audience: ["bridge-7"],
    devices: [
      { kind: "device", name: "disk-a" },
      { kind: "class", deviceClass: "tape" },
    ],
    rights: ["read", "write"],
    expiresMs: START_MS + HOUR_MS,
    epoch: 1,
    ...change,
  };
}

function pem(seedHex: string): string {
  const der = Buffer.from(`302e020100300506032b657004220420${seedHex}`, "hex");
  return `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`;
}
