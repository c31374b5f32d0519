// A bridge whose devices are those of a tgtd: two disks, the first of them with data, and a tape drive.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { CommandToSend } from "../../src/control/messages/commands.js";
import type { JobReport } from "../../src/job.js";
import { type Plant, startPlant } from "./job-plant.js";
import { rawBytes, rawList } from "./raw-disk.js";
import { type Started, startJob } from "./slow-bridge.js";
import { startTgtd, type Tgtd } from "./tgtd.js";

const MIB = 1024 * 1024;
const DISK_MIB = 8;
const MEMBERS = [
  { name: "first", at: [[0, 8, 6000]] as const },
  { name: "second", at: [[0, 7000, 7000]] as const },
];

export interface TargetPlant extends Plant {
  readonly tgtd: Tgtd;
  readonly content: Buffer;
  /** Starts a backup and resolves with its report. */
  backup(jobId: string, tape: "drive" | "tape0"): Promise<JobReport>;
  /** Starts a backup at so many bytes per second, to the drive of tgtd or the emulated one; resolves when it moves. */
  start(jobId: string, tape: "drive" | "tape0", bytesPerS: bigint): Promise<Started>;
}

export async function targetPlant(t: ExecutionContext<unknown>, jobs: string): Promise<TargetPlant> {
  const tgtd = await startTgtd({ disks: [DISK_MIB, DISK_MIB], tapes: [64] });
  // One that stands still would not be gone by itself.
  t.teardown(() => tgtd.close());
  const content = rawBytes(DISK_MIB * MIB);
  writeFileSync(tgtd.units[0]?.file ?? "", content, { flag: "r+" });
  const table = (name: string, type: "disk" | "tape", lun: number): string => `[[device]]
name = "${name}"
type = "${type}"
transport = "iscsi"
portal = "${tgtd.portal}"
target = "${tgtd.target}"
lun = ${lun}
connect_timeout_s = 1
`;
  const plant = await startPlant(t, {
    jobs: `io_kib = 64\n${jobs}`,
    memory: "arena_mib = 8",
    devices: (directory) => `${table("disk0", "disk", 1)}${table("back0", "disk", 2)}${table("drive", "tape", 3)}
[[device]]
name = "tape0"
type = "tape"
transport = "virtual"
path = "${join(directory, "tapes")}"
`,
  });
  const { bridge } = plant;
  const specOf = async (jobId: string, tape: "drive" | "tape0", bytesPerS: bigint) => {
    const keys = [await bridge.key(jobId, ["disk0", tape])];
    const listed = await bridge.sendList(await rawList(plant.directory, `list-${jobId}`, MEMBERS), "disk0");
    const spec: CommandToSend<"job.submit"> = {
      jobId,
      type: "backup",
      keys,
      disk: { device: "disk0" },
      tape: { device: tape, cartridges: tape === "drive" ? [] : [jobId] },
      ...listed,
      options: { position: "overwrite", tapeBlockBytes: 64 * 1024, bytesPerS },
    };
    return spec;
  };
  return {
    ...plant,
    tgtd,
    content,
    backup: async (jobId, tape) => bridge.session.run(await specOf(jobId, tape, 0n)),
    start: async (jobId, tape, bytesPerS) => startJob(bridge, await specOf(jobId, tape, bytesPerS)),
  };
}

/** Opens a unit of the target as another initiator does. */
export const otherInitiator = (tgtd: Tgtd, lun: number) =>
  ({
    transport: "iscsi",
    portal: tgtd.portal,
    target: tgtd.target,
    lun,
    initiator: "iqn.2024-01.test.gantry:other",
  }) as const;
