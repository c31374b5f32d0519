// READ CAPACITY (10) and (16) data (SBC-3 5.15.2, 5.16.2).
import { Fields } from "./bytes.js";

export interface Capacity {
  /** Number of logical blocks: one more than the last LBA. */
  readonly blocks: bigint;
  readonly blockBytes: number;
}

export interface LongCapacity extends Capacity {
  /** 0: no protection information; 1–3: its type. */
  readonly protectionType: number;
  /** Logical blocks in one physical block. */
  readonly blocksPerPhysical: number;
  /** First LBA that lies at the start of a physical block. */
  readonly lowestAligned: number;
  /** LBPME: thin provisioning is on. */
  readonly thin: boolean;
  /** LBPRZ: unmapped blocks read as zeros. */
  readonly unmappedReadsZero: boolean;
}

/** @throws SCSI_DATA_TRUNCATED; SCSI_DATA_INVALID also when the disk has more blocks than READ CAPACITY (10) can tell */
export function decodeCapacity10(data: Uint8Array): Capacity {
  const fields = new Fields(data, "READ CAPACITY (10) data");
  const last = fields.u32(0);
  if (last === 0xffff_ffff) throw fields.invalid("the disk is too large for it; ask with READ CAPACITY (16)");
  return { blocks: BigInt(last) + 1n, blockBytes: blockLength(fields, 4) };
}

/** At least 12 bytes; what an older device leaves out is zero. @throws SCSI_DATA_TRUNCATED, SCSI_DATA_INVALID */
export function decodeCapacity16(data: Uint8Array): LongCapacity {
  const fields = new Fields(data, "READ CAPACITY (16) data");
  const last = fields.u64(0);
  if (last === 0xffff_ffff_ffff_ffffn) throw fields.invalid("the last LBA is 2⁶⁴−1");
  const blockBytes = blockLength(fields, 8);
  const isLong = fields.length >= 16;
  return {
    blocks: last + 1n,
    blockBytes,
    protectionType: isLong && fields.bit(12, 0) ? fields.bits(12, 3, 1) + 1 : 0,
    blocksPerPhysical: isLong ? 2 ** fields.bits(13, 3, 0) : 1,
    lowestAligned: isLong ? fields.u16(14) & 0x3fff : 0,
    thin: isLong && fields.bit(14, 7),
    unmappedReadsZero: isLong && fields.bit(14, 6),
  };
}

function blockLength(fields: Fields, at: number): number {
  const bytes = fields.u32(at);
  if (bytes === 0) throw fields.invalid("the block length is 0");
  return bytes;
}
