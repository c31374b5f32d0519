// The shapes that cross between the supervisor and the data plane. csrc/copy/engine.h,
// csrc/transport/lu.h and csrc/device/device.h are the source of truth for their meaning; here they
// have the units and ranges that TypeScript sees. Nothing here imports the addon.
import type { Plane, PlaneEvents } from "../plane.js";
import type { Tap, Tapped, TraceFilter, TraceRecord } from "./records.js";

/** How a command ended (csrc/transport/lu.h gt_outcome). Only "delivered" gives status and sense meaning. */
export type Outcome = "delivered" | "transport" | "timed-out" | "aborted";

/** Answer of one SCSI command. */
export interface ScsiAnswer {
  readonly outcome: Outcome;
  /** SAM-5 status code: 0x00 GOOD, 0x02 CHECK CONDITION, 0x08 BUSY, 0x18 RESERVATION CONFLICT, … */
  readonly status: number;
  /** Sense data as the device gave it; empty when there was none. */
  readonly sense: Uint8Array;
  /** Data-in bytes that really came (parameter data, never payload). */
  readonly data: Uint8Array;
  /** Bytes asked for less bytes moved; negative when the device had more. */
  readonly residual: number;
  readonly hostStatus: number;
  readonly driverStatus: number;
}

export interface ExecuteOptions {
  /** Room for data-in, bytes; at most PARAMETER_MAX. */
  readonly dataIn?: number;
  /** Data-out, at most PARAMETER_MAX bytes. */
  readonly dataOut?: Uint8Array;
  /** Milliseconds; default 30000. */
  readonly timeoutMs?: number;
}

/** Largest parameter list that may cross into V8, bytes. Payload goes through the copy engine. */
export const PARAMETER_MAX = 1 << 20;

/** An emulated device of this process. */
export interface EmulatedDevice {
  inject(fault: Fault): void;
  clearFaults(): void;
  /** Bytes per second; 0: unpaced. */
  pace(bytesPerS: bigint): void;
  /** Drops this handle; the device lives on while LUs have it open. */
  close(): void;
}

/** Loading and unloading run one after the other, in the order of their calls, and off the event loop. */
export interface EmulatedTape extends EmulatedDevice {
  /** Resolves when the cartridge is in the drive. A cartridge without a usable index is scanned whole. */
  load(cartridge: CartridgeOptions): Promise<void>;
  /** Resolves when all that was written is on the medium. Rejects with errno ENOMEDIUM, EBUSY. */
  unload(): Promise<void>;
  /** Instead of pace: the tape moves at this speed, out of a buffer that writes fill. 0: unpaced. */
  stream(bytesPerS: bigint, bufferBytes: bigint): void;
  streamCounts(): StreamCounts;
}

/** Since stream(): how often the tape began to move, and how often its buffer ran empty before a synchronization. */
export interface StreamCounts {
  readonly starts: number;
  readonly underruns: number;
}

export interface DiskOptions {
  readonly path: string;
  readonly blockBytes: 512 | 4096;
  /** 0n: as many as the file has; else the file is created or must have this size. */
  readonly blocks: bigint;
  readonly vendor?: string;
  readonly product?: string;
  readonly serial?: string;
  readonly thin?: boolean;
  readonly readOnly?: boolean;
  readonly maxTransferBlocks?: number;
  /** What was not synchronised is lost with the process. */
  readonly volatileCache?: boolean;
  /** The medium can be ejected, loaded and held fast. */
  readonly removable?: boolean;
  /** What READ CAPACITY(16) says; 0: 4096. */
  readonly physicalBlockBytes?: number;
}

export interface TapeOptions {
  readonly vendor?: string;
  readonly product?: string;
  readonly serial?: string;
  readonly maxBlockBytes?: number;
  /** What was not synchronised is lost with the process. */
  readonly volatileCache?: boolean;
}

export interface CartridgeOptions {
  readonly path: string;
  /** 0n: unlimited. */
  readonly capacityBytes?: bigint;
  readonly earlyWarningBytes?: bigint;
  readonly writeProtected?: boolean;
  readonly worm?: boolean;
}

export interface Fault {
  /** 0xffff: any opcode. */
  readonly opcode?: number;
  readonly first?: bigint;
  readonly last?: bigint;
  readonly skip?: number;
  readonly count?: number;
  readonly status?: number;
  readonly key?: number;
  readonly asc?: number;
  readonly ascq?: number;
  readonly outcome?: "transport" | "timed-out";
  readonly after?: boolean;
  readonly deferred?: boolean;
  readonly delayMs?: number;
}

