// What RECEIVE COPY STATUS and its like tell, in words.
import { byteSize } from "../../src/sys/units.js";
import {
  DELAY_ENDED,
  DELAY_UNKNOWN,
  STATUS_LID1,
  STATUS_LID4,
  type StatusLid1,
  type StatusLid4,
  UNITS_BLOCKS,
} from "../../src/wire/xcopy/copy-results.js";
import { designatorText } from "../../src/wire/xcopy/designator.js";
import { ROD_TYPE, type RodToken, type TokenBody } from "../../src/wire/xcopy/rod-token.js";
import { type Fault, faultOf, faultText } from "./fault.js";
import type { CopyPlan } from "./plan.js";

export type State = "running" | "done" | "failed" | "partial" | "residual" | "terminated" | "unknown";

const STATES_LID1: Readonly<Record<number, State>> = {
  [STATUS_LID1.RUNNING]: "running",
  [STATUS_LID1.DONE]: "done",
  [STATUS_LID1.FAILED]: "failed",
};
const STATES_LID4: Readonly<Record<number, State>> = {
  [STATUS_LID4.DONE]: "done",
  [STATUS_LID4.FAILED]: "failed",
  [STATUS_LID4.PARTIAL_TOKEN]: "partial",
  [STATUS_LID4.RESIDUAL]: "residual",
  [STATUS_LID4.RUNNING]: "running",
  [STATUS_LID4.FOREGROUND]: "running",
  [STATUS_LID4.BACKGROUND]: "running",
  [STATUS_LID4.TERMINATED]: "terminated",
};
const IN_WORDS: Readonly<Record<State, string>> = {
  running: "running",
  done: "done, without errors",
  failed: "ended with errors",
  partial: "done, but less of a ROD token was used or made than was asked for",
  residual: "done, with residual data",
  terminated: "terminated",
  unknown: "in a state that is not known",
};
const BACKGROUND: Readonly<Record<number, string>> = {
  [STATUS_LID4.FOREGROUND]: "running in the foreground",
  [STATUS_LID4.BACKGROUND]: "running in the background",
};
/** TRANSFER COUNT UNITS (SPC-4 table 251): 0 bytes, 1 KiB, and so on to EiB. */
const LAST_POWER = 6;

export interface Moved {
  readonly count: bigint;
  readonly units: "bytes" | "blocks" | "unknown";
}

export function movedOf(units: number, count: number | bigint): Moved {
  if (units === UNITS_BLOCKS) return { count: BigInt(count), units: "blocks" };
  if (units <= LAST_POWER) return { count: BigInt(count) << BigInt(10 * units), units: "bytes" };
  return { count: BigInt(count), units: "unknown" };
}

export const movedText = ({ count, units }: Moved): string =>
  units === "bytes" ? byteSize(Number(count)) : `${count} ${units === "blocks" ? "blocks" : "(of a unit not known)"}`;

/** What became of a copy, of both forms. */
export interface Outcome {
  readonly state: State;
  readonly words: string;
  readonly segments: number;
  readonly moved: Moved;
  readonly heldDiscarded?: boolean;
  /** Milliseconds until it is worth to ask again; undefined: it has ended, or nothing is known. */
  readonly delayMs?: number;
  readonly fault?: Fault;
}

export function outcomeLid1(status: StatusLid1): Outcome {
  const state = STATES_LID1[status.status] ?? "unknown";
  const { segments, heldDiscarded } = status;
  return { state, words: IN_WORDS[state], segments, moved: movedOf(status.units, status.count), heldDiscarded };
}

/** @param plan names segment and devices in what went wrong */
export function outcomeLid4(status: StatusLid4, plan?: CopyPlan): Outcome {
  const state = STATES_LID4[status.status] ?? "unknown";
  const { delayMs, segments, sense, completion } = status;
  const told = delayMs !== DELAY_ENDED && delayMs !== DELAY_UNKNOWN;
  return {
    state,
    words: BACKGROUND[status.status] ?? IN_WORDS[state],
    segments,
    moved: movedOf(status.units, status.count),
    ...(told && { delayMs }),
    ...(state !== "running" && (sense.length > 0 || completion !== 0) && { fault: faultOf(completion, sense, plan) }),
  };
}

export function outcomeText(outcome: Outcome): string {
  const { words, segments, moved, heldDiscarded, delayMs, fault } = outcome;
  const rows = [
    `${words}: ${segments} ${segments === 1 ? "segment" : "segments"} processed, ${movedText(moved)} moved`,
    ...(heldDiscarded === true ? ["held data was discarded"] : []),
    ...(delayMs === undefined ? [] : [`more is known in ${delayMs} ms`]),
    ...(fault === undefined ? [] : [faultText(fault)]),
  ];
  return rows.join("\n");
}

const TYPE_NAMES: Readonly<Record<number, string>> = {
  [ROD_TYPE.BY_TOKEN]: "as its token says",
  [ROD_TYPE.ACCESS_UPON_REFERENCE]: "access upon reference",
  [ROD_TYPE.POINT_IN_TIME]: "point in time copy, default",
  [ROD_TYPE.POINT_IN_TIME_VULNERABLE]: "point in time copy, change vulnerable",
  [ROD_TYPE.POINT_IN_TIME_PERSISTENT]: "point in time copy, persistent",
  [ROD_TYPE.POINT_IN_TIME_ANY]: "point in time copy, any",
  [ROD_TYPE.ZERO]: "block device zeros",
};

export function rodTypeText(type: number): string {
  const code = `${type.toString(16).toUpperCase().padStart(8, "0")}h`;
  return TYPE_NAMES[type] === undefined ? code : `${TYPE_NAMES[type]} (${code})`;
}

/** A row of a table of tokens. */
export function tokenRow({ type, identifier, creator, byteCount }: TokenBody): Readonly<Record<string, unknown>> {
  return {
    type: rodTypeText(type),
    identifier: `0x${identifier.toString(16).padStart(16, "0")}`,
    maker: designatorText(creator.designator),
    bytes: byteCount ?? "unknown",
  };
}

/** What else a whole token tells. */
export const tokenFacts = (token: RodToken): Readonly<Record<string, unknown>> => ({
  ...tokenRow(token),
  target: designatorText(token.target),
});
