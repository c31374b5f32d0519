// The fabrics of the kernel's own target (LIO), as far as they differ: where their targets stand in configfs, how names
// are written there, and how an initiator comes to a LUN. Pure.

import type { LioConfig } from "../../sys/config-fabric.js";
import type { InitiatorPort } from "../../wire/transport-id.js";

export type FabricName = LioConfig["fabric"];

interface Fabric {
  /** Below the root of the target's configfs. */
  readonly folder: string;
  /** "acl": by a node ACL with LUNs of its own; "nexus": there is one initiator, which the target names. */
  readonly access: "acl" | "nexus";
  /** Its target portal groups are switched on. */
  readonly enables: boolean;
  readonly written: (name: string) => string;
  /** ISIDs are not known here: one session of an initiator cannot be told from another. */
  readonly port: (name: string) => InitiatorPort;
}

/** Undefined in a name of that form: RFC 7143 4.2.7.5. */
const hexOf = (name: string): string => name.slice("naa.".length).toLowerCase();
/** "naa.2100001B321E9D60" as 21:00:00:1b:32:1e:9d:60. */
const colons = (name: string): string => (hexOf(name).match(/../g) ?? []).join(":");
const NO_ISID = "000000000000";
const iscsiPort = (name: string): InitiatorPort => ({ protocol: "iscsi", name, isid: NO_ISID });
const fcPort = (name: string): InitiatorPort => ({ protocol: "fc", name: hexOf(name) });
const sasPort = (name: string): InitiatorPort => ({ protocol: "sas", address: hexOf(name) });

export const FABRICS: Readonly<Record<FabricName, Fabric>> = {
  loopback: {
    folder: "loopback",
    access: "nexus",
    enables: false,
    written: (name) => `naa.${hexOf(name)}`,
    port: sasPort,
  },
  vhost: { folder: "vhost", access: "nexus", enables: false, written: (name) => `naa.${hexOf(name)}`, port: sasPort },
  iscsi: { folder: "iscsi", access: "acl", enables: true, written: (name) => name, port: iscsiPort },
  qla2xxx: { folder: "qla2xxx", access: "acl", enables: true, written: colons, port: fcPort },
  fc: { folder: "fc", access: "acl", enables: false, written: colons, port: fcPort },
  // SRP names a port by 16 bytes; TransportIDs of it are none that reservations know here.
  srpt: { folder: "srpt", access: "acl", enables: true, written: (name) => `0x${hexOf(name)}`, port: iscsiPort },
};

/** Whether an initiator of that name can come by the fabric: names of other kinds need no mapping there. */
export function mayCome(entry: LioConfig, initiator: string): boolean {
  if (entry.initiator !== undefined) return initiator === entry.initiator;
  if (entry.fabric === "iscsi") return /^(iqn|eui)\./.test(initiator);
  return new RegExp(`^naa\\.[0-9A-F]{${entry.fabric === "srpt" ? 32 : 16}}$`).test(initiator);
}
