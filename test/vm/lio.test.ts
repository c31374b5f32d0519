// The kernel's own target in front of the bridge: a whole gantryd in the guest, its emulated disk and tape behind TCM
// user backstores, reached through the loopback fabric and through LIO's iSCSI.
import test from "ava";
import { revoke } from "../lib/gate-plant.js";
import { allow, DEVICES, FIND, LIO_TARGET, LOCAL, LOOPBACK, SERVER, start } from "./lib/lio-plant.js";

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
