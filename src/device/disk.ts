// A disk, opened for a copy: type, capacity, block size, the transfers that it takes, and which disk it is.
import type { CopyLu, ScsiAnswer } from "../native/types.js";
import { type Capacity, decodeCapacity10, decodeCapacity16 } from "../wire/capacity.js";
import * as cdb from "../wire/cdb.js";
import {
  decodeBlockLimits,
  decodeIdentification,
  decodeSerialNumber,
  decodeSupportedPages,
  VPD,
} from "../wire/inquiry.js";
import { STATUS } from "../wire/names.js";
import { isIllegalRequest } from "./failure.js";
import type { ScsiUnit } from "./scsi-unit.js";

const READY_MS = 60_000;
const PAGE_BYTES = 252;
/** Devices of SPC-2 look at the low byte of an allocation length only, which is 252 here. */
const IDENTIFICATION_BYTES = 1020;

export interface OpenDisk {
  readonly unit: ScsiUnit;
  readonly copyLu: CopyLu;
  readonly blockBytes: number;
  readonly blocks: bigint;
  /** Its own names and its serial number, to be compared only; undefined when it has none. */
  readonly identity?: string;
}

export async function openDisk(unit: ScsiUnit): Promise<OpenDisk> {
  await unit.ready(READY_MS);
  await unit.expectType(0);
  const { blocks, blockBytes } = await capacityOf(unit);
  const pages = await supportedPages(unit);
  const maxIoBytes = (await maxTransferBlocks(unit, pages)) * blockBytes;
  const identity = await identityOf(unit, pages);
  const copyLu: CopyLu = { lu: unit.lu, type: 0, blockBytes, blocks, maxIoBytes };
  return { unit, blocks, blockBytes, copyLu, ...(identity === undefined ? {} : { identity }) };
}

async function capacityOf(unit: ScsiUnit): Promise<Capacity> {
  // READ CAPACITY(16) is optional before SBC-3; a disk that has only (10) is below 2 TiB.
  const long = await unit.command(cdb.readCapacity16(), { dataIn: 32, accept: isIllegalRequest });
  if (long.status === STATUS.GOOD) return decodeCapacity16(long.data);
  return decodeCapacity10((await unit.command(cdb.readCapacity10(), { dataIn: 8 })).data);
}

/** None where the device has no vital product data at all. */
async function supportedPages(unit: ScsiUnit): Promise<readonly number[]> {
  const answer = await vitalProductData(unit, VPD.SUPPORTED, PAGE_BYTES);
  return answer.status === STATUS.GOOD ? decodeSupportedPages(answer.data) : [];
}

const vitalProductData = (unit: ScsiUnit, page: number, bytes: number): Promise<ScsiAnswer> =>
  unit.command(cdb.inquiry(bytes, page), { dataIn: bytes, accept: isIllegalRequest });

/** VPD B0h MAXIMUM TRANSFER LENGTH in blocks; 0 when the disk does not say. */
async function maxTransferBlocks(unit: ScsiUnit, pages: readonly number[]): Promise<number> {
  if (!pages.includes(VPD.BLOCK_LIMITS)) return 0;
  const limits = await vitalProductData(unit, VPD.BLOCK_LIMITS, PAGE_BYTES);
  return limits.status === STATUS.GOOD ? decodeBlockLimits(limits.data).maxTransferBlocks : 0;
}

/** VPD 83h and 80h (SPC-4 7.8.6, 7.8.15). A page that makes no sense names nobody: the disk is usable without. */
async function identityOf(unit: ScsiUnit, pages: readonly number[]): Promise<string | undefined> {
  const read = async <T>(page: number, bytes: number, decode: (data: Uint8Array) => T): Promise<T | undefined> => {
    if (!pages.includes(page)) return undefined;
    const answer = await vitalProductData(unit, page, bytes);
    if (answer.status !== STATUS.GOOD) return undefined;
    try {
      return decode(answer.data);
    } catch {
      return undefined;
    }
  };
  const designators = (await read(VPD.IDENTIFICATION, IDENTIFICATION_BYTES, decodeIdentification)) ?? [];
  const serial = (await read(VPD.SERIAL, PAGE_BYTES, decodeSerialNumber)) ?? "";
  // All of them, for there are targets that give each disk in one place the same worldwide name.
  const names = designators
    .filter(({ association, value }) => association === "logical-unit" && value !== "")
    .map(({ type, value }) => `${type}.${value}`);
  if (serial !== "") names.push(`serial.${serial}`);
  return names.length === 0 ? undefined : names.join(" ");
}
