// The agent on mounted ext4 and xfs, as root: lists by FIEMAP, and the restore behind the file system's back.
import { appendFile, lstat, mkdir, readFile, readlink, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { Glist, writeGlist } from "../../tools/agent/glist.js";
import { runHelper } from "../../tools/agent/helper.js";
import { listMounted } from "../../tools/agent/list-mounted.js";
import { prepareMounted, settleMounted } from "../../tools/agent/prepare-mounted.js";
import { listedMembers, rangesOf, restoreMembers } from "../../tools/agent/restore-map.js";
import {
  contentOf,
  fragmented,
  fsmap,
  makeTree,
  mounted,
  moveBlocks,
  noLoopMounts,
  run,
  STRANGE,
  taken,
  temporary,
} from "./agent-parts.js";

const skipped = await noLoopMounts();
const rootTest = skipped === undefined ? test.serial : test.skip;
if (skipped !== undefined)
  test(`SKIPPED: mounted file systems need root and loop devices (${skipped})`, (t) => t.pass());

const helper = fsmap();
const make = {
  "ext4, 1 KiB blocks": async (image: string) =>
    void (await run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", image, "64M")),
  "ext4, 4 KiB blocks": async (image: string) =>
    void (await run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", image, "64M")),
  xfs: async (image: string) => {
    await writeFile(image, "");
    await truncate(image, 320 << 20);
    await run("mkfs.xfs", "-q", image);
  },
};

for (const [kind, mkfs] of Object.entries(make)) {
  rootTest(
    `mounted ${kind}: the listed blocks are the files, and a restore in place gives the same files`,
    async (t) => {
      const folder = await temporary(t);
      const image = join(folder, "from.img");
      await mkfs(image);
      const { mountPoint } = await mounted(t, image, join(folder, "from"));
      await makeTree(mountPoint);
      await fragmented(join(mountPoint, "dir/fragments a"), join(mountPoint, "dir/fragments b"), 60, 4096);
      await run("fallocate", "-l", "100000", join(mountPoint, "reserved"));
      await writeFile(join(mountPoint, "reserved past its end"), "");
      await run("fallocate", "--keep-size", "-l", "1000000", join(mountPoint, "reserved past its end"));

      const source = await listMounted({ paths: [mountPoint], helper });
      const glist = join(folder, "list.glist");
      await writeGlist(glist, "test-list", source);
      const file = await Glist.open(glist);
      t.teardown(() => file.close());
      const listed = new Map<string, Awaited<ReturnType<typeof taken>> extends Map<string, infer M> ? M : never>();
      for await (const one of listedMembers(file.chunks(), 512)) listed.set(one.member.name, one);
      t.false(listed.has("lost+found"));
      t.is([...listed.values()].filter(({ member }) => member.type === "file").length, 12 + STRANGE.length + 4 + 4);
      t.true((listed.get("dir/fragments a")?.extents.count ?? 0) >= 60);
      t.is(listed.get("reserved")?.extents.count, 0, "unwritten blocks are a hole");
      for (const [name, entry] of listed) {
        const stat = await lstat(join(mountPoint, name), { bigint: true });
        t.is(entry.member.mtimeNs, entry.member.type === "hardlink" ? entry.member.mtimeNs : stat.mtimeNs, name);
        if (entry.member.type !== "file") continue;
        t.true((await contentOf(image, entry)).equals(await readFile(join(mountPoint, name))), name);
      }

      const toImage = join(folder, "to.img");
      await writeFile(toImage, Buffer.alloc(64 << 20, 0xee)); // old content must not come through
      await mkfs(toImage);
      const to = await mounted(t, toImage, join(folder, "to"));
      const target = join(to.mountPoint, "restored");
      await mkdir(target);
      const members = restoreMembers(file.chunks(), 512);
      const places = await taken(await prepareMounted({ target, members, helper }));
      // Somebody looks before the restore is through: these pages must not be there afterwards.
      t.regex(await readFile(join(target, "dir/size-70000"), "latin1"), /^GANTRY: THIS FILE IS NOT RESTORED YET/);
      await moveBlocks(image, listed, toImage, places);
      await settleMounted({ target, members: places.values(), helper });
      await compareTrees(t, mountPoint, target, listed.keys());
      await to.unmount();
      if (kind === "xfs") await run("xfs_repair", "-n", toImage);
      else await run("e2fsck", "-fn", toImage);
      await mounted(t, toImage, to.mountPoint);
      await compareTrees(t, mountPoint, target, listed.keys());
    },
  );
}

async function compareTrees(t: ExecutionContext, a: string, b: string, names: Iterable<string>): Promise<void> {
  for (const name of names) {
    const [left, right] = [join(a, name), join(b, name)];
    const [from, to] = [await lstat(left, { bigint: true }), await lstat(right, { bigint: true })];
    t.deepEqual([to.mode, to.uid, to.gid, to.mtimeNs], [from.mode, from.uid, from.gid, from.mtimeNs], name);
    if (from.isSymbolicLink()) t.is(await readlink(right), await readlink(left));
    if (!from.isFile()) continue;
    t.is(to.nlink, from.nlink, name);
    t.true((await readFile(right)).equals(await readFile(left)), name);
  }
}

rootTest("settle refuses a file whose blocks have moved, and drops nothing quietly", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await make["ext4, 4 KiB blocks"](image);
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  const member = { name: "a", type: "file", size: 20_000n, mode: 0o644, uid: 0, gid: 0, mtimeNs: 5n } as const;
  const ranges = [{ offset: 0n, length: 20_000n }];
  const places = await taken(await prepareMounted({ target: mountPoint, members: [{ ...member, ranges }], helper }));
  await run("cp", join(mountPoint, "a"), join(mountPoint, "b"));
  await run("mv", join(mountPoint, "b"), join(mountPoint, "a"));
  await t.throwsAsync(settleMounted({ target: mountPoint, members: places.values(), helper }), {
    code: "AGENT_RESTORE_MAP",
  });
});

rootTest("xfs: extents that files share are listed, and said to be shared", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await make.xfs(image);
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  await writeFile(join(mountPoint, "a"), Buffer.alloc(50_000, 7));
  await run("cp", "--reflink=always", join(mountPoint, "a"), join(mountPoint, "b"));
  const source = await listMounted({ paths: [mountPoint], helper });
  const listed = await taken(source);
  t.true(source.totals.shared);
  t.deepEqual(listed.get("a")?.extents.slice(0, 9).lba, listed.get("b")?.extents.slice(0, 9).lba);
});

rootTest("a restore never goes through a symbolic link that stands where a directory should", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await make["ext4, 4 KiB blocks"](image);
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  await mkdir(join(mountPoint, "target"));
  await mkdir(join(mountPoint, "elsewhere"));
  await run("ln", "-s", join(mountPoint, "elsewhere"), join(mountPoint, "target/dir"));
  const facts = { mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n, size: 1n };
  const members = [{ ...facts, name: "dir/a", type: "file", ranges: [{ offset: 0n, length: 1n }] } as const];
  const target = join(mountPoint, "target");
  for (const overwrite of [false, true]) {
    await t.throwsAsync(prepareMounted({ target, members, helper, overwrite }), { code: "AGENT_EXISTS" });
  }
  await t.throwsAsync(lstat(join(mountPoint, "elsewhere/a")), { code: "ENOENT" });
});

