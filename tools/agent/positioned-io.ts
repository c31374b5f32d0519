// Whole reads and writes at 64-bit positions. FileHandle.read of Node 20 silently takes a bigint position
// for "here", so positions go down as numbers, below 2^53.
import type { FileHandle } from "node:fs/promises";
import { GantryError } from "../../src/sys/errors.js";

function numberOf(position: bigint): number {
  const number = Number(position);
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new GantryError("AGENT_PATH", `Byte ${position} is out of reach (2^53 at most).`);
  }
  return number;
}

/** Reads exactly `length` bytes. Throws AGENT_PATH when the file ends before. */
export async function readExactly(file: FileHandle, position: bigint, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const start = numberOf(position);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, length - at, start + at);
    if (bytesRead === 0) throw new GantryError("AGENT_PATH", `The file or device ends at byte ${start + at}.`);
    at += bytesRead;
  }
  return bytes;
}

/** Writes all of the bytes. */
export async function writeAll(file: FileHandle, position: bigint, bytes: Uint8Array): Promise<void> {
  const start = numberOf(position);
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, start + at);
    at += bytesWritten;
  }
}
