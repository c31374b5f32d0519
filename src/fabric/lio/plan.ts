// From what stands in the kernel target's configfs to what is wanted there: the steps, in an order in which each can be
// done. Pure; when all were done, the next plan has none. What is to go goes first, so that an initiator never has two
// ways to a device, and a LUN is made only when its commands are answered.
import { createHash } from "node:crypto";
import { FABRICS, type FabricName } from "./fabrics.js";
import { GROUP, HBA, type Seen, type SeenTarget, type Step, targetPath } from "./tree.js";

/** A device for one initiator of one target: a backstore, its ring, and a LUN that leads there. */
export interface WantedUnit {
  readonly fabric: FabricName;
  readonly target: string;
  readonly initiator: string;
  readonly lun: number;
  readonly device: string;
  /** One command at a time, large blocks, and reads that move it. */
  readonly sequential: boolean;
}

export interface WantedTarget {
  readonly fabric: FabricName;
  readonly name: string;
  /** Of fabrics with one initiator. */
  readonly initiator?: string | undefined;
  readonly portals: readonly string[];
}

export interface Wanted {
  readonly owner: string;
  readonly targets: readonly WantedTarget[];
  readonly units: readonly WantedUnit[];
}

/** 16 MiB in one command: the largest that the bridge takes. */
const MAX_SECTORS = 32_768;
const SECTOR_BYTES = 512;
/** READ CAPACITY and everything like it are the device's own; this number nobody is told. */
const SIZE_BYTES = 1 << 30;
const RING_MIB = 1;
/** Address space of the data of all commands of a ring; memory is taken in these blocks as commands need it. */
const AREA_MIB = 128;
/** 1 MiB for a tape, whose blocks are large and come one by one; 64 KiB for a disk: data then lie in one piece. */
const PAGES_PER_BLOCK = { sequential: 256, direct: 16 } as const;

const digest = (words: string, digits: number): string =>
  createHash("sha256").update(words).digest("hex").slice(0, digits);

/** What names of a bridge's backstores begin with. */
export const ownerName = (bridge: string): string => `gantry_${digest(bridge, 8)}_`;

/** The same for the same mapping, and another one as soon as anything of it differs. */
export function unitName(owner: string, { fabric, target, initiator, lun, device, sequential }: WantedUnit): string {
  return owner + digest(JSON.stringify([1, fabric, target, initiator, lun, device, sequential]), 16);
}

const groupOf = (fabric: FabricName, written: string): string => `${targetPath(fabric, written)}/${GROUP}`;

interface Placed extends WantedUnit {
  readonly name: string;
  readonly written: string;
}

/** @param attached rings that are served now */
export function plan(seen: Seen, wanted: Wanted, attached: ReadonlySet<string>): readonly Step[] {
  const units = new Map<string, Placed>();
  for (const unit of wanted.units) {
    const name = unitName(wanted.owner, unit);
    units.set(name, { ...unit, name, written: FABRICS[unit.fabric].written(unit.target) });
  }
  const targets = new Map(
    wanted.targets.map((target) => [targetPath(target.fabric, FABRICS[target.fabric].written(target.name)), target]),
  );
  return [
    ...removedUnits(seen, units, attached),
    ...removedTargets(seen, targets),
    ...madeUnits(seen, units, attached),
    ...madeTargets(seen, targets),
    ...madeLuns(seen, [...units.values()]),
  ];
}

/* ---- what goes ---- */

