// A sysfs tree as the kernel would show it, for tests: SCSI generic nodes that come, go and change names.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromHex } from "../../src/wire/hex.js";
import { encodeDesignator } from "../../src/wire/xcopy/designator.js";

export interface TreeDevice {
  readonly naa?: string;
  readonly serial?: string;
  readonly type?: number;
  readonly vendor?: string;
}

const page = (code: number, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([0, code, body.length >> 8, body.length & 0xff]), body]);

/** VPD page 83h of a unit: a relative target port first, then its own name. */
export function identificationPage(naa: string): Buffer {
  const port = encodeDesignator({ codeSet: 1, association: 1, type: 4, value: Uint8Array.from([0, 0, 0, 1]) });
  const own = encodeDesignator({ codeSet: 1, association: 0, type: 3, value: fromHex(naa) });
  return page(0x83, Buffer.concat([port, own]));
}

export const serialPage = (serial: string): Buffer => page(0x80, Buffer.from(serial, "latin1"));

export class SysfsTree {
  readonly sys: string;
  #made = 0;
  #sessions = 0;

  constructor(folder: string) {
    this.sys = folder;
    mkdirSync(join(folder, "class", "scsi_generic"), { recursive: true });
  }

  add(
    name: string,
    address: string,
    { naa, serial, type = 0, vendor = "ACME    " }: TreeDevice,
    below = "target",
  ): void {
    const device = join(this.sys, "devices", `d${this.#made++}`, below, address);
    mkdirSync(device, { recursive: true });
    const files = { type: `${type}\n`, vendor: `${vendor}\n`, model: "DISK\n", state: "running\n" };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(device, file), text);
    if (naa !== undefined) writeFileSync(join(device, "vpd_pg83"), identificationPage(naa));
    if (serial !== undefined) writeFileSync(join(device, "vpd_pg80"), serialPage(serial));
    const node = join(this.sys, "class", "scsi_generic", name);
    mkdirSync(node);
    symlinkSync(device, join(node, "device"));
  }

  /** The same behind the kernel's iSCSI initiator. */
  addSession(name: string, address: string, device: TreeDevice, target: string): void {
    const session = `session${++this.#sessions}`;
    const folder = join(this.sys, "class", "iscsi_session", session);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "targetname"), `${target}\n`);
    this.add(name, address, device, session);
  }

  remove(name: string): void {
    rmSync(join(this.sys, "class", "scsi_generic", name), { recursive: true });
  }
}
