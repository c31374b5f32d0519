// Watches the grant of a running job: the moment that a key it relies on expires or is taken back, the job
// is told; when a key was renewed, the grant goes on under the new one.
import type { Timers } from "../sys/clock.js";
import { type AccessRequest, type Grant, judge, type Refusal } from "./gate.js";
import type { KeyRing, KeyView, RingChange } from "./key-ring.js";
import type { TrustedTime } from "./trusted-clock.js";

/** The part of a ring that a watch needs. */
export type WatchedRing = KeyView & Pick<KeyRing, "onChange">;

export interface Watching {
  /** The grant in force; after the end, the last one. */
  readonly grant: Grant;
  /** Stops watching; idempotent. The callback does not come afterwards. */
  close(): void;
}

/** The wall clock can be set forward while a timer waits, so expiry is looked at no later than this. */
const LOOK_AGAIN_MS = 30_000;

export class GateWatch {
  readonly #ring: WatchedRing;
  readonly #time: TrustedTime;
  readonly #timers: Timers;

  constructor(ring: WatchedRing, time: TrustedTime, timers: Timers) {
    this.#ring = ring;
    this.#time = time;
    this.#timers = timers;
  }

  /**
   * @param onLost called once, synchronously with the revocation or by timer at the expiry, with what is no
   * longer granted; never from inside watch().
   */
  watch(request: AccessRequest, grant: Grant, onLost: (refusal: Refusal) => void): Watching {
    // Whoever runs was admitted under a trusted clock, and trusted time goes on by the monotonic clock. So a
    // clock that was set wrong since then stops nothing that runs; it only keeps new work out.
    const view: KeyView = {
      lookup: (id) => this.#ring.lookup(id),
      fault: () => undefined,
      leewayMs: this.#ring.leewayMs,
    };
    const state = { grant, closed: false, cancelTimer: (): void => undefined };
    const close = (): void => {
      state.closed = true;
      state.cancelTimer();
      unsubscribe();
    };
    const look = (): void => {
      if (state.closed) return;
      state.cancelTimer();
      const answer = judge(request, view, this.#time.nowMs());
      if (answer.granted) {
        state.grant = answer;
        arm();
      } else {
        close();
        onLost(answer);
      }
    };
    const arm = (): void => {
      const leftMs = state.grant.expiresMs - this.#time.nowMs();
      state.cancelTimer = this.#timers.after(Math.min(Math.max(0, leftMs), LOOK_AGAIN_MS), look);
    };
    // "expired" comes from pruning, after the expiry itself was seen; it takes nothing away.
    const unsubscribe = this.#ring.onChange((change: RingChange) => {
      if (change.type !== "expired") look();
    });
    // A key may have been taken back between the judgement and this call: look as soon as the caller is done.
    state.cancelTimer = this.#timers.after(0, look);
    return {
      get grant() {
        return state.grant;
      },
      close,
    };
  }
}
