// Who has the store open for reading, as its lock file says: slots of processes that were killed must not pile up, for
// each holds old pages of the store.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** lmdb on Linux with its robust mutexes: mti_readers, an MDB_reader of one cache line each; mr_pid is its second word. */
const READERS_AT = 208;
const READER_BYTES = 64;
const PID_AT = 8;

/** Process ids in the reader table of the store in a state directory. */
export function readersOf(stateDirectory: string): number[] {
  const lock = readFileSync(join(stateDirectory, "gantry.mdb-lock"));
  const pids: number[] = [];
  for (let at = READERS_AT; at + READER_BYTES <= lock.length; at += READER_BYTES) {
    const pid = lock.readInt32LE(at + PID_AT);
    if (pid > 0) pids.push(pid);
  }
  return pids;
}
