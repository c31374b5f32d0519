// The program gantry-fsmap: where it is, and the records that it speaks (csrc/agent/fsmap.h).
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { endianness } from "node:os";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { GantryError } from "../../src/sys/errors.js";

export type Helper = ChildProcessByStdio<Writable, Readable, Readable>;

/** Path of gantry-fsmap: `given`, or GANTRY_FSMAP, or where the build puts it. Throws AGENT_HELPER. */
export async function helperPath(given?: string): Promise<string> {
  const { GANTRY_FSMAP } = process.env;
  const built = fileURLToPath(new URL("../../../build/bin/gantry-fsmap", import.meta.url));
  const path = given ?? GANTRY_FSMAP ?? built;
  try {
    await access(path, constants.X_OK);
  } catch (cause) {
    throw new GantryError("AGENT_HELPER", `The program ${path} is missing; build Gantry, or set GANTRY_FSMAP.`, {
      cause,
    });
  }
  return path;
}

export interface HelperExtent {
  readonly logical: bigint;
  readonly physical: bigint;
  readonly length: bigint;
  readonly flags: number;
}

export interface HelperNode {
  readonly index: number;
  /** "major:minor" */
  readonly device: string;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  /** With the file type. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** statfs f_type; 0 for what is no regular file. */
  readonly fsType: number;
  readonly fsBlock: number;
  readonly attrFlags: number;
  readonly xflags: number;
  /** Raw text of a symbolic link. */
  readonly link: Buffer;
}

/** What became of one path. */
export type HelperEvent =
  | { readonly kind: "node"; readonly node: HelperNode }
  | { readonly kind: "extents"; readonly extents: readonly HelperExtent[] }
  | { readonly kind: "end"; readonly index: number; readonly changed: boolean }
  | { readonly kind: "error"; readonly index: number; readonly errno: number; readonly message: string };

const NODE_BYTES = 88;
const EXTENT_BYTES = 32;

/** Least bytes of a record, by its kind. */
const LEAST: Readonly<Record<number, number>> = { 1: NODE_BYTES, 2: 0, 3: 16, 4: 16, 5: 0 };

/** One record's payload. undefined: DONE. Throws AGENT_HELPER. */
export function parseRecord(kind: number, data: Buffer): HelperEvent | undefined {
  if (data.length < (LEAST[kind] ?? 0) || (kind === 2 && data.length % EXTENT_BYTES !== 0)) {
    throw new GantryError("AGENT_HELPER", `gantry-fsmap answers with a record of kind ${kind} that is cut off.`);
  }
  switch (kind) {
    case 1:
      return { kind: "node", node: parseNode(data) };
    case 2:
      return { kind: "extents", extents: parseExtents(data) };
    case 3:
      return { kind: "end", index: Number(data.readBigUInt64LE(0)), changed: data.readBigUInt64LE(8) !== 0n };
    case 4: {
      const message = data.toString("utf8", 16, 16 + data.readUInt32LE(12));
      return { kind: "error", index: Number(data.readBigUInt64LE(0)), errno: data.readInt32LE(8), message };
    }
    case 5:
      return undefined;
    default:
      throw new GantryError(
        "AGENT_HELPER",
        `gantry-fsmap answers with a record of kind ${kind}; it is of another version.`,
      );
  }
}

function parseNode(data: Buffer): HelperNode {
  return {
    index: Number(data.readBigUInt64LE(0)),
    device: `${data.readUInt32LE(8)}:${data.readUInt32LE(12)}`,
    ino: data.readBigUInt64LE(16),
    size: data.readBigUInt64LE(24),
    mtimeNs: data.readBigInt64LE(32),
    ctimeNs: data.readBigInt64LE(40),
    mode: data.readUInt32LE(48),
    uid: data.readUInt32LE(52),
    gid: data.readUInt32LE(56),
    links: data.readUInt32LE(60),
    fsType: data.readUInt32LE(64),
    fsBlock: data.readUInt32LE(68),
    attrFlags: data.readUInt32LE(72),
    xflags: data.readUInt32LE(76),
    link: Buffer.from(data.subarray(NODE_BYTES, NODE_BYTES + data.readUInt32LE(80))),
  };
}

function parseExtents(data: Buffer): HelperExtent[] {
  const extents: HelperExtent[] = [];
  for (let at = 0; at + EXTENT_BYTES <= data.length; at += EXTENT_BYTES) {
    extents.push({
      logical: data.readBigUInt64LE(at),
      physical: data.readBigUInt64LE(at + 8),
      length: data.readBigUInt64LE(at + 16),
      flags: data.readUInt32LE(at + 24),
    });
  }
  return extents;
}

/**
 * Runs `gantry-fsmap command` on the strings (each goes down with a NUL) and yields its events. Throws
 * AGENT_HELPER when it fails, or ends before it has said that it is done.
 */
export async function* runHelper(
  program: string,
  args: readonly string[],
  strings: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): AsyncGenerator<HelperEvent, void, undefined> {
  if (endianness() !== "LE") throw new GantryError("AGENT_HELPER", "The agent runs on little-endian machines only.");
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-4096)));
  const closed = once(child, "close") as Promise<[number | null]>;
  closed.catch(() => undefined);
  let feedError: unknown;
  const fed = pipeline(withNul(strings), child.stdin).catch((error: unknown) => {
    feedError = error;
  });
  let done = false;
  try {
    for await (const { kind, data } of records(child.stdout)) {
      const event = parseRecord(kind, data);
      if (event === undefined) done = true;
      else yield event;
    }
    await fed;
    const [code] = await closed;
    if (feedError instanceof GantryError) throw feedError;
    if (!done || code !== 0) {
      throw new GantryError("AGENT_HELPER", `gantry-fsmap ${args[0]} failed (${code ?? "killed"}): ${stderr.trim()}`);
    }
    // The helper cannot tell a list of paths that was cut short from a whole one.
    if (feedError !== undefined) throw feedError;
  } finally {
    child.kill();
  }
}

const BATCH = 256;

async function* withNul(strings: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const nul = Buffer.alloc(1);
  let parts: Uint8Array[] = [];
  for await (const string of strings) {
    parts.push(string, nul);
    if (parts.length < BATCH) continue;
    yield Buffer.concat(parts);
    parts = [];
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

const HEADER_BYTES = 8;
const RECORD_MAX = 1 << 20;

async function* records(output: AsyncIterable<Buffer>): AsyncGenerator<{ kind: number; data: Buffer }> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const more of output) {
    rest = rest.length === 0 ? more : Buffer.concat([rest, more]);
    let at = 0;
    while (rest.length - at >= HEADER_BYTES) {
      const length = rest.readUInt32LE(at + 4);
      if (length > RECORD_MAX) throw new GantryError("AGENT_HELPER", "gantry-fsmap answers in an unknown form.");
      if (rest.length - at - HEADER_BYTES < length) break;
      yield { kind: rest.readUInt32LE(at), data: rest.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length) };
      at += HEADER_BYTES + length;
    }
    rest = rest.subarray(at);
  }
}
