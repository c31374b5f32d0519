// The arithmetic of a list's check, in halves of 32 bits, against the same in bigints.
import test from "ava";
import fc from "fast-check";
import { ListCheck } from "../../../src/control/list-check.js";
import { encodeChunk, listDigest } from "../../../src/control/list-chunk.js";

interface Extent {
  readonly offset: bigint;
  readonly lba: bigint;
  readonly blocks: number;
}

const BLOCK = 4096;
const INT64_MAX = 2n ** 63n - 1n;

/** Numbers near where a half, a sign or all of it ends. */
const near = (...edges: bigint[]): fc.Arbitrary<bigint> =>
  fc
    .tuple(fc.constantFrom(...edges), fc.bigInt(-4n, 4n))
    .map(([edge, by]) => BigInt.asUintN(64, edge + by * BigInt(BLOCK)));
const extent: fc.Arbitrary<Extent> = fc.record({
  offset: fc.oneof(
    near(0n, 2n ** 32n, 2n ** 44n, 2n ** 53n, 2n ** 63n),
    near(0n, 2n ** 32n).map((n) => n + 512n),
  ),
  lba: near(0n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 2n ** 32n),
  blocks: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(2 ** 20, 2 ** 31, 2 ** 32 - 1)),
});

/** What is wrong with extents of one member; undefined when nothing is. */
function judged(extents: readonly Extent[]): string | undefined {
  let end = 0n;
  for (const { offset, lba, blocks } of extents) {
    if (offset % BigInt(BLOCK) !== 0n) return "is not a multiple of the block size";
    if (offset < end) return "does not rise within the member";
    if (lba + BigInt(blocks) > 2n ** 64n) return "go past 2^64";
    end = offset + BigInt(blocks * BLOCK);
    if (end > INT64_MAX) return "ends past 2^63-1 bytes";
  }
  return undefined;
}

function check(extents: readonly Extent[]): void {
  const chunks = extents.map(({ offset, lba, blocks }, index) => ({
    index,
    members:
      index > 0
        ? []
        : [
            {
              name: "a",
              type: "file",
              size: 0n,
              mode: 0,
              uid: 0,
              gid: 0,
              mtimeNs: 0n,
              extents: extents.length,
            } as const,
          ],
    extents: {
      fileOffset: BigUint64Array.of(offset),
      lba: BigUint64Array.of(lba),
      blocks: Uint32Array.of(blocks),
    },
  }));
  const digest = listDigest();
  const encoded = chunks.map((chunk) => encodeChunk(chunk));
  for (const chunk of encoded) digest.update(chunk);
  const list = new ListCheck({
    listId: "l",
    volume: { id: "v", generation: "1", sequence: 0n },
    blockBytes: BLOCK,
    members: 1,
    extents: BigInt(extents.length),
    bytes: extents.reduce((sum, { blocks }) => sum + BigInt(blocks * BLOCK), 0n),
    chunks: chunks.length,
    digest: new Uint8Array(digest.digest()),
  });
  for (const [index, bytes] of encoded.entries()) list.add(bytes, index);
  list.finish();
}

test("extents are judged exactly up to the ends of 64 bits", (t) => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(extent, { minLength: 1, maxLength: 3 }), fc.boolean(), (some, sorted) => {
      const extents = sorted ? [...some].sort((a, b) => (a.offset < b.offset ? -1 : 1)) : some;
      const wrong = judged(extents);
      seen.add(wrong ?? "right");
      if (wrong === undefined) check(extents);
      else t.throws(() => check(extents), { code: "LIST_INVALID", message: new RegExp(wrong.replace("^", "\\^")) });
    }),
    { numRuns: 2000 },
  );
  t.is(seen.size, 5, [...seen].join());
});
