// What a running job gets from the daemon, and what it gives back.

import type { DeviceRegistry } from "../device/registry.js";
import type { JobFailure, JobReport, LostBlocks, VolumeReport } from "../job.js";
import type { ListChunk, ListHeader } from "../list.js";
import type { Arena, CopyStats, Native } from "../native/types.js";
import type { Clock } from "../sys/clock.js";
import type { Config } from "../sys/config.js";
import type { Logger } from "../sys/log.js";
import type { RunControl } from "./copy-run.js";
import type { JobRecord } from "./job-record.js";
import type { Journal } from "./journal.js";

/** Block lists that were received whole. */
export interface ListSource {
  /** Undefined when there is no such list, or it is not whole. */
  header(listId: string): ListHeader | undefined;
  /** Name of the device whose blocks a whole list names. */
  device(listId: string): string | undefined;
  /** One chunk by its index; may be read any number of times. */
  read(listId: string, index: number): Promise<ListChunk>;
  /** Keeps the list from being dropped; returns how to let go of it. */
  hold(listId: string): () => void;
}

/** What every job shares. */
export interface JobPlant {
  readonly bridgeId: string;
  readonly native: Native;
  readonly arena: Arena;
  readonly devices: DeviceRegistry;
  readonly lists: ListSource;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Logger;
  config(): Config["jobs"];
}

/** One job while it runs. `record` is replaced, never changed in place. */
export interface JobContext extends JobPlant {
  record: JobRecord;
  readonly control: RunControl;
  /** What the progress reports say; the runner keeps it true. */
  readonly meter: Meter;
  /** From here on the job can no longer be cancelled (its end is being written). */
  closing: boolean;
  /** Who took a device from it: it stops at a checkpoint, waits in the queue, and goes on from there. */
  yieldedTo?: string;
  /** Limit asked for by the job or by command, bytes per second; 0n: none. */
  requestedBytesPerS: bigint;
}

/** Running figures of a job, over all its runs of the engine. */
export class Meter {
  bytesTotal = 0n;
  membersTotal = 0;
  membersDone = 0;
  retries = 0n;
  cartridge: string | undefined;
  /** Stream bytes used up before the present run of the engine. */
  #bytesBefore = 0n;
  #sums = { tapeWaits: 0n, tapeWaitNs: 0n, sourceWaitNs: 0n, throttleNs: 0n };
  #samples: { readonly atMs: number; readonly bytes: bigint }[] = [];
  #live: (() => CopyStats | undefined) | undefined;

  /** A run of the engine starts; its statistics count from nothing. */
  begin(bytesBefore: bigint, live: () => CopyStats | undefined): void {
    this.#bytesBefore = bytesBefore;
    this.#live = live;
  }

  /** Bytes per second over the last few seconds; call it about once a second. */
  rate(): bigint {
    const now = performance.now();
    const { bytesDone } = this.read();
    // A job that went back to a checkpoint is counted anew from there.
    if (this.#samples.some(({ bytes }) => bytes > bytesDone)) this.#samples = [];
    const first = this.#samples[0];
    const last = this.#samples[this.#samples.length - 1];
    if (last === undefined || now - last.atMs >= 500) this.#samples.push({ atMs: now, bytes: bytesDone });
    if (this.#samples.length > 6) this.#samples.shift();
    if (first === undefined || now - first.atMs < 100) return 0n;
    return ((bytesDone - first.bytes) * 1000n) / BigInt(Math.round(now - first.atMs));
  }

  end(stats: CopyStats): void {
    this.#bytesBefore += stats.scatter.bytes;
    this.#sums.tapeWaits += stats.tapeWaits;
    this.#sums.tapeWaitNs += stats.tapeWaitNs;
    this.#sums.sourceWaitNs += stats.gather.waitNs;
    this.#sums.throttleNs += stats.throttleNs;
    this.#live = undefined;
  }

  read(): { bytesDone: bigint; tapeWaits: bigint; tapeWaitMs: number; sourceWaitMs: number; throttleMs: number } {
    const live = this.#live?.();
    const ms = (ns: bigint): number => Number(ns / 1_000_000n);
    return {
      bytesDone: this.#bytesBefore + (live?.scatter.bytes ?? 0n),
      tapeWaits: this.#sums.tapeWaits + (live?.tapeWaits ?? 0n),
      tapeWaitMs: ms(this.#sums.tapeWaitNs + (live?.tapeWaitNs ?? 0n)),
      sourceWaitMs: ms(this.#sums.sourceWaitNs + (live?.gather.waitNs ?? 0n)),
      throttleMs: ms(this.#sums.throttleNs + (live?.throttleNs ?? 0n)),
    };
  }
}

/** How a runner ended, when it did not throw. */
export interface JobOutcome {
  readonly state: "succeeded" | "failed" | "cancelled";
  readonly failure?: JobFailure;
  readonly volumes?: readonly VolumeReport[];
  readonly lost?: readonly LostBlocks[];
  readonly manifest?: { readonly offset: bigint; readonly bytes: bigint };
  readonly manifestCrc32c?: number;
  readonly miscompares?: JobReport["miscompares"];
  readonly files?: JobReport["files"];
}
