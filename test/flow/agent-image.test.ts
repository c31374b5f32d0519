// The agent on unmounted ext4 images, without root: lists, and the restore into another image.
import { lstat, mkdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { listImage } from "../../tools/agent/list-image.js";
import { listWhole } from "../../tools/agent/list-whole.js";
import { prepareImage } from "../../tools/agent/prepare-image.js";
import { restoreMembers } from "../../tools/agent/restore-map.js";
import { parseFsFacts } from "../../tools/agent/superblock.js";
import { contentOf, fsckExt4, makeExt4, makeTree, moveBlocks, run, STRANGE, taken, temporary } from "./agent-parts.js";

const KINDS = [
  { kind: "1 KiB blocks", options: ["-b", "1024"], to: ["-b", "1024"] },
  { kind: "4 KiB blocks", options: ["-b", "4096"], to: ["-b", "4096"] },
  { kind: "1 KiB blocks, restored to 4 KiB", options: ["-b", "1024"], to: ["-b", "4096"] },
  { kind: "4 KiB blocks, restored to 1 KiB", options: ["-b", "4096"], to: ["-b", "1024"] },
  { kind: "block maps instead of extents", options: ["-b", "1024", "-O", "^extents,^64bit"], to: ["-b", "4096"] },
  { kind: "128-byte inodes", options: ["-b", "4096", "-I", "128"], to: ["-b", "4096", "-I", "128"] },
];

for (const { kind, options, to } of KINDS) {
  test.serial(`image, ${kind}: the listed blocks are the files, and a restore gives the same files`, async (t) => {
    const folder = await temporary(t);
    const tree = join(folder, "tree");
    await mkdir(tree);
    await makeTree(tree);
    const image = join(folder, "from.img");
    await writeFile(image, Buffer.alloc(48 << 20, 0xee));
    await makeExt4(image, "48M", [...options, "-E", "nodiscard"], tree);
    // Blocks that are only reserved read as zeros, whatever is in them.
    if (kind !== "block maps instead of extents") {
      await run("debugfs", "-w", "-R", 'fallocate "/dir/only hole" 100 200', image);
    }

    const source = await listImage({ image });
    const listed = await taken(source);
    let files = 0;
    for (const [name, entry] of listed) {
      const path = join(tree, name);
      const stat = await lstat(path, { bigint: true });
      if (entry.member.type === "symlink") t.is(entry.member.linkName, await readlink(path));
      else t.is(entry.member.mode, Number(stat.mode & 0o7777n), name);
      if (entry.member.type === "hardlink") t.is(entry.member.linkName, "dir/deep/hard");
      if (entry.member.type !== "file") continue;
      files++;
      t.is(entry.member.size, stat.size, name);
      t.is(entry.member.mtimeNs / 1_000_000_000n, stat.mtimeNs / 1_000_000_000n, name);
      t.true((await contentOf(image, entry)).equals(await readFile(path)), name);
    }
    t.is(files, 12 + STRANGE.length + 4);
    t.is(listed.get("dir/only hole")?.extents.count, 0);
    t.is(source.totals.skippedCount, 0);

    const target = join(folder, "to.img");
    // What is on the device already must not show through holes, tails and the rest of blocks.
    await writeFile(target, Buffer.alloc(64 << 20, 0xee));
    await makeExt4(target, "64M", [...to, "-E", "nodiscard"]);
    const again = await listImage({ image });
    const prepared = await prepareImage({ image: target, members: restoreMembers(again.chunks, again.blockBytes) });
    const places = await taken(prepared);
    t.deepEqual([...places.keys()], [...listed.keys()]);
    await moveBlocks(image, listed, target, places);
    await fsckExt4(target);

    const restored = await taken(await listImage({ image: target }));
    t.deepEqual([...restored.keys()], [...listed.keys()]);
    for (const [name, { member }] of listed) {
      const { extents: _, ...facts } = member;
      t.like(restored.get(name)?.member, facts, name);
      if (member.type !== "file") continue;
      const entry = restored.get(name);
      t.true(entry && (await contentOf(target, entry)).equals(await readFile(join(tree, name))), name);
    }
    // Another judge than the agent's own reading.
    await mkdir(join(folder, "dump"));
    await run("debugfs", "-R", `rdump / ${join(folder, "dump")}`, target);
    await run("diff", "-r", "--no-dereference", "-x", "lost+found", tree, join(folder, "dump"));
  });
}

test.serial("image: a file larger than the longest extent is prepared in written extents that cover it", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await makeExt4(image, "600M", ["-b", "4096"]);
  const size = 400n << 20n; // 102400 blocks; an extent has 32768 at most, an unwritten one 32767
  const facts = { type: "file", mode: 0o600, uid: 1, gid: 2, mtimeNs: 1n } as const;
  const members = [
    { ...facts, name: "large", size, ranges: [{ offset: 0n, length: size }] },
    {
      ...facts,
      name: "dots",
      size: size,
      ranges: Array.from({ length: 3000 }, (_, i) => ({ offset: BigInt(i) * 65_536n, length: 512n })),
    },
  ];
  const places = await taken(await prepareImage({ image, members }));
  t.is(places.get("large")?.extents.totalBlocks, size / 512n);
  t.is(places.get("dots")?.extents.totalBlocks, 3000n);
  await fsckExt4(image);
  const listed = await taken(await listImage({ image }));
  t.is(listed.get("large")?.extents.totalBlocks, size / 512n);
  t.is(listed.get("dots")?.extents.totalBlocks, 3000n * 8n);
});