rootTest("ext4: what cannot be listed is refused with a sentence, or left out and reported", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data", "-I", "256", image, "32M");
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  await writeFile(join(mountPoint, "tiny"), "tiny");
  await writeFile(join(mountPoint, "large"), Buffer.alloc(10_000, 1));
  await run("mkfifo", join(mountPoint, "fifo"));
  await writeFile(Buffer.concat([Buffer.from(`${mountPoint}/bad-`), Buffer.from([0xff])]), "name");
  await run("sync", "-f", mountPoint);
  const error = await t.throwsAsync(async () => taken(await listMounted({ paths: [mountPoint], helper })), {
    name: "GantryError",
  });
  t.regex(error.message, /bad-\\xff cannot be listed: its name is not UTF-8/);
  const source = await listMounted({ paths: [mountPoint], helper, onRefused: "skip" });
  t.deepEqual([...(await taken(source)).keys()], ["large"]);
  const reasons = new Map(source.totals.skipped.map(({ name, reason }) => [name, reason]));
  t.regex(reasons.get("tiny") ?? "", /inline data/);
  t.regex(reasons.get("bad-\\xff") ?? "", /not UTF-8/);
  t.regex(reasons.get("fifo") ?? "", /FIFO/);
});

rootTest("ext4 with data=journal is refused unless it is frozen, for listing, and always for a restore", async (t) => {
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await make["ext4, 4 KiB blocks"](image);
  const { mountPoint } = await mounted(t, image, join(folder, "fs"), "loop,data=journal");
  await appendFile(join(mountPoint, "a"), Buffer.alloc(10_000, 3));
  await t.throwsAsync(async () => taken(await listMounted({ paths: [mountPoint], helper })), { code: "AGENT_EXTENT" });
  await t.throwsAsync(prepareMounted({ target: mountPoint, members: [], helper }), { code: "AGENT_FS_UNSUPPORTED" });
  await run("sh", "-c", `sleep 1 | ${helper} freeze ${mountPoint} --watchdog-ms 5000`); // freezing empties the journal
  const listed = await taken(await listMounted({ paths: [mountPoint], helper, frozen: true }));
  const entry = listed.get("a");
  t.true(entry && (await contentOf(image, entry)).equals(Buffer.alloc(10_000, 3)));
});

