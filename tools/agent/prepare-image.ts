// Restore onto an unmounted ext4 image: makes directories, links and files with all their blocks through
// debugfs, so that the mover needs to write nothing but data blocks, and gives the list of where they are.
//
// `fallocate` of debugfs finds blocks but leaves their extents unwritten (they would read as zeros whatever
// the mover writes); `replace_node` then writes each extent again without that mark. What a file's blocks
// held before stays in them until the mover has written them; what it will not write is zeroed here.
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GantryError } from "../../src/sys/errors.js";
import { chunked } from "./chunker.js";
import { debugfs, debugfsOne, debugfsRun, quoted } from "./debugfs.js";
import { openExt4, preorder, ROOT_INO, readTree, statInodes } from "./ext4-image.js";
import { type InodeFacts, parseLs, timeFields } from "./ext4-stat.js";
import { emptyTotals, type ListEntry, type ListSource } from "./list-source.js";
import { utf8 } from "./names.js";
import { writeAll } from "./positioned-io.js";
import { cover, type RestoreMember, type RestoreMembers, wholeUnits } from "./restore-map.js";
import { baseOf, checkRoom, parentOf, planRestore, type RestorePlan } from "./restore-plan.js";
import { type Ext4Facts, identityOf } from "./superblock.js";

export interface PrepareOptions {
  readonly members: RestoreMembers;
  /** Remove files and links that are in the way. Directories that are there are used as they are. */
  readonly overwrite?: boolean;
  /** Logical block size of the SCSI device, bytes. Default 512. */
  readonly blockBytes?: 512 | 4096;
  readonly sequence?: bigint;
  /** Bytes to add to every place: where the file system starts on the SCSI device. Default 0. */
  readonly deviceOffset?: bigint;
}

export interface PrepareImageOptions extends PrepareOptions {
  /** Image file or block device with an unmounted ext4. */
  readonly image: string;
}

/**
 * Prepares the image; all changes are made when this resolves, except that bytes which no member's data covers
 * are zeroed while `chunks` is taken. Throws AGENT_FS_*, AGENT_NAME, AGENT_EXISTS, AGENT_NO_SPACE, AGENT_TOOL
 * before or (AGENT_TOOL only) while it changes something; AGENT_RESTORE_MAP while chunks are taken.
 */
export async function prepareImage(options: PrepareImageOptions): Promise<ListSource> {
  const facts = await openExt4(options.image);
  if (!facts.extents || facts.bigalloc || facts.inlineData) {
    throw new GantryError(
      "AGENT_FS_UNSUPPORTED",
      `Files can be prepared on ext4 with extents and without bigalloc and inline_data only; ${options.image} is not so.`,
    );
  }
  const plan = await planRestore(options.members, facts.blockBytes);
  checkRoom(plan, facts.freeBlocks, facts.freeInodes, facts.blockBytes);
  const inodes = await new ImageBuilder(options, facts, plan).build();
  const totals = emptyTotals();
  return {
    volume: identityOf(facts, options.sequence ?? 0n),
    blockBytes: options.blockBytes ?? 512,
    chunks: chunked(entries(options, facts, plan, inodes), totals),
    totals,
  };
}

class ImageBuilder {
  /** Path → inode, of what is there and of what was made. */
  readonly #inodes = new Map<string, number>([["", ROOT_INO]]);

  constructor(
    readonly options: PrepareImageOptions,
    readonly facts: Ext4Facts,
    readonly plan: RestorePlan,
  ) {}

  async build(): Promise<ReadonlyMap<string, number>> {
    await this.#removeOld();
    const temporary = await mkdtemp(join(tmpdir(), "gantry-agent-"));
    try {
      await this.#directories();
      await this.#nodes(join(temporary, "empty"));
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
    await this.#write(this.#allocations());
    await this.#markWritten();
    await this.#write(this.#attributes());
    return this.#inodes;
  }

  async #write(commands: readonly string[]): Promise<void> {
    // replace_node and goto_block print what they did; only stderr says that something went wrong.
    await debugfsRun(this.options.image, commands, { write: true });
  }