test.serial("image: what is in the way is refused, and with overwrite replaced", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  const tree = join(folder, "tree");
  await mkdir(join(tree, "dir"), { recursive: true });
  for (const name of ["a", "new\nline", "dir/b"]) await writeFile(join(tree, name), Buffer.alloc(5000, "old"));
  await makeExt4(image, "16M", ["-b", "1024"], tree);
  const facts = { type: "file", mode: 0o600, uid: 1, gid: 2, mtimeNs: 1n, size: 3n } as const;
  const ranges = [{ offset: 0n, length: 3n }];
  const members = ["a", "new\nline", "dir/b"].map((name) => ({ ...facts, name, ranges }));
  await t.throwsAsync(prepareImage({ image, members }), { code: "AGENT_EXISTS" });
  const directory = [{ ...facts, name: "dir", ranges }];
  await t.throwsAsync(prepareImage({ image, members: directory, overwrite: true }), { code: "AGENT_EXISTS" });
  const places = await taken(await prepareImage({ image, members, overwrite: true }));
  await fsckExt4(image);
  t.deepEqual(
    [...places.values()].map(({ member }) => member.size),
    [3n, 3n, 3n],
  );
});

test.serial("image: a restore that does not fit is refused before anything is changed", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await makeExt4(image, "16M", ["-b", "1024"]);
  const before = await readFile(image);
  const size = 20n << 20n;
  const member = { name: "a", type: "file", mode: 0o600, uid: 1, gid: 2, mtimeNs: 1n, size } as const;
  await t.throwsAsync(prepareImage({ image, members: [{ ...member, ranges: [{ offset: 0n, length: size }] }] }), {
    code: "AGENT_NO_SPACE",
  });
  const many = Array.from({ length: 5000 }, (_, i) => ({ ...member, name: `f${i}`, size: 0n, ranges: [] }));
  await t.throwsAsync(prepareImage({ image, members: many }), { code: "AGENT_NO_SPACE" });
  t.true((await readFile(image)).equals(before));
});

test.serial("image: files of inline data, and images that need recovery, are refused", async (t) => {
  const folder = await temporary(t);
  const tree = join(folder, "tree");
  await mkdir(tree);
  await writeFile(join(tree, "tiny"), "tiny");
  await writeFile(join(tree, "large"), Buffer.alloc(9000, 1));
  const image = join(folder, "inline.img");
  await makeExt4(image, "16M", ["-O", "inline_data", "-I", "256"], tree);
  await t.throwsAsync(async () => taken(await listImage({ image })), { code: "AGENT_EXTENT", message: /inline_data/ });
  const source = await listImage({ image, onRefused: "skip" });
  t.deepEqual([...(await taken(source)).keys()], ["large"]);
  t.is(source.totals.skippedCount, 1);
  await t.throwsAsync(prepareImage({ image, members: [] }), { code: "AGENT_FS_UNSUPPORTED" });

  const dirty = join(folder, "dirty.img");
  await makeExt4(dirty, "16M", [], tree);
  await run("debugfs", "-w", "-R", "feature needs_recovery", dirty);
  await t.throwsAsync(listImage({ image: dirty }), { code: "AGENT_FS_UNCLEAN", message: /journal/ });
});

