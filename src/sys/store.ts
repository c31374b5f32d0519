// The one store of the bridge: small records on stable storage, written atomically, in LMDB.
// A promise of put, delete or batch resolves when the change is on stable storage (fdatasync done),
// never before: what is acknowledged is durable. Reads are synchronous and see every resolved write.
import {
  closeSync,
  constants,
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
import { GantryError, isGantryError, messageOf } from "./errors.js";

/** A key is a path of names and whole numbers (below 2^53); order is by part, numbers before text. */
export type StoreKey = readonly (string | number)[];

export type StoreChange =
  | { readonly put: StoreKey; readonly value: Uint8Array }
  | { readonly delete: StoreKey }
  /** Deletes every key that starts with these parts. */
  | { readonly deleteUnder: StoreKey };

export interface Store {
  get(key: StoreKey): Uint8Array | undefined;
  put(key: StoreKey, value: Uint8Array): Promise<void>;
  delete(key: StoreKey): Promise<void>;
  /** All of it or nothing of it, also over a power loss. */
  batch(changes: readonly StoreChange[]): Promise<void>;
  /** Entries whose key starts with these parts, in key order. */
  under(prefix: StoreKey): Iterable<{ readonly key: StoreKey; readonly value: Uint8Array }>;
  close(): Promise<void>;
}

/** Highest part there is in LMDB's key order, for the end of a range. */
const AFTER_ALL = "\u{10FFFF}";

/** Where LMDB's first meta page has its magic number, and that (lmdb.h, MDB_meta.mm_magic, little-endian). */
const MAGIC_AT = 24;
const MAGIC = 0xbeefc0de;

/** At least the lock file of LMDB's 126 readers (8272 bytes), in whole pages. */
const LOCK_BYTES = 12_288;

/** More than a new store is written with. */
const FIRST_BYTES = 65_536;

/**
 * Opens (and makes) the store in a directory. Throws STORE_UNUSABLE when the directory cannot be used: full or
 * read-only, and STORE_CORRUPT when what is there is no store.
 */
export function openStore(directory: string): Store {
  let db: RootDatabase<Buffer, (string | number)[]>;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    refuseForeign(`${directory}/gantry.mdb`);
    backLock(`${directory}/gantry.mdb-lock`);
    if (statSync(`${directory}/gantry.mdb`, { throwIfNoEntry: false }) === undefined) probeRoom(`${directory}/room`);
    db = open({
      path: `${directory}/gantry.mdb`,
      encoding: "binary",
      noSubdir: true,
      // A commit's promise then means "flushed", not only "visible".
      overlappingSync: false,
      // With it a commit that fails also rejects a promise that nobody holds, which would end the process.
      eventTurnBatching: false,
    });
  } catch (error) {
    if (isGantryError(error)) throw error;
    throw new GantryError(
      "STORE_UNUSABLE",
      `The state directory ${directory} cannot be used: ${messageOf(error)}. Give the daemon a writable directory with room.`,
      { cause: error },
    );
  }
  return new LmdbStore(db, directory);
}

/** LMDB maps whatever file it is given, and a file that is none of its own ends the process. */
function refuseForeign(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
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
 * LMDB maps its lock file and writes into the map: a page of it for which the file system has no room ends the process
 * with SIGBUS. Written here first, the lack of room is an error like any other. What is in the file stays.
 */
function backLock(path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const bytes = Buffer.alloc(Math.max(LOCK_BYTES, fstatSync(fd).size));
    readSync(fd, bytes, 0, bytes.length, 0);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
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

class LmdbStore implements Store {
  readonly #db: RootDatabase<Buffer, (string | number)[]>;
  readonly #directory: string;

  constructor(db: RootDatabase<Buffer, (string | number)[]>, directory: string) {
    this.#db = db;
    this.#directory = directory;
  }

  get(key: StoreKey): Uint8Array | undefined {
    return this.#db.get([...key]);
  }

  put(key: StoreKey, value: Uint8Array): Promise<void> {
    return this.batch([{ put: key, value }]);
  }

  delete(key: StoreKey): Promise<void> {
    return this.batch([{ delete: key }]);
  }

  async batch(changes: readonly StoreChange[]): Promise<void> {
    try {
      await this.#db.transaction(() => {
        for (const change of changes) this.#apply(change);
      });
    } catch (error) {
      const cause = await commitError(error);
      throw new GantryError(
        "STORE_UNUSABLE",
        `The state directory ${this.#directory} did not take a write: ${messageOf(cause)}. Nothing of it was kept; free space or mend the file system.`,
        { cause },
      );
    }
  }

  #apply(change: StoreChange): void {
    if ("put" in change) told(this.#db.put([...change.put], asBuffer(change.value)));
    else if ("delete" in change) told(this.#db.remove([...change.delete]));
    else for (const { key } of this.under(change.deleteUnder)) told(this.#db.remove([...key]));
  }

  *under(prefix: StoreKey): Iterable<{ key: StoreKey; value: Uint8Array }> {
    for (const { key, value } of this.#db.getRange({ start: [...prefix], end: [...prefix, AFTER_ALL] })) {
      // LMDB gives a key of one part back as that part.
      yield { key: Array.isArray(key) ? key : [key], value };
    }
  }

  async close(): Promise<void> {
    await this.#db.close();
  }
}

/** Inside a transaction these calls only queue; that they failed is told by the transaction's own promise. */
function told(queued: Promise<boolean>): void {
  queued.catch(() => undefined);
}

/** lmdb gives the reason of a failed commit as a promise that rejects with it; left alone it would end the process. */
async function commitError(error: unknown): Promise<unknown> {
  const reason = (error as { commitError?: unknown } | undefined)?.commitError;
  if (!(reason instanceof Promise)) return error;
  const why = await Promise.race([
    reason.catch((inner: unknown) => inner),
    new Promise((resolve) => setImmediate(resolve)),
  ]);
  return why instanceof Error ? why : error;
}

const asBuffer = (value: Uint8Array): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);