function removedUnits(seen: Seen, units: ReadonlyMap<string, Placed>, attached: ReadonlySet<string>): Step[] {
  const going = new Set(seen.units.map(({ name }) => name).filter((name) => !units.has(name)));
  const steps: Step[] = [];
  // Nobody answers what a process that is no more left in a ring, and the kernel waits for it: it ends now.
  for (const { name, enabled } of seen.units) {
    if (!going.has(name) || !enabled || attached.has(name)) continue;
    steps.push({ kind: "write", path: `${HBA}/${name}/action/block_dev`, value: "1" });
    steps.push({ kind: "write", path: `${HBA}/${name}/action/reset_ring`, value: "2" });
  }
  const goes = (unit: string | undefined): unit is string => unit !== undefined && !units.has(unit);
  for (const target of seen.targets) {
    const group = groupOf(target.fabric, target.written);
    for (const acl of target.acls) {
      const gone = acl.luns.filter(({ unit }) => goes(unit));
      for (const { folder, unit } of gone) {
        steps.push({ kind: "unlink", path: `${group}/acls/${acl.written}/${folder}/${unit}` });
        steps.push({ kind: "rmdir", path: `${group}/acls/${acl.written}/${folder}` });
      }
      if (gone.length > 0 && gone.length === acl.luns.length)
        steps.push({ kind: "rmdir", path: `${group}/acls/${acl.written}` });
    }
    for (const { folder, unit } of target.luns.filter((lun) => goes(lun.unit))) {
      steps.push({ kind: "unlink", path: `${group}/lun/${folder}/${unit}` });
      steps.push({ kind: "rmdir", path: `${group}/lun/${folder}` });
    }
  }
  for (const name of going) {
    if (attached.has(name)) steps.push({ kind: "detach", unit: name });
    steps.push({ kind: "rmdir", path: `${HBA}/${name}` });
  }
  return steps;
}

/** A target that had nothing but LUNs of ours, and is not wanted any more, was ours. */
function removedTargets(seen: Seen, targets: ReadonlyMap<string, WantedTarget>): Step[] {
  return seen.targets.flatMap((target) => {
    const path = targetPath(target.fabric, target.written);
    const own = target.luns.length > 0 && target.luns.every(({ unit, others }) => unit !== undefined && !others);
    return targets.has(path) || !own ? [] : removed(target);
  });
}

function removed({ fabric, written, acls, portals }: SeenTarget): Step[] {
  const { enables, access } = FABRICS[fabric];
  const group = groupOf(fabric, written);
  return [
    ...(enables ? [{ kind: "write", path: `${group}/enable`, value: "0" } as const] : []),
    ...(access === "nexus" ? [{ kind: "write", path: `${group}/nexus`, value: "NULL" } as const] : []),
    ...acls
      .filter(({ luns }) => luns.length === 0)
      .map((acl) => ({ kind: "rmdir", path: `${group}/acls/${acl.written}` }) as const),
    ...portals.map((portal) => ({ kind: "rmdir", path: `${group}/np/${portal}` }) as const),
    { kind: "rmdir", path: group },
    { kind: "rmdir", path: targetPath(fabric, written) },
  ];
}

/* ---- what comes ---- */

function madeUnits(seen: Seen, units: ReadonlyMap<string, Placed>, attached: ReadonlySet<string>): Step[] {
  const steps: Step[] = [];
  if (units.size > 0 && seen.units.length === 0) steps.push({ kind: "mkdir", path: HBA });
  for (const unit of units.values()) {
    if (seen.units.find(({ name }) => name === unit.name)?.enabled !== true) steps.push(...madeUnit(unit));
    if (!attached.has(unit.name)) steps.push({ kind: "attach", unit: unit.name });
  }
  return steps;
}

function madeUnit({ name, sequential }: Placed): Step[] {
  const path = `${HBA}/${name}`;
  const control = [
    `dev_config=gantry/${name}`,
    `dev_size=${SIZE_BYTES}`,
    `hw_block_size=${SECTOR_BYTES}`,
    `hw_max_sectors=${MAX_SECTORS}`,
    `max_data_area_mb=${AREA_MIB}`,
    `data_pages_per_blk=${sequential ? PAGES_PER_BLOCK.sequential : PAGES_PER_BLOCK.direct}`,
    `cmd_ring_size_mb=${RING_MIB}`,
    // Else the kernel waits for a daemon that listens to netlink, which this one does not.
    "nl_reply_supported=-1",
  ].join(",");
  return [
    { kind: "mkdir", path },
    { kind: "write", path: `${path}/control`, value: control },
    { kind: "write", path: `${path}/wwn/vpd_unit_serial`, value: name },
    // A command that the kernel gave up stays in the ring, and would be carried out after its initiator was told that
    // it was not: the kernel gives up none.
    { kind: "write", path: `${path}/attrib/cmd_time_out`, value: "0" },
    // Reservations are the arbiter's, port groups the device's: their commands come through.
    { kind: "write", path: `${path}/attrib/pgr_support`, value: "0" },
    { kind: "write", path: `${path}/attrib/alua_support`, value: "0" },
    { kind: "write", path: `${path}/attrib/tmr_notification`, value: "1" },
    // Last: what is switched on is whole.
    { kind: "write", path: `${path}/enable`, value: "1" },
  ];
}

