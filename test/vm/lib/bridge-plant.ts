// A gantryd of this machine with two disks and a tape drive as LUNs, its keys, and a guest that reaches them: with QEMU
// as the initiator, or with the guest's own open-iscsi.
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import { issueKey } from "../../../tools/broker/key-commands.js";
import { BRIDGE } from "../../lib/bridge.js";
import { deviceTables, type Plant, startPlant } from "../../lib/job-plant.js";
import { freePort } from "../../lib/mosquitto.js";
import { Guest } from "./guest.js";
import { LIBRARY } from "./preparations.js";

export const TARGET = "iqn.2024-01.org.example:bridge";
/** The name of the guest's open-iscsi, or of QEMU. */
export const GUEST = "iqn.2024-01.org.example:guest";
export const LUNS = { disk0: 0, disk1: 1, tape0: 2 } as const;

export interface BridgePlant extends Plant {
  readonly port: number;
  readonly guest: Guest;
}

export async function startBridge(t: ExecutionContext, moreTables = ""): Promise<BridgePlant> {
  const port = await freePort();
  const plant = await startPlant(t, {
    devices: (folder) => {
      const at = (name: string): { path: string } => ({ path: join(folder, name) });
      const tables = deviceTables({
        disks: { disk0: at("disk0"), disk1: at("disk1") },
        tapes: { tape0: at("tapes") },
      });
      return `${tables.replaceAll("block_bytes = 512", "block_bytes = 512\nsize_mib = 64")}cartridge = "A00001"
[iscsi]
portals = ["127.0.0.1:${port}"]
[[target]]
name = "${TARGET}"
luns = [${Object.entries(LUNS).map(([device, lun]) => `{ lun = ${lun}, device = "${device}" }`)}]
${moreTables}`;
    },
  });
  const guest = await Guest.prepared(LIBRARY);
  t.teardown(() => guest.stop());
  return { ...plant, port, guest };
}

/** A key for everything on these devices, so that what refuses is not the gate. */
export async function allow(
  plant: Pick<Plant, "bridge">,
  initiator: string,
  devices: readonly string[],
): Promise<void> {
  const key = issueKey(plant.bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${initiator}`,
    device: devices,
    right: ["read", "write", "media-control", "exclusive"],
    priority: 1,
    lifeMs: 3_600_000,
  });
  await plant.bridge.session.install(key);
}

/** Plugs LUNs of the bridge into the guest, QEMU being the initiator. */
export async function plug({ guest, port }: BridgePlant, devices: readonly (keyof typeof LUNS)[]): Promise<void> {
  for (const device of devices)
    await guest.addIscsi({
      portal: `127.0.0.1:${port}`,
      target: TARGET,
      lun: LUNS[device],
      initiator: GUEST,
    });
}

/** Logs the guest's open-iscsi in. 10.0.2.2 is the loopback address of this machine. */
export const login = ({ guest, port }: BridgePlant): Promise<unknown> => loginAt(guest, `10.0.2.2:${port}`);

export async function loginAt(guest: Guest, portal: string): Promise<void> {
  await guest.run(`iscsiadm -m iface -o new -I gantry >/dev/null
    iscsiadm -m iface -o update -I gantry -n iface.initiatorname -v ${GUEST} >/dev/null
    iscsiadm -m node -o new -T ${TARGET} -p ${portal} -I gantry >/dev/null
    iscsiadm -m node -T ${TARGET} -p ${portal} -I gantry --login >/dev/null`);
}
