// The bridge as a pass-through of one scsi_debug disk against the two bridges that exist: tgtd with its sg backing store
// and LIO's pscsi. Everything is in the guest, under the same load, in alternation.
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../../src/sys/errors.js";
import { buildLoad, type LoadResult } from "../../../tools/bench/bridge-load.js";
import { type Row, row } from "../../../tools/bench/row.js";
import { allow, GUEST, TARGET } from "../lib/bridge-plant.js";
import { Guest } from "../lib/guest.js";
import { GuestBridge, SharedEndings, sgTable } from "../lib/guest-bridge.js";
import { DRIVERS } from "../lib/preparations.js";
import type { VmBenchOptions } from "./copy.js";

const PORTS = { gantryd: 3261, tgtd: 3262, LIO: 3263 } as const;
type Bridge = keyof typeof PORTS;
const SECONDS = 3;
/** tgtd answers what is more than the sg driver takes at a time (SG_MAX_QUEUE) with an error; so it gets no more. */
const TGTD_DEPTH = 16;

const POINTS = [
  { kib: 4, depth: 1, mode: "read" },
  { kib: 4, depth: 32, mode: "read" },
  { kib: 4, depth: 32, mode: "write" },
  { kib: 256, depth: 8, mode: "read" },
  { kib: 256, depth: 8, mode: "write" },
] as const;
/** Where the issue sets one. */
const TARGETS: Readonly<Record<string, number>> = { "4/32": 1.5, "256/8": 1.5 };

/** tgtd: pass-through of the sg node. LIO: pscsi wants the block node, and the address of the unit. */
const PEERS = (sg: string): string => `
modprobe -a target_core_mod target_core_pscsi iscsi_target_mod
C=/sys/kernel/config/target
address=$(basename $(readlink -f /sys/class/block/sda/device)); IFS=: read -r h c i l <<<"$address"
mkdir -p $C/core/pscsi_0/disk
echo "scsi_host_id=$h,scsi_channel_id=$c,scsi_target_id=$i,scsi_lun_id=$l" >$C/core/pscsi_0/disk/control
echo /dev/sda >$C/core/pscsi_0/disk/udev_path
echo 1 >$C/core/pscsi_0/disk/enable
T=$C/iscsi/${TARGET}/tpgt_1
mkdir -p $T/np/127.0.0.1:${PORTS.LIO}
for pair in authentication:0 generate_node_acls:1 cache_dynamic_acls:1 demo_mode_write_protect:0; do echo \${pair#*:} >$T/attrib/\${pair%:*}; done
echo 1 >$T/enable
mkdir $T/lun/lun_0 && ln -s $C/core/pscsi_0/disk $T/lun/lun_0/link
mkdir -p /run/tgtd && tgtd -C 2 --iscsi portal=127.0.0.1:${PORTS.tgtd}
wait_for tgtadm -C 2 --op show --mode sys
A='tgtadm -C 2 --lld iscsi'
$A --op new --mode target --tid 1 -T ${TARGET}
$A --op new --mode logicalunit --tid 1 --lun 1 --bstype=sg --device-type=pt -b ${sg}
$A --op bind --mode target --tid 1 -I ALL`;

export async function measureBridge({ runs, say }: VmBenchOptions): Promise<readonly Row[]> {
  await buildLoad();
  const endings = new SharedEndings();
  try {
    const guest = await Guest.prepared(DRIVERS);
    endings.teardown(() => guest.stop());
    const { out } = await guest.run(`modprobe scsi_debug dev_size_mb=64 delay=0; wait_for test -b /dev/sda
      echo 1 >/sys/module/sg/parameters/allow_dio
      dd if=/usr/local/bin/node of=/dev/sda bs=1M count=64 oflag=direct status=none; sg_of sda`);
    const sg = out.trim();
    const bridge = await GuestBridge.start(
      endings,
      guest,
      `${sgTable("disk0", "disk", sg)}[iscsi]
portals = ["127.0.0.1:${PORTS.gantryd}"]
[[target]]
name = "${TARGET}"
luns = [{ lun = 1, device = "disk0" }]
`,
    );
    await allow({ bridge }, GUEST, ["disk0"]);
    await guest.run(PEERS(sg));
    const program = join("build", "bin", "iscsi-load");
    if (!existsSync(program)) throw new Error(`${program} is missing`);
    copyFileSync(program, join(guest.folder, "iscsi-load"));
    const pids = await processes(guest);
    const results = new Map<string, LoadResult[]>();
    for (let run = 0; run < runs; run++) {
      say(`bridge: run ${run + 1} of ${runs}`);
      for (const point of POINTS)
        for (const name of Object.keys(PORTS) as Bridge[]) {
          const key = `${name} ${point.kib}/${point.depth} ${point.mode}`;
          const result = await load(guest, name, point, pids[name]).catch(async (error: unknown) => {
            // A peer that answers with an error under load gets another try, and that is said.
            say(`${key}: ${messageOf(error).split("\n").at(-2) ?? ""}`);
            return load(guest, name, point, pids[name]);
          });
          results.set(key, [...(results.get(key) ?? []), result]);
        }
    }
    return POINTS.flatMap((point) => rowsOf(point, results));
  } finally {
    await endings.run();
  }
}

async function processes(guest: Guest): Promise<Readonly<Record<Bridge, number | undefined>>> {
  const { out } = await guest.run("pgrep -of 'node.*gantryd.js'; pgrep -of 'tgtd -C 2'");
  const [gantryd, tgtd] = out.trim().split("\n").map(Number);
  // LIO's work is done by threads of the kernel, and its processor time is not asked for.
  return { gantryd, tgtd, LIO: undefined };
}

async function load(guest: Guest, name: Bridge, point: (typeof POINTS)[number], pid?: number): Promise<LoadResult> {
  const words = {
    port: PORTS[name],
    target: TARGET,
    lun: name === "LIO" ? 0 : 1,
    initiator: GUEST,
    sessions: 1,
    depth: name === "tgtd" ? Math.min(TGTD_DEPTH, point.depth) : point.depth,
    bytes: point.kib * 1024,
    mode: point.mode,
    order: "random",
    seconds: SECONDS,
    warm: 0.5,
    ...(pid === undefined ? {} : { pid }),
  };
  const { out } = await guest.run(
    `/host/iscsi-load ${Object.entries(words)
      .map(([word, value]) => `${word}=${value}`)
      .join(" ")}`,
  );
  return JSON.parse(out) as LoadResult;
}

function rowsOf(point: (typeof POINTS)[number], results: ReadonlyMap<string, readonly LoadResult[]>): readonly Row[] {
  const rate = (name: Bridge): readonly number[] =>
    (results.get(`${name} ${point.kib}/${point.depth} ${point.mode}`) ?? []).map(
      ({ commands, seconds }) => commands / seconds,
    );
  const target = TARGETS[`${point.kib}/${point.depth}`];
  return (["tgtd", "LIO"] as const).map((peerName) =>
    row({
      name: `pass-through, ${point.kib} KiB ${point.mode}, ${point.depth} outstanding`,
      unit: "commands/s",
      ours: rate("gantryd"),
      peer: rate(peerName),
      peerName: peerName === "tgtd" ? "tgtd --bstype=sg --device-type=pt" : "LIO pscsi",
      ...(target === undefined ? {} : { target }),
    }),
  );
}
