// The blocks of a ROD, against a list of all its blocks.
import test from "ava";
import fc from "fast-check";
import { checkRanges, RodRanges } from "../../../src/copy-manager/token-ranges.js";
import { CopyRefusal } from "../../../src/wire/xcopy/refusal.js";

/** Ranges that do not overlap, in any order, some of them empty or side by side. */
const ranges = fc
  .array(fc.tuple(fc.nat(4), fc.nat(5)), { maxLength: 8 })
  .map((gaps) => {
    let lba = 0n;
    return gaps.map(([gap, blocks]) => {
      const range = { lba: lba + BigInt(gap), blocks };
      lba = range.lba + BigInt(blocks);
      return range;
    });
  })
  .chain((list) => fc.shuffledSubarray(list, { minLength: list.length }));

test("pieces of a ROD are its bytes, in the order of its ranges", (t) => {
  fc.assert(
    fc.property(ranges, fc.constantFrom(1, 4), fc.nat(40), fc.nat(60), (list, blockBytes, offset, length) => {
      const all: bigint[] = [];
      for (const { lba, blocks } of list)
        for (let byte = 0; byte < blocks * blockBytes; byte++) all.push(lba * BigInt(blockBytes) + BigInt(byte));
      const rod = new RodRanges(list);
      t.is(rod.blocks * BigInt(blockBytes), BigInt(all.length));
      const found: bigint[] = [];
      for (const { lba, skip, bytes } of rod.pieces(BigInt(offset), BigInt(length), blockBytes)) {
        t.true(skip < blockBytes && bytes > 0n);
        for (let byte = 0n; byte < bytes; byte++) found.push(lba * BigInt(blockBytes) + BigInt(skip) + byte);
      }
      t.deepEqual(found, all.slice(offset, offset + length));
    }),
    { numRuns: 500 },
  );
});

test("a write touches a ROD where it has a block of its ranges, and nowhere else", (t) => {
  const extent = fc.record({ lba: fc.bigInt(0n, 40n), blocks: fc.bigInt(0n, 6n) });
  fc.assert(
    fc.property(ranges, fc.array(extent, { maxLength: 3 }), (list, extents) => {
      const has = (block: bigint) => list.some(({ lba, blocks }) => block >= lba && block < lba + BigInt(blocks));
      const written = extents.flatMap(({ lba, blocks }) =>
        Array.from({ length: Number(blocks) }, (_, i) => lba + BigInt(i)),
      );
      t.is(new RodRanges(list).touchedBy(extents), written.some(has));
    }),
    { numRuns: 1000 },
  );
});

test("ranges at the end of 64 bits are counted as they are", (t) => {
  const lba = (1n << 64n) - 8n;
  const rod = new RodRanges([{ lba, blocks: 8 }]);
  t.true(rod.touchedBy([{ lba: lba + 7n, blocks: 1n }]));
  t.false(rod.touchedBy([{ lba: lba - 1n, blocks: 1n }]));
  t.deepEqual(rod.pieces(4096n, 4096n, 1024), [{ lba: lba + 4n, skip: 0, bytes: 4096n }]);
});

test("a range that ends behind the disk is LOGICAL BLOCK ADDRESS OUT OF RANGE, at its place", (t) => {
  t.notThrows(() =>
    checkRanges(
      [
        { lba: 0n, blocks: 100 },
        { lba: 100n, blocks: 0 },
      ],
      100n,
      16,
    ),
  );
  for (const [lba, blocks] of [
    [100n, 1],
    [0n, 101],
    [101n, 0],
    [(1n << 64n) - 1n, 2],
  ] as const) {
    const error = t.throws(() =>
      checkRanges(
        [
          { lba: 0n, blocks: 1 },
          { lba, blocks },
        ],
        100n,
        16,
      ),
    );
    t.true(error instanceof CopyRefusal);
    t.like(error, { fault: { key: 5, asc: 0x21, ascq: 0, pointer: { byte: 32 } } });
  }
});
