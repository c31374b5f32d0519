// Taps: where commands of the bridge's own units are recorded; and records as the plane and taps give them.
import type { Addon, RawRecord, TapArguments, TapHandle } from "./addon.js";
import { integer, U32_MAX } from "./check.js";
import { call, invalid } from "./failure.js";
import type { Tap, Tapped, TraceRecord } from "./records.js";
import type { Outcome } from "./types.js";

/** GT_TRACE_FILTERS of csrc/transport/trace.h. */
const TAGS_MAX = 64;
const TAG_BYTES = 4;
const NOBODY = U32_MAX;
/** gt_dir and gt_outcome of csrc/transport/lu.h. */
const DIRECTIONS = ["none", "in", "out"] as const;
const OUTCOMES: readonly Outcome[] = ["delivered", "transport", "timed-out", "aborted"];

class NativeTap implements Tap {
  readonly handle: TapHandle;
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
    this.handle = call(() => addon.tapOpen());
  }

  record(tags: readonly number[]): void {
    integer("tags.length", tags.length, 0, TAGS_MAX);
    const packed = Buffer.alloc(tags.length * TAG_BYTES);
    tags.forEach((tag, index) => {
      packed.writeUInt32LE(integer("tag", tag, 0, U32_MAX), index * TAG_BYTES);
    });
    call(() => this.#addon.tapSet(this.handle, packed));
  }

  take(): ReturnType<Tap["take"]> {
    const { records, lost } = call(() => this.#addon.tapTake(this.handle));
    const tapped = records.map(recordOf).map(({ nexus: _nexus, lun: _lun, unit = NOBODY, ...record }) => ({
      ...record,
      tag: unit,
    }));
    return { records: tapped, lost };
  }
}

export const openTap = (addon: Addon): Tap => new NativeTap(addon);

/** What the addon wants to know of where a unit's commands can be recorded. */
export function tapArguments(tapped: Tapped | undefined): TapArguments {
  if (tapped === undefined) return [null, 0];
  if (!(tapped.tap instanceof NativeTap)) throw invalid("tap is not a tap of this module.", { field: "tap" });
  return [tapped.tap.handle, integer("tag", tapped.tag, 0, U32_MAX)];
}

export function recordOf({ unit, direction, outcome, ...record }: RawRecord): TraceRecord {
  return {
    ...record,
    ...(unit === NOBODY ? {} : { unit }),
    direction: DIRECTIONS[direction] ?? "none",
    outcome: OUTCOMES[outcome] ?? "transport",
  };
}
