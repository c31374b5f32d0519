// Why a copy manager refuses a parameter list or stops a copy: sense key, additional sense code, and the place in the
// list that is at fault (SPC-4 5.17.7.3, 5.17.7.4). One class for both, so that what a decoder finds and what a copy
// meets are answered by the same function (copy-sense.ts).
import { GantryError } from "../../sys/errors.js";
import { ascCode, ascText } from "../asc.js";
import { SENSE_KEY } from "../names.js";

/** Additional sense code and qualifier. */
export const ASC = {
  OPERATION_IN_PROGRESS: [0x00, 0x16],
  LIST_LENGTH: [0x1a, 0x00],
  LBA_OUT_OF_RANGE: [0x21, 0x00],
  CDB_FIELD: [0x24, 0x00],
  LIST_FIELD: [0x26, 0x00],
  TOO_MANY_CSCDS: [0x26, 0x06],
  CSCD_TYPE: [0x26, 0x07],
  TOO_MANY_SEGMENTS: [0x26, 0x08],
  SEGMENT_TYPE: [0x26, 0x09],
  INEXACT_SEGMENT: [0x26, 0x0a],
  INLINE_EXCEEDED: [0x26, 0x0b],
  WRONG_OPERATION: [0x26, 0x0c],
  GRANULARITY: [0x26, 0x0d],
  UNREACHABLE: [0x08, 0x04],
  DEVICE_FAILURE: [0x0d, 0x01],
  NOT_REACHABLE: [0x0d, 0x02],
  WRONG_DEVICE_TYPE: [0x0d, 0x03],
  UNDERRUN: [0x0d, 0x04],
  OVERRUN: [0x0d, 0x05],
  TOKEN_TYPE: [0x23, 0x01],
  TOKEN_REMOTE: [0x23, 0x02],
  TOKEN_REMOTE_CREATION: [0x23, 0x03],
  TOKEN_UNKNOWN: [0x23, 0x04],
  TOKEN_CORRUPT: [0x23, 0x05],
  TOKEN_REVOKED: [0x23, 0x06],
  TOKEN_EXPIRED: [0x23, 0x07],
  TOKEN_CANCELLED: [0x23, 0x08],
  TOKEN_DELETED: [0x23, 0x09],
  TOKEN_LENGTH: [0x23, 0x0a],
  NO_ROOM_FOR_ROD: [0x55, 0x0c],
  NO_ROOM_FOR_TOKEN: [0x55, 0x0d],
} as const satisfies Record<string, readonly [number, number]>;
export type CopyAsc = (typeof ASC)[keyof typeof ASC];

/** Where the wrong field is. */
export interface Pointer {
  readonly byte: number;
  /** Of a field of bits, the most significant. */
  readonly bit?: number;
  /** Counted from the beginning of the segment descriptor (SD), not of the parameter list. */
  readonly inSegment?: boolean;
}

/** What a device answered that ended a copy; it is forwarded as it is. */
export interface Forwarded {
  readonly status: number;
  readonly sense: Uint8Array;
}

export interface CopyFault {
  /** SENSE_KEY: ILLEGAL REQUEST before the first segment, COPY ABORTED from then on. */
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  readonly pointer?: Pointer;
  /** COPY ABORTED: the segment that was being processed; the first is 0. */
  readonly segment?: number;
  /** What was left to write of the segment, in the unit of SPC-4 5.17.7.4; undefined: nothing of it was written. */
  readonly residual?: bigint;
  readonly source?: Forwarded;
  readonly destination?: Forwarded;
}

export class CopyRefusal extends GantryError {
  readonly fault: CopyFault;

  /** @param problem ends a sentence that begins with the meaning of the sense code. */
  constructor(fault: CopyFault, problem: string) {
    const { key, asc, ascq, pointer, segment } = fault;
    super(
      "COPY_REFUSED",
      `The copy is refused with ${ascText(asc, ascq)} (${ascCode(asc, ascq)})${inWords(fault)}: ${problem}.`,
      { details: { key, asc, ascq, ...pointer, ...(segment !== undefined && { segment }) } },
    );
    this.fault = fault;
  }
}

/** Whether the pointer is into the CDB and not into the parameter list (C/D, SPC-4 4.5.2.4.2). */
export const isOfCdb = ({ asc, ascq }: Pick<CopyFault, "asc" | "ascq">): boolean =>
  asc === ASC.CDB_FIELD[0] && ascq === ASC.CDB_FIELD[1];

/**
 * ILLEGAL REQUEST: nothing was copied.
 * @param byte of the parameter list, or with CDB_FIELD of the CDB; undefined: no single field is wrong
 */
export function refused([asc, ascq]: CopyAsc, problem: string, byte?: number, bit?: number): CopyRefusal {
  const pointer = byte === undefined ? undefined : { byte, ...(bit !== undefined && { bit }) };
  return new CopyRefusal({ key: SENSE_KEY.ILLEGAL_REQUEST, asc, ascq, ...(pointer && { pointer }) }, problem);
}

/** COPY ABORTED at a segment. */
export function aborted([asc, ascq]: CopyAsc, problem: string, segment: number, pointer?: Pointer): CopyRefusal {
  return new CopyRefusal({ key: SENSE_KEY.COPY_ABORTED, asc, ascq, segment, ...(pointer && { pointer }) }, problem);
}

function inWords(fault: CopyFault): string {
  const { pointer, segment } = fault;
  const whole = isOfCdb(fault) ? "CDB" : pointer?.inSegment ? "descriptor" : "list";
  const place = pointer && `at byte ${pointer.byte} of the ${whole}`;
  const parts = [segment === undefined ? undefined : `in segment ${segment}`, place].filter((part) => part);
  return parts.length === 0 ? "" : ` ${parts.join(" ")}`;
}
