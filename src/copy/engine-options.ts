// What the configuration says about running the engine, in the engine's own terms.
import type { Arena, CopyOptions } from "../native/types.js";
import type { Config } from "../sys/config.js";

const KIB = 1024;
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
