// Devices and lists for tests of copy plans.
import { type PlanOptions, planCopy } from "../../src/copy-manager/plan.js";
import type { CopyAccess, CopyStep, CopyUnit, DataStep } from "../../src/copy-manager/steps.js";
import { type CopyForm, type CopyList, LIST_ID_USAGE } from "../../src/wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../../src/wire/xcopy/cscd.js";
import { CopyRefusal } from "../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../src/wire/xcopy/segments.js";
import { disk, tape } from "./xcopy.js";

/** CSCD descriptor IDs of a LID1 list. */
export const D512 = 0;
export const D4096 = 1;
export const OTHER512 = 2;
export const VARIABLE = 3;
export const FIXED = 4;
export const PADDED = 5;
export const PADDED_DISK = 6;
/** A disk whose CSCD descriptor gives a wrong block length, one that says it is a tape, and one that says it is a CD. */
export const WRONG_LENGTH = 7;
export const WRONG_TYPE = 8;
export const CD = 9;
export const NULL_4096 = 10;
/** A tape with blocks of up to 16 MiB. */
export const LARGE = 11;
export const NULL_DISK = 0xc000;
export const NULL_TAPE = 0xc001;
export const NOWHERE = 99;

export const FIXED_BYTES = 1024;
export const BLOCKS = 1n << 40n;

const plain = (blockBytes = 0, pad = false): IdentificationCscd => ({ ...disk(), blockBytes, pad });
const CSCDS: readonly IdentificationCscd[] = [
  plain(512),
  plain(4096),
  plain(),
  tape(false),
  { ...tape(true), blockBytes: FIXED_BYTES },
  { ...tape(false), pad: true },
  plain(512, true),
  plain(520),
  tape(false),
  { ...plain(), deviceType: 5 },
  { ...plain(4096), nul: true },
  tape(false),
];

const diskUnit = (device: string, blockBytes: number): CopyUnit => ({
  ...{ device, type: "disk", blockBytes, maxBlockBytes: 0 },
  blocks: BLOCKS,
});
const tapeUnit = (device: string): CopyUnit => ({
  ...{ device, type: "tape", blockBytes: 0, blocks: 0n },
  maxBlockBytes: 1 << 20,
});
const UNITS: ReadonlyMap<number, CopyUnit> = new Map([
  [D512, diskUnit("d512", 512)],
  [D4096, diskUnit("d4096", 4096)],
  [OTHER512, diskUnit("other", 512)],
  [VARIABLE, tapeUnit("variable")],
  [FIXED, tapeUnit("fixed")],
  [PADDED, tapeUnit("padded")],
  [PADDED_DISK, diskUnit("padded-disk", 512)],
  [WRONG_LENGTH, diskUnit("d512", 512)],
  [WRONG_TYPE, diskUnit("d512", 512)],
  [CD, diskUnit("d512", 512)],
  [LARGE, { ...tapeUnit("large"), maxBlockBytes: 16 << 20 }],
]);

export interface Planned {
  readonly steps: CopyStep[];
  readonly refusal: CopyRefusal | undefined;
  /** "id role segment access" of each look-up. */
  readonly asked: string[];
  readonly heldLeftOut: boolean;
}

const listOf = (segments: readonly Segment[], inline: Uint8Array, form: CopyForm): CopyList => ({
  ...{ form, striped: false, listIdUsage: LIST_ID_USAGE.HOLD, priority: 0, listId: 1 },
  ...{ goodSense: false, immediate: false, cscds: CSCDS, segments, inline },
});

/** The first step alone. */
export function firstStep(segments: readonly Segment[]): CopyStep | undefined {
  const list = listOf(segments, new Uint8Array(0), "LID1");
  for (const step of planCopy(list, (id) => UNITS.get(id), { heldBytes: 0 })) return step;
  return undefined;
}

export function plan(
  segments: readonly Segment[],
  options: Partial<PlanOptions> = {},
  inline = new Uint8Array(64),
  form: CopyForm = "LID1",
): Planned {
  const list = listOf(segments, inline, form);
  const asked: string[] = [];
  const lookup = (id: number, role: string, segment: number, access: CopyAccess) => {
    asked.push(`${id} ${role} ${segment} ${access}`);
    return UNITS.get(form === "LID1" ? id : id - 1);
  };
  const made = planCopy(list, lookup, { heldBytes: 0, ...options });
  const steps: CopyStep[] = [];
  let refusal: CopyRefusal | undefined;
  try {
    for (const step of made) steps.push(step);
  } catch (error) {
    if (!(error instanceof CopyRefusal)) throw error;
    refusal = error;
  }
  return { steps, refusal, asked, heldLeftOut: made.heldLeftOut };
}

/** The only step, which has to be one of data. */
export function onlyData({ steps, refusal }: Planned): DataStep {
  if (refusal !== undefined) throw refusal;
  const [step] = steps;
  if (step?.kind !== "data" || steps.length !== 1) throw new Error(`${steps.length} steps, or none of data`);
  return step;
}

const both = { hold: false, cat: false };

export const blockStream = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "block-stream", ...both, source, destination, transfer: 8192, blocks: 16, lba: 100n, ...more },
});
export const streamBlock = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "stream-block", ...both, source, destination, transfer: 8192, blocks: 16, lba: 100n, ...more },
});
export const blockBlock = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "block-block", ...both, destinationCount: false, source, destination, blocks: 16 },
  ...{ sourceLba: 100n, destinationLba: 100n, ...more },
});
export const streamStream = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "stream-stream", ...both, source, destination, sourceTransfer: 8192, destinationTransfer: 4096 },
  ...{ byteCount: 8192, ...more },
});
export const inlineStream = (destination: number, more: object = {}): Segment => ({
  ...{ kind: "inline-stream", cat: false, destination, transfer: 16, inlineOffset: 0, byteCount: 16, ...more },
});
export const embedded = (destination: number, data: Uint8Array, more: object = {}): Segment => ({
  ...{ kind: "embedded-stream", cat: false, destination, transfer: data.length, data, ...more },
});
export const discard = (source: number, more: object = {}): Segment => ({
  ...{ kind: "stream-discard", ...both, source, transfer: 8192, byteCount: 8192, ...more },
});
export const offsetStream = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "offset-stream", cat: false, source, destination, transfer: 1000, byteCount: 2000, lba: 5n },
  ...{ byteOffset: 10, ...more },
});
export const streamOffset = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "stream-offset", cat: false, source, destination, transfer: 1000, byteCount: 2000, lba: 5n },
  ...{ byteOffset: 10, ...more },
});
export const offsetOffset = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "offset-offset", cat: false, source, destination, byteCount: 2000, sourceLba: 5n, destinationLba: 7n },
  ...{ sourceOffset: 10, destinationOffset: 20, ...more },
});
export const blockImage = (source: number, destination: number, more: object = {}): Segment => ({
  ...{ kind: "block-image", source, destination, sourceLba: 0n, destinationLba: 0n, blocks: 0, ...more },
});