/** Which logical unit is meant: a designator of VPD page 83h, or type BY_SERIAL (page 80h, and the vendor). */
export interface LuIdentity {
  readonly type: number;
  readonly value: Uint8Array;
  /** Of BY_SERIAL. */
  readonly vendor?: string;
}

/** csrc/transport/paths.h GT_BY_SERIAL. */
export const BY_SERIAL = 0xff;

export interface PathFact {
  readonly id: number;
  readonly state: "active" | "standby" | "dead";
  /** Commands that it lost. */
  readonly failures: number;
}

/** The paths of one open unit. */
export interface PathGroup {
  /**
   * Opens the node and adds it, when it leads to the unit that is meant. Rejects with errno ENXIO when it leads to another.
   * @param id a number that no other path has which was not removed
   * @param settle nobody else has the node open: unit attentions of a new nexus are taken away
   */
  add(id: number, path: string, settle: boolean): Promise<void>;
  /** Nothing more is sent over it. A dead one is forgotten. */
  remove(id: number): void;
  /** undefined: the unit was closed. */
  facts(): readonly PathFact[] | undefined;
  /** Lets go of the group; the unit goes on with the paths that it has. */
  close(): void;
}

/** A unit that is reached over several sg nodes. */
export interface PathsTarget {
  readonly transport: "paths";
  readonly identity: LuIdentity;
  /** 32 bytes, a bit for each operation code: the command may be carried out twice. */
  readonly again: Uint8Array;
  readonly nodes: readonly { readonly id: number; readonly path: string; readonly settle: boolean }[];
  readonly reservedBytes?: number;
  readonly directIo?: boolean;
  /** How often a path that waits is asked whether it is there; default 10000. */
  readonly checkMs?: number;
  /** The unit is open. */
  readonly opened: (group: PathGroup) => void;
  /** A path came, failed, or is the active one now; or the unit was closed. */
  readonly changed: (group: PathGroup) => void;
}

export type LuTarget =
  | PathsTarget
  | { readonly transport: "virtual"; readonly device: EmulatedDevice }
  | { readonly transport: "sg"; readonly path: string; readonly reservedBytes?: number; readonly directIo?: boolean }
  | {
      readonly transport: "iscsi";
      readonly portal: string;
      readonly target: string;
      readonly lun: number;
      readonly initiator: string;
      readonly chap?: { readonly user: string; readonly secret: string };
      readonly targetChap?: { readonly user: string; readonly secret: string };
      readonly headerDigest?: boolean;
      readonly connectTimeoutMs?: number;
    };

/** A logical unit opened as one I_T nexus. While a copy runs on it, execute() throws NativeError EBUSY. */
export interface Lu {
  readonly transport: LuTarget["transport"];
  /** Bytes that one command can move. */
  readonly maxTransferBytes: number;
  readonly maxQueue: number;
  execute(cdb: Uint8Array, options?: ExecuteOptions): Promise<ScsiAnswer>;
  /** Waits for what is outstanding (aborting it); a copy that uses the LU is cancelled first. Idempotent. */
  close(): Promise<void>;
}

/** Operations of a segment program; the numbers of csrc/copy/engine.h gt_op. */
export const Op = {
  INLINE: 1,
  EXTENT: 2,
  ZEROS: 3,
  TAPE: 4,
  DISCARD: 5,
  HOLD: 6,
  COMPARE: 7,
  FILEMARK: 8,
  FLUSH: 9,
  LOCATE: 10,
  SPACE: 11,
} as const;

/** Tag of bytes inside a member that are not of it (a cartridge's lead): they neither count for it nor close it. */
export const TAG_ASIDE = 0xffffffff;

/** Bytes of one packed segment: u64 addr, u64 bytes, u32 tag, u8 op, u8 lu, u16 skip, little-endian. */
export const SEGMENT_BYTES = 24;

/** Most segments that one append may carry on either side. */
export const QUEUE_SEGMENTS = 65536;

/** Digest in progress of the member that is open at a checkpoint; opaque, to be stored as it is. */
export type DigestState = Uint8Array;

export interface CopyLu {
  readonly lu: Lu;
  /** Peripheral device type: 0 disk, 1 tape. */
  readonly type: 0 | 1;
  /** Disk: bytes of a logical block. Tape: 0. */
  readonly blockBytes: number;
  /** Disk: capacity in blocks. Tape: 0n. */
  readonly blocks: bigint;
  /** Largest transfer that the device takes in one command, bytes; 0: the transport's. */
  readonly maxIoBytes: number;
}