  /** Inode of a directory or member. */
  #inode(name: string): number {
    const ino = this.#inodes.get(name);
    if (ino === undefined) throw new GantryError("AGENT_TOOL", `debugfs has not made ${name}.`);
    return ino;
  }

  /** Finds what is there, and removes what is in the way. Throws AGENT_EXISTS. */
  async #removeOld(): Promise<void> {
    const wanted = new Map(this.plan.members.map((member) => [member.name, member.type]));
    for (const name of this.plan.impliedDirectories) wanted.set(name, "directory");
    const inWay: string[] = [];
    for (const node of preorder(await readTree(this.options.image))) {
      const name = utf8(node.path);
      const type = name === undefined ? undefined : wanted.get(name);
      if (name === undefined || type === undefined) continue;
      if (node.type === "directory" && type === "directory") {
        this.#inodes.set(name, node.ino);
      } else if (node.type === "directory" || type === "directory" || this.options.overwrite !== true) {
        throw new GantryError(
          "AGENT_EXISTS",
          `${name} is there already; remove it, or use --overwrite if it is no directory.`,
        );
      } else {
        inWay.push(name);
      }
    }
    for (const name of inWay.filter((path) => path.includes("\n"))) await this.#one(`rm ${quoted(`/${name}`)}`);
    await this.#write(inWay.filter((path) => !path.includes("\n")).map((name) => `rm ${quoted(`/${name}`)}`));
  }

  /** One command whose names may hold line feeds, which scripts cannot. */
  async #one(command: string): Promise<void> {
    await debugfsOne(this.options.image, command, { write: true });
  }

  /** Makes directories level by level, and learns their inodes. */
  async #directories(): Promise<void> {
    const names = [...this.plan.impliedDirectories];
    for (const { name, type } of this.plan.members) if (type === "directory") names.push(name);
    const missing = names.filter((name) => !this.#inodes.has(name));
    const depth = (name: string): number => name.split("/").length;
    for (let level = 1; missing.some((name) => depth(name) >= level); level++) {
      const now = missing.filter((name) => depth(name) === level);
      await this.#make(
        now,
        (name) => `mkdir ${quoted(`./${baseOf(name)}`)}`,
        (name) => `mkdir ${quoted(`/${name}`)}`,
      );
      await this.#learn(now);
    }
  }

  /** Runs a command for each name in its directory, or by its whole path where it holds a line feed. */
  async #make(
    names: readonly string[],
    here: (name: string) => string,
    whole: (name: string) => string,
  ): Promise<void> {
    const commands: string[] = [];
    let cwd = -1;
    for (const name of names) {
      const command = here(name);
      if (command.includes("\n")) continue;
      const parent = this.#inode(parentOf(name));
      if (parent !== cwd) commands.push(`cd <${parent}>`);
      cwd = parent;
      commands.push(command);
    }
    await this.#write(commands);
    for (const name of names) if (here(name).includes("\n")) await this.#one(whole(name));
  }

  /** Looks up the inodes of members that were made just now. */
  async #learn(names: readonly string[]): Promise<void> {
    const parents = new Map<number, string>();
    for (const name of names) parents.set(this.#inode(parentOf(name)), parentOf(name));
    const wanted = new Set(names);
    const keys = [...parents.keys()];
    let i = 0;
    for await (const text of debugfs(
      this.options.image,
      keys.map((ino) => `ls -p <${ino}>`),
    )) {
      const parent = parents.get(keys[i++] ?? 0) ?? "";
      for (const entry of parseLs(text)) {
        const name = `${parent === "" ? "" : `${parent}/`}${utf8(entry.name) ?? ""}`;
        if (wanted.has(name)) this.#inodes.set(name, entry.ino);
      }
    }
  }

  /** Makes empty files and symbolic links, then hard links. */
  async #nodes(empty: string): Promise<void> {
    await writeFile(empty, "");
    const of = (type: RestoreMember["type"]) => this.plan.members.filter((member) => member.type === type);
    const files = of("file").map(({ name }) => name);
    const odd = files.filter((name) => baseOf(name).includes("\n"));
    // `write` makes names in the current directory only; with a line feed it comes under another name first.
    const interim = new Map(odd.map((name, i) => [name, `.gantry-restore-${i}`]));
    const local = (name: string): string => interim.get(name) ?? baseOf(name);
    await this.#make(
      files,
      (name) => `write ${quoted(empty)} ${quoted(local(name))}`,
      () => "",
    );
    const placed = (name: string): string => `${parentOf(name) === "" ? "" : `${parentOf(name)}/`}${local(name)}`;
    for (const name of odd) {
      await this.#one(`ln ${quoted(`/${placed(name)}`)} ${quoted(`/${name}`)}`);
      await this.#one(`unlink ${quoted(`/${placed(name)}`)}`);
    }
    const links = new Map(of("symlink").map((member) => [member.name, member.linkName ?? ""]));
    const text = (name: string): string => quoted(links.get(name) ?? "");
    await this.#make(
      [...links.keys()],
      (name) => `symlink ${quoted(`./${baseOf(name)}`)} ${text(name)}`,
      (name) => `symlink ${quoted(`/${name}`)} ${text(name)}`,
    );
    await this.#learn([...files, ...links.keys()]);
    const targets = new Map(of("hardlink").map((member) => [member.name, this.#inode(member.linkName ?? "")]));
    await this.#make(
      [...targets.keys()],
      (name) => `ln <${targets.get(name)}> ${quoted(`./${baseOf(name)}`)}`,
      (name) => `ln <${targets.get(name)}> ${quoted(`/${name}`)}`,
    );
  }

  #allocations(): string[] {
    const block = BigInt(this.facts.blockBytes);
    const unit = BigInt(Math.max(this.facts.blockBytes, this.options.blockBytes ?? 512)); // powers of two both
    const commands: string[] = [];
    for (const member of this.plan.members) {
      for (const { offset, length } of wholeUnits(member, unit)) {
        const first = offset / block;
        commands.push(`fallocate <${this.#inode(member.name)}> ${first} ${first + length / block - 1n}`);
      }
    }
    return commands;
  }

  /** Takes the mark "unwritten" from every extent. */
  async #markWritten(): Promise<void> {
    const block = BigInt(this.facts.blockBytes);
    const inos = this.plan.members.filter((member) => member.ranges.length > 0).map(({ name }) => this.#inode(name));
    const commands: string[] = [];
    for await (const inode of statInodes(this.options.image, inos, this.facts.blockBytes)) {
      const unwritten = inode.extents.filter((extent) => extent.unwritten);
      if (unwritten.length === 0) continue;
      commands.push(`extent_open <${inode.ino}>`);
      for (const { logical, physical, length } of unwritten) {
        commands.push(`goto_block ${logical / block}`);
        commands.push(`replace_node ${logical / block} ${length / block} ${physical / block}`);
      }
      commands.push("extent_close");
    }
    await this.#write(commands);
  }

  #attributes(): string[] {
    const commands: string[] = [];
    for (const member of this.plan.members) {
      if (member.type === "hardlink") continue;
      const set = (field: string, value: string): void => {
        commands.push(`set_inode_field <${this.#inode(member.name)}> ${field} ${value}`);
      };
      const type = member.type === "file" ? 0o100000 : member.type === "directory" ? 0o040000 : 0o120000;
      const { seconds, extra } = timeFields(member.mtimeNs);
      set("mode", `0${(type | member.mode).toString(8)}`);
      set("uid", String(member.uid));
      set("gid", String(member.gid));
      set("mtime", `@${seconds}`);
      if (this.facts.inodeBytes > 128) set("mtime_extra", String(extra));
      const links = this.plan.linkCounts.get(member.name);
      if (links !== undefined) set("links_count", String(links));
      if (member.type === "file") set("size", String(member.size));
    }
    return commands;
  }
}

