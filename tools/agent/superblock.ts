// The few facts of a file system that stand at fixed places of its superblock: what it is, its identity, its
// size. ext4: Documentation/filesystems/ext4/super.rst; xfs: XFS Filesystem Structure, "Superblocks".
import { open } from "node:fs/promises";
import type { VolumeIdentity } from "../../src/list.js";
import { GantryError } from "../../src/sys/errors.js";
import { readExactly } from "./positioned-io.js";

export interface Ext4Facts {
  readonly type: "ext4";
  readonly uuid: string;
  readonly label: string;
  /** Seconds since 1970. */
  readonly mkfsTime: bigint;
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly freeBlocks: bigint;
  readonly freeInodes: number;
  readonly firstDataBlock: number;
  readonly inodeBytes: number;
  /** Unmounted cleanly and without known errors. */
  readonly clean: boolean;
  readonly needsRecovery: boolean;
  readonly bigalloc: boolean;
  readonly extents: boolean;
  readonly inlineData: boolean;
  /** Its journal is not on this device, or it is itself a journal. */
  readonly journalDevice: boolean;
}

export interface XfsFacts {
  readonly type: "xfs";
  readonly uuid: string;
  readonly label: string;
  readonly blockBytes: number;
  readonly blocks: bigint;
}

export type FsFacts = Ext4Facts | XfsFacts;

const EXT4_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342; // "XFSB"
const INCOMPAT_RECOVER = 0x4;
const INCOMPAT_JOURNAL_DEV = 0x8;
const INCOMPAT_EXTENTS = 0x40;
const INCOMPAT_64BIT = 0x80;
const INCOMPAT_INLINE_DATA = 0x8000;
const RO_COMPAT_BIGALLOC = 0x200;

/** Reads the superblock of an image or block device. Throws AGENT_PATH, AGENT_FS_UNSUPPORTED. */
export async function readFsFacts(path: string, offset = 0n): Promise<FsFacts> {
  let bytes: Buffer;
  try {
    const file = await open(path, "r");
    try {
      bytes = await readExactly(file, offset, 4096);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new GantryError("AGENT_PATH", `The superblock of ${path} cannot be read.`, { cause });
  }
  const facts = parseFsFacts(bytes);
  if (facts) return facts;
  throw new GantryError(
    "AGENT_FS_UNSUPPORTED",
    `${path} holds neither ext4 nor xfs${offset === 0n ? "; if it has partitions, give one of them" : ""}.`,
  );
}

/** Finds out from the first 4096 bytes of a file system; undefined when it is neither ext4 nor xfs. */
export function parseFsFacts(bytes: Buffer): FsFacts | undefined {
  if (bytes.length < 4096) return undefined;
  if (bytes.readUInt32BE(0) === XFS_MAGIC) return xfsFacts(bytes);
  if (bytes.readUInt16LE(1024 + 0x38) === EXT4_MAGIC) return ext4Facts(bytes.subarray(1024, 2048));
  return undefined;
}

/** The identity that travels with the lists of this volume. */
export function identityOf(facts: FsFacts, sequence: bigint): VolumeIdentity {
  // A new mkfs makes a new history, even if it was told to give the old UUID. xfs does not keep its mkfs time.
  const generation = facts.type === "ext4" ? `${facts.uuid}:${facts.mkfsTime}` : `${facts.uuid}:xfs`;
  return { id: facts.uuid, generation, sequence };
}

function ext4Facts(sb: Buffer): Ext4Facts {
  const incompat = sb.readUInt32LE(0x60);
  const wide = (lo: number, hi: number): bigint =>
    BigInt(sb.readUInt32LE(lo)) | (incompat & INCOMPAT_64BIT ? BigInt(sb.readUInt32LE(hi)) << 32n : 0n);
  const state = sb.readUInt16LE(0x3a);
  return {
    type: "ext4",
    uuid: uuidText(sb.subarray(0x68, 0x78)),
    label: cString(sb.subarray(0x78, 0x88)),
    mkfsTime: BigInt(sb.readUInt32LE(0x108)) | (BigInt(sb.readUInt8(0x276)) << 32n),
    blockBytes: 1024 << Math.min(sb.readUInt32LE(0x18), 6),
    blocks: wide(0x04, 0x150),
    freeBlocks: wide(0x0c, 0x158),
    freeInodes: sb.readUInt32LE(0x10),
    firstDataBlock: sb.readUInt32LE(0x14),
    inodeBytes: sb.readUInt32LE(0x4c) === 0 ? 128 : sb.readUInt16LE(0x58),
    clean: (state & 1) !== 0 && (state & 2) === 0,
    needsRecovery: (incompat & INCOMPAT_RECOVER) !== 0,
    bigalloc: (sb.readUInt32LE(0x64) & RO_COMPAT_BIGALLOC) !== 0,
    extents: (incompat & INCOMPAT_EXTENTS) !== 0,
    inlineData: (incompat & INCOMPAT_INLINE_DATA) !== 0,
    journalDevice: (incompat & INCOMPAT_JOURNAL_DEV) !== 0,
  };
}

function xfsFacts(sb: Buffer): XfsFacts {
  return {
    type: "xfs",
    blockBytes: sb.readUInt32BE(4),
    blocks: sb.readBigUInt64BE(8),
    uuid: uuidText(sb.subarray(32, 48)),
    label: cString(sb.subarray(108, 120)),
  };
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end < 0 ? bytes.length : end).toString("utf8");
}