test.serial("image: names and attributes that imitate debugfs do not change what is listed", async (t) => {
  const folder = await temporary(t);
  const tree = join(folder, "tree");
  await mkdir(tree);
  // The text of a link that looks like the echo of the next command: without the secret in the real echo the
  // answers would be cut in the wrong place.
  const fake = "debugfs: stat <14>\nInode: 14   Type: regular\n";
  await writeFile(join(tree, "a\ndebugfs: ls -p <2>\n"), "content a");
  await symlink(fake, join(tree, "link"));
  await writeFile(join(tree, "z"), "content z");
  const image = join(folder, "fs.img");
  await makeExt4(image, "16M", ["-b", "1024"], tree);
  await run("debugfs", "-w", "-R", `ea_set /z "user.x\nEXTENTS:\n(0-3):5-8\n" "v\nEXTENTS:\n(0):7\n"`, image);
  const listed = await taken(await listImage({ image }));
  t.deepEqual([...listed.keys()], ["a\ndebugfs: ls -p <2>\n", "link", "z"]);
  t.is(listed.get("link")?.member.linkName, fake);
  const z = listed.get("z");
  t.is(z && (await contentOf(image, z)).toString(), "content z");
});

test.serial("image: only the paths asked for are listed, with the directories above them", async (t) => {
  const folder = await temporary(t);
  const tree = join(folder, "tree");
  await mkdir(tree);
  await makeTree(tree);
  const image = join(folder, "fs.img");
  await makeExt4(image, "48M", [], tree);
  const listed = await taken(await listImage({ image, paths: ["/dir/deep", "sp ace"] }));
  t.deepEqual([...listed.keys()], ["dir", "dir/deep", "dir/deep/er", "dir/deep/hard", "sp ace"]);
  await t.throwsAsync(async () => taken(await listImage({ image, paths: ["dir/none"] })), { code: "AGENT_PATH" });
});

test.serial("image, whole: the blocks in use are enough to make the same file system again", async (t) => {
  const folder = await temporary(t);
  const tree = join(folder, "tree");
  await mkdir(tree);
  await makeTree(tree);
  for (const block of ["1024", "4096"]) {
    const image = join(folder, `fs-${block}.img`);
    await writeFile(image, Buffer.alloc(48 << 20, 0xee));
    await makeExt4(image, "48M", ["-b", block, "-L", "label", "-E", "nodiscard"], tree);
    const source = await listWhole({ image });
    const listed = await taken(source);
    const facts = parseFsFacts((await readFile(image)).subarray(0, 4096));
    if (facts?.type !== "ext4") return t.fail();
    // With blocks of 1 KiB the bitmaps begin at block 1, but block 0 is copied too; freeBlocks does not count it.
    t.is(source.totals.bytes, (facts.blocks - facts.freeBlocks) * BigInt(block));
    const entry = listed.get("label");
    t.is(entry?.member.size, 48n << 20n);
    const copy = join(folder, "copy.img");
    const content = entry ? await contentOf(image, entry) : Buffer.alloc(0);
    await writeFile(copy, content);
    await fsckExt4(copy);
    const files = await taken(await listImage({ image: copy }));
    for (const [name, file] of files) {
      if (file.member.type !== "file") continue;
      t.true((await contentOf(copy, file)).equals(await readFile(join(tree, name))), name);
    }
  }
});

test.serial("ten thousand files are listed and prepared with a handful of processes", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await makeExt4(image, "256M", ["-b", "4096", "-N", "20000"]);
  const facts = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 7n } as const;
  const members = Array.from({ length: 10_000 }, (_, i) => ({
    ...facts,
    name: `d${i % 10}/file ${i}`,
    type: "file" as const,
    size: BigInt(i + 1),
    ranges: [{ offset: 0n, length: BigInt(i + 1) }],
  }));
  const places = await taken(await prepareImage({ image, members }));
  t.is(places.size, 10_000);
  await fsckExt4(image);
  const listed = await taken(await listImage({ image }));
  t.is(listed.size, 10_010);
  for (const [name, { extents }] of places) {
    const wanted = listed.get(name)?.extents;
    t.is(wanted?.slice(0, 1).lba[0], extents.slice(0, 1).lba[0], name);
  }
});