export interface CopyOptions {
  readonly arena: Arena;
  readonly ringBytes: number;
  readonly lus: readonly CopyLu[];
  /** Of the blocks that are written to tape. */
  readonly tapeBlockBytes: number;
  /** Largest block expected on a source tape; 0: tapeBlockBytes. The ring holds four of the larger one. */
  readonly sourceBlockBytes?: number;
  readonly ioBytes?: number;
  readonly depth?: number;
  readonly sha256?: boolean;
  readonly zeroFill?: boolean;
  /** "block-crcs" of the blocks that a tape source gave, too. */
  readonly sourceCrcs?: boolean;
  /** The member that is open at the end goes on in another run: no digest of it is told yet. */
  readonly keepMember?: boolean;
  /** What a destination disk has taken may stay in its cache, as with a WRITE: it is not told to synchronize it. */
  readonly leaveCached?: boolean;
  readonly streamOffset?: bigint;
  readonly tapeObject?: bigint;
  readonly digest?: DigestState;
  readonly checkpointBytes?: bigint;
  readonly checkpointMs?: number;
  readonly bytesPerS?: bigint;
  readonly commandTimeoutMs?: number;
  readonly tapeTimeoutMs?: number;
  readonly retryLimit?: number;
  readonly busyLimitMs?: number;
}

export type CopyResult =
  | "ok"
  | "cancelled"
  | "volume-full"
  | "tape-ended"
  | "device-error"
  | "transport-error"
  | "block-too-large"
  | "internal";

export interface FailedCommand {
  readonly lu: number;
  /** "source" when the gathering side failed. */
  readonly side: "source" | "destination";
  readonly outcome: Outcome;
  readonly status: number;
  readonly sense: Uint8Array;
  readonly cdb: Uint8Array;
}

export type CopyEvent =
  | { readonly type: "hungry" }
  | {
      readonly type: "checkpoint";
      readonly streamOffset: bigint;
      readonly object: bigint;
      readonly digest: DigestState;
      /** "done" follows: this is the run's last one. */
      readonly final: boolean;
    }
  | {
      readonly type: "digest";
      readonly tag: number;
      readonly bytes: bigint;
      readonly crc32c: number;
      readonly sha256?: Uint8Array;
      /** After the member's last byte. Over a crash a digest counts only if a checkpoint at or after it was seen. */
      readonly streamOffset: bigint;
    }
  | { readonly type: "block-crcs"; readonly object: bigint; readonly crcs: Uint32Array }
  /** Bytes of a hold(); or a copy of those of a segment with `held`, where the cookie is its stream offset. */
  | { readonly type: "held"; readonly cookie: bigint; readonly data: Uint8Array }
  | {
      readonly type: "medium-error";
      readonly lu: number;
      readonly lba: bigint;
      readonly blocks: bigint;
      readonly streamOffset: bigint;
      readonly sense: Uint8Array;
    }
  | { readonly type: "miscompare"; readonly lu: number; readonly lba: bigint; readonly streamOffset: bigint }
  | { readonly type: "retried"; readonly lu: number; readonly count: number; readonly failed: FailedCommand }
  | {
      readonly type: "done";
      readonly result: CopyResult;
      readonly streamOffset: bigint;
      readonly object: bigint;
      readonly digest: DigestState;
      /** errno for "internal", else 0. */
      readonly error: number;
      readonly failed?: FailedCommand;
    };

export interface StageStats {
  readonly bytes: bigint;
  readonly commands: bigint;
  readonly retries: bigint;
  readonly busyNs: bigint;
  readonly waitNs: bigint;
}

export interface CopyStats {
  readonly gather: StageStats;
  readonly scatter: StageStats;
  readonly tapeWaits: bigint;
  readonly tapeWaitNs: bigint;
  readonly throttleNs: bigint;
  readonly streamOffset: bigint;
  readonly mediumErrors: bigint;
  readonly elapsedNs: bigint;
}

export interface Arena {
  readonly bytes: bigint;
  freeBytes(): bigint;
  /** Throws NativeError EBUSY while a copy uses a slice. */
  close(): void;
}

/** One run of the engine. Control calls never block; close() waits for the threads off the event loop. Its
 * units are the run's own until it is closed. From finish() or cancel() on, a run keeps the process alive until
 * its "done" was taken or it is closed; one that waits for segments does not. */
export interface Copy {
  /** gather, scatter: packed segments (SEGMENT_BYTES each). Copies all three before it returns.
   * Returns false when the queue is full (nothing was taken: try again after "hungry").
   * Throws NativeError EINVAL with `segment` = index of the wrong one (gather first, then scatter). */
  append(gather: Uint8Array, scatter: Uint8Array, inline: Uint8Array): boolean;
  finish(): void;
  pause(): void;
  resume(): void;
  cancel(): void;
  rate(bytesPerS: bigint): void;
  /** Events in order; empty when there are none. */
  take(): CopyEvent[];
  stats(): CopyStats;
  close(): Promise<void>;
}

