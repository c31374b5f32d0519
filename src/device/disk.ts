// A disk, opened for a copy: type, capacity, block size and the transfers that it takes.
import type { CopyLu } from "../native/types.js";
import { type Capacity, decodeCapacity10, decodeCapacity16 } from "../wire/capacity.js";
import * as cdb from "../wire/cdb.js";
import { decodeBlockLimits, decodeSupportedPages, VPD } from "../wire/inquiry.js";
import { STATUS } from "../wire/names.js";
import { isIllegalRequest } from "./failure.js";
import type { ScsiUnit } from "./scsi-unit.js";

const READY_MS = 60_000;
const PAGE_BYTES = 252;

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

async function capacityOf(unit: ScsiUnit): Promise<Capacity> {
  // READ CAPACITY(16) is optional before SBC-3; a disk that has only (10) is below 2 TiB.
  const long = await unit.command(cdb.readCapacity16(), { dataIn: 32, accept: isIllegalRequest });
  if (long.status === STATUS.GOOD) return decodeCapacity16(long.data);
  return decodeCapacity10((await unit.command(cdb.readCapacity10(), { dataIn: 8 })).data);
}

/** VPD B0h MAXIMUM TRANSFER LENGTH in blocks; 0 when the disk does not say. */
async function maxTransferBlocks(unit: ScsiUnit): Promise<number> {
  const pages = await unit.command(cdb.inquiry(PAGE_BYTES, VPD.SUPPORTED), {
    dataIn: PAGE_BYTES,
    accept: isIllegalRequest,
  });
  if (pages.status !== STATUS.GOOD || !decodeSupportedPages(pages.data).includes(VPD.BLOCK_LIMITS)) return 0;
  const limits = await unit.command(cdb.inquiry(PAGE_BYTES, VPD.BLOCK_LIMITS), {
    dataIn: PAGE_BYTES,
    accept: isIllegalRequest,
  });
  return limits.status === STATUS.GOOD ? decodeBlockLimits(limits.data).maxTransferBlocks : 0;
}
