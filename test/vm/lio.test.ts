// The kernel's own target in front of the bridge: a whole gantryd in the guest, its emulated disk and tape behind TCM
// user backstores, reached through the loopback fabric and through LIO's iSCSI.
import test, { type ExecutionContext } from "ava";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE } from "../lib/bridge.js";
import { revoke } from "../lib/gate-plant.js";
import { Guest } from "./lib/guest.js";
import { GuestBridge } from "./lib/guest-bridge.js";
import { KERNEL_TARGET } from "./lib/preparations.js";

const LOCAL = "naa.600140500000FFFE";
const LOOPBACK = "naa.6001405000000001";
const SERVER = "iqn.2024-01.org.example:server";
const LIO_TARGET = "iqn.2024-01.org.example:kernel";

const DEVICES = `
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
const FIND = `
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

async function allow(bridge: GuestBridge, initiator: string, devices: readonly string[]): Promise<Uint8Array> {
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

async function start(
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

test.serial("loopback: sd, st and sg drivers behind a ring, as far as keys go", async (t) => {
  const { guest, bridge } = await start(t);
  const none = await guest.run("sleep 1; lsscsi | grep -c GANTRY || true");
  t.is(none.out.trim(), "0", "without a key there is no unit");
  const id = await allow(bridge, LOCAL, ["disk0", "tape0"]);

  const disk = await guest.run(
    `${FIND}
    disk=$(loop_disk) sg=$(find_lun disk 2 tcm_loopback)
    sg_inq $sg
    mkfs.ext4 -q $disk && mkdir -p /mnt/a && mount $disk /mnt/a
    cp /usr/bin/sg_* /mnt/a/ && umount /mnt/a && e2fsck -fn $disk >/dev/null 2>&1 && echo file system whole
    sg_dd if=$sg of=/tmp/by-sg bs=512 bpt=2048 count=65536 2>/dev/null
    cmp -n 33554432 /tmp/by-sg $disk && echo one MiB at a time
    sg_persist --out --register --param-sark=0x11 $sg
    sg_persist --out --reserve --param-rk=0x11 --prout-type=3 $sg
    sg_persist -s $sg`,
    { timeoutMs: 120_000 },
  );
  t.regex(disk.out, /Vendor identification: GANTRY/);
  t.regex(disk.out, /file system whole/);
  t.regex(disk.out, /one MiB at a time/);
  t.regex(
    disk.out,
    /SAS address: 0x600140500000fffe/,
    "reservations are the arbiter's, under the name of the initiator",
  );
  const [reservation] = (await bridge.shell("show reservations")).match(/disk0.*/) ?? [];
  t.regex(reservation ?? "", /sas:600140500000fffe/);
  t.regex(await bridge.shell("show sessions"), new RegExp(`${LOCAL} +${LOOPBACK} +loopback`));

  const tape = await guest.run(
    `${FIND}
    tape=$(find_lun tape 1 tcm_loopback) sg=$(find_lun tape 2 tcm_loopback)
    tape=/dev/n\${tape##*/}
    mt -f $tape setblk 0
    head -c 20000000 /usr/local/bin/node >/tmp/data
    dd if=/tmp/data of=$tape bs=1M status=none
    mt -f $tape rewind
    dd if=$tape bs=1M status=none | cmp - /tmp/data && echo large blocks same
    mt -f $tape rewind
    dd if=/tmp/data of=$tape bs=64k count=4 status=none
    mt -f $tape rewind
    sg_raw -r 131072 -o /tmp/short $sg 08 00 02 00 00 00 2>&1 || true
    [ $(stat -c %s /tmp/short) = 65536 ] && cmp -n 65536 /tmp/short /tmp/data && echo short block whole
    tar -b 2048 -cf $tape -C / usr/bin/sg_dd usr/bin/sg_inq
    mt -f $tape bsfm 1 || mt -f $tape rewind
    mt -f $tape tell`,
    { timeoutMs: 120_000 },
  );
  t.regex(tape.out, /large blocks same/);
  t.regex(tape.out, /Info fld=0x10000 \[65536\] +ILI/, "sense beside the data");
  t.regex(tape.out, /short block whole/);

  await revoke(bridge, id);
  const gone = await guest.run(
    "wait_for sh -c '! lsscsi | grep -q GANTRY'; ls /sys/class/uio /sys/kernel/config/target/core/user_7070",
  );
  t.notRegex(gone.out, /uio\d|gantry_/, "without the key nothing of it is left in the kernel");
});

test.serial(
  "LIO's iSCSI: another initiator has a mapping of its own, and meets the first in the arbiter",
  async (t) => {
    const { guest, bridge } = await start(t);
    await allow(bridge, LOCAL, ["disk0", "tape0"]);
    await allow(bridge, SERVER, ["disk0", "tape0"]);
    const { out } = await guest.run(
      `${FIND}
    local=$(find_lun disk 2 tcm_loopback)
    wait_for test -d /sys/kernel/config/target/iscsi/${LIO_TARGET}/tpgt_1/acls/${SERVER}/lun_1
    iscsiadm -m iface -I default >/dev/null || true
    iscsiadm -m iface -o new -I gantry >/dev/null
    iscsiadm -m iface -o update -I gantry -n iface.initiatorname -v ${SERVER} >/dev/null
    iscsiadm -m node -o new -T ${LIO_TARGET} -p 127.0.0.1:3261 -I gantry >/dev/null
    iscsiadm -m node -T ${LIO_TARGET} -p 127.0.0.1:3261 -I gantry --login >/dev/null
    disk=$(find_lun disk 2 iscsi_tcp) tape=$(find_lun tape 1 iscsi_tcp) sg=$(find_lun tape 2 iscsi_tcp)
    tape=/dev/n\${tape##*/}
    sg_persist --out --register --param-sark=0x22 $disk
    sg_persist --out --reserve --param-rk=0x22 --prout-type=3 $disk
    sg_raw -r 512 $local 28 00 00 00 00 00 00 00 01 00 2>&1 || true
    sg_persist -s $local
    sg_persist --out --release --param-rk=0x22 --prout-type=3 $disk
    mt -f $tape setblk 0
    dd if=/usr/local/bin/node of=$tape bs=256k count=40 status=none
    mt -f $tape rewind
    dd if=$tape bs=256k status=none | cmp - <(head -c 10485760 /usr/local/bin/node) && echo tape same
    mt -f $tape rewind
    sg_raw -r 524288 -o /tmp/short $sg 08 00 08 00 00 00 2>&1 || true
    [ $(stat -c %s /tmp/short) = 262144 ] && echo short block whole
    iscsiadm -m node -T ${LIO_TARGET} --logout >/dev/null`,
      { timeoutMs: 180_000 },
    );
    t.regex(out, /reservation conflict/i);
    t.regex(out, new RegExp(`iSCSI.*${SERVER}|${SERVER}`));
    t.regex(out, /tape same/);
    t.regex(out, /short block whole/);
  },
);

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

test.serial("kill -9 with commands in flight: the next daemon takes them up, and nothing is done twice", async (t) => {
  // Slow enough that something is always on its way.
  const slow = DEVICES.replace("size_mib = 64", "$&\npace_kib_s = 8192");
  const { guest, bridge } = await start(t, slow);
  await allow(bridge, LOCAL, ["disk0", "tape0"]);
  const work = guest.start(`${FIND}
    disk=$(loop_disk) sg=$(find_lun tape 2 tcm_loopback)
    wait_for sg_turs $sg
    touch /tmp/begun
    fio --name=v --filename=$disk --size=48m --rw=randwrite --bs=4k-64k --ioengine=libaio --iodepth=16 --direct=1 \
      --verify=crc32c --do_verify=1 --output-format=terse --output=/tmp/fio >/dev/null 2>&1 & fio=$!
    good=0
    for block in $(seq 0 1000); do
      dd if=/usr/local/bin/node of=/tmp/block bs=64k skip=$block count=1 status=none
      sg_raw -t 120 -s 65536 -i /tmp/block $sg 0a 00 01 00 00 00 2>/tmp/said || break
      good=$((good + 1))
    done
    cat /tmp/said
    echo "good $good"
    wait $fio || true
    echo "fio $(cut -d';' -f5 /tmp/fio)"`);
  await guest.run("wait_for test -e /tmp/begun; wait_for pgrep -x fio; sleep 1; pgrep -x fio >/dev/null");
  await bridge.kill();
  await guest.run("sleep 2");
  await bridge.start();
  const ended = await work.end();
  const out = String(work.out);
  t.log(out);
  t.is(ended.code, 0, String(work.err));
  t.regex(out, /^fio 0$/m, "a disk's driver tries again, and everything that was written is read");
  // As it was met: not begun (the new nexus says first that it is new), or begun, so that nobody knows whether it is there.
  t.regex(out, /Aborted command|Unit Attention/i);
  const good = Number(/^good (\d+)$/m.exec(out)?.[1]);
  const tape = await guest.run(
    `${FIND}
    tape=$(find_lun tape 1 tcm_loopback); tape=/dev/n\${tape##*/}
    mt -f $tape rewind 2>/dev/null || mt -f $tape rewind
    mt -f $tape setblk 0
    dd if=$tape of=/tmp/back bs=64k 2>/tmp/said || true
    cmp -n $(stat -c %s /tmp/back) /tmp/back /usr/local/bin/node
    echo $(($(stat -c %s /tmp/back) / 65536))`,
    { timeoutMs: 180_000 },
  );
  const there = Number(tape.out);
  t.true(good > 0 && (there === good || there === good + 1), `${good} blocks were acknowledged, ${there} are there`);
});
