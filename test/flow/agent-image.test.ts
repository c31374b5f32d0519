// The agent on unmounted ext4 images, without root: lists, and the restore into another image.
import { lstat, mkdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "ava";
import { listImage } from "../../tools/agent/list-image.js";
import { prepareImage } from "../../tools/agent/prepare-image.js";
import { restoreMembers } from "../../tools/agent/restore-map.js";
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
  test(`image, ${kind}: the listed blocks are the files, and a restore gives the same files`, async (t) => {
    const folder = await temporary(t);
    const tree = join(folder, "tree");
    await mkdir(tree);
    await makeTree(tree);
    const image = join(folder, "from.img");
    await makeExt4(image, "48M", options, tree);

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
