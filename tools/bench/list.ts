// The suite "list": from the first message of a block list to the job that is planned, in the real daemon.
import { randomUUID } from "node:crypto";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BenchBridge, DISK_BLOCK_BYTES } from "./bridge.js";
import { type MadeList, makeList } from "./lists.js";
import type { BenchOptions } from "./main.js";
import { type Row, row } from "./row.js";
import { memoryBesideArena } from "./run.js";

/** What ten million extents may cost. */
const TARGET_SECONDS = 5;
const TARGET_MIB = 512;
const TARGET_POWER = 7;
const PLAN_LOOK_MS = 5;
const MEMORY_LOOK_MS = 50;
const MIB = 1024 * 1024;

interface Outcome {
  readonly receivedS: number;
  readonly plannedS: number;
  /** Above what the daemon had before the list. */
  readonly memoryMib: number;
}

export async function measureList({ folder, runs, extents, say }: BenchOptions): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (let power = 3; power <= extents; power++) {
    const count = 10 ** power;
    const list = makeList("list", count);
    const outcomes: Outcome[] = [];
    for (let index = 0; index < runs; index++) {
      say(`list: 10^${power} extents, run ${index + 1} of ${runs}`);
      const own = join(folder, `list-${power}-${index}`);
      outcomes.push(await once(own, list));
      rmSync(own, { recursive: true, force: true });
    }
    const name = `list of 10^${power} extents`;
    const last = power === TARGET_POWER;
    const common = { peerName: "none", lowerIsBetter: true } as const;
    rows.push(
      row({
        ...common,
        name: `${name}, message to planned job`,
        unit: "s",
        ours: outcomes.map(({ plannedS }) => plannedS),
        ...(last ? { target: TARGET_SECONDS } : {}),
      }),
      row({
        ...common,
        name: `${name}, of that until received whole`,
        unit: "s",
        ours: outcomes.map(({ receivedS }) => receivedS),
      }),
      row({
        ...common,
        name: `${name}, time of an extent`,
        unit: "us",
        ours: outcomes.map(({ plannedS }) => (plannedS / count) * 1e6),
      }),
      row({
        ...common,
        name: `${name}, memory above idle`,
        unit: "MiB",
        ours: outcomes.map(({ memoryMib }) => memoryMib),
        ...(last ? { target: TARGET_MIB } : {}),
      }),
      row({
        ...common,
        name: `${name}, memory of an extent`,
        unit: "bytes",
        ours: outcomes.map(({ memoryMib }) => (memoryMib * MIB) / count),
      }),
    );
  }
  return rows;
}

async function once(folder: string, { header, chunks, diskBlocks }: MadeList): Promise<Outcome> {
  const bridge = await BenchBridge.make(folder);
  let look: NodeJS.Timeout | undefined;
  try {
    const disk = join(folder, "disk.img");
    writeFileSync(disk, "");
    truncateSync(disk, diskBlocks * DISK_BLOCK_BYTES);
    await bridge.start(disk);
    await bridge.online();
    const jobId = randomUUID();
    const key = await bridge.key(jobId);
    const before = memoryBesideArena(bridge.pid);
    let most = before;
    look = setInterval(() => {
      most = Math.max(most, memoryBesideArena(bridge.pid));
    }, MEMORY_LOOK_MS);
    const { client } = bridge.session;
    const start = performance.now();
    await client.sendList(header, "disk0", chunks);
    const received = performance.now();
    const { listId, volume } = header;
    await client.send("job.submit", {
      jobId,
      type: "backup",
      keys: [key],
      disk: { device: "disk0" },
      tape: { device: "tape0", cartridges: ["BENCH1"] },
      listId,
      volume,
    });
    for (;;) {
      const { report, progress } = await client.send("job.get", { jobId });
      if (report?.failure !== undefined) throw new Error(`the job failed: ${report.failure.message}`);
      // A job knows its total when the list was checked against the disk and the plan begins.
      if (report !== undefined || (progress !== undefined && progress.bytesTotal > 0n)) break;
      await sleep(PLAN_LOOK_MS);
    }
    const planned = performance.now();
    most = Math.max(most, memoryBesideArena(bridge.pid));
    await client.send("job.cancel", { jobId }).catch(() => undefined);
    return { receivedS: (received - start) / 1000, plannedS: (planned - start) / 1000, memoryMib: most - before };
  } finally {
    clearInterval(look);
    await bridge.close();
  }
}
