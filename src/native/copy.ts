// Runs of the copy engine, and the arena that their rings come from.
import type { Addon, ArenaHandle, CopyHandle, Unit } from "./addon.js";
import { bytes, flag, integer, oneOf, U16_MAX, U32_MAX, wide } from "./check.js";
import { call, callLater, invalid } from "./failure.js";
import { luHandle } from "./lu.js";
import {
  type Arena,
  type Copy,
  type CopyEvent,
  type CopyLu,
  type CopyOptions,
  type CopyStats,
  QUEUE_SEGMENTS,
  SEGMENT_BYTES,
} from "./types.js";

/** Disk blocks are 512 or 4096 bytes on all hardware; emulations go to 64 KiB. */
const MAX_DISK_BLOCK_BYTES = 65_536;
const TAPE_BLOCK_MIN = 1;
const TAPE_BLOCK_MAX = 8 << 20;
const MAX_LUS = 255;
/** Segments' inline bytes are headers and tails, not payload. */
const INLINE_MAX = 64 << 20;
const DIGEST_BYTES = 124;

class NativeArena implements Arena {
  constructor(
    private readonly addon: Addon,
    readonly handle: ArenaHandle,
    readonly bytes: bigint,
  ) {}

  freeBytes(): bigint {
    return call(() => this.addon.arenaFreeBytes(this.handle));
  }

  close(): void {
    call(() => this.addon.arenaClose(this.handle));
  }
}

export function createArena(addon: Addon, size: bigint): Arena {
  if (wide("bytes", size) === 0n) throw invalid("bytes is 0n; an arena has at least one page.", { field: "bytes" });
  return new NativeArena(
    addon,
    call(() => addon.createArena(size)),
    size,
  );
}

class NativeCopy implements Copy {
  constructor(
    private readonly addon: Addon,
    private readonly handle: CopyHandle,
  ) {}

  append(gather: Uint8Array, scatter: Uint8Array, inline: Uint8Array): boolean {
    const max = QUEUE_SEGMENTS * SEGMENT_BYTES;
    for (const [name, segments] of [["gather", gather] as const, ["scatter", scatter] as const])
      if (bytes(name, segments, 0, max).byteLength % SEGMENT_BYTES !== 0)
        throw invalid(`${name} has ${segments.byteLength} bytes, not a multiple of ${SEGMENT_BYTES}.`, { field: name });
    bytes("inline", inline, 0, INLINE_MAX);
    return call(() => this.addon.copyAppend(this.handle, gather, scatter, inline));
  }

  finish(): void {
    call(() => this.addon.copyFinish(this.handle));
  }

  pause(): void {
    call(() => this.addon.copyPause(this.handle));
  }

  resume(): void {
    call(() => this.addon.copyResume(this.handle));
  }

  cancel(): void {
    call(() => this.addon.copyCancel(this.handle));
  }

  rate(bytesPerS: bigint): void {
    call(() => this.addon.copyRate(this.handle, wide("bytesPerS", bytesPerS)));
  }

  take(): CopyEvent[] {
    return call(() => this.addon.copyTake(this.handle));
  }

  stats(): CopyStats {
    return call(() => this.addon.copyStats(this.handle));
  }

  async close(): Promise<void> {
    await callLater(() => this.addon.copyClose(this.handle));
  }
}

function unit(given: CopyLu, index: number): Unit {
  const name = `lus[${index}]`;
  // Whoever calls from JavaScript may give anything.
  if (typeof given !== "object" || given === null) throw invalid(`${name} is no object.`, { field: name });
  const handle = luHandle(given.lu);
  if (handle === undefined) throw invalid(`${name}.lu is not a logical unit of this process.`, { field: `${name}.lu` });
  return [
    handle,
    oneOf(`${name}.type`, given.type, [0, 1]),
    integer(`${name}.blockBytes`, given.blockBytes, 0, MAX_DISK_BLOCK_BYTES),
    wide(`${name}.blocks`, given.blocks),
    integer(`${name}.maxIoBytes`, given.maxIoBytes, 0, U32_MAX),
  ];
}

export function startCopy(addon: Addon, options: CopyOptions, onEvents: () => void): Copy {
  const { arena } = options;
  if (!(arena instanceof NativeArena)) throw invalid("arena is not an arena of this process.", { field: "arena" });
  if (!Array.isArray(options.lus) || options.lus.length < 1 || options.lus.length > MAX_LUS)
    throw invalid(`lus is not a list of 1 to ${MAX_LUS} logical units.`, { field: "lus" });
  if (typeof onEvents !== "function") throw invalid("onEvents is not a function.", { field: "onEvents" });
  const handle = call(() =>
    addon.startCopy(
      arena.handle,
      options.lus.map(unit),
      BigInt(integer("ringBytes", options.ringBytes, 1, Number.MAX_SAFE_INTEGER)),
      integer("tapeBlockBytes", options.tapeBlockBytes, TAPE_BLOCK_MIN, TAPE_BLOCK_MAX),
      integer("sourceBlockBytes", options.sourceBlockBytes, 0, TAPE_BLOCK_MAX, 0),
      integer("ioBytes", options.ioBytes, 0, U32_MAX, 0),
      integer("depth", options.depth, 0, U16_MAX, 0),
      flag("sha256", options.sha256),
      flag("zeroFill", options.zeroFill),
      flag("sourceCrcs", options.sourceCrcs),
      flag("keepMember", options.keepMember),
      flag("leaveCached", options.leaveCached),
      wide("streamOffset", options.streamOffset, 0n),
      wide("tapeObject", options.tapeObject, 0n),
      options.digest === undefined ? null : bytes("digest", options.digest, DIGEST_BYTES, DIGEST_BYTES),
      wide("checkpointBytes", options.checkpointBytes, 0n),
      integer("checkpointMs", options.checkpointMs, 0, U32_MAX, 0),
      wide("bytesPerS", options.bytesPerS, 0n),
      integer("commandTimeoutMs", options.commandTimeoutMs, 0, U32_MAX, 0),
      integer("tapeTimeoutMs", options.tapeTimeoutMs, 0, U32_MAX, 0),
      integer("retryLimit", options.retryLimit, 0, U32_MAX, 0),
      integer("busyLimitMs", options.busyLimitMs, 0, U32_MAX, 0),
      onEvents,
    ),
  );
  return new NativeCopy(addon, handle);
}
