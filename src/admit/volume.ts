// Tells readers of a shared disk what somebody else wrote: extents that the data plane noted are taken every few
// milliseconds while a server may write, joined, and told to the broker; what a copy job wrote comes when it ends. What
// could not be told yet is kept and joined with what comes; nothing is forgotten, it only grows coarser.
import type { Plane, WrittenExtent } from "../plane.js";
import type { Timers } from "../sys/clock.js";
import { mergeExtents } from "./volume-extents.js";

/** What is told of is never older than twice that. */
const LOOK_MS = 50;
/** After a telling that failed. */
const RETRY_MS = 1000;
/** In one message. */
export const EXTENTS_MAX = 256;

export interface VolumeChange {
  readonly device: string;
  /** One more with every change of this disk since the bridge started: whoever sees a gap has missed one. */
  readonly sequence: number;
  readonly extents: readonly WrittenExtent[];
}

export interface VolumeWatchOptions {
  readonly plane: Pick<Plane, "takeWrites">;
  readonly timers: Timers;
  /** Disks that somebody may write now, and their unit. */
  readonly watched: () => ReadonlyMap<string, number>;
  /** Resolves when the message is delivered; rejects when it will not be. */
  readonly publish: (change: VolumeChange) => Promise<void>;
  /** Servers wrote there. */
  readonly onWritten: (device: string, extents: readonly WrittenExtent[]) => void;
  /** In-band, to readers that are logged in. */
  readonly tell: (device: string) => void;
}

interface Volume {
  /** Absent: only a job wrote on it. */
  unit?: number;
  pending: readonly WrittenExtent[];
  /** A message is on its way, or the next one has to wait. */
  busy: boolean;
  sequence: number;
}

export class VolumeWatch {
  readonly #options: VolumeWatchOptions;
  readonly #volumes = new Map<string, Volume>();
  /** Of disks that are not watched now too. */
  readonly #sequences = new Map<string, number>();
  #timer: (() => void) | undefined;
  #stopped = false;

  constructor(options: VolumeWatchOptions) {
    this.#options = options;
  }

  /** Paths changed. Whatever may be written from now on is noted from now on. */
  changed(): void {
    if (this.#stopped) return;
    const watched = this.#options.watched();
    for (const [device, unit] of watched) {
      const volume = this.#volume(device);
      if (volume.unit === unit) continue;
      volume.unit = unit;
      // The first call starts the noting; what was noted before is told of too.
      this.#take(device);
    }
    this.#arm();
  }

  /** Somebody who is no server wrote there. @param often and will soon again, so that it is told with the next look */
  wrote(device: string, extents: readonly WrittenExtent[], often = false): void {
    if (this.#stopped || extents.length === 0) return;
    const volume = this.#volume(device);
    volume.pending = mergeExtents([...volume.pending, ...extents], EXTENTS_MAX);
    if (!volume.busy && !often) void this.#publish(device, volume);
    this.#arm();
  }

  /** What servers have written until now is told before it returns. */
  look(device: string): void {
    if (!this.#stopped) this.#take(device);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.();
    this.#timer = undefined;
  }

  #look(): void {
    this.#timer = undefined;
    const watched = this.#options.watched();
    for (const [device, volume] of this.#volumes) {
      this.#take(device);
      // The last writes of somebody who is gone are told of before the disk is let go of.
      if (watched.has(device) || volume.busy || volume.pending.length > 0) continue;
      this.#volumes.delete(device);
    }
    this.#arm();
  }

  #arm(): void {
    if (this.#stopped || this.#volumes.size === 0) return;
    this.#timer ??= this.#options.timers.after(LOOK_MS, () => this.#look());
  }

  #volume(device: string): Volume {
    const known = this.#volumes.get(device);
    if (known !== undefined) return known;
    const volume: Volume = { pending: [], busy: false, sequence: this.#sequences.get(device) ?? 0 };
    this.#volumes.set(device, volume);
    return volume;
  }

  #take(device: string): void {
    const volume = this.#volumes.get(device);
    if (volume === undefined) return;
    const written = volume.unit === undefined ? [] : this.#options.plane.takeWrites(volume.unit);
    if (written.length > 0) {
      volume.pending = mergeExtents([...volume.pending, ...written], EXTENTS_MAX);
      this.#options.onWritten(device, written);
      this.#options.tell(device);
    }
    if (volume.pending.length > 0 && !volume.busy) void this.#publish(device, volume);
  }

  async #publish(device: string, volume: Volume): Promise<void> {
    const extents = volume.pending;
    volume.pending = [];
    volume.busy = true;
    volume.sequence += 1;
    this.#sequences.set(device, volume.sequence);
    try {
      await this.#options.publish({ device, sequence: volume.sequence, extents });
      volume.busy = false;
    } catch {
      volume.pending = mergeExtents([...extents, ...volume.pending], EXTENTS_MAX);
      this.#options.timers.after(RETRY_MS, () => {
        volume.busy = false;
      });
    }
  }
}
