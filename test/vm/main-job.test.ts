// The main job on real nodes: the block list of a mounted ext4, from a virtio SCSI disk to a tape behind /dev/sg, and
// back onto another disk; daemon, agent, MQTT server and kernel all in the guest.
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { succeeded } from "../lib/job-plant.js";
import { Guest } from "./lib/guest.js";
import { GuestBridge, sgTable } from "./lib/guest-bridge.js";
import { LIBRARY } from "./lib/preparations.js";

const DISK_MIB = 96;

async function start(t: ExecutionContext): Promise<Guest> {
  const guest = await Guest.prepared(LIBRARY);
  t.teardown(() => guest.stop());
  return guest;
}

test.serial("ext4 on a virtio disk → tgtd's tape behind sg → another disk: the same files", async (t) => {
  const guest = await start(t);
  for (const name of ["from", "to"]) await guest.newDisk(name, DISK_MIB);
  const prepared = await guest.run(`from=$(disk_of from) to=$(disk_of to)
    mkfs.ext4 -q $from
    mkdir -p /mnt/from && mount $from /mnt/from
    cp -r /usr/bin/sg_* /etc /mnt/from/
    mkdir /mnt/from/deep && ln -s ../sg_dd /mnt/from/deep/link && ln /mnt/from/sg_dd /mnt/from/deep/hard
    truncate -s 5m /mnt/from/sparse
    dd if=/usr/local/bin/node of=/mnt/from/sparse bs=4k seek=300 count=2000 conv=notrunc status=none
    mtx -f $(sg_of sch0) load 1 0 >/dev/null
    echo $(sg_of $from) $(sg_of $to) $(sg_of st0)`);
  const [from = "", to = "", drive = ""] = prepared.out.trim().split(" ");
  const bridge = await GuestBridge.start(
    t,
    guest,
    sgTable("disk0", "disk", from) + sgTable("back0", "disk", to) + sgTable("tape0", "tape", drive),
  );
  const listed = await guest.run(
    "node /tree/dist/tools/agent/main.js list --path /mnt/from --freeze --out /host/list.glist --list-id one --json",
  );
  t.log(listed.out);
  const list = { file: join(guest.folder, "list.glist"), device: "disk0" };
  const tape = { device: "tape0", cartridges: [] };
  const backup = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape,
      options: { position: "overwrite", sha256: true },
    },
    list,
  );
  succeeded(t, backup);
  t.log(`backup ${backup.bytesDone} bytes, ${backup.membersDone} members`);
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape, options: { sha256: true } }));
  // What is on the tape is an archive for anybody. Folders' times differ where their files were made one by one.
  const tar = await guest.run(
    `mt -f /dev/nst0 rewind
    mkdir /tmp/out && tar -b 512 -xf /dev/nst0 -C /tmp/out
    diff -r --no-dereference -x lost+found -x .gantry /mnt/from /tmp/out && echo the same`,
    { anyCode: true },
  );
  t.regex(tar.out, /the same/, tar.out + tar.err);

  await guest.run(`to=$(disk_of to)
    mkfs.ext4 -q $to
    mkdir -p /mnt/to && mount $to /mnt/to
    node /tree/dist/tools/agent/main.js prepare --target /mnt/to --list /host/list.glist --out /host/back.glist --list-id two --json`);
  const restore = await bridge.run(
    { jobId: "restore", type: "restore", disk: { device: "back0" }, tape },
    { file: join(guest.folder, "back.glist"), device: "back0" },
  );
  succeeded(t, restore);
  const back = await guest.run(
    `node /tree/dist/tools/agent/main.js settle --target /mnt/to --list /host/back.glist --json
    diff -r --no-dereference -x lost+found /mnt/from /mnt/to && echo the same
    umount /mnt/to && e2fsck -fn $(disk_of to)`,
    { anyCode: true },
  );
  t.regex(back.out, /the same/, back.out + back.err);
  t.is(back.code, 0, back.out + back.err);
  t.regex(await bridge.shell("show", "jobs"), /restore .*succeeded/);
});
