// Restore onto a mounted ext4 or xfs. Three steps: prepareMounted makes the files with all their blocks and
// gives the list; the mover writes the blocks; settleMounted checks that nothing moved meanwhile, makes the
// kernel forget what it knew of the files, and gives them owner, mode and time.
import { constants } from "node:fs";
import { chmod, type FileHandle, lchown, link, lstat, mkdir, open, rm, statfs, symlink } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, messageOf } from "../../src/sys/errors.js";
import type { ByteRun } from "./block-extents.js";
import { chunked } from "./chunker.js";
import { fileFault, usableRuns } from "./fiemap-rules.js";
import { type HelperExtent, type HelperNode, helperPath, runHelper } from "./helper.js";
import { type MountedVolume, mountedVolume } from "./list-mounted.js";
import { emptyTotals, type ListEntry, type ListSource } from "./list-source.js";
import { writeAll } from "./positioned-io.js";
import type { PrepareOptions } from "./prepare-image.js";
import { cover, type ListedMember, type RestoreMember, wholeUnits } from "./restore-map.js";
import { checkRoom, parentOf, planRestore, type RestorePlan } from "./restore-plan.js";
import { identityOf } from "./superblock.js";

export interface PrepareMountedOptions extends PrepareOptions {
  /** Directory that member names are relative to. */
  readonly target: string;
  readonly wholeDisk?: boolean;
  /** Path of gantry-fsmap. */
  readonly helper?: string;
}

export interface SettleOptions {
  readonly target: string;
  /** The restore's list, as prepareMounted gave it. */
  readonly members: AsyncIterable<ListedMember> | Iterable<ListedMember>;
  readonly deviceOffset?: bigint;
  readonly wholeDisk?: boolean;
  readonly helper?: string;
}

/**
 * Makes directories, links and files with every block that the restore will write, all on stable storage when
 * this resolves. Until settleMounted a file belongs to its maker, has mode 0600, and says in its data that it is not
 * restored. Throws AGENT_PATH, AGENT_FS_UNSUPPORTED, AGENT_NAME, AGENT_NO_SPACE, AGENT_EXISTS, AGENT_HELPER;
 * while chunks are taken AGENT_RESTORE_MAP, AGENT_ALIGNMENT.
 */
export async function prepareMounted(options: PrepareMountedOptions): Promise<ListSource> {
  const mounted = await targetVolume(options);
  const program = await helperPath(options.helper);
  const fs = await statfs(mounted.mount.path, { bigint: true });
  const plan = await planRestore(options.members, mounted.facts.blockBytes);
  // xfs makes inodes as they are needed: f_ffree says how many still fit.
  checkRoom(plan, fs.bavail, Number(fs.ffree), Number(fs.bsize));
  await new Maker(mounted.mount.path, options, plan).make();
  await dropPages(program, mounted.mount.path, plan.members);
  const totals = emptyTotals();
  return {
    volume: identityOf(mounted.facts, options.sequence ?? 0n),
    blockBytes: options.blockBytes ?? 512,
    chunks: chunked(entries(options, mounted, program, plan), totals),
    totals,
  };
}

/**
 * After the mover's last block: checks every file's places against the list, drops its pages from memory,
 * and sets owner, mode and time of everything. Throws AGENT_RESTORE_MAP when a file's blocks have moved since the list was
 * made (what the mover wrote may then have hit other files), AGENT_HELPER when pages stay in memory.
 */
export async function settleMounted(options: SettleOptions): Promise<{ members: number }> {
  const mounted = await targetVolume(options);
  const program = await helperPath(options.helper);
  const listed: ListedMember[] = [];
  for await (const one of options.members) listed.push(one);
  const target = mounted.mount.path;
  const files = listed.filter(({ member }) => member.type === "file");
  let i = 0;
  for await (const { runs } of mapFiles(
    program,
    target,
    files.map(({ member }) => member.name),
  )) {
    const file = files[i++];
    if (file) compare(file, runs, mounted.deviceOffset);
  }
  const own = listed.filter(({ member }) => member.type !== "hardlink").map(({ member }) => member);
  for (const { name, type, uid, gid, mode } of own) {
    const path = join(target, name);
    await lchown(path, uid, gid);
    if (type !== "symlink") await chmod(path, mode); // after chown, which clears set-user-id
  }
  // Directories last and from the bottom up: making and removing entries changes their times.
  const times = [
    ...own.filter(({ type }) => type !== "directory"),
    ...own.filter(({ type }) => type === "directory").reverse(),
  ];
  await settle(
    program,
    times.map(({ name, mtimeNs }) => [join(target, name), String(mtimeNs)] as const),
  );
  return { members: listed.length };
}

