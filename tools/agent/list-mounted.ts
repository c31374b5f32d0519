// Block list of files on a mounted ext4 or xfs, by FIEMAP.
import { realpath } from "node:fs/promises";
import { GantryError } from "../../src/sys/errors.js";
import { BlockExtents } from "./block-extents.js";
import { chunked } from "./chunker.js";
import { nodeType } from "./ext4-image.js";
import { fileFault, usableRuns } from "./fiemap-rules.js";
import { type HelperExtent, type HelperNode, helperPath, runHelper } from "./helper.js";
import { emptyTotals, type ListEntry, type ListOptions, type ListSource, type ListTotals } from "./list-source.js";
import { devicePath, type Mount, mountOf, partitionStart } from "./mounts.js";
import { linkFault, nameFault, shown, utf8 } from "./names.js";
import { Refusals } from "./refusals.js";
import { type FsFacts, identityOf, readFsFacts } from "./superblock.js";
import { type TreePath, walk } from "./walk.js";

export interface MountedListOptions extends ListOptions {
  /** Files and directories, each with all below it, on one file system. Member names are relative to its mount point. */
  readonly paths: readonly string[];
  /** Count blocks on the disk that holds the partition, not on the partition. */
  readonly wholeDisk?: boolean;
  /** Path of gantry-fsmap. */
  readonly helper?: string;
  /** The file system is held frozen: data=journal is then in place too. */
  readonly frozen?: boolean;
}

export interface MountedVolume {
  readonly mount: Mount & { readonly path: string };
  /** Path of the block device that holds the file system. */
  readonly device: string;
  readonly facts: FsFacts;
  /** Bytes added to places on that device. */
  readonly deviceOffset: bigint;
}

export interface MountedListSource extends ListSource {
  readonly mounted: MountedVolume;
}

/** What the paths lie on. Throws AGENT_PATH, AGENT_FS_UNSUPPORTED. */
export async function mountedVolume(options: MountedListOptions): Promise<MountedVolume> {
  const [first] = options.paths;
  if (first === undefined) throw new GantryError("AGENT_PATH", "Give at least one path to list.");
  const mount = await mountOf(first);
  if (!["ext2", "ext3", "ext4", "xfs"].includes(mount.fsType)) {
    throw new GantryError(
      "AGENT_FS_UNSUPPORTED",
      `${first} lies on ${mount.fsType}, whose files cannot be found on the device by FIEMAP; use ext4 or xfs.`,
    );
  }
  const device = await devicePath(mount.device);
  const start = options.wholeDisk ? await partitionStart(mount.device) : 0n;
  return { mount, device, facts: await readFsFacts(device), deviceOffset: start + (options.deviceOffset ?? 0n) };
}

/**
 * Opens the volume and makes its list while `chunks` is taken. Without a freeze or a snapshot the blocks are
 * those of one moment for each file; see `changed` in AGENT.md. Throws AGENT_FS_UNSUPPORTED, AGENT_PATH,
 * AGENT_HELPER, and while chunks are taken also AGENT_EXTENT, AGENT_CHANGED, AGENT_NAME, AGENT_ALIGNMENT.
 */
export async function listMounted(options: MountedListOptions): Promise<MountedListSource> {
  const mounted = await mountedVolume(options);
  const program = await helperPath(options.helper);
  const totals = emptyTotals();
  return {
    mounted,
    volume: identityOf(mounted.facts, options.sequence ?? 0n),
    blockBytes: options.blockBytes ?? 512,
    chunks: chunked(entries(options, mounted, program, totals), totals),
    totals,
  };
}

async function* entries(
  options: MountedListOptions,
  mounted: MountedVolume,
  program: string,
  totals: ListTotals,
): AsyncGenerator<ListEntry> {
  const refusals = new Refusals(options.onRefused ?? "fail", totals);
  const pending = new Map<number, TreePath>();
  const maker = new EntryMaker(options, mounted, refusals);
  const paths = await realPaths(options.paths, mounted.mount);
  for await (const event of runHelper(program, ["map"], feed(paths, mounted.mount, refusals, pending))) {
    if (event.kind === "node") maker.begin(event.node, pending.get(event.node.index));
    if (event.kind === "extents") maker.extents(event.extents);
    if (event.kind === "error") maker.fail(pending.get(event.index), event.message);
    if (event.kind === "end") {
      const entry = maker.end(event.changed);
      if (entry) yield entry;
    }
    if (event.kind === "end" || event.kind === "error") pending.delete(event.index);
  }
}

