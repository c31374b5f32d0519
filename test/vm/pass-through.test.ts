// Real nodes behind the bridge, seen through it: a library's robot, a tape drive and a disk, each by sg pass-through,
// with a real initiator in front. Commands, sense and residuals come through as they are.
import test from "ava";
import { allow, GUEST, loginAt, TARGET } from "./lib/bridge-plant.js";
import { Guest } from "./lib/guest.js";
import { GuestBridge, sgTable } from "./lib/guest-bridge.js";
import { LIBRARY } from "./lib/preparations.js";

const PORT = 3261;
const LUNS = ["robot", "tape0", "tape1", "disk0"];

test.serial("mtx, mt, tar and sg tools through the bridge on tgtd's library and scsi_debug's disk", async (t) => {
  const guest = await Guest.prepared(LIBRARY);
  t.teardown(() => guest.stop());
  const { out } = await guest.run(
    "for one in sch0 st0 st1; do sg_of $one; done; sg_of $(lsscsi | awk '/scsi_debug/ { print $NF; exit }')",
  );
  const [robot = "", drive0 = "", drive1 = "", disk = ""] = out.trim().split("\n");
  const bridge = await GuestBridge.start(
    t,
    guest,
    `${sgTable("robot", "changer", robot)}${sgTable("tape0", "tape", drive0)}${sgTable("tape1", "tape", drive1)}${sgTable("disk0", "disk", disk)}
[iscsi]
portals = ["127.0.0.1:${PORT}"]
[[target]]
name = "${TARGET}"
luns = [${LUNS.map((device, lun) => `{ lun = ${lun}, device = "${device}" }`).join(", ")}]
`,
  );
  await allow({ bridge }, GUEST, LUNS);
  await loginAt(guest, `127.0.0.1:${PORT}`);
  // The bridge's units are those of the last SCSI host.
  const found = await guest.run(`wait_for eval '[ $(ls /dev/sg* | wc -l) -ge 10 ]'; wait_for test -e /dev/st3
    wait_for test -e /dev/sch1; lsscsi -g; echo robot $(sg_of sch1)`);
  t.is(found.out.match(/VIRTUAL-CHANGER/g)?.length, 2);
  t.is(found.out.match(/VIRTUAL-TAPE/g)?.length, 4);

  const changer = await guest.run(
    `robot=$(sg_of sch1)
    sg_turs $robot || sg_turs $robot
    mtx -f $robot inquiry
    mtx -f $robot status
    mtx -f $robot load 3 0
    mtx -f $robot transfer 4 3
    mtx -f $robot status
    mtx -f $robot load 1 0 2>&1 || echo 'a full drive takes no second cartridge'`,
    { timeoutMs: 60_000 },
  );
  t.regex(changer.out, /Product Type: Medium Changer/);
  t.regex(changer.out, /Data Transfer Element 0:Full .*TAPE0003/);
  t.regex(changer.out, /a full drive takes no second cartridge/);

  const tape = await guest.run(
    `tape=/dev/nst2
    mt -f $tape rewind
    mt -f $tape setblk 0
    tar -b 128 -cf $tape /usr/bin/sg_dd /usr/bin/sg_inq
    tar -b 128 -cf $tape /usr/bin/sg_raw
    mt -f $tape rewind
    tar -b 128 -tf $tape
    mt -f $tape fsf 1
    tar -b 128 -df $tape -C / && echo second same
    mt -f $tape rewind
    dd if=$tape of=/tmp/short bs=256k count=1 status=none && stat -c %s /tmp/short
    mt -f $tape rewind
    dd if=$tape of=/dev/null bs=4k count=1 2>&1 || echo 'longer than asked for'`,
    { timeoutMs: 120_000 },
  );
  t.regex(tape.out, /second same/);
  t.regex(tape.out, /^65536$/m, "a read of more than the block has its length");
  t.regex(tape.out, /longer than asked for/);
  // The same cartridge, by the drive's own node: what went through the bridge is on it.
  const own = await guest.run("mt -f /dev/nst0 rewind; tar -b 128 -tf /dev/nst0");
  t.regex(own.out, /sg_inq/);

  const disks = await guest.run(
    `behind=$(lsscsi | awk '/scsi_debug/ { print $NF; exit }') front=$(lsscsi | awk '/scsi_debug/ { node = $NF } END { print node }')
    dd if=/usr/local/bin/node of=$front bs=1M count=16 oflag=direct status=none
    cmp -n 16777216 /usr/local/bin/node $behind && echo through
    sg_vpd -p di $(sg_of $behind) >/tmp/behind; sg_vpd -p di $(sg_of $front) >/tmp/front; cmp /tmp/behind /tmp/front && echo the same unit
    sg_raw -r 512 $(sg_of $front) 88 00 ff ff ff ff ff ff ff f0 00 00 00 01 00 00 2>&1 || true`,
    { timeoutMs: 60_000 },
  );
  t.regex(disks.out, /through/);
  t.regex(disks.out, /Logical block address out of range/, "the device's own sense");
  t.regex(await bridge.shell("show", "sessions"), /robot/);
});
