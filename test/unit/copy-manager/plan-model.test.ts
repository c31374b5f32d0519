// Plans, carried out in any order that the engine may use, do what the segments say: thousands of lists against a naive
// interpretation.
import test from "ava";
import fc from "fast-check";
import { planCopy } from "../../../src/copy-manager/plan.js";
import type { CopyUnit, DataStep } from "../../../src/copy-manager/steps.js";
import { type CopyList, LIST_ID_USAGE } from "../../../src/wire/xcopy/copy-list.js";
import type { IdentificationCscd } from "../../../src/wire/xcopy/cscd.js";
import { ASC, CopyRefusal } from "../../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import { Naive } from "../../lib/copy-naive.js";
import type { NaiveDevice } from "../../lib/copy-naive-ends.js";
import { copyOf, type Plant, StepRunner } from "../../lib/copy-steps.js";
import { disk } from "../../lib/xcopy.js";

const RUNS = 4000;
/** Small, so that they meet often; planning does not know how large a block is. */
const DISKS = [4, 4, 6, 10] as const;
const BLOCKS = 40;
const SOURCES = [6, 6] as const;
const SOURCE_BLOCKS = 150;
const TRANSFER = 24;
const NULL = { disk: 0xc000, tape: 0xc001 } as const;
const INLINE = Uint8Array.from({ length: 64 }, (_, index) => 200 + (index % 50));

/** In the order of their CSCD descriptors. */
const NAMES = [...DISKS.map((_, index) => `d${index}`), "t0", "t1", "t2", "t3"];
const disks = fc.nat(DISKS.length - 1);
const sources = fc.constantFrom(4, 5);
const targets = fc.oneof({ weight: 12, arbitrary: fc.constantFrom(6, 7) }, fc.constant(NULL.tape));
const someDisk = fc.oneof({ weight: 12, arbitrary: disks }, fc.constant(NULL.disk));
const bool = fc.boolean();
const mostly = fc.integer({ min: 0, max: 9 });
const lba = fc.nat(BLOCKS - 1).map(BigInt);
const near = fc.nat(12).map(BigInt);
const place = fc.oneof(near, lba);
const count = fc.oneof({ weight: 5, arbitrary: fc.nat(10) }, fc.nat(30));
const bytes = fc.oneof({ weight: 5, arbitrary: fc.nat(30) }, fc.nat(120));
const unit = fc.constantFrom(5, 8, 12);
const offset = fc.nat(3);
const cat = mostly.map((value) => value < 6);
const hold = mostly.map((value) => value < 2);

const kind = <T extends object>(name: string, fields: { [F in keyof T]: fc.Arbitrary<T[F]> }) =>
  fc.record<T>(fields).map((values) => ({ kind: name, ...values }));

/** STREAM DEVICE TRANSFER LENGTH of a source tape is that of its blocks. */
const fromTape = <T extends { source: number }>(values: T) => {
  const transfer = SOURCES[values.source - 4] ?? 0;
  return { ...values, transfer, sourceTransfer: transfer };
};