/** Throws AGENT_PATH when a path is missing or lies elsewhere. */
async function realPaths(paths: readonly string[], mount: Mount): Promise<string[]> {
  const real: string[] = [];
  for (const path of paths) {
    const other = await mountOf(path);
    if (other.device !== mount.device || other.mountPoint !== mount.mountPoint) {
      throw new GantryError(
        "AGENT_PATH",
        `${path} does not lie under ${mount.mountPoint}; make a list for each volume.`,
      );
    }
    real.push(await realpath(path));
  }
  return real;
}

/** Walks, and remembers what goes down to the helper until its answer comes. */
async function* feed(
  paths: readonly string[],
  mount: Mount,
  refusals: Refusals,
  pending: Map<number, TreePath>,
): AsyncGenerator<Buffer> {
  let index = 0;
  const found = walk({
    base: mount.mountPoint,
    paths,
    device: mount.device,
    onFault: (name, reason) => refusals.refuse("AGENT_PATH", shown(name), reason),
    onForeign: (name) => refusals.leaveOut(shown(name), "it lies on another file system"),
  });
  for await (const node of found) {
    pending.set(index++, node);
    yield node.path;
  }
}

/** Puts the answers about one path together. */
class EntryMaker {
  readonly #firstLink = new Map<bigint, string>();
  readonly #journaled: boolean;
  #node: HelperNode | undefined;
  #name = Buffer.alloc(0);
  #extents: BlockExtents | undefined;
  #fault: string | undefined;

  constructor(
    readonly options: MountedListOptions,
    readonly mounted: MountedVolume,
    readonly refusals: Refusals,
  ) {
    this.#journaled = options.frozen !== true && mounted.mount.options.includes("data=journal");
  }

  begin(node: HelperNode, at: TreePath | undefined): void {
    this.#node = node;
    this.#name = Buffer.from(at?.name ?? []);
    this.#extents = new BlockExtents(this.options.blockBytes ?? 512);
    const frozen = this.options.frozen === true;
    this.#fault =
      nodeType(node.mode) === "file"
        ? fileFault(frozen ? { ...node, attrFlags: 0 } : node, this.#journaled)
        : undefined;
    if (node.device !== this.mounted.mount.device) this.#fault = "it moved to another file system";
  }

  extents(extents: readonly HelperExtent[]): void {
    const size = this.#node?.size ?? 0n;
    const { runs, shared, fault } = usableRuns(extents, size);
    this.#fault ??= fault;
    if (this.#fault !== undefined) return;
    if (shared) this.refusals.totals.shared = true;
    for (const run of runs) this.#extents?.add(run, size, this.mounted.deviceOffset);
  }

  fail(at: TreePath | undefined, message: string): void {
    this.#node = undefined;
    this.refusals.refuse("AGENT_PATH", shown(at?.name ?? this.#name), message);
  }

  end(changed: boolean): ListEntry | undefined {
    const node = this.#node;
    if (node === undefined) return undefined;
    const name = utf8(this.#name);
    const type = nodeType(node.mode);
    if (type === "other") return this.refusals.leaveOut(shown(this.#name), "it is a device, a socket or a FIFO");
    const bad = nameFault(name);
    if (bad !== undefined || name === undefined)
      return this.refusals.refuse("AGENT_NAME", shown(this.#name), bad ?? "");
    if (this.#fault !== undefined) return this.refusals.refuse("AGENT_EXTENT", name, this.#fault);
    if (changed) return this.refusals.refuse("AGENT_CHANGED", name, "it changed while it was listed");
    return this.#entry(node, name, type);
  }

  #entry(node: HelperNode, name: string, type: "file" | "directory" | "symlink"): ListEntry | undefined {
    const member = { name, size: 0n, mode: node.mode & 0o7777, uid: node.uid, gid: node.gid, mtimeNs: node.mtimeNs };
    if (type === "directory") return { member: { ...member, type }, extents: undefined };
    if (node.links > 1) {
      const first = this.#firstLink.get(node.ino);
      if (first !== undefined) return { member: { ...member, type: "hardlink", linkName: first }, extents: undefined };
    }
    if (type === "symlink") {
      const text = utf8(node.link);
      const fault = linkFault(text);
      if (fault !== undefined || text === undefined) return this.refusals.refuse("AGENT_NAME", name, fault ?? "");
      if (node.links > 1) this.#firstLink.set(node.ino, name);
      return { member: { ...member, type, linkName: text }, extents: undefined };
    }
    if (node.links > 1) this.#firstLink.set(node.ino, name);
    return { member: { ...member, type, size: node.size }, extents: this.#extents };
  }
}
