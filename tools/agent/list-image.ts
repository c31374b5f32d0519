// Block list of the files on an unmounted ext4 image.
import { open } from "node:fs/promises";
import { GantryError } from "../../src/sys/errors.js";
import { BlockExtents } from "./block-extents.js";
import { chunked } from "./chunker.js";
import { openExt4, preorder, readTree, statInodes, type TreeNode } from "./ext4-image.js";
import type { InodeFacts } from "./ext4-stat.js";
import { emptyTotals, type ListEntry, type ListOptions, type ListSource, type ListTotals } from "./list-source.js";
import { linkFault, nameFault, shown, utf8 } from "./names.js";
import { readExactly } from "./positioned-io.js";
import { Refusals } from "./refusals.js";
import { type Ext4Facts, identityOf } from "./superblock.js";

export interface ImageListOptions extends ListOptions {
  /** Image file or block device. */
  readonly image: string;
  /** Paths in the file system to list, with all below them. Default: everything. */
  readonly paths?: readonly string[];
}

// Inode flags (ext4 inode.rst, i_flags).
const COMPRESSED = 0x4;
const ENCRYPTED = 0x800;
const INLINE_DATA = 0x1000_0000;

/**
 * Opens the image and makes its list while `chunks` is taken. Regular files, directories, symbolic and hard
 * links; sockets, FIFOs and devices are left out and reported in totals. Throws AGENT_FS_*, AGENT_PATH,
 * and while chunks are taken AGENT_TOOL, AGENT_EXTENT, AGENT_NAME, AGENT_ALIGNMENT.
 */
export async function listImage(options: ImageListOptions): Promise<ListSource> {
  const facts = await openExt4(options.image);
  const totals = emptyTotals();
  return {
    volume: identityOf(facts, options.sequence ?? 0n),
    blockBytes: options.blockBytes ?? 512,
    chunks: chunked(entries(options, facts, totals), totals),
    totals,
  };
}

async function* entries(options: ImageListOptions, facts: Ext4Facts, totals: ListTotals): AsyncGenerator<ListEntry> {
  const refusals = new Refusals(options.onRefused ?? "fail", totals);
  const maker = new EntryMaker(options, facts, refusals);
  const nodes = await chosenNodes(options, refusals);
  const inodes = statInodes(
    options.image,
    nodes.map(({ ino }) => ino),
    facts.blockBytes,
  );
  let i = 0;
  for await (const inode of inodes) {
    const node = nodes[i++];
    const entry = node && (await maker.make(node, inode));
    if (entry) yield entry;
  }
}

async function chosenNodes(options: ImageListOptions, refusals: Refusals): Promise<TreeNode[]> {
  const wanted = (options.paths ?? [""]).map((path) =>
    path
      .split("/")
      .filter((part) => part !== "")
      .join("/"),
  );
  const found = new Set<string>();
  const root = await readTree(options.image, (path) => {
    const text = path.toString("latin1");
    return wanted.some((want) => {
      const bytes = Buffer.from(want).toString("latin1");
      if (text === bytes) found.add(want);
      return want === "" || text === bytes || text.startsWith(`${bytes}/`) || bytes.startsWith(`${text}/`);
    });
  });
  for (const want of wanted) {
    if (want !== "" && !found.has(want))
      throw new GantryError("AGENT_PATH", `There is no /${want} in ${options.image}.`);
  }
  const nodes: TreeNode[] = [];
  for (const node of preorder(root)) {
    // mkfs makes it; only what fsck has put there is somebody's data.
    if (node.path.toString("latin1") === "lost+found" && node.children.length === 0) continue;
    if (node.type === "other") refusals.leaveOut(shown(node.path), "it is a device, a socket or a FIFO");
    else nodes.push(node);
  }
  return nodes;
}

class EntryMaker {
  readonly #firstLink = new Map<number, string>();

  constructor(
    readonly options: ImageListOptions,
    readonly facts: Ext4Facts,
    readonly refusals: Refusals,
  ) {}

  async make(node: TreeNode, inode: InodeFacts): Promise<ListEntry | undefined> {
    const name = utf8(node.path);
    const fault = nameFault(name);
    if (fault !== undefined || name === undefined) {
      return this.refusals.refuse("AGENT_NAME", shown(node.path), fault ?? "");
    }
    const { mode, uid, gid, mtimeNs } = inode;
    const member = { name, size: 0n, mode, uid, gid, mtimeNs };
    if (node.type === "directory") return { member: { ...member, type: "directory" }, extents: undefined };
    if (inode.links > 1) {
      const first = this.#firstLink.get(node.ino);
      if (first !== undefined) {
        return { member: { ...member, type: "hardlink", linkName: first }, extents: undefined };
      }
    }
    const entry = node.type === "symlink" ? await this.#symlink(member, inode) : this.#file(member, inode);
    if (entry && inode.links > 1) this.#firstLink.set(node.ino, name);
    return entry;
  }

  async #symlink(member: Omit<ListEntry["member"], "type">, inode: InodeFacts): Promise<ListEntry | undefined> {
    const text = utf8(inode.fastLink ?? (await this.#slowLink(inode)));
    const fault = linkFault(text);
    if (fault !== undefined || text === undefined) return this.refusals.refuse("AGENT_NAME", member.name, fault ?? "");
    return { member: { ...member, type: "symlink", linkName: text }, extents: undefined };
  }

  /** A text of 60 bytes and more has a block of its own. */
  async #slowLink(inode: InodeFacts): Promise<Buffer> {
    const [extent] = inode.extents;
    if (extent === undefined || inode.size > extent.length) {
      throw new GantryError("AGENT_TOOL", `The symbolic link in inode ${inode.ino} has no block for its text.`);
    }
    const file = await open(this.options.image, "r");
    try {
      return await readExactly(file, extent.physical, Number(inode.size));
    } finally {
      await file.close();
    }
  }

  #file(member: Omit<ListEntry["member"], "type">, inode: InodeFacts): ListEntry | undefined {
    const refuse = (reason: string) => this.refusals.refuse("AGENT_EXTENT", member.name, reason);
    if (inode.flags & INLINE_DATA) {
      return refuse("its data lies in the inode, not in blocks (inline_data); copy such files by other means");
    }
    if (inode.flags & ENCRYPTED) return refuse("its blocks are encrypted by the file system");
    if (inode.flags & COMPRESSED) return refuse("its blocks are compressed by the file system");
    const extents = new BlockExtents(this.options.blockBytes ?? 512);
    // Unwritten extents read as zeros, so for a backup they are holes.
    for (const run of inode.extents) {
      if (!run.unwritten) extents.add(run, inode.size, this.options.deviceOffset ?? 0n);
    }
    return { member: { ...member, type: "file", size: inode.size }, extents };
  }
}