const segments = fc.oneof(
  kind("block-stream", { hold, cat, source: disks, destination: targets, transfer: unit, blocks: count, lba: place }),
  kind("stream-block", { hold, cat, source: sources, destination: disks, blocks: count, lba: place }).map(fromTape),
  {
    weight: 3,
    arbitrary: kind("block-block", {
      ...{ hold, cat, destinationCount: bool, source: disks, destination: disks, blocks: count },
      ...{ sourceLba: place, destinationLba: place },
    }),
  },
  kind("block-block", {
    ...{ hold, cat, destinationCount: fc.constant(false), source: disks, destination: someDisk, blocks: count },
    ...{ sourceLba: place, destinationLba: place },
  }),
  kind("stream-stream", {
    ...{ hold, cat, source: sources, destination: targets, destinationTransfer: unit, byteCount: bytes },
  }).map(fromTape),
  kind("inline-stream", {
    ...{ cat, destination: targets, transfer: unit, byteCount: fc.nat(32) },
    inlineOffset: fc.nat(7).map((quarter) => quarter * 4),
  }),
  kind("embedded-stream", { cat, destination: targets, transfer: unit, data: fc.uint8Array({ maxLength: 20 }) }),
  kind("stream-discard", { hold, cat, source: sources, byteCount: bytes }).map(fromTape),
  kind("offset-stream", {
    ...{ cat, source: disks, destination: targets, transfer: unit, byteCount: bytes },
    ...{ lba: place, byteOffset: offset },
  }),
  kind("stream-offset", {
    ...{ cat, source: sources, destination: someDisk, byteCount: bytes, lba: place, byteOffset: offset },
  }).map(fromTape),
  {
    weight: 3,
    arbitrary: kind("offset-offset", {
      ...{ cat, source: disks, destination: disks, byteCount: bytes, sourceLba: place, destinationLba: place },
      ...{ sourceOffset: offset, destinationOffset: offset },
    }),
  },
  kind("filemarks", { destination: fc.constantFrom(6, 7, NULL.tape), immediate: bool, count: fc.nat(2) }),
  kind("locate", { destination: fc.constantFrom(4, 5), objectId: fc.nat(10) }),
  kind("verify", { source: fc.nat(7), testUnitReady: bool }),
  kind("block-image", { source: disks, destination: disks, sourceLba: lba, destinationLba: place, blocks: count }),
);

/** Ids of descriptors are their places; LID1 counts from 0. */
const lists = fc.record({
  segments: fc.array(segments, { minLength: 1, maxLength: 9 }) as unknown as fc.Arbitrary<Segment[]>,
  pads: fc.array(mostly, { minLength: NAMES.length, maxLength: NAMES.length }),
  fixed: fc.array(bool, { minLength: NAMES.length, maxLength: NAMES.length }),
  heldBytes: fc.constantFrom(0, 7, 50),
  longestStep: fc.constantFrom(0n, 0n, 9n, 40n),
  seed: fc.nat(0xffff),
});

const fixedOf = (fixed: readonly boolean[], index: number): number => {
  if (index < 4 || !fixed[index]) return 0;
  return SOURCES[index - 4] ?? 9;
};

function plantOf(): Plant {
  let value = 0;
  const next = () => (value = (value * 5 + 17) % 251);
  return {
    disks: new Map(
      DISKS.map((block, index) => [`d${index}`, { block, data: Uint8Array.from({ length: block * BLOCKS }, next) }]),
    ),
    tapes: new Map(
      ["t0", "t1", "t2", "t3"].map((name, index) => {
        const length = SOURCES[index];
        const objects =
          length === undefined ? [] : Array.from({ length: SOURCE_BLOCKS }, () => Uint8Array.from({ length }, next));
        return [name, { objects, at: 0 }];
      }),
    ),
  };
}

const cscd = (index: number, pad: boolean, fixed: number): IdentificationCscd => ({
  ...disk(),
  deviceType: index < 4 ? 0 : 1,
  pad,
  fixed: fixed > 0,
  blockBytes: index < 4 ? (index % 2) * (DISKS[index] ?? 0) : fixed,
});

const unitOf = (id: number): CopyUnit | undefined => {
  const device = NAMES[id];
  if (device === undefined) return undefined;
  const blockBytes = DISKS[id] ?? 0;
  return id < 4
    ? { device, type: "disk", blockBytes, blocks: BigInt(BLOCKS), maxBlockBytes: 0 }
    : { device, type: "tape", blockBytes: 0, blocks: 0n, maxBlockBytes: 4096 };
};

const stateOf = ({ disks: all, tapes }: Plant) => ({
  disks: [...all].map(([name, { data }]) => `${name} ${Buffer.from(data).toString("hex")}`),
  tapes: [...tapes].map(([name, { objects, at }]) => {
    const text = objects.map((object) => (object === "mark" ? "mark" : Buffer.from(object).toString("hex")));
    return `${name} at ${at}: ${name < "t2" ? "" : text.join(" ")}`;
  }),
});

