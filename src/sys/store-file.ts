// The file of the store: opening it so that what is wrong with it is an error in words, never the end of the process,
// and so that what is read from it is on stable storage.
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open, type RootDatabase } from "lmdb";
import { GantryError } from "./errors.js";

export type Environment = RootDatabase<Buffer, (string | number)[]>;

/** Where LMDB's first meta page has its magic number, and that (lmdb.h, MDB_meta.mm_magic, little-endian). */
const MAGIC_AT = 24;
const MAGIC = 0xbeefc0de;

/** At least the lock file of LMDB's 126 readers (8272 bytes), in whole pages. */
const LOCK_BYTES = 12_288;

/** More than a new store is written with. */
const FIRST_BYTES = 65_536;

/** Both meta pages, with the largest pages that LMDB has. */
const META_BYTES = 131_072;

/** One file of a store in a directory, which can be opened again as long as it is the same file. */
export class StoreFile {
  readonly #path: string;
  #id: string | undefined;

  constructor(readonly directory: string) {
    this.#path = `${directory}/gantry.mdb`;
  }

  /** Opens the file, the first time makes it. Nobody else may have it open: the state's lock sees to that. */
  open(): Environment {
    if (this.#id === undefined) mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    // A file system that was taken away leaves an empty folder, and a store made there would have forgotten everything.
    else if (this.#idNow() !== this.#id) throw new Error("its file is gone; restart the daemon when it is back");
    refuseForeign(this.#path);
    settle(this.#path);
    backLock(`${this.#path}-lock`);
    if (this.#idNow() === undefined) probeRoom(`${this.directory}/room`);
    const environment: Environment = open({
      path: this.#path,
      encoding: "binary",
      noSubdir: true,
      // A commit's promise then means "flushed", not only "visible".
      overlappingSync: false,
      // With it a commit that fails also rejects a promise that nobody holds, which would end the process.
      eventTurnBatching: false,
    });
    this.#id = this.#idNow();
    return environment;
  }

  #idNow(): string | undefined {
    const stat = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    return stat && `${stat.dev} ${stat.ino}`;
  }
}

/** LMDB maps whatever file it is given, and a file that is none of its own ends the process. */
function refuseForeign(path: string): void {
  const fd = openIfThere(path, "r");
  if (fd === undefined) return;
  const head = Buffer.alloc(MAGIC_AT + 4);
  try {
    const bytes = readSync(fd, head, 0, head.length, 0);
    // A daemon that was killed right after it made the file leaves it empty.
    if (bytes === 0 || (bytes === head.length && head.readUInt32LE(MAGIC_AT) === MAGIC)) return;
  } finally {
    closeSync(fd);
  }
  throw new GantryError(
    "STORE_CORRUPT",
    `${path} is damaged or no store of Gantry's; restore the state directory, or start with an empty one.`,
  );
}

/**
 * After a commit that was broken off in its last step (a failed write, a kill) the page cache and the disk can have
 * different meta pages. LMDB goes by the page cache and reuses the pages that are free by it; were it to write into
 * them before the disk agrees, a power failure could find the other meta page, and its tree overwritten. Writing the
 * same bytes again also reaches a page that the kernel took for clean because an earlier try to write it failed.
 */
function settle(path: string): void {
  const fd = openIfThere(path, "r+");
  if (fd === undefined) return;
  try {
    const bytes = Buffer.alloc(META_BYTES);
    writeAll(fd, bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)));
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * LMDB maps its lock file and writes into the map: a page of it for which the file system has no room ends the process
 * with SIGBUS. Written here first, the lack of room is an error like any other. What is in the file stays.
 */
function backLock(path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const bytes = Buffer.alloc(Math.max(LOCK_BYTES, fstatSync(fd).size));
    readSync(fd, bytes, 0, bytes.length, 0);
    writeAll(fd, bytes);
  } finally {
    closeSync(fd);
  }
}

/** The bindings of LMDB do not survive it when the first pages of a new store cannot be written. */
function probeRoom(path: string): void {
  try {
    writeFileSync(path, Buffer.alloc(FIRST_BYTES));
  } finally {
    rmSync(path, { force: true });
  }
}

function openIfThere(path: string, flags: string): number | undefined {
  try {
    return openSync(path, flags);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
}
