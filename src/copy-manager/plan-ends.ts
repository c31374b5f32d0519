// The devices of a segment: found, and compared with what the CSCD descriptor and the segment say of them. Whatever is
// wrong aborts the copy at the segment (SPC-4 5.17.7.4).
import { SENSE_KEY, STATUS } from "../wire/names.js";
import { fixedSense } from "../wire/sense-encode.js";
import { type CopyDevice, copyDevice, cscdId } from "../wire/xcopy/copy-devices.js";
import type { CopyList } from "../wire/xcopy/copy-list.js";
import type { Cscd } from "../wire/xcopy/cscd.js";
import { ASC, aborted, type CopyAsc, CopyRefusal } from "../wire/xcopy/refusal.js";
import type { CopyAccess, CopyUnit, UnitLookup } from "./steps.js";

/** The segment whose turn it is. */
export interface Turn {
  readonly list: CopyList;
  readonly lookup: UnitLookup;
  readonly segment: number;
}

export type Role = "source" | "destination";

/** A device as the segment uses it; `unit` undefined: the null device, to which nothing is sent. */
export interface End {
  readonly unit: CopyUnit | undefined;
  readonly pad: boolean;
  /** STREAM BLOCK LENGTH where the CSCD descriptor says FIXED. */
  readonly fixedBytes: number;
  /** DISK BLOCK LENGTH of a null device; 0: not given. */
  readonly nullBytes: number;
}

/** The engine's largest tape block. */
const LARGEST_BLOCK = 8 << 20;
const CODES = { disk: 0x00, tape: 0x01 } as const;
const PROCESSOR = 0x03;
/** Of DISK BLOCK LENGTH in a CSCD descriptor. */
const BLOCK_LENGTH = 29;

/** The first byte of the field in segments with these fields (SPC-4 table 147). */
export const fieldOf = (role: Role): number => (role === "source" ? 4 : 6);

/** COPY ABORTED, at a field of the segment. */
export const wrong = (turn: Turn, asc: CopyAsc, problem: string, byte: number): CopyRefusal =>
  aborted(asc, problem, turn.segment, { byte, inSegment: true });

const OUT_OF_RANGE = fixedSense(SENSE_KEY.ILLEGAL_REQUEST, ...ASC.LBA_OUT_OF_RANGE);

/** What the disk would answer to such an address is forwarded, and nothing is sent to it. */
export const outOfRange = (turn: Turn, role: Role, problem: string, byte: number): CopyRefusal =>
  new CopyRefusal(
    {
      ...{ key: SENSE_KEY.COPY_ABORTED, asc: 0x00, ascq: 0x00, segment: turn.segment },
      pointer: { byte, inSegment: true },
      [role]: { status: STATUS.CHECK_CONDITION, sense: OUT_OF_RANGE },
    },
    problem,
  );

/** The device behind a CSCD descriptor ID. @param wanted undefined: any type */
export function findEnd(
  turn: Turn,
  id: number,
  role: Role,
  access: CopyAccess,
  wanted: "disk" | "tape" | undefined,
): End {
  const { list, lookup, segment } = turn;
  const named = copyDevice(list, id, role, segment);
  const unit = lookup(id, role, segment, access);
  if (unit === undefined || named.is === "null") return nullEnd(turn, id, role, named, wanted);
  const cscd = named.is === "descriptor" ? named : undefined;
  checkType(turn, unit, cscd?.cscd, role, wanted);
  if (cscd !== undefined) checkBlockLength(turn, unit, cscd);
  return { unit, pad: cscd?.cscd.pad ?? false, fixedBytes: fixedOf(cscd?.cscd), nullBytes: 0 };
}

const fixedOf = (cscd: Cscd | undefined): number => (cscd?.fixed ? cscd.blockBytes : 0);

function nullEnd(turn: Turn, id: number, role: Role, named: CopyDevice, wanted: "disk" | "tape" | undefined): End {
  if (role === "source") throw wrong(turn, ASC.WRONG_OPERATION, "the null device gives no data", fieldOf(role));
  const stream = named.is === "null" && (named.deviceType === CODES.tape || named.deviceType === PROCESSOR);
  if (named.is === "null" && wanted !== undefined && stream !== (wanted === "tape"))
    throw wrong(turn, ASC.WRONG_OPERATION, "the null device is of another type", fieldOf(role));
  const cscd = turn.list.cscds[id - cscdId(turn.list, 0)];
  return { unit: undefined, pad: cscd?.pad ?? false, fixedBytes: 0, nullBytes: stream ? 0 : (cscd?.blockBytes ?? 0) };
}

function checkType(
  turn: Turn,
  unit: CopyUnit,
  cscd: Cscd | undefined,
  role: Role,
  wanted: "disk" | "tape" | undefined,
): void {
  if (cscd !== undefined && cscd.deviceType !== CODES[unit.type])
    throw wrong(
      turn,
      ASC.WRONG_DEVICE_TYPE,
      `${unit.device} is a ${unit.type}, and its CSCD descriptor says otherwise`,
      fieldOf(role),
    );
  if (wanted !== undefined && unit.type !== wanted)
    throw wrong(
      turn,
      ASC.WRONG_OPERATION,
      `the segment wants a ${wanted}, and ${unit.device} is a ${unit.type}`,
      fieldOf(role),
    );
}

function checkBlockLength(turn: Turn, unit: CopyUnit, named: { cscd: Cscd; place: number }): void {
  const { blockBytes } = named.cscd;
  if (unit.type !== "disk" || blockBytes === 0 || blockBytes === unit.blockBytes) return;
  throw aborted(
    ASC.LIST_FIELD,
    `blocks of ${unit.device} have ${unit.blockBytes} bytes, not ${blockBytes}`,
    turn.segment,
    { byte: named.place + BLOCK_LENGTH },
  );
}

/**
 * Bytes of a block on tape: STREAM BLOCK LENGTH where the CSCD descriptor says FIXED, else STREAM DEVICE TRANSFER LENGTH
 * (SPC-4 table 138).
 * @param moves whether there is anything to read or write; where there is not, no length is needed
 */
export function tapeUnit(turn: Turn, end: End, transfer: number, at: number, moves: boolean): bigint {
  const bytes = end.fixedBytes > 0 ? end.fixedBytes : transfer;
  if (!moves) return BigInt(Math.max(1, bytes));
  if (transfer === 0) throw wrong(turn, ASC.LIST_FIELD, "the stream device transfer length is 0", at);
  const largest = Math.min(LARGEST_BLOCK, end.unit?.maxBlockBytes ?? LARGEST_BLOCK);
  if (bytes <= largest) return BigInt(bytes);
  throw wrong(turn, ASC.LIST_FIELD, `tape blocks of ${bytes} bytes are asked for, and ${largest} is the most`, at);
}
