// What a copy manager's planner hands to whoever carries it out: steps, one after the other. A data step is one run of the
// engine and may be of many segments; everything else is a command or two between runs. These are types only.
import type { TransportId } from "../wire/transport-id.js";

/** A logical unit that a copy names, as far as a plan depends on it. */
export interface CopyUnit {
  /** Name in the configuration. */
  readonly device: string;
  readonly type: "disk" | "tape";
  /** Disk: bytes of a logical block; tape: 0. */
  readonly blockBytes: number;
  /** Disk: capacity; tape: 0n. */
  readonly blocks: bigint;
  /** Tape: largest block; disk: 0. */
  readonly maxBlockBytes: number;
}

/** What a segment wants of a unit; decides which rights and reservations count. */
export type CopyAccess = "read" | "write" | "position" | "look" | "reserve";

/** Makes the stream. Bytes are those of the stream. */
export type GatherPart =
  | {
      readonly op: "extent";
      readonly device: string;
      readonly lba: bigint;
      readonly skip: number;
      readonly bytes: bigint;
    }
  | { readonly op: "tape"; readonly device: string; readonly bytes: bigint }
  | { readonly op: "inline"; readonly data: Uint8Array }
  | { readonly op: "zeros"; readonly bytes: bigint }
  /** Bytes [skip, skip + bytes) of the latest "carry" of an earlier step. */
  | { readonly op: "carried"; readonly skip: bigint; readonly bytes: bigint };

/** Uses the stream up. `held`: a copy of these bytes is kept for the application client (SPC-4 5.17.4.5). */
export type ScatterPart = { readonly bytes: bigint; readonly held: boolean } & (
  | {
      readonly op: "extent";
      readonly device: string;
      readonly lba: bigint;
      /** Bytes of the first block, and those behind the end in the last one, stay as they are. */
      readonly skip: number;
    }
  | { readonly op: "tape"; readonly device: string }
  | { readonly op: "discard" }
  /**
   * Kept in memory for the steps that follow: residual data (SPC-4 5.17.7.2) that a segment left for one that cannot be of
   * its step. At most one in a step, of less than 16 MiB, and never in a step that writes a tape.
   */
  | { readonly op: "carry" }
);

/** Where a segment ends in the stream of its step, and how what is left of it is counted (SPC-4 5.17.7.4). */
export interface StepSegment {
  readonly segment: number;
  /** Stream offset behind its last byte; a segment without bytes ends where it begins. */
  readonly end: bigint;
  /** Bytes of it that are scattered by later steps; the segment is done when these are 0 and `end` is reached. */
  readonly later: bigint;
  /** Bytes of one unit of the INFORMATION field: blocks of a disk, 1 where bytes are counted. */
  readonly unitBytes: number;
}

export interface DataStep {
  readonly kind: "data";
  /** In ascending order. A segment that moves nothing may be in no step. */
  readonly segments: readonly StepSegment[];
  readonly gather: readonly GatherPart[];
  readonly scatter: readonly ScatterPart[];
  /** Largest block of the source tape that is expected, bytes; 0: the source is no tape. */
  readonly sourceBlockBytes: number;
  /** Bytes of the blocks that are written to tape; 0: the destination is no tape. */
  readonly tapeBlockBytes: number;
}

/** A command between runs. */
export type CommandStep = { readonly segment: number; readonly device: string } & (
  | { readonly kind: "test-ready" }
  | { readonly kind: "filemarks"; readonly count: number; readonly immediate: boolean }
  /** count: two's complement of 24 bits, as it stands in the descriptor. */
  | { readonly kind: "space"; readonly code: number; readonly count: number }
  | { readonly kind: "locate"; readonly object: number }
  | { readonly kind: "register"; readonly key: bigint; readonly actionKey: bigint }
  | {
      readonly kind: "move-registration";
      readonly key: bigint;
      readonly actionKey: bigint;
      readonly unregister: boolean;
      readonly aptpl: boolean;
      readonly port: number;
      readonly transportId: TransportId;
    }
);

/** All blocks and filemarks as they are, from where both tapes stand (SPC-4 6.4.6.15). */
export interface ImageStep {
  readonly kind: "tape-image";
  readonly segment: number;
  readonly source: string;
  readonly destination: string;
  /** Ends behind so many consecutive filemarks; 0: at the end of data only. */
  readonly filemarks: number;
}

export type CopyStep = DataStep | CommandStep | ImageStep;

/**
 * The unit behind a CSCD descriptor ID, for a segment that wants this of it. Throws CopyRefusal (COPY ABORTED at the
 * segment) when there is none that the asking nexus may use so; undefined: the null device.
 */
export type UnitLookup = (
  id: number,
  role: "source" | "destination",
  segment: number,
  access: CopyAccess,
) => CopyUnit | undefined;