/** A device that is not of this process. */
export type RealTarget = Extract<LuTarget, { readonly transport: "sg" | "paths" | "iscsi" }>;

/** What is left out has the default of csrc/fabric/target.h. */
export interface PlaneOptions {
  /** A punt that nobody answered by then ends with BUSY. */
  readonly puntTimeoutMs?: number;
  readonly reactors?: number;
  readonly connections?: number;
  readonly poolBytes?: bigint;
  readonly queueDepth?: number;
  readonly loginTimeoutMs?: number;
  readonly spinUs?: number;
}

export interface TargetStats {
  readonly connections: number;
  readonly sessions: number;
  readonly accepted: bigint;
  readonly refused: bigint;
  readonly pdusIn: bigint;
  readonly pdusOut: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
  readonly rejects: bigint;
  readonly digestErrors: bigint;
  readonly protocolErrors: bigint;
  readonly timeouts: bigint;
  readonly starved: bigint;
}

/** Of the rings of the kernel's own target, as csrc/lio/lio.h counts. */
export interface RingStats {
  readonly rings: number;
  readonly commands: bigint;
  /** Commands whose data lay in one piece, and in several. */
  readonly inPlace: bigint;
  readonly gathered: bigint;
  readonly aborted: bigint;
  readonly full: bigint;
  /** Begun by a process that is no more. */
  readonly inherited: bigint;
  readonly broken: bigint;
  readonly starved: bigint;
}

/** A device of userspace I/O that the kernel's target has its commands answered by. */
export interface RingPlace {
  /** "/dev/uio3". */
  readonly node: string;
  /** Size of its map 0, exactly. */
  readonly bytes: bigint;
  /** The device has a position: what was read is not read again by itself. */
  readonly sequential: boolean;
}

/** Commands that come from the kernel's own target: csrc/lio/lio.h. */
export interface Rings {
  /** Undefined: no nexus is left. Its paths are to be set before a ring of it is attached. */
  openNexus(): number | undefined;
  /** Its rings are detached; "nexus-closed" follows. */
  closeNexus(nexus: number): void;
  /** Commands of the ring are tasks of the nexus to that LUN from now on. @throws NativeError @returns its number */
  attach(nexus: number, lun: number, place: RingPlace): number;
  /** Resolves when the ring is not used any more. */
  detach(ring: number): Promise<void>;
  stats(): RingStats;
}

/** The bridge's data plane of this process. Open, it keeps the process alive, as a listening server does. */
export interface NativePlane extends Plane {
  /** inline: the device never waits (its file is in memory), so that its commands need no thread of their own. */
  addDevice(unit: number, device: EmulatedDevice, inline: boolean): void;
  /** Opens a real device, which is the plane's own from then on; resolves with the largest transfer, bytes. */
  addLu(unit: number, target: RealTarget, timeoutMs: number, slowTimeoutMs: number): Promise<number>;
  stats(): TargetStats;
  /** Records these commands and no others; none: nothing. At most 64. */
  trace(filters: readonly TraceFilter[]): void;
  /** In the order in which they ended, about; lost: how many there was no room for since the last call. */
  takeTrace(): { readonly records: readonly TraceRecord[]; readonly lost: bigint };
  readonly rings: Rings;
}

/** The data plane, as src/native/index.ts offers it. */
export interface Native {
  openDisk(options: DiskOptions): EmulatedDevice;
  openTape(options: TapeOptions): EmulatedTape;
  openLu(target: LuTarget, tapped?: Tapped): Promise<Lu>;
  openTap(): Tap;
  createArena(bytes: bigint): Arena;
  /** onEvents is called on the event loop whenever take() has something new (coalesced). */
  startCopy(options: CopyOptions, onEvents: () => void): Copy;
  /** Callbacks come on the event loop. close() before the devices that were added are closed for good. */
  openPlane(options: PlaneOptions, events: PlaneEvents): NativePlane;
  /**
   * Calls back whenever the kernel says that a SCSI device came, went or changed. Returns what ends it. Throws NativeError
   * where that cannot be heard (a container).
   */
  listenForDevices(onChange: () => void): () => void;
  /** Whether a /dev/bsg node takes commands by io_uring; else why not, as the name of an errno. */
  bsgUring(path: string): true | string;
  crc32c(data: Uint8Array, seed?: number): number;
  /** Sends one datagram to $NOTIFY_SOCKET (sd_notify(3)). False when there is none. */
  sdNotify(state: string): boolean;
  /** Locks an open file against other processes (flock(2)) until it is closed or the process ends, in whatever
   * way. False when another one has it. */
  lockFile(fd: number): boolean;
}
