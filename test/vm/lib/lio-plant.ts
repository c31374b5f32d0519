// What tests of the kernel's target stand on: a guest with its modules, a bridge in it with a disk, a tape drive and a
// mapping for each of the fabrics.
import type { ExecutionContext } from "ava";
import { issueKey } from "../../../tools/broker/key-commands.js";
import { BRIDGE } from "../../lib/bridge.js";
import { Guest } from "./guest.js";
import { GuestBridge } from "./guest-bridge.js";
import { KERNEL_TARGET } from "./preparations.js";

export const LOCAL = "naa.600140500000FFFE";
export const LOOPBACK = "naa.6001405000000001";
export const SERVER = "iqn.2024-01.org.example:server";
export const LIO_TARGET = "iqn.2024-01.org.example:kernel";

export const DEVICES = `
[[device]]
name = "disk0"
type = "disk"
transport = "virtual"
path = "/tmp/gantry/disk0"
size_mib = 64
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "/tmp/gantry/tapes"
cartridge = "A00001"
[[lio]]
fabric = "loopback"
name = "${LOOPBACK}"
initiator = "${LOCAL}"
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "tape0" }]
[[lio]]
fabric = "iscsi"
name = "${LIO_TARGET}"
portals = ["127.0.0.1:3261"]
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "tape0" }]
`;

/** find_lun TYPE COLUMN HOST: the node (1) or sg node (2) of the unit of this type at the SCSI host of this kind. */
export const FIND = `
find_lun() {
  local try found
  for try in $(seq 200); do
    found=$(for host in /sys/class/scsi_host/host*; do
      [ "$(cat $host/proc_name)" = $3 ] && lsscsi -g \${host##*host}:-:-:- | awk -v type=$1 '$2 == type && /GANTRY/ { print $(NF - 1), $NF }'
    done | tail -1 | awk -v column=$2 '{ print $column }')
    [[ $found == /dev/* ]] && { echo $found; return 0; }
    sleep 0.1
  done
  lsscsi -g >&2
  return 1
}
loop_disk() { find_lun disk 1 tcm_loopback; }
`;

export async function allow(bridge: GuestBridge, initiator: string, devices: readonly string[]): Promise<Uint8Array> {
  const key = issueKey(bridge.home, {
    bridge: BRIDGE,
    holder: `initiator:${initiator}`,
    device: devices,
    right: ["read", "write", "media-control", "exclusive"],
    priority: 1,
    lifeMs: 3_600_000,
  });
  await bridge.session.install(key);
  return key.content.id;
}

export async function start(
  t: ExecutionContext,
  devices = DEVICES,
  before = "",
): Promise<{ guest: Guest; bridge: GuestBridge }> {
  const guest = await Guest.prepared(KERNEL_TARGET);
  t.teardown(() => guest.stop());
  await guest.run(`mkdir -p /tmp/gantry/tapes\n${before}`);
  const bridge = await GuestBridge.start(t, guest, devices);
  return { guest, bridge };
}
