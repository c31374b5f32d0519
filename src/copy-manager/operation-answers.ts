// What an operation is answered with when it is asked for (SPC-4 6.20, 6.21, 6.23 to 6.26): parameter data, and nothing
// else. What the asking changes is in operations.ts.
import { STATUS } from "../wire/names.js";
import { COPY_COMMANDS } from "../wire/xcopy/commands.js";
import {
  DELAY_ENDED,
  DELAY_UNKNOWN,
  encodeDataLid1,
  encodeDataLid4,
  encodeFailureDetails,
  encodeStatusLid1,
  encodeStatusLid4,
  encodeTokenInformation,
  STATUS_LID1,
  STATUS_LID4,
  type StatusLid4,
  UNITS_BLOCKS,
} from "../wire/xcopy/copy-results.js";
import type { Operation } from "./operation.js";

/** SPC-4 4.5.1. */
const SENSE_MAX = 252;
/** How soon it is worth asking again, at least and at most. */
const DELAY_MS = { least: 100, most: 5000 } as const;

const ENDED_LID4 = {
  done: STATUS_LID4.DONE,
  partial: STATUS_LID4.PARTIAL_TOKEN,
  residual: STATUS_LID4.RESIDUAL,
  failed: STATUS_LID4.FAILED,
  terminated: STATUS_LID4.TERMINATED,
} as const;

export function statusLid1(operation: Operation): Uint8Array {
  const { units, count } = scaled(operation.bytes, 32n);
  return encodeStatusLid1({
    heldDiscarded: operation.heldDiscarded,
    status: commandStatus(operation),
    segments: operation.segmentsDone,
    units,
    count: Number(count),
  });
}

/** Of the three that LID1 knows; a part of a token is no error (SPC-4 table 254). */
function commandStatus({ state }: Operation): number {
  if (state === "running") return STATUS_LID1.RUNNING;
  return state === "failed" || state === "terminated" ? STATUS_LID1.FAILED : STATUS_LID1.DONE;
}

export const statusLid4 = (operation: Operation, nowMs: number): Uint8Array => encodeStatusLid4(head(operation, nowMs));

export const dataLid1 = (operation: Operation): Uint8Array => encodeDataLid1(operation.held());

/** While it runs the head tells so, and there is no held data: more may come. */
export const dataLid4 = (operation: Operation, nowMs: number): Uint8Array =>
  encodeDataLid4({
    ...head(operation, nowMs),
    heldDiscarded: operation.heldDiscarded,
    held: operation.running ? new Uint8Array(0) : operation.held(),
  });

/** Of one that did not fail, or whose details were fetched: that nothing is known. */
export function failureDetails(operation: Operation): Uint8Array {
  const { result } = operation;
  if (result === undefined || !operation.keeps("failure")) return encodeFailureDetails(undefined);
  return encodeFailureDetails({
    status: result.status ?? STATUS.GOOD,
    sense: result.sense ?? new Uint8Array(0),
  });
}

/** CSCD DESCRIPTOR ID is 0: POPULATE TOKEN has none (SBC-3 5.23). */
export const tokenInformation = (operation: Operation, nowMs: number): Uint8Array =>
  encodeTokenInformation({
    ...head(operation, nowMs),
    tokens: operation.running ? [] : operation.tokens.map((token) => ({ cscdId: 0, token })),
  });

function head(operation: Operation, nowMs: number): StatusLid4 {
  const { facts, result } = operation;
  return {
    action: COPY_COMMANDS[facts.kind].action,
    status: operationStatus(operation),
    operations: operation.commands,
    delayMs: delay(operation, nowMs),
    completion: result?.status ?? STATUS.GOOD,
    ...transferred(operation),
    segments: operation.segmentsDone,
    sense: (result?.sense ?? new Uint8Array(0)).subarray(0, SENSE_MAX),
  };
}

function operationStatus({ state, facts }: Operation): number {
  if (state !== "running") return ENDED_LID4[state];
  return facts.background ? STATUS_LID4.BACKGROUND : STATUS_LID4.FOREGROUND;
}

function transferred({ bytes, blockBytes }: Operation): Pick<StatusLid4, "units" | "count"> {
  if (blockBytes !== undefined) return { units: UNITS_BLOCKS, count: bytes / BigInt(blockBytes) };
  return scaled(bytes, 64n);
}

/** The smallest unit of SPC-4 table 251 in which the count has room. */
function scaled(bytes: bigint, bits: bigint): Pick<StatusLid4, "units" | "count"> {
  let [units, count] = [0, bytes];
  for (; count >> bits > 0n; count >>= 10n) units++;
  return { units, count };
}

/** What is left takes as long as what is done did. */
function delay(operation: Operation, nowMs: number): number {
  if (!operation.running) return DELAY_ENDED;
  const { totalBytes } = operation.facts;
  if (totalBytes === undefined || operation.bytes === 0n) return DELAY_UNKNOWN;
  const left = Number(totalBytes - operation.bytes);
  const ms = ((nowMs - operation.startedMs) * left) / Number(operation.bytes);
  return Math.round(Math.min(Math.max(ms, DELAY_MS.least), DELAY_MS.most));
}
