// What becomes of data that does not fill a block: the table of PAD and CAT (SPC-4 5.17.7.2), and what comes between
// segments that leave something and those that go on with it.
import test from "ava";
import { amountsOf, type Padding, settle } from "../../../src/copy-manager/residue.js";
import type { CopyStep, GatherPart, ScatterPart } from "../../../src/copy-manager/steps.js";
import { ASC } from "../../../src/wire/xcopy/refusal.js";
import type { Segment } from "../../../src/wire/xcopy/segments.js";
import * as x from "../../lib/copy-plans.js";

const NOTHING = { unwritten: 0n, unprocessed: 0n };

test("a source is counted in what is read, processed or written", (t) => {
  const before = { unwritten: 3n, unprocessed: 2n };
  // Two are left over and ten are read: fifteen with those that wait, of which two blocks of six are written.
  t.deepEqual(amountsOf(before, { of: "source", bytes: 10n }, 5n, 6n), {
    ...{ read: 10n, processed: 12n, written: 12n, unwritten: 3n, unprocessed: 0n },
  });
  // Ten are processed; two are there, and eight more are in two blocks of five.
  t.deepEqual(amountsOf(before, { of: "processed", bytes: 10n }, 5n, 6n), {
    ...{ read: 10n, processed: 10n, written: 12n, unwritten: 1n, unprocessed: 2n },
  });
  t.deepEqual(amountsOf(before, { of: "processed", bytes: 1n }, 5n, 6n), {
    ...{ read: 0n, processed: 1n, written: 0n, unwritten: 4n, unprocessed: 1n },
  });
  // Twelve are written: three wait, two are there, and seven more are in two blocks.
  t.deepEqual(amountsOf(before, { of: "destination", bytes: 12n }, 5n, 6n), {
    ...{ read: 10n, processed: 9n, written: 12n, unwritten: 0n, unprocessed: 3n },
  });
  t.deepEqual(amountsOf({ unwritten: 9n, unprocessed: 2n }, { of: "destination", bytes: 6n }, 5n, 6n), {
    ...{ read: 0n, processed: 0n, written: 6n, unwritten: 3n, unprocessed: 2n },
  });
});

test("PAD and CAT decide as SPC-4 5.17.7.2 has it", (t) => {
  const rest = { unwritten: 4n, unprocessed: 3n };
  const of = (sourcePad: boolean, targetPad: boolean, more: Partial<Padding> = {}) =>
    settle(rest, { sourcePad, targetPad, cat: false, byDestination: false, ...more }, 6n);
  for (const pads of [0, 1, 2, 3])
    t.deepEqual(of(pads > 1, pads % 2 > 0, { cat: true }), { zeros: 0n, dropped: 0n, ...rest });
  t.deepEqual(of(true, true), { ...NOTHING, zeros: 2n, dropped: 3n });
  t.deepEqual(of(false, true), { zeros: 2n, dropped: 0n, unwritten: 0n, unprocessed: 3n });
  t.deepEqual(of(true, false), { ...NOTHING, zeros: 0n, dropped: 7n });
  t.is(of(false, false), undefined);
  // There is no place for more than was counted.
  t.is(of(true, true, { byDestination: true }), undefined);
  t.deepEqual(of(true, false, { byDestination: true }), { ...NOTHING, zeros: 0n, dropped: 7n });
  const none = { sourcePad: false, targetPad: false, cat: false, byDestination: true };
  t.deepEqual(settle(NOTHING, none, 6n), { ...NOTHING, zeros: 0n, dropped: 0n });
});

type Short = readonly (readonly string[])[];

const word = (part: GatherPart | ScatterPart): string => {
  const bytes = part.op === "inline" ? part.data.length : part.bytes;
  return `${"device" in part ? part.device : part.op} ${bytes}`;
};
/** Each step in words: what is gathered, "to", what is scattered. */
const short = (steps: readonly CopyStep[]): Short =>
  steps.map((step) =>
    step.kind === "data"
      ? [...step.gather.map(word), "to", ...step.scatter.map(word)]
      : [step.kind, step.segment.toString()],
  );