async function targetVolume(options: PrepareMountedOptions | SettleOptions): Promise<MountedVolume> {
  const { target, wholeDisk, deviceOffset } = options;
  const mounted = await mountedVolume({
    paths: [target],
    ...(wholeDisk === undefined ? {} : { wholeDisk }),
    ...(deviceOffset === undefined ? {} : { deviceOffset }),
  });
  if (!mounted.mount.options.includes("data=journal")) return mounted;
  throw new GantryError(
    "AGENT_FS_UNSUPPORTED",
    `${target} is mounted with data=journal: the journal would be written over what is restored. Mount it otherwise.`,
  );
}

/** Says in a file that is not restored what it is; not zeros, which could pass for content. */
const FILL = Buffer.from("GANTRY: THIS FILE IS NOT RESTORED YET.\n".repeat(27_000)).subarray(0, 1 << 20);

class Maker {
  readonly #directories = new Set<string>([""]);

  constructor(
    readonly target: string,
    readonly options: PrepareMountedOptions,
    readonly plan: RestorePlan,
  ) {}

  async make(): Promise<void> {
    for (const name of this.plan.impliedDirectories) await this.#directory(name);
    for (const member of this.plan.members) {
      await this.#parents(member.name);
      try {
        await this.#one(member);
      } catch (cause) {
        if (cause instanceof GantryError) throw cause;
        const full = cause instanceof Error && "code" in cause && cause.code === "ENOSPC";
        throw new GantryError(full ? "AGENT_NO_SPACE" : "AGENT_PATH", `${member.name}: ${messageOf(cause)}.`, {
          cause,
        });
      }
    }
    for (const name of this.#directories) await syncPath(join(this.target, name));
  }

  /** A symbolic link instead of a directory could lead the restore out of the target. */
  async #parents(name: string): Promise<void> {
    const parent = parentOf(name);
    if (!this.#directories.has(parent)) await this.#directory(parent);
  }

  async #directory(name: string): Promise<void> {
    await this.#parents(name);
    const path = join(this.target, name);
    await mkdir(path, { mode: 0o700 }).catch(async (cause: unknown) => {
      const there = await lstat(path).catch(() => undefined);
      if (!there) throw new GantryError("AGENT_PATH", `${name} cannot be made: ${messageOf(cause)}.`, { cause });
      if (!there.isDirectory()) throw new GantryError("AGENT_EXISTS", `${name} is there already and is no directory.`);
    });
    this.#directories.add(name);
  }

  async #one(member: RestoreMember): Promise<void> {
    const path = join(this.target, member.name);
    if (member.type === "directory") {
      if (!this.#directories.has(member.name)) await this.#directory(member.name);
      return;
    }
    const there = await lstat(path).catch(() => undefined);
    if (there && (this.options.overwrite !== true || there.isDirectory())) {
      throw new GantryError(
        "AGENT_EXISTS",
        `${member.name} is there already; remove it, or use --overwrite if it is no directory.`,
      );
    }
    // Never written in place: its blocks could be shared with a snapshot or a clone.
    if (there) await rm(path);
    if (member.type === "symlink") await symlink(member.linkName ?? "", path);
    else if (member.type === "hardlink") await link(join(this.target, member.linkName ?? ""), path);
    else await this.#file(path, member);
  }

