import test from "ava";
import { checkExtents } from "../../../src/copy/list-check.js";
import type { ListHeader } from "../../../src/list.js";

type Extent = readonly [lba: bigint, blocks: number];

/** Chunks of two extents, so that what is wrong may lie between two chunks. */
async function check(
  extents: readonly Extent[],
  blocks = 1000n,
  overlap: "refuse" | "allow" = "refuse",
): Promise<void> {
  const chunks = Math.ceil(extents.length / 2);
  const header: ListHeader = {
    listId: "l1",
    volume: { id: "v", generation: "1", sequence: 0n },
    blockBytes: 512,
    members: 1,
    extents: BigInt(extents.length),
    bytes: 0n,
    chunks,
    digest: new Uint8Array(32),
  };
  const read = async (index: number) => {
    const part = extents.slice(2 * index, 2 * index + 2);
    return {
      index,
      members: [],
      extents: {
        fileOffset: new BigUint64Array(part.length),
        lba: BigUint64Array.from(part, ([lba]) => lba),
        blocks: Uint32Array.from(part, ([, count]) => count),
      },
    };
  };
  await checkExtents(header, read, { name: "disk0", blockBytes: 512, blocks }, overlap);
}

const refused = { code: "LIST_EXTENT_INVALID" };

test("extents that touch, and one that ends with the device, are in order, in any order", async (t) => {
  await t.notThrowsAsync(
    check([
      [0n, 10],
      [10n, 10],
      [990n, 10],
    ]),
  );
  await t.notThrowsAsync(
    check([
      [990n, 10],
      [10n, 10],
      [0n, 10],
    ]),
  );
});

test("an extent past the device is refused, near its end as well as near 2^64", async (t) => {
  for (const extent of [
    [991n, 10],
    [1000n, 1],
    [1001n, 1],
    [2n ** 53n + 1n, 1],
    [2n ** 64n - 1n, 1],
  ] as const)
    await t.throwsAsync(check([[0n, 1], extent]), refused, `LBA ${extent[0]}`);
});

test("a device that claims 2^64 blocks is believed up to 2^53, where numbers end", async (t) => {
  await t.notThrowsAsync(check([[2n ** 53n - 1n, 1]], 2n ** 64n - 1n));
  await t.throwsAsync(check([[2n ** 53n, 1]], 2n ** 64n - 1n), refused);
  await t.throwsAsync(check([[2n ** 53n + 1n, 1]], 2n ** 64n - 1n), refused);
});

test("two extents that share a block are refused wherever they stand in the list, unless that is allowed", async (t) => {
  const lists: readonly (readonly Extent[])[] = [
    [
      [0n, 10],
      [9n, 10],
    ],
    [
      [0n, 10],
      [20n, 10],
      [29n, 1],
    ],
    [
      [100n, 10],
      [0n, 1],
      [50n, 10],
      [109n, 2],
    ],
    [
      [0n, 100],
      [200n, 5],
      [50n, 1],
    ],
  ];
  for (const list of lists) {
    await t.throwsAsync(check(list), refused);
    await t.notThrowsAsync(check(list, 1000n, "allow"));
  }
});