const marks = (destination: number): Segment => ({ kind: "filemarks", destination, immediate: false, count: 1 });
const ready: Segment = { kind: "verify", source: x.D4096, testUnitReady: true };
/** 8192 bytes in blocks of 5000: 3192 are left. */
const leaves = (destination: number, more: object = {}) =>
  x.blockStream(x.D512, destination, { transfer: 5000, ...more });
/** From tape to tape, 2000 bytes and what is left of the block. */
const between = (source: number, more: object = {}) =>
  x.streamStream(source, x.VARIABLE, { byteCount: 7000, sourceTransfer: 1024, destinationTransfer: 5000, ...more });

const CASES: readonly (readonly [string, readonly Segment[], Short])[] = [
  ["fills the last block with zeros", [leaves(x.PADDED)], [["d512 8192", "zeros 1808", "to", "padded 10000"]]],
  [
    "does not read what the source's PAD lets drop",
    [x.blockStream(x.PADDED_DISK, x.VARIABLE, { transfer: 5000 })],
    [["padded-disk 5000", "to", "variable 5000"]],
  ],
  [
    "reads a tape to the end of the block that is dropped",
    [x.streamBlock(x.PADDED, x.D512, { blocks: 3 })],
    [["padded 8192", "to", "d512 1536", "discard 6656"]],
  ],
  [
    "passes over the blocks that a tape is not written with",
    [x.streamStream(x.PADDED, x.VARIABLE, { byteCount: 7000, sourceTransfer: 1000, destinationTransfer: 5000 })],
    [
      ["padded 5000", "to", "variable 5000"],
      ["padded 2000", "to", "discard 2000"],
    ],
  ],
  [
    "ends the step where the rest of a source block is dropped",
    [1, 2].map(() =>
      x.streamStream(x.PADDED, x.VARIABLE, { byteCount: 5000, sourceTransfer: 3000, destinationTransfer: 5000 }),
    ),
    [
      ["padded 5000", "to", "variable 5000"],
      ["padded 5000", "to", "variable 5000"],
    ],
  ],
  [
    "keeps residual source data where only the destination pads, for the next segment",
    [
      x.streamStream(x.VARIABLE, x.PADDED, { byteCount: 5000, destinationTransfer: 4096 }),
      x.streamStream(x.VARIABLE, x.PADDED, { byteCount: 3192, destinationTransfer: 4096 }),
    ],
    [["variable 5000", "zeros 3192", "variable 3192", "zeros 904", "to", "padded 12288"]],
  ],
  [
    "goes on with what is left in the same step",
    [
      leaves(x.VARIABLE, { cat: true }),
      x.inlineStream(x.VARIABLE, { transfer: 5000, cat: true }),
      leaves(x.VARIABLE, { cat: true, blocks: 4 }),
    ],
    [["d512 8192", "inline 16", "d512 1792", "to", "variable 10000"]],
  ],
  [
    "reads later what is left of a disk where the next segment writes another tape",
    [leaves(x.VARIABLE, { cat: true }), leaves(x.PADDED)],
    [
      ["d512 5000", "to", "variable 5000"],
      ["d512 3192", "d512 8192", "zeros 3616", "to", "padded 15000"],
    ],
  ],
  [
    "carries what is left of a tape to a step that cannot have it otherwise",
    [
      x.streamBlock(x.VARIABLE, x.D512, { blocks: 15, cat: true }),
      x.blockBlock(x.D4096, x.OTHER512, { blocks: 1, cat: true }),
    ],
    [
      ["variable 8192", "to", "d512 7680", "carry 512"],
      ["carried 512", "d4096 4096", "to", "other 4608"],
    ],
  ],
  [
    "carries what is left of a disk where it is overwritten in the same step",
    [
      x.blockBlock(x.D512, x.D4096, { blocks: 9, cat: true }),
      x.blockBlock(x.OTHER512, x.D512, { blocks: 9, sourceLba: 0n, destinationLba: 108n }),
    ],
    [
      ["d512 4608", "to", "d4096 4096", "carry 512"],
      ["carried 512", "other 4608", "to", "d512 5120"],
    ],
  ],
  [
    "does not read the tape that it writes in the same step",
    [
      x.inlineStream(x.VARIABLE),
      x.streamStream(x.VARIABLE, x.FIXED, { byteCount: 500, sourceTransfer: 500, cat: true }),
      x.embedded(x.FIXED, new Uint8Array(524)),
    ],
    [
      ["inline 16", "to", "variable 16"],
      ["variable 500", "inline 524", "to", "fixed 1024"],
    ],
  ],
  [
    "does not write the tape that it reads in the same step",
    [
      x.streamStream(x.VARIABLE, x.FIXED, { byteCount: 500, sourceTransfer: 500, cat: true }),
      x.inlineStream(x.VARIABLE, { transfer: 516 }),
    ],
    [
      ["variable 500", "to", "carry 500"],
      ["carried 500", "inline 16", "to", "variable 516"],
    ],
  ],
  [
    "discards what is left at the end, which is no error",
    [leaves(x.VARIABLE, { cat: true })],
    [["d512 5000", "to", "variable 5000"]],
  ],
  [
    "keeps what is left over commands to other devices",
    [leaves(x.VARIABLE, { cat: true }), ready, leaves(x.VARIABLE, { blocks: 9, cat: true })],
    [
      ["d512 5000", "to", "variable 5000"],
      ["test-ready", "1"],
      ["d512 3192", "d512 1808", "to", "variable 5000"],
    ],
  ],
  [
    "pads before a filemark",
    [leaves(x.PADDED, { cat: true }), marks(x.PADDED)],
    [
      ["d512 8192", "zeros 1808", "to", "padded 10000"],
      ["filemarks", "1"],
    ],
  ],
  [
    "drops before a filemark",
    [x.blockStream(x.PADDED_DISK, x.VARIABLE, { transfer: 5000, cat: true }), marks(x.VARIABLE)],
    [
      ["padded-disk 5000", "to", "variable 5000"],
      ["filemarks", "1"],
    ],
  ],
];

