// A bridge whose jobs last as long as a test wants: raw disks, a tape drive, and jobs held back by their rate.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobProgress, JobReport } from "../../src/job.js";
import type { TestBridge } from "./bridge.js";
import { deviceTables, type Plant, startPlant } from "./job-plant.js";
import { rawDisk, rawList, VOLUME } from "./raw-disk.js";

export const MIB = 1024 * 1024;
const DISK_MIB = 8;
/** Bytes per second of a job that is not to end by itself. */
const SLOW = 512n * 1024n;

export type Submit = CommandToSend<"job.submit">;

/** disk0 with data, spare (empty), tape0 and tape1; list "list" of 6 MiB for disk0 is there. */
export async function slowPlant(t: ExecutionContext<unknown>, jobs = ""): Promise<Plant> {
  const plant = await startPlant(t, {
    jobs,
    // A tape starts when most of its ring is full: a small one, so that a slow job soon moves something.
    memory: "arena_mib = 8",
    devices: (dir) => {
      rawDisk(join(dir, "disk.img"), DISK_MIB);
      writeFileSync(join(dir, "spare.img"), Buffer.alloc(DISK_MIB * MIB));
      return deviceTables({
        disks: { disk0: { path: join(dir, "disk.img") }, spare: { path: join(dir, "spare.img") } },
        tapes: { tape0: { path: join(dir, "tapes") }, tape1: { path: join(dir, "tapes1") } },
      });
    },
  });
  const members = Array.from({ length: 12 }, (_, index) => {
    return { name: `file-${index}`, at: [[0, index * 1024, 1024] as const] };
  });
  await plant.bridge.sendList(await rawList(plant.directory, "list", members), "disk0");
  return plant;
}

/** A backup to tape0 with a key of its own, not yet submitted. */
export async function slowJob(bridge: TestBridge, jobId: string, more: Partial<Submit> = {}): Promise<Submit> {
  const keys = more.keys ?? [await bridge.key(jobId, ["disk0", "spare", "tape0", "tape1"])];
  return {
    jobId,
    type: "backup",
    disk: { device: "disk0" },
    tape: { device: "tape0", cartridges: [jobId] },
    listId: "list",
    volume: VOLUME,
    ...more,
    keys,
    options: { bytesPerS: SLOW, tapeBlockBytes: 64 * 1024, ...more.options },
  };
}

export interface Started {
  readonly report: Promise<JobReport>;
  readonly progress: JobProgress[];
}

/** Submits, and resolves when the job has moved something. */
export async function startJob(bridge: TestBridge, spec: Submit): Promise<Started> {
  const progress: JobProgress[] = [];
  const report = bridge.session.run(spec, { onProgress: (seen) => progress.push(seen) });
  report.catch(() => undefined);
  await until(async () => {
    await Promise.race([report, new Promise((resolve) => setTimeout(resolve, 50))]);
    const { progress: now } = await bridge.session.client.send("job.get", { jobId: spec.jobId }).catch(() => NOTHING);
    return now.bytesDone > 0n;
  });
  return { report, progress };
}

const NOTHING = { progress: { bytesDone: 0n } };

/** Waits for something that comes sooner or later; the deadline only keeps a test from hanging. */
export async function until(seen: () => boolean | Promise<boolean>, deadlineMs = 30_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await seen())) {
    if (performance.now() > end) throw new Error("what was waited for did not come");
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
