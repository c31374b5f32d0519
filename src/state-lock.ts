// One daemon for each state directory: a second one would run the same jobs onto the same tapes. The lock is the
// kernel's, so that a daemon that was killed leaves nothing in the way.
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Native } from "./native/types.js";
import { GantryError, messageOf } from "./sys/errors.js";

/**
 * Takes the directory for this process, before anything in it is opened; returns how to let go of it. Throws
 * STATE_IN_USE, and STORE_UNUSABLE when the directory cannot be used at all.
 */
export function lockState(native: Native, directory: string): () => void {
  const path = join(directory, "gantryd.lock");
  const fd = openLock(directory, path);
  try {
    if (native.lockFile(fd)) {
      // Who has it, for the sentence that a second daemon says; without room in the directory that stays out.
      tell(fd);
      return () => closeSync(fd);
    }
    const owner = readFileSync(path, "utf8").trim();
    throw new GantryError(
      "STATE_IN_USE",
      `Another gantryd${owner === "" ? "" : ` (process ${owner})`} uses the state directory ${directory}; stop it first, or give this one a directory of its own.`,
      { details: { directory } },
    );
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openLock(directory: string, path: string): number {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // Neither emptied nor replaced: whoever has it locked may have it open.
    return openSync(path, "a+", 0o600);
  } catch (error) {
    throw new GantryError(
      "STORE_UNUSABLE",
      `The state directory ${directory} cannot be used: ${messageOf(error)}. Give the daemon a writable directory with room.`,
      { cause: error },
    );
  }
}

function tell(fd: number): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch {
    // The lock holds without the number.
  }
}