  /** Written, not fallocate: what is only reserved reads as zeros, whatever is in its blocks. */
  async #file(path: string, member: RestoreMember): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    try {
      const unit = BigInt(this.options.blockBytes ?? 512);
      for (const { offset, length } of wholeUnits(member, unit)) await fill(file, offset, length);
      await file.truncate(Number(member.size));
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

async function fill(file: FileHandle, offset: bigint, length: bigint): Promise<void> {
  for (let done = 0n; done < length; done += BigInt(FILL.length)) {
    const left = length - done;
    await writeAll(file, offset + done, left < BigInt(FILL.length) ? FILL.subarray(0, Number(left)) : FILL);
  }
}

async function syncPath(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function dropPages(program: string, target: string, members: readonly RestoreMember[]): Promise<void> {
  const files = members.filter(({ type }) => type === "file");
  await settle(
    program,
    files.map(({ name }) => [join(target, name), "-"] as const),
  );
}

/** `gantry-fsmap settle` on pairs of path and time. */
async function settle(program: string, pairs: readonly (readonly [string, string])[]): Promise<void> {
  const strings = pairs.flat().map((text) => Buffer.from(text));
  for await (const event of runHelper(program, ["settle"], strings)) {
    if (event.kind !== "error") continue;
    throw new GantryError("AGENT_HELPER", `${pairs[event.index]?.[0]}: ${event.message}.`, {
      details: { errno: event.errno },
    });
  }
}

interface MappedFile {
  readonly node: HelperNode;
  readonly runs: readonly ByteRun[];
}

/** Where the files' bytes are now; refuses what must not be written behind the file system's back. */
async function* mapFiles(program: string, target: string, names: readonly string[]): AsyncGenerator<MappedFile> {
  const refuse = (name: string | undefined, why: string): GantryError =>
    new GantryError("AGENT_RESTORE_MAP", `${name} cannot be restored in place: ${why}.`, { details: { name } });
  let node: HelperNode | undefined;
  let extents: HelperExtent[] = [];
  for await (const event of runHelper(
    program,
    ["map"],
    names.map((name) => Buffer.from(join(target, name))),
  )) {
    if (event.kind === "node") [node, extents] = [event.node, []];
    if (event.kind === "extents") for (const extent of event.extents) extents.push(extent);
    if (event.kind === "error") throw refuse(names[event.index], event.message);
    if (event.kind !== "end") continue;
    const name = names[event.index];
    if (!node) throw refuse(name, "nothing is known of it");
    const { runs, shared, fault } = usableRuns(extents, node.size);
    const why = fileFault(node, false) ?? fault ?? (shared ? "it shares blocks with another file" : undefined);
    if (why !== undefined) throw refuse(name, why);
    yield { node, runs };
  }
}

async function* entries(
  options: PrepareMountedOptions,
  mounted: MountedVolume,
  program: string,
  plan: RestorePlan,
): AsyncGenerator<ListEntry> {
  const blockBytes = options.blockBytes ?? 512;
  const files = plan.members.filter(({ type }) => type === "file");
  const maps = mapFiles(
    program,
    mounted.mount.path,
    files.map(({ name }) => name),
  );
  for (const member of plan.members) {
    const { ranges: _, ...listed } = member;
    if (member.type !== "file") {
      yield { member: listed, extents: undefined };
      continue;
    }
    const { done, value } = await maps.next();
    if (done || value.node.size !== member.size) {
      throw new GantryError("AGENT_RESTORE_MAP", `${member.name} changed while it was prepared.`);
    }
    // What is allocated beyond the ranges was written as zeros by the kernel.
    const ranges = wholeUnits(member, BigInt(blockBytes));
    yield { member: listed, extents: cover(member.name, value.runs, ranges, blockBytes, mounted.deviceOffset).extents };
  }
  await maps.next(); // lets the helper end, and report
}

/** Throws AGENT_RESTORE_MAP when the list's extents are not where the file's bytes are now. */
function compare({ member, extents }: ListedMember, runs: readonly ByteRun[], deviceOffset: bigint): void {
  const { fileOffset, lba, blocks } = extents.slice(0, extents.count);
  const length = (i: number): bigint => BigInt(blocks[i] ?? 0) * BigInt(extents.blockBytes);
  const ranges = Array.from(fileOffset, (offset, i) => ({ offset, length: length(i) }));
  const now = cover(member.name, runs, ranges, extents.blockBytes, deviceOffset).extents;
  const places = now.slice(0, now.count);
  const same =
    now.count === extents.count && places.lba.every((place, i) => place === lba[i] && places.blocks[i] === blocks[i]);
  if (same) return;
  throw new GantryError("AGENT_RESTORE_MAP", `${member.name} has moved on the device since its list was made.`, {
    details: { name: member.name },
  });
}
