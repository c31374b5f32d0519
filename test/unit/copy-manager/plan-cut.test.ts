// How steps are cut: by what is held, and by how long they may be.
import test from "ava";
import { inSteps } from "../../../src/copy-manager/plan-cut.js";
import type { CopyStep, DataStep } from "../../../src/copy-manager/steps.js";
import * as x from "../../lib/copy-plans.js";

test("the first bytes that are to be held are held, over segments, and it is told that more were not", (t) => {
  const held = (heldBytes: number): readonly [CopyStep[], boolean] => {
    const first = x.blockBlock(x.D512, x.OTHER512, { blocks: 1, hold: true });
    const second = x.blockBlock(x.D512, x.OTHER512, { blocks: 1, destinationLba: 200n });
    const third = x.discard(x.FIXED, { byteCount: 1024, hold: true });
    const { steps, heldLeftOut } = x.plan([first, second, third], { heldBytes });
    return [steps, heldLeftOut];
  };
  const runs = (steps: readonly CopyStep[]) =>
    steps.flatMap((step) => (step.kind === "data" ? step.scatter.map((part) => [part.bytes, part.held]) : []));
  const [all, none] = [held(2000), held(0)];
  t.deepEqual(runs(all[0]), [
    [512n, true],
    [512n, false],
    [1024n, true],
  ]);
  t.false(all[1]);
  t.deepEqual(runs(none[0]), [
    [512n, false],
    [512n, false],
    [1024n, false],
  ]);
  t.true(none[1]);
  const [some, leftOut] = held(600);
  t.deepEqual(runs(some), [
    [512n, true],
    [512n, false],
    [88n, true],
    [936n, false],
  ]);
  t.true(leftOut);
});

test("a step has no more bytes than are wanted, in whole blocks, and says what of a segment comes later", (t) => {
  const image = x.blockImage(x.D512, x.OTHER512, { blocks: 2048 });
  const { steps } = x.plan([image], { longestStep: 300_000n });
  t.deepEqual(
    steps.map((step) => step.kind === "data" && step.segments),
    [
      [{ segment: 0, end: 299_520n, later: 749_056n, unitBytes: 512 }],
      [{ segment: 0, end: 299_520n, later: 449_536n, unitBytes: 512 }],
      [{ segment: 0, end: 299_520n, later: 150_016n, unitBytes: 512 }],
      [{ segment: 0, end: 150_016n, later: 0n, unitBytes: 512 }],
    ],
  );
  const tape = [0, 1, 2].map((index) => x.streamBlock(x.VARIABLE, x.D512, { lba: BigInt(index * 16) }));
  const ends = x.plan(tape, { longestStep: 9000n }).steps;
  t.deepEqual(
    ends.map((step) => step.kind === "data" && step.segments.length),
    [2, 1],
  );
});

test("steps are cut at the edges of blocks, after one block where it is longer", (t) => {
  const sizes = (step: DataStep, longest: bigint) =>
    [
      ...inSteps(
        step,
        longest,
        new Map([
          ["d512", 512n],
          ["other", 512n],
        ]),
      ),
    ].map(({ scatter }) => scatter.map(({ bytes }) => bytes));
  const onTape = x.onlyData(
    x.plan([x.blockStream(x.D512, x.VARIABLE, { transfer: 2048, hold: true })], { heldBytes: 3000 }),
  );
  t.deepEqual(sizes(onTape, 100n), [[2048n], [952n, 1096n], [2048n], [2048n]]);
  t.deepEqual(sizes(onTape, 5000n), [[3000n, 1096n], [4096n]]);
  const within = x.onlyData(x.plan([x.offsetOffset(x.D512, x.OTHER512, { byteCount: 1200, destinationOffset: 500 })]));
  t.deepEqual(sizes(within, 512n), [[12n], [512n], [512n], [164n]]);
  t.deepEqual(sizes(within, 600n), [[524n], [512n], [164n]]);
  const carried = { ...within, scatter: [...within.scatter, { op: "carry", bytes: 50n, held: false } as const] };
  t.deepEqual(sizes({ ...carried, gather: [...within.gather, { op: "zeros", bytes: 50n }] }, 1180n), [
    [1036n],
    [164n, 50n],
  ]);
});
