// Block list of a whole file system: one member of type "image" whose extents are the blocks in use. What is
// free becomes a hole, and reads as zeros after a restore.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { GantryError } from "../../src/sys/errors.js";
import { BlockExtents } from "./block-extents.js";
import { chunked } from "./chunker.js";
import { openExt4 } from "./ext4-image.js";
import { emptyTotals, type ListEntry, type ListOptions, type ListSource } from "./list-source.js";
import { mountedAt } from "./mounts.js";
import { nameFault } from "./names.js";
import { type FsFacts, identityOf, readFsFacts } from "./superblock.js";

export interface WholeListOptions extends Omit<ListOptions, "onRefused"> {
  /** Image file or block device. */
  readonly image: string;
  /** Name of the member. Default: the file system's label, or its UUID. */
  readonly name?: string;
  /** The file system is mounted, and held frozen until the blocks are copied. */
  readonly frozen?: boolean;
  /** Milliseconds since 1970, for the member's time. Default 0. */
  readonly nowMs?: number;
}

/**
 * ext4: the blocks that the allocation bitmaps name, by dumpe2fs(8). xfs: every block. Throws AGENT_FS_*,
 * AGENT_PATH, AGENT_TOOL, AGENT_ALIGNMENT, AGENT_NAME.
 */
export async function listWhole(options: WholeListOptions): Promise<ListSource> {
  const facts = options.frozen ? await readFsFacts(options.image) : await openWhole(options.image);
  const name = options.name ?? (facts.label === "" ? facts.uuid : facts.label);
  const fault = nameFault(name);
  if (fault !== undefined) throw new GantryError("AGENT_NAME", `${JSON.stringify(name)} cannot be used: ${fault}.`);
  const totals = emptyTotals();
  return {
    volume: identityOf(facts, options.sequence ?? 0n),
    blockBytes: options.blockBytes ?? 512,
    chunks: chunked(entry(options, facts, name), totals),
    totals,
  };
}

async function openWhole(image: string): Promise<FsFacts> {
  const facts = await readFsFacts(image);
  // An unmounted xfs keeps no flag that a few bytes would tell; its log is in the image and is replayed at mount.
  if (facts.type === "ext4") return openExt4(image);
  const mountPoint = await mountedAt(image);
  if (mountPoint === undefined) return facts;
  throw new GantryError("AGENT_FS_UNCLEAN", `${image} is mounted at ${mountPoint}; unmount it, or freeze it.`);
}

async function* entry(options: WholeListOptions, facts: FsFacts, name: string): AsyncGenerator<ListEntry> {
  const block = BigInt(facts.blockBytes);
  const size = facts.blocks * block;
  const extents = new BlockExtents(options.blockBytes ?? 512);
  const add = (from: bigint, to: bigint): void => {
    if (to <= from) return;
    const run = { logical: from * block, physical: from * block, length: (to - from) * block };
    extents.add(run, size, options.deviceOffset ?? 0n);
  };
  let at = 0n; // block 0 is in use even where the bitmaps begin with block 1 (boot sector)
  if (facts.type === "ext4") {
    if (facts.bigalloc)
      throw new GantryError("AGENT_FS_UNSUPPORTED", "The free blocks of a bigalloc file system are not known.");
    for await (const [first, last] of freeRanges(options.image)) {
      if (first < at || last >= facts.blocks)
        throw new GantryError("AGENT_TOOL", "dumpe2fs lists free blocks out of order.");
      add(at, first);
      at = last + 1n;
    }
  }
  add(at, facts.blocks);
  const mtimeNs = BigInt(options.nowMs ?? 0) * 1_000_000n;
  yield { member: { name, type: "image", size, mode: 0o600, uid: 0, gid: 0, mtimeNs }, extents };
}

/** Ranges of free blocks in order, inclusive. */
async function* freeRanges(image: string): AsyncGenerator<readonly [bigint, bigint]> {
  const child = spawn("dumpe2fs", [image], { env: { ...process.env, LC_ALL: "C" }, stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("latin1").on("data", (text: string) => (stderr = (stderr + text).slice(-4096)));
  const closed = once(child, "close") as Promise<[number | null]>;
  closed.catch(() => undefined);
  try {
    let rest = "";
    let groups = 0;
    for await (const more of child.stdout.setEncoding("latin1") as AsyncIterable<string>) {
      const lines = (rest + more).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const list = /^ {2}Free blocks: (.*)$/.exec(line)?.[1];
        if (list === undefined) continue;
        groups++;
        yield* rangesIn(list);
      }
    }
    const [code] = await closed;
    if (code === 0 && groups > 0) return;
  } catch (cause) {
    throw cause instanceof GantryError
      ? cause
      : new GantryError("AGENT_TOOL", "dumpe2fs cannot be run; install e2fsprogs.", { cause });
  } finally {
    child.kill();
  }
  throw new GantryError("AGENT_TOOL", `dumpe2fs cannot read ${image}: ${stderr.trim()}`, {
    details: { output: stderr },
  });
}

function* rangesIn(list: string): Generator<readonly [bigint, bigint]> {
  if (list.trim() === "") return;
  for (const item of list.split(", ")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(item.trim());
    if (!match?.[1]) throw new GantryError("AGENT_TOOL", "The free blocks that dumpe2fs prints cannot be understood.");
    yield [BigInt(match[1]), BigInt(match[2] ?? match[1])];
  }
}
