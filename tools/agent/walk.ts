// Walks directories of a mounted file system, parents before children, each directory sorted by name, without
// leaving the file system. Names are raw bytes.
import type { BigIntStats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { messageOf } from "../../src/sys/errors.js";
import { deviceText } from "./mounts.js";

export interface TreePath {
  /** Absolute. */
  readonly path: Buffer;
  /** Relative to the base. */
  readonly name: Buffer;
}

export interface WalkOptions {
  /** Directory that names are relative to: absolute, without symbolic links. */
  readonly base: string;
  /** Absolute paths without symbolic links, below base or base itself. */
  readonly paths: readonly string[];
  /** "major:minor" of the file system. */
  readonly device: string;
  /** Something that cannot be listed. */
  readonly onFault: (name: Buffer, reason: string) => void;
  /** Something on another file system, which is left out. */
  readonly onForeign: (name: Buffer) => void;
}

const SLASH = Buffer.from("/");

/** Yields everything at and below the paths, and the directories above them up to the base. */
export async function* walk(options: WalkOptions): AsyncGenerator<TreePath, void, undefined> {
  const base = options.base === "/" ? "" : options.base;
  const above = new Set<string>();
  for (const path of topmost(options.paths)) {
    const relative = path
      .slice(base.length)
      .split("/")
      .filter((part) => part !== "");
    for (let depth = 1; depth < relative.length; depth++) {
      const name = relative.slice(0, depth).join("/");
      if (above.has(name)) continue;
      above.add(name);
      yield { path: Buffer.from(`${base}/${name}`), name: Buffer.from(name) };
    }
    yield* below({ path: Buffer.from(path), name: Buffer.from(relative.join("/")) }, options);
  }
}

/** The paths without those that lie below others, sorted. */
function topmost(paths: readonly string[]): string[] {
  const sorted = [...new Set(paths)].sort();
  return sorted.filter(
    (path) => !sorted.some((other) => other !== path && path.startsWith(other === "/" ? "/" : `${other}/`)),
  );
}

async function* below(top: TreePath, options: WalkOptions): AsyncGenerator<TreePath, void, undefined> {
  const stack = [top];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    let stats: BigIntStats;
    let children: string[] = [];
    try {
      stats = await lstat(at.path, { bigint: true });
      if (deviceText(stats.dev) !== options.device) {
        options.onForeign(at.name);
        continue;
      }
      if (stats.isDirectory()) children = await namesIn(at.path);
    } catch (error) {
      options.onFault(at.name, messageOf(error));
      continue;
    }
    // mkfs makes it; only what fsck has put there is somebody's data.
    if (at.name.toString("latin1") === "lost+found" && stats.isDirectory() && children.length === 0) continue;
    if (at.name.length > 0) yield at;
    for (const child of children.reverse()) {
      const name = Buffer.from(child, "latin1");
      stack.push({
        path: Buffer.concat([at.path, SLASH, name]),
        name: at.name.length === 0 ? name : Buffer.concat([at.name, SLASH, name]),
      });
    }
  }
}

/** Names as latin1 text (one character for each byte), sorted by bytes. */
async function namesIn(path: Buffer): Promise<string[]> {
  const names = await readdir(path, { encoding: "buffer" });
  return names.map((name) => name.toString("latin1")).sort();
}
