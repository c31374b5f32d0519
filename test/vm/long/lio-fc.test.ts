// Fibre Channel in software: FCoE between two ends of a pair of virtual interfaces, the kernel's target behind one, its
// initiator behind the other.
import test from "ava";
import { allow, DEVICES, FIND, start } from "../lib/lio-plant.js";

const FC_TARGET = "naa.2000020000000002";
const FC_INITIATOR = "naa.2000020000000001";
/** Two ends of a cable, each a Fibre Channel port by FCoE (FC-BB-6, VN2VN); their WWPNs are made of the addresses. Both
 * have to be there before the first frame: this kernel's libfcoe falls over one for a port that is half made. */
const FCOE = `modprobe -a fcoe tcm_fc
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 address 02:00:00:00:00:02
echo v0 >/sys/module/libfcoe/parameters/create_vn2vn
echo v1 >/sys/module/libfcoe/parameters/create_vn2vn`;

test.serial("Fibre Channel (FCoE, tcm_fc): an ACL for each WWPN, data and sense together", async (t) => {
  const devices = `${DEVICES}
[[lio]]
fabric = "fc"
name = "${FC_TARGET}"
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "tape0" }]
[[zone]]
name = "fc"
initiators = ["${FC_INITIATOR}", "mover"]
devices = ["disk0", "tape0"]
`;
  const { guest, bridge } = await start(t, devices, FCOE);
  await allow(bridge, FC_INITIATOR, ["disk0", "tape0"]);
  // The kernel's initiator sends st's own buffers without a copy and st gives them back too early, so that data go to the
  // tape through sg.
  const { out } = await guest.run(
    `${FIND}
    wait_for test -d /sys/kernel/config/target/fc/20:00:02:00:00:00:00:02/tpgt_1/acls/20:00:02:00:00:00:00:01/lun_1
    ip link set v0 up; ip link set v1 up
    disk=$(find_lun disk 1 fcoe) sg=$(find_lun disk 2 fcoe) drive=$(find_lun tape 2 fcoe)
    cat /sys/class/fc_remote_ports/*/roles
    mkfs.ext4 -q $disk && mkdir -p /mnt/a && mount $disk /mnt/a
    cp /usr/bin/sg_* /mnt/a/ && umount /mnt/a && e2fsck -fn $disk >/dev/null 2>&1 && echo file system whole
    sg_persist --out --register --param-sark=0x11 $sg
    sg_persist -s $sg
    wait_for sg_turs $drive
    head -c 262144 /usr/local/bin/node >/tmp/block
    sg_raw -s 262144 -i /tmp/block $drive 0a 00 04 00 00 00
    sg_raw $drive 01 00 00 00 00 00
    sg_raw -r 524288 -o /tmp/short $drive 08 00 08 00 00 00 2>&1 || true
    cmp -n 262144 /tmp/short /tmp/block && echo block whole`,
    { timeoutMs: 180_000 },
  );
  t.regex(out, /FCP Target/);
  t.regex(out, /file system whole/);
  t.regex(out, /FCP-2 World Wide Name:\s+20 00 02 00 00 00 00 01/, "reservations know it by its WWPN");
  t.regex(out, /Info fld=0x40000 \[262144\] +ILI/);
  t.regex(out, /block whole/);
});
