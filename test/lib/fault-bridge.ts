// A bridge in the test's own process over raw disks and a tape drive, whose emulated devices can be given faults.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ExecutionContext } from "ava";
import type { JobReport } from "../../src/job.js";
import type { EmulatedDevice, Fault } from "../../src/native/types.js";
import type { TestMember } from "./archives.js";
import { deviceTables, type InsideBridge, type Plant, startPlantInside, tapFile } from "./job-plant.js";
import { rawDisk, rawList } from "./raw-disk.js";

export const MIB = 1024 * 1024;
export const TAPE_BLOCK = 64 * 1024;
export const DISK_MIB = 4;

export const MEMBERS: readonly TestMember[] = [
  { name: "first", at: [[0, 64, 2000]], size: BigInt(2000 * 512 - 9) },
  {
    name: "sparse",
    at: [
      [0, 2100, 800],
      [2000, 3000, 1500],
    ],
  },
  { name: "last", at: [[0, 5000, 1000]] },
];

export interface FaultPlant extends Plant<InsideBridge> {
  readonly content: Buffer;
  device(name: string): Promise<EmulatedDevice>;
  inject(name: string, fault: Fault): Promise<void>;
  backup(jobId: string, more?: JobChoice): Promise<JobReport>;
  verify(jobId: string, cartridge: string, more?: JobChoice): Promise<JobReport>;
  /** To the disk "target", to the same places. */
  restore(jobId: string, cartridge: string, members?: readonly TestMember[]): Promise<JobReport>;
  tap(cartridge: string): string;
}

export interface JobChoice {
  readonly members?: readonly TestMember[];
  /** Default: one that is called like the job. */
  readonly cartridges?: readonly string[];
  readonly options?: Parameters<InsideBridge["run"]>[0]["options"];
}

export interface FaultPlantOptions {
  readonly capacityMib?: number;
  readonly earlyWarningKib?: number;
  readonly jobs?: string;
}

export async function faultPlant(
  t: ExecutionContext<unknown>,
  { capacityMib = 0, earlyWarningKib = 0, jobs = "" }: FaultPlantOptions = {},
): Promise<FaultPlant> {
  let content: Buffer = Buffer.alloc(0);
  const plant = await startPlantInside(t, {
    jobs: `io_kib = 64\n${jobs}`,
    memory: "arena_mib = 8",
    devices: (dir) => {
      content = rawDisk(join(dir, "disk.img"), DISK_MIB);
      writeFileSync(join(dir, "target.img"), Buffer.alloc(DISK_MIB * MIB));
      mkdirSync(join(dir, "tapes"));
      return deviceTables({
        disks: { disk0: { path: join(dir, "disk.img") }, target: { path: join(dir, "target.img") } },
        tapes: { tape0: { path: join(dir, "tapes"), capacityMib, earlyWarningKib } },
      });
    },
  });
  const { bridge, directory } = plant;
  const device = async (name: string): Promise<EmulatedDevice> => {
    const found = (await bridge.app()).devices.emulated(name);
    if (found === undefined) throw new Error(`there is no emulated device ${name}`);
    return found;
  };
  return {
    ...plant,
    content,
    device,
    inject: async (name, fault) => (await device(name)).inject(fault),
    tap: (cartridge) => tapFile(directory, cartridge),
    backup: async (jobId, { members = MEMBERS, cartridges = [jobId], options = {} } = {}) =>
      bridge.run(
        {
          jobId,
          type: "backup",
          disk: { device: "disk0" },
          tape: { device: "tape0", cartridges: [...cartridges] },
          options: { tapeBlockBytes: TAPE_BLOCK, ...options },
        },
        { file: await rawList(directory, `list-${jobId}`, members), device: "disk0" },
      ),
    verify: (jobId, cartridge, { options = {} } = {}) =>
      bridge.run({
        jobId,
        type: "verify",
        tape: { device: "tape0", cartridges: cartridge === "" ? [] : [cartridge] },
        options,
      }),
    restore: async (jobId, cartridge, members = MEMBERS) =>
      bridge.run(
        { jobId, type: "restore", disk: { device: "target" }, tape: { device: "tape0", cartridges: [cartridge] } },
        { file: await rawList(directory, `list-${jobId}`, members), device: "target" },
      ),
  };
}

/** Opcodes (SPC-4, SBC-3, SSC-4). */
export const OP = { ANY: 0xffff, READ_6: 0x08, WRITE_6: 0x0a, WRITE_FILEMARKS: 0x10, READ_10: 0x28, READ_16: 0x88 };
export const STATUS = { CHECK: 0x02, BUSY: 0x08, CONFLICT: 0x18, TASK_SET_FULL: 0x28 };
export const KEY = { MEDIUM: 3, HARDWARE: 4, ATTENTION: 6, ABORTED: 0x0b };
export const FOREVER = 1_000_000;
