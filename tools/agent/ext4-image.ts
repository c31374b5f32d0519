// An unmounted ext4 file system in an image or block device, through debugfs: no root is needed, only the
// right to read it. Directories are read level by level and inodes in one go, so that ten thousand files
// cost a handful of processes.
import { GantryError } from "../../src/sys/errors.js";
import { debugfs } from "./debugfs.js";
import { type DirEntry, type InodeFacts, parseLs, parseStat } from "./ext4-stat.js";
import { mountedAt } from "./mounts.js";
import { type Ext4Facts, readFsFacts } from "./superblock.js";

export const ROOT_INO = 2;
const TYPE_MASK = 0o170000;

export type NodeType = "file" | "directory" | "symlink" | "other";

export interface TreeNode extends DirEntry {
  readonly type: NodeType;
  /** Raw bytes, without a leading "/"; parts in order from the root. */
  readonly path: Buffer;
  readonly children: TreeNode[];
}

export function nodeType(mode: number): NodeType {
  switch (mode & TYPE_MASK) {
    case 0o100000:
      return "file";
    case 0o040000:
      return "directory";
    case 0o120000:
      return "symlink";
    default:
      return "other";
  }
}

/** Opens an image for reading or changing. Throws AGENT_FS_UNSUPPORTED, AGENT_FS_UNCLEAN, AGENT_PATH. */
export async function openExt4(image: string): Promise<Ext4Facts> {
  const facts = await readFsFacts(image);
  const mountPoint = await mountedAt(image);
  if (mountPoint !== undefined) {
    throw new GantryError(
      "AGENT_FS_UNCLEAN",
      `${image} is mounted at ${mountPoint}; list it by its path, or unmount it.`,
    );
  }
  if (facts.type !== "ext4") {
    throw new GantryError("AGENT_FS_UNSUPPORTED", `${image} holds xfs; mount it and list it by its path.`);
  }
  if (facts.journalDevice) throw new GantryError("AGENT_FS_UNSUPPORTED", `${image} holds the journal of an ext4.`);
  if (facts.needsRecovery || !facts.clean) {
    const why = facts.needsRecovery ? "its journal is not replayed" : "it is marked as not clean";
    throw new GantryError("AGENT_FS_UNCLEAN", `${image} cannot be used: ${why}. Run e2fsck on it first.`);
  }
  return facts;
}

/** Entries of one directory, sorted by name. */
function byName(a: DirEntry, b: DirEntry): number {
  return Buffer.compare(a.name, b.name);
}

const SLASH = Buffer.from("/");

function child(parent: TreeNode, entry: DirEntry): TreeNode {
  const path = parent.path.length === 0 ? entry.name : Buffer.concat([parent.path, SLASH, entry.name]);
  return { ...entry, type: nodeType(entry.mode), path, children: [] };
}

/**
 * The tree of directories. `wanted` says of each path whether to look at it (and into it). Throws AGENT_TOOL
 * when a directory cannot be read or occurs twice.
 */
export async function readTree(image: string, wanted: (path: Buffer) => boolean = () => true): Promise<TreeNode> {
  const name = Buffer.alloc(0);
  const root: TreeNode = { ino: ROOT_INO, mode: 0o040755, name, type: "directory", path: name, children: [] };
  const seen = new Set([ROOT_INO]);
  for (let level = [root]; level.length > 0; ) {
    const next: TreeNode[] = [];
    let i = 0;
    for await (const text of debugfs(
      image,
      level.map(({ ino }) => `ls -p <${ino}>`),
    )) {
      const parent = level[i++];
      if (parent === undefined) break;
      for (const entry of parseLs(text).sort(byName)) {
        const node = child(parent, entry);
        if (!wanted(node.path)) continue;
        parent.children.push(node);
        if (node.type !== "directory") continue;
        if (seen.has(node.ino))
          throw new GantryError("AGENT_TOOL", `Directory inode ${node.ino} occurs twice; run e2fsck.`);
        seen.add(node.ino);
        next.push(node);
      }
    }
    level = next;
  }
  return root;
}

/** All nodes below root, parents before children. */
export function* preorder(root: TreeNode): Generator<TreeNode> {
  const stack = [...root.children].reverse();
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    yield node;
    for (let i = node.children.length - 1; i >= 0; i--) stack.push(node.children[i] as TreeNode);
  }
}

/** What the inodes say, in the order asked. */
export async function* statInodes(
  image: string,
  inos: readonly number[],
  blockBytes: number,
): AsyncGenerator<InodeFacts, void, undefined> {
  let i = 0;
  for await (const text of debugfs(
    image,
    inos.map((ino) => `stat <${ino}>`),
  )) {
    const facts = parseStat(text, blockBytes);
    if (facts.ino !== inos[i++]) throw new GantryError("AGENT_TOOL", `debugfs answered for inode ${facts.ino}.`);
    yield facts;
  }
}
