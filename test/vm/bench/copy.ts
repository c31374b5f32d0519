// Copying between two disks of scsi_debug, which have a store in memory each: the engine against the copiers of
// sg3_utils and ddpt at their best settings, in one guest, in alternation.

import type { EngineJob, EngineRun } from "../../../tools/bench/engine-child.js";
import { type Row, row } from "../../../tools/bench/row.js";
import { Guest } from "../lib/guest.js";
import { DRIVERS } from "../lib/preparations.js";

export interface VmBenchOptions {
  readonly mib: number;
  readonly runs: number;
  readonly say: (text: string) => void;
}

interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** Each peer's settings that were best of 64 KiB to 1 MiB, with and without direct I/O, in the guest. */
const PEERS = (from: string, to: string, blocks: number): Readonly<Record<string, string>> => ({
  "sg_dd bpt=512": `sg_dd if=${from} of=${to} bs=512 bpt=512 count=${blocks}`,
  "sg_dd bpt=1024 dio=1": `sg_dd if=${from} of=${to} bs=512 bpt=1024 count=${blocks} dio=1`,
  "sgp_dd bpt=512 thr=4": `sgp_dd if=${from} of=${to} bs=512 bpt=512 count=${blocks} thr=4`,
  "sgp_dd bpt=1024 thr=4": `sgp_dd if=${from} of=${to} bs=512 bpt=1024 count=${blocks} thr=4`,
  "sgm_dd bpt=512": `sgm_dd if=${from} of=${to} bs=512 bpt=512 count=${blocks}`,
  "sgm_dd bpt=1024": `sgm_dd if=${from} of=${to} bs=512 bpt=1024 count=${blocks}`,
  "ddpt bpt=512": `ddpt if=${from} of=${to} bs=512 bpt=512 count=${blocks}`,
  "ddpt pt bpt=512": `ddpt if=$(disk_by ${from}) of=$(disk_by ${to}) bs=512 bpt=512 count=${blocks} iflag=pt oflag=pt`,
});

export async function measureCopy({ mib, runs, say }: VmBenchOptions): Promise<readonly Row[]> {
  const guest = await Guest.prepared(DRIVERS);
  try {
    const { out } = await guest.run(`
      modprobe scsi_debug dev_size_mb=${mib} per_host_store=1 add_host=2 delay=0
      wait_for test -b /dev/sda -a -b /dev/sdb
      node=/usr/local/bin/node; for part in $(seq 0 64 ${mib - 1}); do dd if=$node of=/dev/sda bs=1M seek=$part count=64 oflag=direct status=none; done
      echo 'copy of the first run makes the pages' >&2
      dd if=/dev/sda of=/dev/sdb bs=1M oflag=direct status=none
      echo 1 >/sys/module/sg/parameters/allow_dio
      echo $(sg_of sda) $(sg_of sdb)`);
    const [from = "", to = ""] = out.trim().split(" ");
    const costs = new Map<string, Cost[]>();
    const ours: EngineRun[] = [];
    const blocks = mib * 2048;
    for (let run = 0; run < runs; run++) {
      say(`copy: run ${run + 1} of ${runs}`);
      ours.push(await engine(guest, from, to, mib));
      for (const [name, command] of Object.entries(PEERS(from, to, blocks)))
        costs.set(name, [...(costs.get(name) ?? []), await peer(guest, command)]);
    }
    await guest.run("echo 3 >/proc/sys/vm/drop_caches; cmp /dev/sda /dev/sdb", { timeoutMs: 300_000 });
    const gib = mib / 1024;
    return [...costs].flatMap(([peerName, each]) => [
      row({
        name: "scsi_debug to scsi_debug over sg",
        unit: "MiB/s",
        ours: ours.map(({ seconds }) => mib / seconds),
        peer: each.map(({ seconds }) => mib / seconds),
        peerName,
        target: 1.2,
      }),
      row({
        name: "the same, processor",
        unit: "s/GiB",
        ours: ours.map(({ cpuSeconds }) => cpuSeconds / gib),
        peer: each.map(({ cpuSeconds }) => cpuSeconds / gib),
        peerName,
        target: 1,
        lowerIsBetter: true,
      }),
    ]);
  } finally {
    await guest.stop();
  }
}

async function engine(guest: Guest, from: string, to: string, mib: number): Promise<EngineRun> {
  const settings = JSON.parse(process.env.GANTRY_VM_BENCH_ENGINE ?? "{}") as Partial<EngineJob> & { maxIoKib?: number };
  const place = { blockBytes: 512, ...settings };
  const job = { ...settings, from: { sg: from, ...place }, to: { sg: to, ...place }, bytes: mib << 20 };
  const { out } = await guest.run(`node /tree/dist/tools/bench/engine-child.js '${JSON.stringify(job)}'`, {
    timeoutMs: 300_000,
  });
  return JSON.parse(out) as EngineRun;
}

async function peer(guest: Guest, command: string): Promise<Cost> {
  const { err } = await guest.run(
    `disk_by() { local sg=\${1##*/}; echo /dev/$(ls /sys/class/scsi_generic/$sg/device/block); }
    TIMEFORMAT='@ %R %U %S'; time ${command} >/dev/null`,
    { timeoutMs: 300_000 },
  );
  const [seconds, user, system] = /@ (\S+) (\S+) (\S+)/.exec(err)?.slice(1).map(Number) ?? [];
  if (seconds === undefined || user === undefined || system === undefined) throw new Error(`${command}: ${err}`);
  return { seconds, cpuSeconds: user + system };
}