interface Seen {
  refused: number;
  stuck: number;
  carried: number;
  steps: number;
  whole: number;
  round: number;
}

type Asked = typeof lists extends fc.Arbitrary<infer T> ? T : never;

/** A step of one block or one piece may be longer, and what reads a tape or carries something is not cut. */
function isTooLong({ scatter, sourceBlockBytes }: DataStep, longest: bigint): boolean {
  if (longest === 0n || sourceBlockBytes > 0 || scatter.some(({ op }) => op === "carry")) return false;
  return scatter.reduce((sum, { bytes: size }) => sum + size, 0n) > (longest > 12n ? longest : 12n);
}

/** Both, and what differs; "" for nothing. */
function difference(asked: Asked, seen: Seen): string {
  const list: CopyList = {
    ...{ form: "LID1", striped: false, listIdUsage: LIST_ID_USAGE.HOLD, priority: 0, listId: 1 },
    ...{ goodSense: false, immediate: false, segments: asked.segments, inline: INLINE },
    cscds: NAMES.map((_, index) => cscd(index, (asked.pads[index] ?? 0) < 4, fixedOf(asked.fixed, index))),
  };
  const device = (id: number): NaiveDevice => ({
    name: NAMES[id],
    pad: (asked.pads[id] ?? 9) < 4,
    fixed: fixedOf(asked.fixed, id),
    nullBlock: 1,
  });
  const runner = new StepRunner(plantOf(), TRANSFER, asked.seed);
  const naive = new Naive(copyOf(runner.plant), device, INLINE, asked.heldBytes);
  let refusal: CopyRefusal | undefined;
  const plan = planCopy(list, unitOf, { ...asked, transferBytes: TRANSFER });
  try {
    for (const step of plan) {
      seen.steps++;
      if (step.kind === "data" && step.scatter.some(({ op }) => op === "carry")) seen.carried++;
      if (step.kind === "data" && step.segments.some(({ later }) => later > 0n)) seen.round++;
      runner.run(step);
      if (step.kind === "data" && isTooLong(step, asked.longestStep)) return "a step is too long";
    }
  } catch (error) {
    if (!(error instanceof CopyRefusal)) throw error;
    refusal = error;
  }
  const stuck = refusal?.message.includes("cannot be kept for this one") ?? false;
  const at = refusal?.fault.segment;
  for (const [index, segment] of asked.segments.entries()) {
    if (stuck && index === at) {
      seen.stuck++;
      if (!naive.left || !naive.betweenTapes) return "refused without need";
      break;
    }
    const refused = naive.run(index, segment);
    if (refused === undefined) continue;
    if (at !== index) return `refused at ${at}, not at ${index} (${refused.why})`;
    break;
  }
  naive.end();
  if (refusal === undefined) seen.whole++;
  else seen.refused++;
  const [is, should] = [stateOf(runner.plant), stateOf(naive.plant)];
  for (const [index, text] of [...should.disks, ...should.tapes].entries()) {
    const found = [...is.disks, ...is.tapes][index];
    if (found !== text) return `is ${found}\nnot ${text}`;
  }
  if (runner.commands.join() !== naive.commands.join()) return `${runner.commands} not ${naive.commands}`;
  if (naive.heldDropped || refusal !== undefined) return "";
  if (runner.held.join() !== naive.held.join()) return `held ${runner.held} not ${naive.held}`;
  return plan.heldLeftOut === naive.heldLeftOut ? "" : "held data was left out";
}

test("a plan does what its segments say, in whatever order the engine reads and writes", (t) => {
  const seen: Seen = { refused: 0, stuck: 0, carried: 0, steps: 0, whole: 0, round: 0 };
  fc.assert(
    fc.property(lists, (asked) => {
      const found = difference(asked, seen);
      if (found !== "") throw new Error(found);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
  t.log(seen);
  t.true(seen.whole > RUNS / 20);
  t.true(seen.carried > RUNS / 50);
  t.true(seen.stuck > 0);
  t.is(ASC.INEXACT_SEGMENT[0], 0x26);
});
