// Where a restore's data goes: ranges, places and the checks before anything is changed.
import test from "ava";
import { BlockExtents } from "../../../tools/agent/block-extents.js";
import { cover, listedMembers, type RestoreMember, wholeUnits } from "../../../tools/agent/restore-map.js";
import { checkRoom, planRestore } from "../../../tools/agent/restore-plan.js";

const facts = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n };

function file(name: string, size: bigint, ...ranges: [bigint, bigint][]): RestoreMember {
  return { ...facts, name, type: "file", size, ranges: ranges.map(([offset, length]) => ({ offset, length })) };
}

const pairs = (ranges: readonly { offset: bigint; length: bigint }[]) => ranges.map((r) => [r.offset, r.length]);

test("ranges are cut at the file's end, grown to whole blocks, and joined where they then touch", (t) => {
  const member = file("a", 5000n, [10n, 20n], [600n, 10n], [1030n, 1n], [4096n, 4096n], [9000n, 10n]);
  t.deepEqual(pairs(wholeUnits(member, 512n)), [
    [0n, 1536n],
    [4096n, 1024n],
  ]);
  t.deepEqual(pairs(wholeUnits(member, 4096n)), [[0n, 8192n]]);
  t.deepEqual(pairs(wholeUnits(file("a", 100n, [0n, 0n]), 512n)), []);
  t.throws(() => wholeUnits(file("a", 5000n, [100n, 50n], [120n, 10n]), 512n), { code: "AGENT_NAME" });
});

const run = (logical: bigint, physical: bigint, length: bigint) => ({ logical, physical, length });

test("ranges are found in the runs; what else was allocated is to be zeroed", (t) => {
  const runs = [run(0n, 8192n, 4096n), run(4096n, 40_960n, 4096n), run(12_288n, 4096n, 4096n)];
  const ranges = [
    { offset: 512n, length: 512n },
    { offset: 3584n, length: 1024n }, // across two runs
    { offset: 12_288n, length: 4096n },
  ];
  const { extents, rest } = cover("a", runs, ranges, 512, 512n);
  const { fileOffset, lba, blocks } = extents.slice(0, 9);
  t.deepEqual([...fileOffset], [512n, 3584n, 4096n, 12_288n]);
  t.deepEqual([...lba], [18n, 24n, 81n, 9n]);
  t.deepEqual([...blocks], [1, 1, 1, 8]);
  t.deepEqual(rest, [run(0n, 8192n, 512n), run(1024n, 9216n, 2560n), run(4608n, 41_472n, 3584n)]);
});

for (const [what, ranges] of [
  ["before the first run", [0n, 512n]],
  ["between runs", [(9000n / 512n) * 512n, 512n]],
  ["partly past a run", [7680n, 1024n]],
  ["after the last run", [20_480n, 512n]],
] as const) {
  test(`data without a place is refused: ${what}`, (t) => {
    const runs = [run(4096n, 8192n, 4096n), run(12_288n, 4096n, 4096n)];
    const range = { offset: ranges[0], length: ranges[1] };
    t.throws(() => cover("a", runs, [range], 512, 0n), { code: "AGENT_RESTORE_MAP" });
  });
}

test("a list that ends within a member's extents is refused", async (t) => {
  const extents = new BlockExtents(512);
  extents.add(run(0n, 0n, 512n), 512n, 0n);
  const member = { ...facts, name: "a", type: "file", size: 512n, extents: 2 } as const;
  const chunks = [{ index: 0, members: [member], extents: extents.slice(0, 1) }];
  await t.throwsAsync(
    async () => {
      for await (const _ of listedMembers(chunks, 512));
    },
    { code: "AGENT_LIST_FILE" },
  );
});

const link = (name: string, linkName: string): RestoreMember => ({ ...file(name, 0n), type: "hardlink", linkName });

test("directories that no member describes are made before what lies in them; links are counted", async (t) => {
  const members = [file("a/b/c", 5000n, [0n, 5000n]), link("d", "a/b/c"), link("a/e", "a/b/c")];
  const plan = await planRestore(members, 1024);
  t.deepEqual(plan.impliedDirectories, ["a", "a/b"]);
  t.deepEqual([...plan.linkCounts], [["a/b/c", 3]]);
  t.true(plan.blocks >= 5n + 2n);
  t.notThrows(() => checkRoom(plan, plan.blocks, plan.inodes, 1024));
  t.throws(() => checkRoom(plan, plan.blocks - 1n, plan.inodes, 1024), { code: "AGENT_NO_SPACE" });
  t.throws(() => checkRoom(plan, plan.blocks, plan.inodes - 1, 1024), { code: "AGENT_NO_SPACE" });
});

for (const [what, members] of [
  ["a name that leaves the target", [file("../a", 0n)]],
  ["an absolute name", [file("/a", 0n)]],
  ["a name with an empty part", [file("a//b", 0n)]],
  ["a part of more than 255 bytes", [file("a".repeat(256), 0n)]],
  ["a part of more than 255 bytes, in a directory", [file(`${"é".repeat(128)}/a`, 0n)]],
  ["a name that comes twice", [file("a", 0n), file("a", 0n)]],
  ["a file in a file", [file("a", 0n), file("a/b", 0n)]],
  ["an image among files", [{ ...file("a", 0n), type: "image" as const }]],
  ["a directory with data", [{ ...file("a", 9n, [0n, 9n]), type: "directory" as const }]],
  ["a symbolic link without a text", [{ ...file("a", 0n), type: "symlink" as const }]],
  ["a hard link before its target", [link("a", "b"), file("b", 0n)]],
  ["a hard link to a directory", [{ ...file("b", 0n), type: "directory" as const }, link("a", "b")]],
  ["ranges out of order", [file("a", 99n, [50n, 9n], [0n, 9n])]],
] as const) {
  test(`a restore is refused before it begins: ${what}`, async (t) => {
    await t.throwsAsync(planRestore(members, 1024), { code: "AGENT_NAME" });
  });
}
