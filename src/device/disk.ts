// A disk, opened for a copy: type, capacity, block size and the transfers that it takes.
import type { CopyLu } from "../native/types.js";
import { decodeCapacity10, decodeCapacity16 } from "../wire/capacity.js";
import * as cdb from "../wire/cdb.js";
import { decodeBlockLimits } from "../wire/inquiry.js";
import { isIllegalRequest } from "./failure.js";
import type { ScsiUnit } from "./scsi-unit.js";

const READY_MS = 60_000;
/** SPC-4 6.6.1: page 00h lists the pages there are. */
const VPD_SUPPORTED = 0x00;
const VPD_BLOCK_LIMITS = 0xb0;

export interface OpenDisk {
  readonly unit: ScsiUnit;
  readonly copyLu: CopyLu;
  readonly blockBytes: number;
  readonly blocks: bigint;
}

export async function openDisk(unit: ScsiUnit): Promise<OpenDisk> {
  await unit.ready(READY_MS);
  await unit.expectType(0);
  const { blocks, blockBytes } = await capacityOf(unit);
  const maxIoBytes = (await maxTransferBlocks(unit)) * blockBytes;
  return { unit, blocks, blockBytes, copyLu: { lu: unit.lu, type: 0, blockBytes, blocks, maxIoBytes } };
}

async function capacityOf(unit: ScsiUnit): Promise<{ blocks: bigint; blockBytes: number }> {
  // READ CAPACITY(16) is optional before SBC-3; a disk that has only (10) is below 2 TiB.
  const long = await unit.command(cdb.readCapacity16(32), { dataIn: 32, accept: isIllegalRequest });
  if (long.status === 0) return decodeCapacity16(long.data);
  const short = await unit.command(cdb.readCapacity10(), { dataIn: 8 });
  return decodeCapacity10(short.data);
}

/** VPD B0h MAXIMUM TRANSFER LENGTH in blocks; 0 when the disk does not say. */
async function maxTransferBlocks(unit: ScsiUnit): Promise<number> {
  const pages = await unit.command(cdb.inquiry(255, VPD_SUPPORTED), { dataIn: 255, accept: isIllegalRequest });
  if (pages.status !== 0 || !pages.data.subarray(4).includes(VPD_BLOCK_LIMITS)) return 0;
  const limits = await unit.command(cdb.inquiry(64, VPD_BLOCK_LIMITS), { dataIn: 64, accept: isIllegalRequest });
  return limits.status === 0 ? decodeBlockLimits(limits.data).maxTransferBlocks : 0;
}