rootTest("btrfs and file systems without a device are refused by name", async (t) => {
  await t.throwsAsync(listMounted({ paths: ["/proc"], helper }), { code: "AGENT_FS_UNSUPPORTED", message: /proc/ });
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await writeFile(image, "");
  await truncate(image, 128 << 20);
  const made = await run("mkfs.btrfs", "-q", image).then(
    () => true,
    () => false,
  );
  if (!made) return t.log("SKIPPED btrfs: mkfs.btrfs is not installed");
  const { mountPoint } = await mounted(t, image, join(folder, "fs"));
  await t.throwsAsync(listMounted({ paths: [mountPoint], helper }), { code: "AGENT_FS_UNSUPPORTED", message: /btrfs/ });
});

rootTest("an image that is mounted is neither listed nor changed as an image", async (t) => {
  const { listImage } = await import("../../tools/agent/list-image.js");
  const folder = await temporary(t);
  const image = join(folder, "fs.img");
  await make["ext4, 4 KiB blocks"](image);
  await mounted(t, image, join(folder, "fs"));
  await t.throwsAsync(listImage({ image }), { code: "AGENT_FS_UNCLEAN", message: /is mounted at/ });
});

rootTest("on a partition, whole-disk lists count from the start of the disk", async (t) => {
  const folder = await temporary(t);
  const disk = join(folder, "disk.img");
  const mbr = Buffer.alloc(512);
  mbr[446 + 4] = 0x83; // one partition: type Linux, first sector, sectors
  mbr.writeUInt32LE(6144, 446 + 8);
  mbr.writeUInt32LE((80 << 11) - 6144, 446 + 12);
  mbr.writeUInt16LE(0xaa55, 510);
  await writeFile(disk, mbr);
  await truncate(disk, 80 << 20);
  const loop = (await run("losetup", "-P", "-f", "--show", disk)).trim();
  t.teardown(() => run("losetup", "-d", loop));
  if (
    await stat(`${loop}p1`).then(
      () => false,
      () => true,
    )
  ) {
    t.log("SKIPPED: the kernel makes no partitions here");
    t.pass();
    return;
  }
  await run("mke2fs", "-q", "-F", "-t", "ext4", `${loop}p1`);
  const mountPoint = join(folder, "fs");
  await mkdir(mountPoint);
  await run("mount", `${loop}p1`, mountPoint);
  t.teardown(() => run("umount", mountPoint));
  await makeTree(mountPoint);
  const source = await listMounted({ paths: [join(mountPoint, "dir")], helper, wholeDisk: true });
  const listed = await taken(source);
  t.is(source.mounted.deviceOffset, 6144n * 512n);
  t.deepEqual([...listed.keys()].slice(0, 3), ["dir", "dir/deep", "dir/deep/er"]);
  for (const [name, entry] of listed) {
    if (entry.member.type !== "file") continue;
    t.true((await contentOf(disk, entry)).equals(await readFile(join(mountPoint, name))), name);
  }
});

rootTest("a device offset moves every place, for a list and for a restore", async (t) => {
  const folder = await temporary(t);
  const disk = join(folder, "disk.img");
  const offset = 3n << 20n;
  const image = join(folder, "fs.img");
  await make["ext4, 4 KiB blocks"](image);
  await writeFile(disk, Buffer.concat([Buffer.alloc(Number(offset)), await readFile(image)]));
  const { mountPoint } = await mounted(t, disk, join(folder, "fs"), `loop,offset=${offset}`);
  await makeTree(mountPoint);
  const listed = await taken(
    await listMounted({ paths: [join(mountPoint, "dir"), join(mountPoint, "zz hard")], helper, deviceOffset: offset }),
  );
  t.deepEqual([...listed.keys()].slice(0, 3), ["dir", "dir/deep", "dir/deep/er"]);
  const target = join(mountPoint, "restored");
  await mkdir(target);
  const members = [...listed.values()].map(({ member: { extents: _, ...member }, extents }) => ({
    ...member,
    ranges: rangesOf(extents),
  }));
  const places = await taken(await prepareMounted({ target, members, helper, deviceOffset: offset }));
  await moveBlocks(disk, listed, disk, places);
  await settleMounted({ target, members: places.values(), helper, deviceOffset: offset });
  await compareTrees(t, mountPoint, target, listed.keys());
});

test("paths that stop short because of an error never make a whole list", async (t) => {
  function* paths(): Generator<Buffer> {
    yield Buffer.from("/");
    throw new Error("the disk is gone");
  }
  await t.throwsAsync(
    async () => {
      for await (const _ of runHelper(helper, ["map"], paths()));
    },
    { message: "the disk is gone" },
  );
});
