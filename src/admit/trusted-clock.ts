// Whether the bridge knows what time it is. A bridge without a battery-backed clock starts in 1970, and a
// clock that went back would bring expired keys to life, so no key is taken until there is a reason to
// believe the clock, and none after it jumped back.
import { existsSync } from "node:fs";
import type { Clock } from "../sys/clock.js";
import type { Store, StoreChange, StoreKey } from "../sys/store.js";
import { decodeCbor, encodeCbor } from "../wire/cbor-strict.js";

/** What keys are judged by. */
export interface TrustedTime {
  /** Milliseconds since 1970; never runs slower than the monotonic clock. */
  nowMs(): number;
  /** Why the time is not to be believed, as the rest of a sentence; undefined when it is. */
  fault(): string | undefined;
  /**
   * What remembers the present time for the next start, when it is trusted. To be stored together with what was judged
   * by it, so that it can still be judged after a power failure.
   */
  toRemember(): readonly StoreChange[];
}

export interface ClockPolicy {
  /** "synchronised": see fault(); "assume": somebody vouches for the clock, but jumps back still count. */
  readonly mode: "synchronised" | "assume";
  /** When this software was built, milliseconds since 1970; it cannot be earlier now. */
  readonly builtMs: number;
  /** A jump back of more than this makes the clock untrusted, milliseconds. Default 5000. */
  readonly toleranceMs?: number;
  /** Exists once the system's clock is synchronised; default that of systemd-timesyncd(8). */
  readonly synchronisedFile?: string;
}

export const SYNCHRONISED_FILE = "/run/systemd/timesync/synchronized";
const DEFAULT_TOLERANCE_MS = 5000;
const LAST_KNOWN: StoreKey = ["clock", "last-known"];

export class TrustedClock implements TrustedTime {
  readonly #clock: Clock;
  readonly #policy: ClockPolicy;
  readonly #store: Store;
  readonly #exists: (file: string) => boolean;
  /** Wall and monotonic time at one moment; moves only when the wall clock goes forward faster. */
  #anchor: { wallMs: number; monotonicMs: number } | undefined;
  #jumpedBackMs = 0;
  #accepted = false;
  #synchronised = false;
  #trustedBefore = false;

  constructor(clock: Clock, policy: ClockPolicy, store: Store, exists: (file: string) => boolean = existsSync) {
    this.#clock = clock;
    this.#policy = policy;
    this.#store = store;
    this.#exists = exists;
  }

  /**
   * The wall clock, or what the monotonic clock says it should be, whichever is later: small steps back
   * do not stretch a key's life, and many of them together count as one jump.
   */
  nowMs(): number {
    const wallMs = this.#clock.nowMs();
    const monotonicMs = this.#clock.monotonicMs();
    const anchor = this.#anchor;
    if (anchor === undefined) {
      this.#anchor = { wallMs, monotonicMs };
      return wallMs;
    }
    const expectedMs = anchor.wallMs + (monotonicMs - anchor.monotonicMs);
    if (wallMs >= expectedMs) {
      this.#anchor = { wallMs, monotonicMs };
      return wallMs;
    }
    if (expectedMs - wallMs > (this.#policy.toleranceMs ?? DEFAULT_TOLERANCE_MS)) {
      if (!this.#trustedBefore) {
        // Nothing was judged by the time before the jump: this is a clock being set after the start.
        this.#anchor = { wallMs, monotonicMs };
        return wallMs;
      }
      this.#jumpedBackMs = Math.max(this.#jumpedBackMs, expectedMs - wallMs);
    }
    return expectedMs;
  }

  fault(): string | undefined {
    const fault = this.#fault(this.nowMs());
    this.#trustedBefore ||= fault === undefined;
    return fault;
  }

  #fault(nowMs: number): string | undefined {
    if (this.#jumpedBackMs > 0) {
      return `the clock went back by ${Math.round(this.#jumpedBackMs / 1000)} s while the bridge was running`;
    }
    if (nowMs < this.#policy.builtMs) {
      return `the clock says ${date(nowMs)}, which is before this software was built (${date(this.#policy.builtMs)})`;
    }
    if (this.#policy.mode === "assume" || this.#accepted || this.#isSynchronised()) return undefined;
    const lastMs = this.lastKnownMs();
    if (lastMs === undefined) return "the clock was not synchronised yet and the bridge remembers no earlier time";
    if (lastMs > nowMs) return `the clock says ${date(nowMs)}, but the bridge remembers ${date(lastMs)}`;
    return undefined;
  }

  /** Somebody who knows says that the wall clock is right now: jumps before this are forgotten. */
  accept(): void {
    this.#anchor = undefined;
    this.#jumpedBackMs = 0;
    this.#accepted = true;
  }

  /** Puts the present time on stable storage, if it is trusted, for the next start. Call every few minutes and when stopping. */
  async remember(): Promise<void> {
    const changes = this.toRemember();
    if (changes.length > 0) await this.#store.batch(changes);
  }

  toRemember(): readonly StoreChange[] {
    if (this.fault() !== undefined) return [];
    return [{ put: LAST_KNOWN, value: encodeCbor(Math.floor(this.nowMs())) }];
  }

  /** The time that was remembered last; undefined when there is none that can be read. */
  lastKnownMs(): number | undefined {
    const bytes = this.#store.get(LAST_KNOWN);
    if (bytes === undefined) return undefined;
    try {
      const value = decodeCbor(bytes);
      return typeof value === "number" && Math.abs(value) <= LAST_DATE_MS ? value : undefined;
    } catch {
      // Unreadable is the same as none: the clock then needs another reason to be believed.
      return undefined;
    }
  }

  /** Once synchronised, the file stays until the next boot, so it is looked for only until it is there. */
  #isSynchronised(): boolean {
    this.#synchronised ||= this.#exists(this.#policy.synchronisedFile ?? SYNCHRONISED_FILE);
    return this.#synchronised;
  }
}

/** ECMA-262 21.4.1.1: what is further from 1970 is no date. */
const LAST_DATE_MS = 8.64e15;

const date = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