/** The list, checked against what is now on the image; zeroes what the mover will not write. */
async function* entries(
  options: PrepareImageOptions,
  facts: Ext4Facts,
  plan: RestorePlan,
  inodes: ReadonlyMap<string, number>,
): AsyncGenerator<ListEntry> {
  const files = plan.members.filter(({ type }) => type === "file");
  const inos = files.map(({ name }) => inodes.get(name) ?? 0);
  const stats = statInodes(options.image, inos, facts.blockBytes);
  const image = await open(options.image, "r+");
  try {
    for (const member of plan.members) {
      const { ranges, ...listed } = member;
      if (member.type !== "file") yield { member: listed, extents: undefined };
      else yield await fileEntry(options, member, await nextOf(stats), image);
    }
    await nextOf(stats); // lets debugfs end, and report
    await image.sync();
  } finally {
    await image.close();
  }
}

async function nextOf(stats: AsyncGenerator<InodeFacts, void, undefined>): Promise<InodeFacts | undefined> {
  const { done, value } = await stats.next();
  return done ? undefined : value;
}

const ZEROS = Buffer.alloc(1 << 16);

async function fileEntry(
  options: PrepareImageOptions,
  { ranges, ...member }: RestoreMember,
  inode: InodeFacts | undefined,
  image: Awaited<ReturnType<typeof open>>,
): Promise<ListEntry> {
  if (!inode || inode.size !== member.size || inode.extents.some(({ unwritten }) => unwritten)) {
    throw new GantryError("AGENT_RESTORE_MAP", `${member.name} was not prepared as asked; nothing may be written.`);
  }
  const blockBytes = options.blockBytes ?? 512;
  const whole = wholeUnits({ ...member, ranges }, BigInt(blockBytes));
  const { extents, rest } = cover(member.name, inode.extents, whole, blockBytes, options.deviceOffset ?? 0n);
  for (const { physical, length } of rest) {
    for (let at = 0n; at < length; at += BigInt(ZEROS.length)) {
      const left = length - at;
      const n = left < BigInt(ZEROS.length) ? Number(left) : ZEROS.length;
      await writeAll(image, physical + at, ZEROS.subarray(0, n));
    }
  }
  return { member, extents };
}
