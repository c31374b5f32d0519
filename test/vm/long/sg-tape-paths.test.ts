// A tape drive over two sessions of the kernel's initiator: a backup whose path is cut goes on over the other one, from its
// last checkpoint, and the tape is whole.
import test from "ava";
import { succeeded } from "../../lib/job-plant.js";
import { rawList } from "../../lib/raw-disk.js";
import { Guest } from "../lib/guest.js";
import { GuestBridge, sgTable } from "../lib/guest-bridge.js";
import { LIBRARY } from "../lib/preparations.js";

const MIB = 48;
const BLOCKS = MIB * 2048;
const MEMBERS = [{ name: "all", at: [[0, 0, BLOCKS]] as const, size: BigInt(BLOCKS * 512) }];

test.serial("a backup whose tape path is cut goes on over the other path", async (t) => {
  const guest = await Guest.prepared(LIBRARY);
  t.teardown(() => guest.stop());
  const { out } = await guest.run(`mtx -f $(sg_of sch0) load 1 0 >/dev/null
    iscsiadm -m iface -I default >/dev/null || true
    iscsiadm -m iface -o new -I second >/dev/null
    iscsiadm -m node -o new -T iqn.2024-01.org.gantry.test:library -p 127.0.0.1:3260 -I second >/dev/null
    iscsiadm -m node -T iqn.2024-01.org.gantry.test:library -p 127.0.0.1:3260 -I second --login >/dev/null
    for try in $(seq 100); do [ $(lsscsi | grep -c VIRTUAL-TAPE) -ge 4 ] && break; sleep 0.1; done
    dd if=/usr/local/bin/node of=/dev/sda bs=1M count=${MIB} oflag=direct status=none
    echo $(sg_of sda)
    sg_vpd -p di $(sg_of st0) | sed -n 's/.*0x\\(3[0-9a-f]*\\)$/\\1/p' | head -1`);
  const [disk = "", naa = ""] = out.trim().split("\n");
  const bridge = await GuestBridge.start(
    t,
    guest,
    `${sgTable("disk0", "disk", disk)}[[device]]
name = "tape0"
type = "tape"
transport = "sg"
identity = "naa.${naa}"
`,
    "mib_per_s = 6\nio_kib = 64\ncheckpoint_mib = 8\n",
  );
  const list = await rawList(guest.folder, "list", MEMBERS);
  const tape = { device: "tape0", cartridges: [] };
  let cut: Promise<string> | undefined;
  const pull = async (): Promise<string> => {
    const rows = JSON.parse(await bridge.shell("--json", "show", "paths")) as { path: string; state: string }[];
    const [, address = ""] = rows.find(({ state }) => state === "active")?.path.split(" ") ?? [];
    t.log(
      rows.map(({ path, state }) => `${path} ${state}`),
      `cut ${address}`,
    );
    await guest.run(`echo 1 > /sys/class/scsi_device/${address}/device/delete`);
    return address;
  };
  const report = await bridge.run(
    {
      jobId: "backup",
      type: "backup",
      disk: { device: "disk0" },
      tape,
      options: { position: "overwrite", sha256: true },
    },
    { file: list, device: "disk0" },
    {
      onProgress: ({ bytesDone }) => {
        if (bytesDone > 8n << 20n) cut ??= pull();
      },
    },
  );
  succeeded(t, report);
  t.not(await cut, undefined);
  succeeded(t, await bridge.run({ jobId: "verify", type: "verify", tape, options: { sha256: true } }));
  t.regex((await guest.run("cat /host/bridge/gantryd.log")).out, /a path to a device is dead/);
});
