// What is recorded of commands, for people who look for a fault.
import type { Outcome } from "./types.js";

/** Whose commands are recorded: of a nexus, to a unit, or both. */
export interface TraceFilter {
  readonly nexus?: number;
  readonly unit?: number;
}

/** A server's command from its admission to its answer, without its data. Nanoseconds of CLOCK_MONOTONIC. */
export interface TraceRecord {
  readonly beganNs: bigint;
  readonly endedNs: bigint;
  readonly nexus: number;
  readonly lun: number;
  /** Absent: there is no path. */
  readonly unit?: number;
  readonly direction: "none" | "in" | "out";
  readonly dataBytes: number;
  /** Bytes asked for less bytes moved. */
  readonly residual: number;
  readonly outcome: Outcome;
  readonly status: number;
  readonly cdb: Uint8Array;
  readonly sense: Uint8Array;
}

/** A command that this process sent to a unit that it opened with that tag. */
export interface TappedRecord extends Omit<TraceRecord, "nexus" | "lun" | "unit"> {
  readonly tag: number;
}

/** Records commands of units that were opened with it: nothing, until it is told of which. */
export interface Tap {
  /** Of units with these tags and no others; none: nothing. At most 64. */
  record(tags: readonly number[]): void;
  /** In the order in which they ended, about; lost: how many there was no room for since the last call. */
  take(): { readonly records: readonly TappedRecord[]; readonly lost: bigint };
}

export interface Tapped {
  readonly tap: Tap;
  readonly tag: number;
}
