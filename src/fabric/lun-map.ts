// What the configuration says of targets, LUNs and zones, as login, discovery and paths ask for it. Pure.
import type { TargetPort } from "../plane.js";
import type { IscsiConfig, LioConfig, TargetConfig, ZoneConfig } from "../sys/config-fabric.js";
import type { LoginDirectory, TargetFacts } from "./iscsi/directory.js";
import type { Portal } from "./portals.js";

/** All portals are one portal group: a session may be reinstated through any of them (RFC 7143 4.2.7). */
export const PORTAL_GROUP_TAG = 1;

/** Every address of the machine: the initiator knows better which of them it came to. */
const WILDCARD = /^(0\.0\.0\.0|\[[0:]+\]):/;

export interface LunEntry {
  readonly lun: number;
  readonly device: string;
}

export interface FabricSettings {
  readonly iscsi: IscsiConfig;
  readonly target: readonly TargetConfig[];
  /** Targets of the kernel's own. */
  readonly lio?: readonly LioConfig[];
  readonly zone: readonly ZoneConfig[];
}

/** Targets of both kinds, in the order in which they are numbered. */
export const allTargets = ({ target, lio }: Pick<FabricSettings, "target" | "lio">) => [...target, ...(lio ?? [])];

/** Whether zones let the initiator see the device. No zone at all: nothing is zoned. */
export function zoned(zones: readonly ZoneConfig[], initiator: string, device: string): boolean {
  if (zones.length === 0) return true;
  return zones.some((zone) => zone.initiators.includes(initiator) && zone.devices.includes(device));
}

/** LUNs of a target that zones leave to an initiator, lowest first. */
export function lunsFor(settings: FabricSettings, target: string, initiator: string): readonly LunEntry[] {
  const found = allTargets(settings).find(({ name }) => name === target);
  if (found === undefined) return [];
  return found.luns.filter(({ device }) => zoned(settings.zone, initiator, device)).toSorted((a, b) => a.lun - b.lun);
}

/**
 * Relative target port identifier (SPC-4 3.1.120): targets are numbered from 1 as they stand in the configuration, the
 * kernel's behind the bridge's own.
 */
export function relativePort(settings: FabricSettings, target: string): number {
  return allTargets(settings).findIndex(({ name }) => name === target) + 1;
}

/**
 * The target port that sessions of a target and portal group come by; undefined: the target is not configured. The ports
 * of a bridge are equally good, so they are one group. The name is RFC 7143 4.4.1's: target, `t`, portal group tag.
 */
export function targetPort(settings: FabricSettings, target: string, portalGroupTag: number): TargetPort | undefined {
  const relative = relativePort(settings, target);
  if (relative === 0) return undefined;
  // SPC-4 7.8.6.11: ports of other transports have an NAA name, and nothing behind it.
  if (target.startsWith("naa.")) return { relative, group: 1, name: target };
  return { relative, group: 1, name: `${target},t,0x${portalGroupTag.toString(16).padStart(4, "0")}` };
}

export function devicesInMaps(settings: FabricSettings): ReadonlySet<string> {
  return new Set(allTargets(settings).flatMap(({ luns }) => luns.map(({ device }) => device)));
}

/**
 * Answers login and discovery. Who is in no zone of any of a target's devices does not learn that it exists. Keys do
 * not count here: without one a session sees no device, but it is the way to present one in-band.
 */
export class ConfiguredDirectory implements LoginDirectory {
  readonly #settings: () => FabricSettings;
  readonly #portals: () => readonly Portal[];

  constructor(settings: () => FabricSettings, portals: () => readonly Portal[]) {
    this.#settings = settings;
    this.#portals = portals;
  }

  target(_portal: number, name: string): TargetFacts | undefined {
    const found = this.#settings().target.find((target) => target.name === name);
    if (found === undefined) return undefined;
    return {
      name,
      portalGroupTag: PORTAL_GROUP_TAG,
      ...(found.alias === undefined ? {} : { alias: found.alias }),
    };
  }

  admits(initiator: string, target: string): boolean {
    const settings = this.#settings();
    if (settings.zone.length === 0) return settings.target.some(({ name }) => name === target);
    return lunsFor(settings, target, initiator).length > 0;
  }

  /** To whom comes over the network, addresses of this machine's own loopback lead nowhere. */
  visible(initiator: string, portal: number): ReturnType<LoginDirectory["visible"]> {
    const portals = this.#portals();
    const local = portals.find(({ number }) => number === portal)?.loopback ?? false;
    const addresses = portals
      .filter(({ loopback }) => local || !loopback)
      .map(({ address }) => ({ address: WILDCARD.test(address) ? "" : address, portalGroupTag: PORTAL_GROUP_TAG }));
    return this.#settings()
      .target.filter(({ name }) => this.admits(initiator, name))
      .map(({ name }) => ({ name, addresses }));
  }
}
