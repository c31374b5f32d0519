// The verdict of one path: rights that keys give, less the write privilege where another server has it, with what
// reservations leave, and until when. Pure.
import type { Verdict } from "../plane.js";
import type { DeviceClass, Right } from "./key.js";
import { gateMask, maskOf } from "./opcodes.js";

/**
 * A right that ends while others go on is taken away that much early: the data plane knows one end for a whole path, and
 * a path that is judged anew a moment too late would seem to be no path in between.
 */
export const EARLY_MS = 20;

const ALL_CLASSES = 0xffff;

/**
 * LUN 0 of who has no device there: nothing but a place to present a key at. What is not answered in place is LOGICAL
 * UNIT NOT SUPPORTED, whatever its class.
 */
export const PLACE: Verdict = { gate: ALL_CLASSES, reservation: ALL_CLASSES, visible: true, writeProtected: false };

/** Commands that may change a medium, for drains. */
export const WRITE_CLASSES = maskOf("write", "disk-write");

export interface PathFacts {
  readonly type: DeviceClass;
  /** By right, until when (wall clock). */
  readonly rights: ReadonlyMap<Right, number>;
  /** False: another server has the write privilege. */
  readonly mayWrite: boolean;
  readonly reservation: number;
  readonly nowMs: number;
  readonly monotonicMs: number;
}

export interface PathVerdict extends Verdict {
  /** What keys alone would let through. */
  readonly keyGate: number;
}

export function verdictOf({ type, rights, mayWrite, reservation, nowMs, monotonicMs }: PathFacts): PathVerdict {
  const latestMs = Math.max(...rights.values());
  const lasting = [...rights].filter(([, untilMs]) => untilMs === latestMs || untilMs - nowMs > EARLY_MS);
  const held: ReadonlySet<Right> = new Set(lasting.map(([right]) => right));
  const keyGate = gateMask(type, held);
  return {
    keyGate,
    gate: mayWrite ? keyGate : keyGate & WITHOUT_WRITING[type],
    reservation,
    visible: held.size > 0,
    writeProtected: !held.has("write") || !mayWrite,
    ...(held.size > 0 && {
      expiresMonotonicMs: monotonicMs + (Math.min(...lasting.map(([, untilMs]) => untilMs)) - nowMs),
    }),
  };
}

/** Classes that need no right to write; so a key to write alone leaves INQUIRY and the like. */
const allButWrite: ReadonlySet<Right> = new Set<Right>(["read", "exclusive", "media-control"]);
const WITHOUT_WRITING: Readonly<Record<DeviceClass, number>> = {
  disk: gateMask("disk", allButWrite),
  tape: gateMask("tape", allButWrite),
  changer: gateMask("changer", allButWrite),
};

/** The end of a key moves by less than a millisecond from reckoning to reckoning. */
export function sameVerdict(a: PathVerdict, b: PathVerdict): boolean {
  const [endA, endB] = [a, b].map(({ expiresMonotonicMs }) => expiresMonotonicMs ?? Number.POSITIVE_INFINITY);
  return (
    a.gate === b.gate &&
    a.keyGate === b.keyGate &&
    a.reservation === b.reservation &&
    a.visible === b.visible &&
    a.writeProtected === b.writeProtected &&
    (endA === endB || Math.abs((endA ?? 0) - (endB ?? 0)) < 2)
  );
}
