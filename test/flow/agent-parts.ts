// Parts of the agent's flow tests: file systems with real files, and a mover of few lines.
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, link, mkdir, mkdtemp, open, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { ExecutionContext } from "ava";
import type { ListSource } from "../../tools/agent/list-source.js";
import { readExactly, writeAll } from "../../tools/agent/positioned-io.js";
import { type ListedMember, listedMembers } from "../../tools/agent/restore-map.js";

const execute = promisify(execFile);

/** Runs a program and returns its stdout; its stderr is in the error. */
export async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(program, args, { maxBuffer: 1 << 26, env: { ...process.env, LC_ALL: "C" } });
  return stdout;
}

export async function temporary(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "gantry-agent-test-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Names that have broken programs before. */
export const STRANGE = [
  "sp ace",
  'quo"te "" two',
  "new\nline",
  "tab\tand\\backslash",
  "<12>",
  "-R",
  "#hash",
  "debugfs: stat <13>",
  "ünïcödé €",
  "/".repeat(0) + "x".repeat(255),
  "$(touch boom)`'*?",
];

/** A tree with what a file system can hold: sizes around block edges, holes, links, strange names. */
export async function makeTree(root: string): Promise<void> {
  await mkdir(join(root, "dir/deep/er"), { recursive: true });
  await mkdir(join(root, "empty directory"));
  for (const size of [0, 1, 511, 512, 513, 1023, 1024, 4095, 4096, 4097, 70_000, 3_000_001]) {
    await writeFile(join(root, `dir/size-${size}`), randomBytes(size), { mode: 0o640 });
  }
  for (const name of STRANGE) await writeFile(join(root, name), `content of ${name}`);
  await mkdir(join(root, "dir\nwith feed"));
  await writeFile(join(root, "dir\nwith feed/in\nside"), randomBytes(5000));
  await symlink("dir/size-1", join(root, "short link"));
  await symlink("l".repeat(300), join(root, "dir/long link"));
  await symlink('odd "target\nwith feed', join(root, "odd link"));
  await link(join(root, "dir/size-4097"), join(root, "dir/deep/hard"));
  await link(join(root, "dir/size-4097"), join(root, "zz hard"));
  await sparse(join(root, "dir/sparse"), 10_000_000, [
    [0, 100],
    [1_000_000, 5000],
    [1_005_000, 3],
    [9_000_000, 70_000],
  ]);
  await sparse(join(root, "dir/only hole"), 5_000_000, []);
  await sparse(join(root, "dir/hole at end"), 3_000_000, [[4096, 4096]]);
  await utimes(join(root, "dir/size-1"), 1_000_000_000, 1_234_567_890.5);
  await utimes(join(root, "dir/size-511"), 0, -86_400);
}

export async function sparse(path: string, size: number, data: readonly (readonly [number, number])[]): Promise<void> {
  const file = await open(path, "w");
  for (const [at, length] of data) await file.write(randomBytes(length), 0, length, at);
  await file.truncate(size);
  await file.close();
}

/** Writes two files in turns, each piece synced, so that the file system cannot keep them in one piece. */
export async function fragmented(a: string, b: string, pieces: number, pieceBytes: number): Promise<void> {
  const files = [await open(a, "w"), await open(b, "w")];
  for (let i = 0; i < pieces; i++) {
    for (const file of files) {
      await file.write(randomBytes(pieceBytes), 0, pieceBytes, i * pieceBytes * 2);
      await file.datasync();
    }
  }
  for (const file of files) await file.close();
}

/** All members of a list, by name. */
export async function taken(source: ListSource): Promise<Map<string, ListedMember>> {
  const members = new Map<string, ListedMember>();
  for await (const listed of listedMembers(source.chunks, source.blockBytes)) members.set(listed.member.name, listed);
  return members;
}

/** The file that a list describes, read from the device alone: holes are zeros, the tail is cut. */
export async function contentOf(device: string, { member, extents }: ListedMember): Promise<Buffer> {
  const content = Buffer.alloc(Number(member.size));
  const file = await open(device, "r");
  try {
    const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
    for (let i = 0; i < extents.count; i++) {
      const place = (lba[i] ?? 0n) * BigInt(extents.blockBytes);
      const bytes = await readExactly(file, place, (blocks[i] ?? 0) * extents.blockBytes);
      bytes.copy(content, Number(fileOffset[i] ?? 0n));
    }
  } finally {
    await file.close();
  }
  return content;
}

/** What the mover does: for every extent of the destination, the file's bytes, and zeros to the end of the block. */
export async function moveBlocks(
  from: string,
  source: ReadonlyMap<string, ListedMember>,
  to: string,
  target: ReadonlyMap<string, ListedMember>,
): Promise<void> {
  const file = await open(to, "r+");
  try {
    for (const [name, { extents }] of target) {
      const listed = source.get(name);
      if (!listed || extents.count === 0) continue;
      const content = await contentOf(from, listed);
      const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
      for (let i = 0; i < extents.count; i++) {
        const bytes = Buffer.alloc((blocks[i] ?? 0) * extents.blockBytes);
        const start = Number(fileOffset[i] ?? 0n);
        content.copy(bytes, 0, start, Math.min(content.length, start + bytes.length));
        await writeAll(file, (lba[i] ?? 0n) * BigInt(extents.blockBytes), bytes);
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes an ext4 image from a tree, without root. */
export async function makeExt4(image: string, size: string, options: readonly string[], tree?: string): Promise<void> {
  await run("mke2fs", "-q", "-F", "-t", "ext4", ...options, ...(tree ? ["-d", tree] : []), image, size);
}

/** Throws with e2fsck's words when the image has any error. */
export async function fsckExt4(image: string): Promise<void> {
  await execute("e2fsck", ["-fn", image]).catch((error: { stdout?: string }) => {
    throw new Error(`e2fsck: ${error.stdout ?? String(error)}`);
  });
}

/** Why tests with loop mounts cannot run here, or undefined. */
export async function noLoopMounts(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "not root";
  const ready = await access("/dev/loop-control").then(
    () => true,
    () => false,
  );
  return ready ? undefined : "no loop devices";
}

/** Path of gantry-fsmap as the tests build it. */
export function fsmap(): string {
  const { GANTRY_FSMAP } = process.env;
  return GANTRY_FSMAP ?? fileURLToPath(new URL("../../../build/bin/gantry-fsmap", import.meta.url));
}

/** Mounts an image until the test ends. Whatever the test did, the file system is thawed before it is unmounted. */
export async function mounted(
  t: ExecutionContext,
  image: string,
  mountPoint: string,
  options = "loop",
): Promise<Mounted> {
  await mkdir(mountPoint, { recursive: true });
  await run("mount", "-o", options, image, mountPoint);
  let there = true;
  const unmount = async (): Promise<void> => {
    if (!there) return;
    await run(fsmap(), "thaw", mountPoint).catch(() => undefined);
    await run("umount", mountPoint).catch(() => run("umount", "-l", mountPoint));
    there = false;
  };
  t.teardown(unmount);
  return { mountPoint, unmount };
}

export interface Mounted {
  readonly mountPoint: string;
  unmount(): Promise<void>;
}