for (const [name, segments, steps] of CASES)
  test(`a copy ${name}`, (t) => {
    const planned = x.plan(segments);
    t.is(planned.refusal, undefined);
    t.deepEqual(short(planned.steps), steps);
  });

test("held data that is dropped is read all the same", (t) => {
  const segment = x.blockBlock(x.PADDED_DISK, x.D4096, { blocks: 9, hold: true });
  t.deepEqual(short(x.plan([segment]).steps), [["padded-disk 4096", "to", "d4096 4096"]]);
  const { scatter } = x.onlyData(x.plan([segment], { heldBytes: 5000 }));
  t.deepEqual(scatter[1], { op: "discard", bytes: 512n, held: true });
});

test("what is left before a filemark, and may be neither padded nor dropped, is inexact", (t) => {
  const { steps, refusal } = x.plan([leaves(x.VARIABLE, { cat: true }), marks(x.VARIABLE)]);
  t.deepEqual(short(steps), [["d512 5000", "to", "variable 5000"]]);
  t.is(refusal?.fault.segment, 1);
  t.is(refusal?.fault.ascq, ASC.INEXACT_SEGMENT[1]);
});

test("what is left of a block between two tapes is kept for the same two, and for nothing else", (t) => {
  const [first, second] = [between(x.FIXED, { cat: true }), between(x.FIXED, { byteCount: 3000, cat: true })];
  t.deepEqual(short(x.plan([first, second]).steps), [["fixed 10000", "to", "variable 10000"]]);
  const { steps, refusal } = x.plan([first, leaves(x.VARIABLE, { cat: true })]);
  t.is(refusal?.fault.segment, 1);
  t.is(refusal?.fault.ascq, ASC.INEXACT_SEGMENT[1]);
  // All seven blocks were read.
  t.deepEqual(short(steps), [
    ["fixed 5000", "to", "variable 5000"],
    ["fixed 2048", "to", "discard 2048"],
  ]);
});
