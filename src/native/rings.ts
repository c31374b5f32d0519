// Rings of the kernel's own target, as part of the bridge's data plane: checks in words, and who waits for a ring to be
// given back.
import type { PlaneEvents } from "../plane.js";
import type { Addon, PlaneHandle, RawRing } from "./addon.js";
import { flag, integer, text, U32_MAX, wide } from "./check.js";
import { call } from "./failure.js";
import type { RingPlace, RingStats, Rings } from "./types.js";

const LUNS_MAX = 256;
/** gt_lio_event_kind. */
const RING = { DETACHED: 1, BROKEN: 2, GONE: 3 } as const;

export class PlaneRings implements Rings {
  readonly #addon: Addon;
  readonly #handle: PlaneHandle;
  readonly #events: Pick<PlaneEvents, "onRing">;
  readonly #attached = new Set<number>();
  /** Who waits for a ring to be given back. */
  readonly #leaving = new Map<number, (() => void)[]>();

  constructor(addon: Addon, handle: PlaneHandle, events: Pick<PlaneEvents, "onRing">) {
    this.#addon = addon;
    this.#handle = handle;
    this.#events = events;
  }

  openNexus(): number | undefined {
    return call(() => this.#addon.lioOpenNexus(this.#handle));
  }

  closeNexus(nexus: number): void {
    call(() => this.#addon.lioCloseNexus(this.#handle, integer("nexus", nexus, 0, U32_MAX)));
  }

  attach(nexus: number, lun: number, { node, bytes, sequential }: RingPlace): number {
    const ring = call(() =>
      this.#addon.lioAttach(
        this.#handle,
        integer("nexus", nexus, 0, U32_MAX),
        integer("lun", lun, 0, LUNS_MAX - 1),
        flag("sequential", sequential),
        text("node", node, 4000),
        wide("bytes", bytes, 0n),
      ),
    );
    this.#attached.add(ring);
    return ring;
  }

  async detach(ring: number): Promise<void> {
    if (!this.#attached.has(ring)) return;
    call(() => this.#addon.lioDetach(this.#handle, ring));
    await new Promise<void>((resolve) => {
      this.#leaving.set(ring, [...(this.#leaving.get(ring) ?? []), resolve]);
    });
  }

  stats(): RingStats {
    return call(() => this.#addon.lioStats(this.#handle));
  }

  taken({ kind, ring }: RawRing): void {
    if (kind === RING.BROKEN) this.#events.onRing?.(ring, "broken");
    if (kind === RING.GONE) this.#events.onRing?.(ring, "gone");
    if (kind !== RING.DETACHED) return;
    this.#attached.delete(ring);
    const waiting = this.#leaving.get(ring) ?? [];
    this.#leaving.delete(ring);
    for (const done of waiting) done();
  }

  /** The plane is no more, and every ring was given back with it. */
  closed(): void {
    this.#attached.clear();
    for (const done of [...this.#leaving.values()].flat()) done();
    this.#leaving.clear();
  }
}
