// One device behind two host adapters of a real kernel, known by its identity: paths are taken away in the middle of copies
// and sessions, and come back under other names.
import { setTimeout as later } from "node:timers/promises";
import test, { type ExecutionContext } from "ava";
import { issueKey } from "../../tools/broker/key-commands.js";
import { BRIDGE } from "../lib/bridge.js";
import { succeeded } from "../lib/job-plant.js";
import { rawList } from "../lib/raw-disk.js";
import { Guest } from "./lib/guest.js";
import { GuestBridge, SharedEndings, sgTable } from "./lib/guest-bridge.js";
import { DRIVERS } from "./lib/preparations.js";

const MIB = 48;
const BLOCKS = MIB * 2048;
const INITIATOR = "iqn.2024-01.org.example:guest";
const TARGET = "iqn.2024-01.org.example:paths";
const MEMBERS = [{ name: "all", at: [[0, 0, BLOCKS]] as const, size: BigInt(BLOCKS * 512) }];

interface PathRow {
  readonly path: string;
  readonly address: string;
  readonly state: string;
  readonly failures: number;
}

interface Scene {
  readonly guest: Guest;
  readonly bridge: GuestBridge;
  readonly list: string;
  readonly listBack: string;
}

const endings = new SharedEndings();
let scene: Scene;

test.before(async () => {
  const guest = await Guest.prepared(DRIVERS);
  endings.teardown(() => guest.stop());
  // Half a millisecond for each command, so that some are always on their way.
  const { out } = await guest.run(`modprobe -a sg sd_mod iscsi_tcp
    modprobe scsi_debug dev_size_mb=${MIB} per_host_store=0 add_host=2 vpd_use_hostno=0 ndelay=500000
    for try in $(seq 100); do [ -b /dev/sda ] && [ -b /dev/sdb ] && break; sleep 0.1; done
    dd if=/usr/local/bin/node of=/dev/sda bs=1M count=${MIB} oflag=direct status=none
    for node in /dev/sg0 /dev/sg1; do sg_vpd -p di $node | sed -n 's/.*0x\\(3[0-9a-f]*\\)$/\\1/p' | head -1; done`);
  const [naa = "", same] = out.trim().split("\n");
  if (naa === "" || naa !== same) throw new Error(`These are not two paths to one unit: ${out}`);
  await guest.newDisk("other", MIB);
  const other = (await guest.run("lsscsi -g | awk '/QEMU/ { print $NF }'")).out.trim();
  const bridge = await GuestBridge.start(
    endings,
    guest,
    `[[device]]
name = "disk0"
type = "disk"
transport = "sg"
identity = "naa.${naa}"
[[device]]
name = "late0"
type = "disk"
transport = "sg"
identity = "serial.QEMU.late"
${sgTable("other0", "disk", other)}
[iscsi]
portals = ["127.0.0.1:3270"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 0, device = "disk0" }, { lun = 1, device = "late0" }]
`,
    "mib_per_s = 6\nio_kib = 64\n",
  );
  const list = await rawList(guest.folder, "list", MEMBERS);
  const listBack = await rawList(guest.folder, "back", MEMBERS);
  scene = { guest, bridge, list, listBack };
});
test.after.always(() => endings.run());

async function paths(): Promise<readonly PathRow[]> {
  const rows = JSON.parse(await scene.bridge.shell("--json", "show", "paths")) as (Omit<PathRow, "address"> & {
    readonly device: string;
  })[];
  return rows
    .filter(({ device }) => device === "disk0")
    .map((row) => {
      const [path = "", address = ""] = row.path.split(" ");
      return { path, address, state: row.state, failures: row.failures };
    });
}

async function until(
  t: ExecutionContext,
  condition: (rows: readonly PathRow[]) => boolean,
): Promise<readonly PathRow[]> {
  for (let tries = 0; ; tries++) {
    const rows = await paths();
    if (condition(rows)) return rows;
    if (tries === 30) {
      t.log(rows);
      throw new Error("the paths are not as they should be");
    }
    await later(500);
  }
}

const both = (rows: readonly PathRow[]): boolean => rows.length === 2 && rows.every(({ state }) => state !== "dead");

/** As pulling the cable of the path that commands take now. Resolves with its address. */
async function cut(t: ExecutionContext): Promise<string> {
  const active = (await paths()).find(({ state }) => state === "active");
  if (active === undefined) throw new Error("no path is active");
  await scene.guest.run(`echo 1 > /sys/class/scsi_device/${active.address}/device/delete`);
  t.log(`cut ${active.path} ${active.address}`);
  return active.address;
}

async function back(address: string): Promise<void> {
  await scene.guest.run(`echo "- - -" > /sys/class/scsi_host/host${address.split(":")[0]}/scan`);
}

const compare = async (): Promise<string> =>
  (
    await scene.guest.run(
      `from=$(lsscsi | awk '/scsi_debug/ { print $NF }' | head -1) to=$(lsscsi | awk '/QEMU/ { print $NF }' | head -1)
      blockdev --flushbufs $from; blockdev --flushbufs $to
      cmp -n ${MIB << 20} $from $to && echo same`,
      { anyCode: true },
    )
  ).out;

