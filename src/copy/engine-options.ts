// What the configuration says about running the engine, in the engine's own terms.
import type { Arena, CopyOptions } from "../native/types.js";
import type { Config } from "../sys/config.js";
import { GantryError } from "../sys/errors.js";

const KIB = 1024;
/** Tape blocks that the ring of a run holds at least (csrc/copy/engine.h). */
const RING_BLOCKS = 4;
const PAGE_BYTES = 4096;

type JobsConfig = Config["jobs"];

/** Settings that every copy shares. */
export function copyTuning(config: JobsConfig): Partial<CopyOptions> {
  return {
    ioBytes: config.io_kib * KIB,
    depth: config.depth,
    checkpointBytes: BigInt(config.checkpoint_mib) * 1024n * 1024n,
    checkpointMs: config.checkpoint_s * 1000,
    commandTimeoutMs: config.command_timeout_s * 1000,
    tapeTimeoutMs: config.tape_timeout_s * 1000,
  };
}

/** Each of the jobs that may run together gets an equal part of the arena, in whole pages. */
export function ringBytesOf(arena: Arena, config: JobsConfig): number {
  const part = Number(arena.bytes) / config.concurrent;
  return Math.floor(part / PAGE_BYTES) * PAGE_BYTES;
}

/** Throws JOB_INVALID when the part of the arena that a job gets cannot hold enough tape blocks of this size. */
export function checkRing(arena: Arena, config: JobsConfig, tapeBlockBytes: number): void {
  if (ringBytesOf(arena, config) >= tapeBlockBytes * RING_BLOCKS) return;
  throw new GantryError(
    "JOB_INVALID",
    `Tape blocks of ${tapeBlockBytes} bytes need ${tapeBlockBytes * RING_BLOCKS} bytes of memory for each job; raise memory.arena_mib, or lower jobs.concurrent.`,
  );
}
