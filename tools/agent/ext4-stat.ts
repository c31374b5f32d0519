// Reads what debugfs prints about directories (`ls -p`) and inodes (`stat`). Output is latin1 text: one
// character for each byte. Names are attacker's text: nothing is searched for that they could imitate.
import { GantryError } from "../../src/sys/errors.js";
import type { ByteRun } from "./block-extents.js";

export interface DirEntry {
  readonly ino: number;
  /** With the file type. */
  readonly mode: number;
  /** Raw bytes of the name. */
  readonly name: Buffer;
}

export interface InodeFacts {
  readonly ino: number;
  /** Permission bits. */
  readonly mode: number;
  readonly flags: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly links: number;
  readonly mtimeNs: bigint;
  /** Raw text of a symbolic link that lies in the inode (fast, or inline data). */
  readonly fastLink: Buffer | undefined;
  /** Data extents in file order, bytes of the image; unwritten ones apart. */
  readonly extents: readonly (ByteRun & { readonly unwritten: boolean })[];
}

/** Entries of a directory without "." and "..": /ino/mode/uid/gid/name/size/, where only the name is free text without "/". */
export function parseLs(text: string): DirEntry[] {
  const entries: DirEntry[] = [];
  const entry = /\/(\d{1,10})\/([0-7]{6})\/-?\d+\/-?\d+\/([^/]*)\/-?\d*\/\n/y;
  while (entry.lastIndex < text.length && text[entry.lastIndex] === "/") {
    const match = entry.exec(text);
    if (!match) throw new GantryError("AGENT_TOOL", "The output of debugfs ls cannot be understood.");
    const [, ino, mode, name] = match as unknown as [string, string, string, string];
    // Inode 0 marks unused room in a directory block.
    if (Number(ino) === 0 || name === "." || name === "..") continue;
    entries.push({ ino: Number(ino), mode: Number.parseInt(mode, 8), name: Buffer.from(name, "latin1") });
  }
  return entries;
}

const HEAD =
  /^Inode: (\d+) +Type: [a-zA-Z ]+? +Mode: +([0-7]{4}) +Flags: 0x([0-9a-f]+)\nGeneration: .*\nUser: +(-?\d+) +Group: +(-?\d+) +(?:Project: +-?\d+ +)?Size: (\d+)\nFile ACL: .*\n(?:Directory ACL: .*\n)?Links: (\d+) +Blockcount: \d+\n/;
const MTIME = /\n ?mtime: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))? -- /;

/** One inode. Throws AGENT_TOOL when the text is not what this version of debugfs should print. */
export function parseStat(text: string, blockBytes: number): InodeFacts {
  const head = HEAD.exec(text);
  const mtime = MTIME.exec(text);
  if (!head || !mtime) throw new GantryError("AGENT_TOOL", "The output of debugfs stat cannot be understood.");
  const [, ino, mode, flags, user, group, sizeText, links] = head as unknown as string[];
  if (![ino, links].every((number) => Number.isSafeInteger(Number(number))))
    throw new GantryError("AGENT_TOOL", "The output of debugfs stat has numbers that no inode has.");
  const size = BigInt(sizeText ?? 0);
  return {
    ino: Number(ino),
    mode: Number.parseInt(mode ?? "", 8),
    flags: Number.parseInt(flags ?? "", 16),
    uid: Number(user) >>> 0,
    gid: Number(group) >>> 0,
    size,
    links: Number(links),
    mtimeNs: timeOf(mtime[1] ?? "0", mtime[2] ?? "0"),
    fastLink: fastLinkOf(text, size),
    extents: extentsOf(text, BigInt(blockBytes)),
  };
}

/** i_mtime is signed; the low 2 bits of i_mtime_extra widen it, the others are nanoseconds (ext4 inode.rst). */
function timeOf(seconds: string, extra: string): bigint {
  const extraBits = Number.parseInt(extra, 16);
  const low = BigInt(Number.parseInt(seconds, 16) | 0);
  return (low + (BigInt(extraBits & 3) << 32n)) * 1_000_000_000n + BigInt(extraBits >>> 2);
}

/** The inverse of the above, for debugfs set_inode_field: unsigned fields. */
export function timeFields(ns: bigint): { seconds: number; extra: number } {
  let rest = ns % 1_000_000_000n;
  if (rest < 0n) rest += 1_000_000_000n;
  const whole = (ns - rest) / 1_000_000_000n;
  const epoch = ((whole - BigInt.asIntN(32, whole)) >> 32n) & 3n;
  return { seconds: Number(BigInt.asUintN(32, whole)), extra: Number((rest << 2n) | epoch) };
}

/** The text is the last thing printed, and its length is known, so what it holds does not matter. */
function fastLinkOf(text: string, size: bigint): Buffer | undefined {
  const length = Number(size);
  const start = text.length - 2 - length;
  const title = 'Fast link dest: "';
  if (start < title.length || !text.endsWith('"\n')) return undefined;
  if (text.slice(start - title.length, start) !== title) return undefined;
  return Buffer.from(text.slice(start, start + length), "latin1");
}

/** The map is the last thing printed: the last title counts, because names of attributes come before it. */
function extentsOf(text: string, block: bigint): InodeFacts["extents"] {
  const extentTitle = text.lastIndexOf("\nEXTENTS:\n");
  const blockTitle = text.lastIndexOf("\nBLOCKS:\n");
  const from = extentTitle > blockTitle ? extentTitle + "\nEXTENTS:\n".length : blockTitle + "\nBLOCKS:\n".length;
  if (extentTitle < 0 && blockTitle < 0) return [];
  const extents: { logical: bigint; physical: bigint; length: bigint; unwritten: boolean }[] = [];
  // (5):100, (6-9[u]):101-104, and blocks of the map itself, (ETB0):90, (IND):91, which are no data.
  const item = /\((?:(\d+)(?:-(\d+))?(\[u\])?|[A-Z]+\d*)\):(\d+)(?:-(\d+))?(?:, |\n|$)/y;
  item.lastIndex = from;
  while (item.lastIndex < text.length && text[item.lastIndex] === "(") {
    const match = item.exec(text);
    if (!match) throw new GantryError("AGENT_TOOL", "The extents that debugfs prints cannot be understood.");
    const [, first, last, unwritten, place] = match;
    if (first === undefined || place === undefined) continue;
    const blocks = BigInt(last ?? first) - BigInt(first) + 1n;
    if (blocks <= 0n) throw new GantryError("AGENT_TOOL", "An extent that debugfs prints ends before it begins.");
    extents.push({
      logical: BigInt(first) * block,
      physical: BigInt(place) * block,
      length: blocks * block,
      unwritten: unwritten !== undefined,
    });
  }
  return extents;
}
