// The bridge as a real kernel sees it: its disk, tape and generic drivers, and the tools that people use on them.
import test from "ava";
import { allow, GUEST, LUNS, login, plug, startBridge, TARGET } from "./lib/bridge-plant.js";

const DEVICES = Object.keys(LUNS) as (keyof typeof LUNS)[];

test.serial("QEMU as the initiator: sd, st and sg drivers on the bridge's disks and tape", async (t) => {
  const plant = await startBridge(t);
  await allow(plant, GUEST, DEVICES);
  await plug(plant, DEVICES);
  const { guest } = plant;

  const inquiry = await guest.run(`
    sg_inq $(find_node disk 2); sg_inq $(find_node tape 2); sg_vpd -p di $(find_node disk 2); sg_readcap $(find_node disk 2)
    sg_luns $(find_node disk 2)`);
  t.regex(inquiry.out, /Vendor identification: GANTRY/);
  t.regex(inquiry.out, /Peripheral device type: tape/);

  const disk = await guest.run(
    `
    disk=$(find_node disk 1)
    mkfs.ext4 -q $disk
    mkdir -p /mnt/a && mount $disk /mnt/a
    fio --name=v --directory=/mnt/a --size=8m --rw=randwrite --bs=4k-64k --ioengine=psync --direct=1 --verify=crc32c --do_verify=1 --output-format=terse >/tmp/fio
    cut -d';' -f5 /tmp/fio
    cp -r /usr/bin/sg_* /mnt/a/
    umount /mnt/a && e2fsck -fn $disk >/dev/null
    mount $disk /mnt/a && for file in /usr/bin/sg_*; do cmp $file /mnt/a/$(basename $file); done
    fstrim -v /mnt/a
    umount /mnt/a`,
    { timeoutMs: 180_000 },
  );
  t.regex(disk.out, /^0$/m, "fio found no error");
  t.regex(disk.out, /trimmed/);

  const tape = await guest.run(
    `
    tape=$(find_node tape 1); tape=\${tape/st/nst}
    mt -f $tape rewind; mt -f $tape setblk 0
    tar -b 2048 -cf $tape /usr/bin/sg_dd /usr/bin/sg_inq
    tar -b 128 -cf $tape /usr/sbin/mkfs.ext4
    mt -f $tape status
    mt -f $tape rewind
    tar -b 2048 -tvf $tape
    mt -f $tape fsf 1
    tar -b 128 -df $tape -C / && echo second same
    mt -f $tape rewind; mt -f $tape eod; mt -f $tape tell
    mt -f $tape seek 1; mt -f $tape tell
    mt -f $tape bsfm 1 2>&1 || true
    mt -f $tape rewind
    dd if=$tape of=/dev/null bs=512 count=1 2>&1 || echo 'a block longer than asked for is an error'`,
    { timeoutMs: 180_000 },
  );
  t.regex(tape.out, /sg_dd/);
  t.regex(tape.out, /second same/);
  t.regex(tape.out, /At block 4\.\nAt block 1\./, "tell and seek");
  t.regex(tape.out, /Cannot allocate memory|longer than asked for/);
});

test.serial(
  "open-iscsi: login, file system, tape, persistent reservations and third-party copy by other people's tools",
  async (t) => {
    const plant = await startBridge(t);
    const { guest } = plant;
    await login(plant);
    const none = await guest.run("sleep 1; lsscsi | grep -c GANTRY || true");
    t.is(none.out.trim(), "0", "without a key there is no unit");

    await allow(plant, GUEST, DEVICES);
    await guest.run(`iscsiadm -m session --rescan >/dev/null`);
    const { out } = await guest.run(
      `
    a=$(find_node disk 1 1) b=$(find_node disk 1 2)
    ga=$(find_node disk 2 1) gb=$(find_node disk 2 2)
    mkfs.ext4 -q $a
    mkdir -p /mnt/a && mount $a /mnt/a
    cp /usr/bin/sg_* /mnt/a/
    umount /mnt/a
    sg_xcopy if=$ga of=$gb bs=512 count=65536 2>&1
    blockdev --flushbufs $a; blockdev --flushbufs $b
    cmp -n 33554432 $a $b && echo copied the same
    ddpt if=$gb of=$ga bs=512 count=8192 --xcopy 2>&1 | tail -1
    sg_persist --out --register --param-sark=0x11 $ga
    sg_persist --out --reserve --param-rk=0x11 --prout-type=3 $ga
    sg_persist -r $ga; sg_persist -k $ga; sg_persist -s $ga
    sg_persist --out --release --param-rk=0x11 --prout-type=3 $ga
    sg_persist --out --register --param-rk=0x11 --param-sark=0 $ga
    sg_opcodes $ga | grep -c '^ ' `,
      { timeoutMs: 240_000 },
    );
    t.regex(out, /copied the same/);
    t.regex(out, /Exclusive Access/);
    t.regex(out, /Key=0x11/);

    const tape = await guest.run(
      `
    tape=$(find_node tape 1); tape=\${tape/st/nst}
    mt -f $tape setblk 0; mt -f $tape rewind
    head -c 20000000 /usr/local/bin/node >/tmp/data
    dd if=/tmp/data of=$tape bs=256k status=none
    mt -f $tape rewind
    dd if=$tape bs=256k status=none | cmp - /tmp/data && echo tape same
    sg_logs -p 0xc $(find_node tape 2) | head -5 || true
    iscsiadm -m node -T ${TARGET} --logout >/dev/null`,
      { timeoutMs: 180_000 },
    );
    t.regex(tape.out, /tape same/);
  },
);
