// The SCSI generic nodes that the kernel has now, as sysfs tells of them. Nothing is sent to a device: the kernel keeps
// the pages that it asked for itself (drivers/scsi/scsi_sysfs.c).
import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Pages } from "./identity.js";

export interface ScsiNode extends Pages {
  /** "/dev/sg3". */
  readonly path: string;
  /** Host, channel, target, LUN: "2:0:0:1". */
  readonly address: string;
  /** Another one, whenever another device has the name or the address. */
  readonly stamp: string;
  /** Peripheral device type. */
  readonly type: number;
  readonly product: string;
  /** "running", "offline", "blocked", … */
  readonly state: string;
  /** The host's driver: "mpt3sas", "iscsi_tcp", "tcm_loop", … */
  readonly driver: string;
  /** Of the kernel's iSCSI initiator: the target's name. */
  readonly target?: string;
}

const UNKNOWN_TYPE = 0x1f;

export interface Places {
  /** Where sysfs is. */
  readonly sys: string;
  readonly dev: string;
}

/** In the order of their numbers; none where there is no SCSI generic driver. */
export async function scanNodes({ sys, dev }: Places): Promise<readonly ScsiNode[]> {
  const folder = join(sys, "class", "scsi_generic");
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^sg\d+$/.test(name));
  const found = await Promise.all(names.map((name) => readNode(folder, name, dev)));
  return found
    .filter((node) => node !== undefined)
    .sort((a, b) => Number(a.path.replace(/^.*sg/, "")) - Number(b.path.replace(/^.*sg/, "")));
}

/** Undefined: it went while it was looked at. */
async function readNode(folder: string, name: string, dev: string): Promise<ScsiNode | undefined> {
  const device = join(folder, name, "device");
  try {
    const address = basename(await readlink(device));
    const { ino } = await stat(device);
    const [type, vendor, product, state] = await Promise.all(
      ["type", "vendor", "model", "state"].map((file) => readText(join(device, file))),
    );
    const hosts = join(folder, "..", "scsi_host", `host${address.split(":")[0]}`);
    const driver = await readText(join(hosts, "proc_name"));
    const [session] = /session\d+/.exec(await realpath(device)) ?? [];
    const target =
      session === undefined ? "" : await readText(join(folder, "..", "iscsi_session", session, "targetname"));
    const [identification, serial] = await Promise.all(
      ["vpd_pg83", "vpd_pg80"].map((file) => readFile(join(device, file)).catch(() => undefined)),
    );
    return {
      path: join(dev, name),
      address,
      stamp: `${name} ${address} ${ino}`,
      type: type === "" ? UNKNOWN_TYPE : Number(type),
      vendor: vendor ?? "",
      product: product ?? "",
      state: state ?? "",
      driver,
      ...(target === "" ? {} : { target }),
      ...(identification === undefined || identification.length === 0 ? {} : { identification }),
      ...(serial === undefined || serial.length === 0 ? {} : { serial }),
    };
  } catch {
    return undefined;
  }
}

const readText = async (path: string): Promise<string> => (await readFile(path, "latin1").catch(() => "")).trim();
