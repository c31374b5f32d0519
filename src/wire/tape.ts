// What a tape drive says of its position and its limits (SSC-4: READ POSITION, READ BLOCK LIMITS).
// All decoders throw GantryError SCSI_DATA_TRUNCATED or SCSI_DATA_INVALID.
import { Fields } from "./bytes.js";

export interface TapePosition {
  /** Beginning of partition; end of partition (at or past early warning). */
  readonly bop: boolean;
  readonly eop: boolean;
  /** Past programmable early warning. */
  readonly bpew: boolean;
  readonly partition: number;
  /** Logical object number at which the tape stands; undefined: the drive does not know, or it does not fit the form. */
  readonly object?: bigint;
}

export interface ShortPosition extends TapePosition {
  /** First object that is not on the medium yet: what is between it and `object` is only in the buffer. */
  readonly lastObject?: bigint;
  /** undefined: unknown (LOCU, BYCU). */
  readonly bufferedObjects?: number;
  readonly bufferedBytes?: bigint;
  /** PERR: a count overflowed. */
  readonly overflow: boolean;
}

export interface LongPosition extends TapePosition {
  /** Number of filemarks before the position; undefined: the drive does not know. */
  readonly file?: bigint;
}

/** Service action 00h: 20 bytes. */
export function decodeShortPosition(data: Uint8Array): ShortPosition {
  const fields = new Fields(data, "READ POSITION data (short form)");
  fields.need(0, 20);
  return {
    ...flags(fields),
    partition: fields.u8(1),
    ...(!fields.bit(0, 2) && { object: BigInt(fields.u32(4)), lastObject: BigInt(fields.u32(8)) }),
    ...(!fields.bit(0, 5) && { bufferedObjects: fields.u24(13) }),
    ...(!fields.bit(0, 4) && { bufferedBytes: BigInt(fields.u32(16)) }),
    overflow: fields.bit(0, 1),
  };
}

/** Service action 06h: 32 bytes. */
export function decodeLongPosition(data: Uint8Array): LongPosition {
  const fields = new Fields(data, "READ POSITION data (long form)");
  fields.need(0, 32);
  return {
    ...flags(fields),
    partition: fields.u32(4),
    ...(!fields.bit(0, 2) && { object: fields.u64(8) }),
    ...(!fields.bit(0, 3) && { file: fields.u64(16) }),
  };
}

/** Service action 08h: 32 bytes. */
export function decodeExtendedPosition(data: Uint8Array): ShortPosition {
  const fields = new Fields(data, "READ POSITION data (extended form)");
  fields.need(0, 32);
  return {
    ...flags(fields),
    partition: fields.u8(1),
    ...(!fields.bit(0, 2) && { object: fields.u64(8), lastObject: fields.u64(16) }),
    ...(!fields.bit(0, 5) && { bufferedObjects: fields.u24(5) }),
    ...(!fields.bit(0, 4) && { bufferedBytes: fields.u64(24) }),
    overflow: fields.bit(0, 1),
  };
}

const flags = (fields: Fields): { bop: boolean; eop: boolean; bpew: boolean } => ({
  bop: fields.bit(0, 7),
  eop: fields.bit(0, 6),
  bpew: fields.bit(0, 0),
});

export interface BlockLengthLimits {
  /** Bytes; lengths are multiples of 2 to this power from the smallest. */
  readonly granularityBytes: number;
  /** Bytes; 0: no upper limit. */
  readonly maxBlockBytes: number;
  readonly minBlockBytes: number;
}

/** 6 bytes. */
export function decodeBlockLengthLimits(data: Uint8Array): BlockLengthLimits {
  const fields = new Fields(data, "READ BLOCK LIMITS data");
  fields.need(0, 6);
  const limits = {
    granularityBytes: 2 ** fields.bits(0, 4, 0),
    maxBlockBytes: fields.u24(1),
    minBlockBytes: fields.u16(4),
  };
  if (limits.maxBlockBytes !== 0 && limits.minBlockBytes > limits.maxBlockBytes) {
    throw fields.invalid(
      `the smallest block (${limits.minBlockBytes}) is larger than the largest (${limits.maxBlockBytes})`,
    );
  }
  return limits;
}
