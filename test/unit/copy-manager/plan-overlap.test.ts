// A copy within one disk whose ends overlap goes as if the source were read whole before anything is written.
import test from "ava";
import fc from "fast-check";
import { backwards, Extents, pieceBytes } from "../../../src/copy-manager/overlap.js";
import type { DataStep } from "../../../src/copy-manager/steps.js";
import * as x from "../../lib/copy-plans.js";
import { StepRunner } from "../../lib/copy-steps.js";

const KIB64 = 65_536n;
const MIB = 1n << 20n;

const shift = (blocks: number, distance: bigint, more: object = {}) =>
  x.blockBlock(x.D512, x.D512, { blocks, sourceLba: 1000n, destinationLba: 1000n + distance, ...more });

const lbas = (step: DataStep | undefined) =>
  step?.scatter.map((part) => (part.op === "extent" ? [part.lba, part.bytes] : [part.op, part.bytes]));

test("pieces cover all bytes once, last first, and meet at the edges of blocks", (t) => {
  fc.assert(
    fc.property(fc.bigInt(0n, 40n), fc.bigInt(1n, 200n), fc.bigInt(1n, 5n), (start, bytes, blocks) => {
      const block = 8n;
      let end = bytes;
      for (const [from, to] of backwards(start, bytes, block, blocks * block)) {
        t.is(to, end);
        t.true(from < to && to - from <= blocks * block);
        if (from > 0n) t.is((start + from) % block, 0n);
        // What is no whole block is by itself.
        if ((start + to) % block > 0n) t.true((start + from) / block === (start + to) / block);
        end = from;
      }
      t.is(end, 0n);
    }),
  );
});

test("a piece is no longer than the distance, or one command of the engine", (t) => {
  t.is(pieceBytes(5n * MIB, 512n, KIB64), MIB);
  t.is(pieceBytes(100_000n, 512n, KIB64), 99_840n);
  t.is(pieceBytes(KIB64, 512n, KIB64), KIB64);
  t.is(pieceBytes(512n, 512n, KIB64), KIB64);
  t.is(pieceBytes(1n, 4096n, 5000n), 4096n);
  t.is(pieceBytes(1n, 4096n, 512n), 4096n);
});

test("stretches that touch meet nothing, stretches that overlap do, on one disk", (t) => {
  const extents = new Extents();
  extents.add("a", 10n, 20n);
  extents.add("a", 20n, 30n);
  extents.add("a", 40n, 50n);
  extents.add("a", 60n, 60n);
  t.true(extents.meets("a", 29n, 30n));
  t.true(extents.meets("a", 0n, 11n));
  t.true(extents.meets("a", 30n, 41n));
  for (const [first, end] of [
    [0n, 10n],
    [30n, 40n],
    [45n, 45n],
    [59n, 61n],
  ] as const)
    t.false(extents.meets("a", first, end));
  t.false(extents.meets("b", 10n, 20n));
});

test("a copy to lower blocks, or to where it comes from, is one extent", (t) => {
  for (const distance of [-1n, -300n, 0n]) {
    const step = x.onlyData(x.plan([shift(1000, distance)]));
    t.deepEqual(lbas(step), [[1000n + distance, 512_000n]]);
  }
});

test("a copy to blocks that its source does not reach is one extent, and joins others", (t) => {
  const step = x.onlyData(x.plan([shift(100, 100n), x.blockBlock(x.OTHER512, x.D512, { destinationLba: 5n })]));
  t.is(step.segments.length, 2);
});

test("a copy to higher blocks that overlap goes backwards, in a step of its own", (t) => {
  const other = x.blockBlock(x.OTHER512, x.D512, { destinationLba: 5n });
  const { steps } = x.plan([other, shift(300, 1n), { ...other, destinationLba: 50n } as typeof other]);
  t.deepEqual(
    steps.map((step) => step.kind === "data" && step.segments.map(({ segment }) => segment)),
    [[0], [1], [2]],
  );
  const step = steps[1];
  if (step?.kind !== "data") return t.fail();
  t.deepEqual(lbas(step), [
    [1173n, KIB64],
    [1045n, KIB64],
    [1001n, 44n * 512n],
  ]);
  t.deepEqual(
    step.gather.map((part) => part.op === "extent" && part.lba),
    [1172n, 1044n, 1000n],
  );
  t.deepEqual(step.segments, [{ segment: 1, end: 153_600n, later: 0n, unitBytes: 512 }]);
});

test("a disk that takes less in one command has shorter pieces", (t) => {
  const { steps } = x.plan([shift(3, 1n)], { transferBytes: 600 });
  t.deepEqual(lbas(steps[0] as DataStep), [
    [1003n, 512n],
    [1002n, 512n],
    [1001n, 512n],
  ]);
});

test("of an image of a whole disk only so many pieces exist at a time", (t) => {
  const step = x.firstStep([x.blockImage(x.D512, x.D512, { destinationLba: 8n, blocks: 2 ** 32 - 1 })]);
  t.true(step?.kind === "data" && step.gather.length === 4096);
  const bytes = (2n ** 32n - 1n) * 512n;
  const [segment] = step?.kind === "data" ? step.segments : [];
  t.is((segment?.end ?? 0n) + (segment?.later ?? 0n), bytes);
});

test("held data of a copy that goes backwards is read before, in its order, and each piece is one extent", (t) => {
  const { steps } = x.plan([shift(300, 1n, { hold: true })], { heldBytes: 70_000 });
  const [first, second] = steps;
  if (first?.kind !== "data" || second?.kind !== "data") return t.fail();
  t.deepEqual(first.scatter, [{ op: "discard", bytes: 70_000n, held: true }]);
  t.deepEqual(first.segments, [{ segment: 0, end: 0n, later: 153_600n, unitBytes: 512 }]);
  t.deepEqual(lbas(second), [
    [1173n, KIB64],
    [1045n, KIB64],
    [1001n, 44n * 512n],
  ]);
  t.true(second.scatter.every(({ held }) => !held));
});

test("bytes within blocks are moved by any distance, in any order of the engine's", (t) => {
  const moves = fc.record({
    block: fc.constantFrom(512, 4096),
    source: fc.nat(9000),
    distance: fc.integer({ min: -9000, max: 9000 }),
    bytes: fc.integer({ min: 1, max: 20_000 }),
    transfer: fc.constantFrom(512, 4096, 8192),
    seed: fc.nat(0xffff),
  });
  fc.assert(
    fc.property(moves, ({ block, source, distance, bytes, transfer, seed }) => {
      const target = Math.max(0, source + distance);
      const segment = x.offsetOffset(block === 512 ? x.D512 : x.D4096, block === 512 ? x.D512 : x.D4096, {
        ...{ byteCount: bytes, sourceLba: BigInt(Math.floor(source / block)), sourceOffset: source % block },
        ...{ destinationLba: BigInt(Math.floor(target / block)), destinationOffset: target % block },
      });
      const data = Uint8Array.from({ length: 49_152 }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
      const expected = data.slice();
      expected.copyWithin(target, source, source + bytes);
      const plant = { disks: new Map([[block === 512 ? "d512" : "d4096", { block, data }]]), tapes: new Map() };
      const limit = Math.max(block, transfer);
      const runner = new StepRunner(plant, limit, seed);
      for (const step of x.plan([segment], { transferBytes: limit }).steps) runner.run(step);
      return Buffer.compare(data, expected) === 0;
    }),
    { numRuns: 400 },
  );
  t.pass();
});
