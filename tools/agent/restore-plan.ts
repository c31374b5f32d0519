// Checks what is to be restored before anything is changed: names, order, parents, links, room.
import { GantryError } from "../../src/sys/errors.js";
import { linkFault, nameFault } from "./names.js";
import { type RestoreMember, type RestoreMembers, wholeUnits } from "./restore-map.js";

export interface RestorePlan {
  /** In the order given; parents and link targets before those that need them. */
  readonly members: readonly RestoreMember[];
  /** Directories that no member describes but members lie in, parents first. */
  readonly impliedDirectories: readonly string[];
  /** Names for one file: the first name → how many names. */
  readonly linkCounts: ReadonlyMap<string, number>;
  /** File system blocks and inodes that are needed, estimated from above. */
  readonly blocks: bigint;
  readonly inodes: number;
}

/** Name of the directory that a member lies in; "" is the root. */
export function parentOf(name: string): string {
  const slash = name.lastIndexOf("/");
  return slash < 0 ? "" : name.slice(0, slash);
}

export function baseOf(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

/** Reads all members. Throws AGENT_NAME when one contradicts another or cannot be made. */
export async function planRestore(members: RestoreMembers, fsBlockBytes: number): Promise<RestorePlan> {
  const planner = new Planner(BigInt(fsBlockBytes));
  for await (const member of members) planner.add(member);
  return planner.plan();
}

class Planner {
  readonly #members: RestoreMember[] = [];
  readonly #types = new Map<string, RestoreMember["type"]>();
  readonly #implied: string[] = [];
  readonly #linkCounts = new Map<string, number>();
  #blocks = 0n;

  constructor(readonly fsBlock: bigint) {}

  add(member: RestoreMember): void {
    const { name, type, linkName } = member;
    const fault = nameFault(name) ?? pathFault(name, type);
    if (fault !== undefined) throw wrong(name, fault);
    if (this.#types.has(name)) throw wrong(name, "there are two members of this name");
    if (type !== "file" && member.ranges.length > 0) throw wrong(name, "only files have data");
    if (type === "symlink") {
      const text = linkFault(linkName);
      if (text !== undefined) throw wrong(name, text);
    }
    if (type === "hardlink") {
      const target = this.#types.get(linkName ?? "");
      if (target !== "file" && target !== "symlink")
        throw wrong(name, `its target ${linkName} does not come before it`);
      this.#linkCounts.set(linkName ?? "", (this.#linkCounts.get(linkName ?? "") ?? 1) + 1);
    }
    this.#imply(parentOf(name));
    this.#types.set(name, type);
    this.#members.push(member);
    this.#count(member);
  }

  /** Makes sure that a directory is there before what lies in it. */
  #imply(directory: string): void {
    if (directory === "") return;
    const type = this.#types.get(directory);
    if (type === "directory") return;
    if (type !== undefined) throw wrong(directory, "it is no directory, but other members lie in it");
    this.#imply(parentOf(directory));
    this.#types.set(directory, "directory");
    this.#implied.push(directory);
    this.#blocks += 2n;
  }

  #count(member: RestoreMember): void {
    const ranges = wholeUnits(member, this.fsBlock);
    for (const { length } of ranges) this.#blocks += length / this.fsBlock;
    // Its directory entry, and the blocks of an extent tree: at worst half full, 12 bytes for an extent; a
    // range may have to be cut further, so twice that.
    const entry = BigInt(8 + Buffer.byteLength(baseOf(member.name)) + 4);
    const tree = ranges.length > 4 ? BigInt(ranges.length) * 48n + this.fsBlock : 0n;
    this.#blocks += (2n * entry + tree + this.fsBlock - 1n) / this.fsBlock;
    if (member.type === "directory" || member.type === "symlink") this.#blocks += 1n;
  }

  plan(): RestorePlan {
    return {
      members: this.#members,
      impliedDirectories: this.#implied,
      linkCounts: this.#linkCounts,
      blocks: this.#blocks,
      inodes: this.#types.size,
    };
  }
}

/** Throws AGENT_NO_SPACE. */
export function checkRoom(plan: RestorePlan, freeBlocks: bigint, freeInodes: number, fsBlockBytes: number): void {
  if (plan.blocks <= freeBlocks && plan.inodes <= freeInodes) return;
  const needed = `${plan.blocks} blocks of ${fsBlockBytes} bytes and ${plan.inodes} inodes`;
  throw new GantryError("AGENT_NO_SPACE", `${needed} are needed; ${freeBlocks} and ${freeInodes} are free.`, {
    details: { blocks: plan.blocks, freeBlocks, inodes: plan.inodes, freeInodes },
  });
}

const PART_BYTES_MAX = 255; // EXT4_NAME_LEN; xfs has the same

function pathFault(name: string, type: RestoreMember["type"]): string | undefined {
  if (type === "image") return "an image is no file";
  const long = name.split("/").some((part) => Buffer.byteLength(part) > PART_BYTES_MAX);
  return long ? `a part of its name is longer than ${PART_BYTES_MAX} bytes` : undefined;
}

function wrong(name: string, why: string): GantryError {
  return new GantryError("AGENT_NAME", `${JSON.stringify(name)} cannot be restored: ${why}.`, { details: { name } });
}