function madeTargets(seen: Seen, targets: ReadonlyMap<string, WantedTarget>): Step[] {
  return [...targets].flatMap(([path, target]): Step[] => {
    const { folder, enables, access, written } = FABRICS[target.fabric];
    const before = seen.targets.find((one) => targetPath(one.fabric, one.written) === path);
    const group = `${path}/${GROUP}`;
    const portals = target.portals.filter((portal) => before?.portals.includes(portal) !== true);
    const steps: Step[] = [];
    const made = before?.ready !== true;
    if (made) {
      steps.push(...[folder, path, group].map((part) => ({ kind: "mkdir", path: part }) as const));
      if (access === "nexus" && target.initiator !== undefined)
        steps.push({ kind: "write", path: `${group}/nexus`, value: written(target.initiator) });
    }
    for (const portal of before?.portals ?? [])
      if (!target.portals.includes(portal)) steps.push({ kind: "rmdir", path: `${group}/np/${portal}` });
    for (const portal of portals) steps.push({ kind: "mkdir", path: `${group}/np/${portal}` });
    if (made && target.fabric === "iscsi") {
      // Who is in no ACL does not come in; who is, is believed (the configuration says where that may be).
      steps.push({ kind: "write", path: `${group}/attrib/generate_node_acls`, value: "0" });
      steps.push({ kind: "write", path: `${group}/attrib/authentication`, value: "0" });
    }
    if (made && enables) steps.push({ kind: "write", path: `${group}/enable`, value: "1" });
    return steps;
  });
}

/** LUNs of a target with ACLs are one for each initiator and device; the initiator sees them by the numbers of its ACL. */
function madeLuns(seen: Seen, units: readonly Placed[]): Step[] {
  const steps: Step[] = [];
  const used = new Map<string, Set<string>>();
  for (const unit of units) {
    const { fabric, written, name, lun } = unit;
    const group = groupOf(fabric, written);
    const target = seen.targets.find((one) => one.fabric === fabric && one.written === written);
    const taken =
      used.get(group) ??
      new Set(target?.luns.filter(({ unit: led, others }) => led !== undefined || others).map(({ folder: at }) => at));
    used.set(group, taken);
    const byAcl = FABRICS[fabric].access === "acl";
    const before = target?.luns.find((one) => one.unit === name)?.folder;
    const folder = before ?? (byAcl ? free(taken) : `lun_${lun}`);
    taken.add(folder);
    if (before === undefined) {
      steps.push({ kind: "mkdir", path: `${group}/lun/${folder}` });
      steps.push({ kind: "link", path: `${group}/lun/${folder}/${name}`, to: `${HBA}/${name}` });
    }
    if (byAcl) steps.push(...mapped(group, target, unit, folder));
  }
  return steps;
}

function mapped(group: string, target: SeenTarget | undefined, unit: Placed, folder: string): Step[] {
  const initiator = FABRICS[unit.fabric].written(unit.initiator);
  const acl = target?.acls.find(({ written }) => written === initiator);
  if (acl?.luns.some(({ unit: name }) => name === unit.name) === true) return [];
  const path = `${group}/acls/${initiator}`;
  return [
    { kind: "mkdir", path },
    { kind: "mkdir", path: `${path}/lun_${unit.lun}` },
    { kind: "link", path: `${path}/lun_${unit.lun}/${unit.name}`, to: `${group}/lun/${folder}` },
  ];
}

function free(taken: ReadonlySet<string>): string {
  let number = 0;
  while (taken.has(`lun_${number}`)) number += 1;
  return `lun_${number}`;
}