test.serial("a copy goes on over the other path, twice, and a path that comes back has another node", async (t) => {
  const { bridge, guest, list } = scene;
  const first = await until(t, both);
  let cuts: Promise<string> | undefined;
  const nodes = new Set(first.map(({ path }) => path));
  const report = await bridge.run(
    { jobId: "away", type: "clone", disk: { device: "disk0" }, toDisk: { device: "other0" } },
    { file: list, device: "disk0" },
    {
      onProgress: ({ bytesDone }) => {
        if (bytesDone > 0n) cuts ??= cut(t);
      },
    },
  );
  succeeded(t, report);
  const address = await cuts;
  t.regex(await compare(), /same/);
  const alone = await until(t, (rows) => rows.some(({ state }) => state === "dead"));
  t.is(alone.find(({ state }) => state === "dead")?.address, address);
  // A device in between takes the name.
  await guest.newDisk("between", 1);
  await back(address ?? "");
  const again = await until(t, both);
  const returned = again.find((row) => row.address === address);
  t.false(nodes.has(returned?.path ?? ""), returned?.path);
  await guest.run(
    `dd if=/dev/zero of=$(lsscsi | awk '/scsi_debug/ { print $NF }' | head -1) bs=1M count=8 oflag=direct status=none`,
  );
  let second: Promise<string> | undefined;
  const home = await bridge.run(
    { jobId: "home", type: "clone", disk: { device: "other0" }, toDisk: { device: "disk0" } },
    { file: scene.listBack, device: "other0" },
    {
      onProgress: ({ bytesDone }) => {
        if (bytesDone > 0n) second ??= cut(t);
      },
    },
  );
  succeeded(t, home);
  t.not(second, undefined);
  await back((await second) ?? "");
  t.regex(await compare(), /same/);
  await until(t, both);
});

test.serial(
  "a session goes on over the other path; with no path left the unit is there again as soon as one is",
  async (t) => {
    const { bridge, guest } = scene;
    const key = issueKey(bridge.home, {
      bridge: BRIDGE,
      holder: `initiator:${INITIATOR}`,
      device: ["disk0", "late0"],
      right: ["read", "write"],
      priority: 1,
      lifeMs: 3_600_000,
    });
    await bridge.session.install(key);
    await guest.run(`pgrep iscsid >/dev/null || iscsid
    iscsiadm -m iface -I default >/dev/null || true
    iscsiadm -m iface -o new -I gantry >/dev/null
    iscsiadm -m iface -o update -I gantry -n iface.initiatorname -v ${INITIATOR} >/dev/null
    iscsiadm -m node -o new -T ${TARGET} -p 127.0.0.1:3270 -I gantry >/dev/null
    iscsiadm -m node -T ${TARGET} -p 127.0.0.1:3270 -I gantry --login >/dev/null`);
    const found = await guest.run(`for try in $(seq 100); do
      for device in /sys/block/sd*; do
        [[ $(readlink -f $device) == *session* ]] && { echo /dev/$(basename $device); exit; }
      done
      sleep 0.1
    done
    lsscsi >&2; exit 1`);
    const disk = found.out.trim();
    const writer = guest.start(`head -c 25165824 /dev/urandom >/tmp/data
    echo ready
    dd if=/tmp/data of=${disk} bs=64k oflag=direct status=none && dd if=${disk} bs=64k count=384 iflag=direct status=none | cmp - /tmp/data && echo written`);
    await writer.said(/ready/);
    await until(t, (rows) => rows.some(({ state }) => state === "active"));
    await later(500);
    t.true(writer.running, "it is cut in the middle");
    const address = await cut(t);
    t.is((await writer.end()).code, 0, `${writer.out}${writer.err}`);
    t.regex(String(writer.out), /written/);

    const last = await cut(t);
    await until(t, (rows) => rows.every(({ state }) => state === "dead"));
    const refused = await bridge.run(
      { jobId: "nowhere", type: "clone", disk: { device: "disk0" }, toDisk: { device: "other0" } },
      { file: scene.list, device: "disk0" },
    );
    t.is(refused.state, "failed");
    t.regex(
      JSON.stringify(refused, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value)),
      /is not there/,
    );
    await back(address);
    await back(last);
    await until(t, both);
    const read = await guest.run(
      `for try in $(seq 60); do
      dd if=${disk} bs=64k count=384 iflag=direct status=none 2>/dev/null | cmp - /tmp/data 2>/dev/null && { echo whole; exit; }
      sleep 0.5
    done`,
      { anyCode: true },
    );
    t.regex(read.out, /whole/);
  },
);

test.serial("a device that is plugged in while the daemon runs is there at once", async (t) => {
  const { bridge, guest } = scene;
  t.regex(await bridge.shell("--json", "show", "paths"), /serial\.QEMU\.late|late0/);
  await guest.newDisk("late", 8);
  for (let tries = 0; tries < 40; tries++) {
    if (
      /"late0"[^}]*"forServers":\s*"ready"/.test((await bridge.shell("--json", "show", "paths")).replaceAll("\n", ""))
    )
      break;
    await later(250);
  }
  t.regex((await bridge.shell("--json", "show", "paths")).replaceAll("\n", ""), /"late0"[^}]*"forServers":\s*"ready"/);
});
