// The one store of the bridge: small records on stable storage, written atomically, in LMDB.
// A promise of put, delete or batch resolves when the change is on stable storage (fdatasync done),
// never before: what is acknowledged is durable. Reads are synchronous and see every resolved write.
// Every promise settles, also when the file system fails or does not answer.
import { GantryError, isGantryError, messageOf } from "./errors.js";
import { type Environment, StoreFile } from "./store-file.js";

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

/** A disk that takes longer is told as one that does not answer; senders of commands wait for 30 s. */
const ANSWER_MS = 20_000;

/**
 * Opens (and makes) the store in a directory. Throws STORE_UNUSABLE when the directory cannot be used: full or
 * read-only, and STORE_CORRUPT when what is there is no store.
 */
export function openStore(directory: string, { answerMs = ANSWER_MS } = {}): Store {
  const file = new StoreFile(directory);
  try {
    return new LmdbStore(file, file.open(), answerMs);
  } catch (error) {
    if (isGantryError(error)) throw error;
    throw new GantryError(
      "STORE_UNUSABLE",
      `The state directory ${directory} cannot be used: ${messageOf(error)}. Give the daemon a writable directory with room.`,
      { cause: error },
    );
  }
}

interface Write {
  readonly changes: readonly StoreChange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What became of a write that failed. */
const NOTHING_KEPT = "Nothing of it was kept; free space or mend the file system.";
const NOT_CERTAIN = "Whether it was kept is not certain; mend the file system.";

/**
 * One commit at a time, with all that was asked for until it begins. LMDB gives its environment up when the last write
 * of a commit fails, the one of the meta page: from then on it refuses everything, and the bindings never answer a
 * transaction that is refused at its begin and keep their lock for ever. So nothing may be begun before the commit
 * before has told how it ended; an environment that was given up is closed, and opened again when it is next needed.
 */
class LmdbStore implements Store {
  readonly #file: StoreFile;
  readonly #answerMs: number;
  /** Absent while there is none that can be used. */
  #environment: Environment | undefined;
  /** LMDB gave the environment up, or may have. */
  #lost = false;
  #closed = false;
  /** Iterators that are under way; closing the environment would pull their cursors from under them. */
  #iterators = 0;
  #waiting: Write[] = [];
  #committing: Promise<void> | undefined;
  /** A commit that has had no answer for too long; nothing is begun until it has ended. */
  #late: Promise<void> | undefined;

  constructor(file: StoreFile, environment: Environment, answerMs: number) {
    this.#file = file;
    this.#environment = environment;
    this.#answerMs = answerMs;
  }

  get(key: StoreKey): Uint8Array | undefined {
    try {
      return this.#usable().get([...key]);
    } catch (error) {
      throw this.#unreadable(error);
    }
  }

  put(key: StoreKey, value: Uint8Array): Promise<void> {
    return this.batch([{ put: key, value }]);
  }

  delete(key: StoreKey): Promise<void> {
    return this.batch([{ delete: key }]);
  }

  batch(changes: readonly StoreChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  *under(prefix: StoreKey): Iterable<{ key: StoreKey; value: Uint8Array }> {
    this.#iterators++;
    try {
      const range = this.#usable().getRange({ start: [...prefix], end: [...prefix, AFTER_ALL] });
      for (const { key, value } of range) {
        // LMDB gives a key of one part back as that part.
        yield { key: Array.isArray(key) ? key : [key], value };
      }
    } catch (error) {
      throw this.#unreadable(error);
    } finally {
      this.#iterators--;
    }
  }

  async close(): Promise<void> {
    while (this.#committing !== undefined) await this.#committing;
    this.#closed = true;
    // To close it would be to wait for the disk that does not answer.
    if (this.#late === undefined) await this.#drop();
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#commit();
    this.#committing = undefined;
  }

  /** Commits what waits, or refuses it. Ends in a bounded time, whatever the disk does. */
  async #commit(): Promise<void> {
    const begun: Write[] = [];
    let ended: Promise<void>;
    try {
      if (this.#late !== undefined) throw noAnswer("an earlier write has had no answer", this.#answerMs);
      if (this.#lost) {
        if (this.#iterators > 0) throw new Error("a commit failed, and what is being read holds up opening it again");
        await this.#drop();
      }
      ended = this.#transact(this.#usable(), begun);
    } catch (error) {
      this.#refuse(this.#take(), error, NOTHING_KEPT);
      return;
    }
    if (await within(this.#answerMs, ended)) return;
    this.#late = ended.then(() => {
      this.#late = undefined;
    });
    const error = noAnswer("no answer", this.#answerMs);
    this.#refuse(begun, error, NOT_CERTAIN);
    this.#refuse(this.#take(), error, NOTHING_KEPT);
  }

  /** Resolves when it is known what became of what waits, and its writers have been told; these are in `begun`. */
  async #transact(environment: Environment, begun: Write[]): Promise<void> {
    const refused = new Map<Write, unknown>();
    try {
      await environment.transaction(() => {
        begun.push(...this.#take());
        for (const write of begun) {
          try {
            for (const change of write.changes) this.#apply(environment, change);
          } catch (error) {
            refused.set(write, error);
          }
        }
      });
    } catch (error) {
      const cause = await commitError(error);
      // Iterators hold snapshots, from which there may be reading even so: nothing can be learnt while there are any.
      const lost = this.#iterators > 0 || isLost(environment);
      this.#lost = lost;
      if (lost && this.#iterators === 0) await this.#drop();
      // What was refused before anything was applied still waits, and is not tried for ever.
      if (begun.length === 0) begun.push(...this.#take());
      // A meta page whose write failed may be on the disk all the same.
      this.#refuse(begun, cause, lost ? NOT_CERTAIN : NOTHING_KEPT);
      return;
    }
    for (const write of begun) {
      if (refused.has(write)) this.#refuse([write], refused.get(write), NOTHING_KEPT);
      else write.resolve();
    }
  }

  #apply(environment: Environment, change: StoreChange): void {
    if ("put" in change) told(environment.put([...change.put], asBuffer(change.value)));
    else if ("delete" in change) told(environment.remove([...change.delete]));
    else for (const { key } of this.under(change.deleteUnder)) told(environment.remove([...key]));
  }

  #take(): Write[] {
    return this.#waiting.splice(0);
  }

  #refuse(writes: readonly Write[], cause: unknown, kept: string): void {
    for (const { reject } of writes) {
      reject(this.#unusable(`did not take a write: ${messageOf(cause)}. ${kept}`, cause));
    }
  }

  #unreadable(cause: unknown): GantryError {
    return isGantryError(cause)
      ? cause
      : this.#unusable(`cannot be read: ${messageOf(cause)}. Mend the file system.`, cause);
  }

  #unusable(what: string, cause: unknown): GantryError {
    return new GantryError("STORE_UNUSABLE", `The state directory ${this.#file.directory} ${what}`, { cause });
  }

  #usable(): Environment {
    if (this.#closed) throw new Error("the store is closed");
    if (this.#environment === undefined) {
      if (this.#lost) throw new Error("it is just being closed");
      this.#environment = this.#file.open();
    }
    return this.#environment;
  }

  async #drop(): Promise<void> {
    const environment = this.#environment;
    this.#environment = undefined;
    await environment?.close();
    this.#lost = false;
  }
}

/** Inside a transaction these calls only queue; that they failed is told by the transaction's own promise. */
function told(queued: Promise<boolean>): void {
  queued.catch(() => undefined);
}

/** Whether LMDB gave the environment up: it then refuses to read as well, unless a snapshot is taken already. */
function isLost(environment: Environment): boolean {
  try {
    environment.resetReadTxn();
    environment.get([0]);
    return false;
  } catch {
    return true;
  }
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

/**
 * Whether the work ends within the time. In two halves: a process that was stopped meanwhile finds its timer run out
 * before it has looked for what has come in.
 */
async function within(ms: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => {
      timer = setTimeout(() => resolve(false), ms / 2);
    }, ms / 2);
  });
  try {
    return await Promise.race([work.then(() => true), tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

const noAnswer = (what: string, ms: number): Error => new Error(`${what} for ${ms / 1000} s`);

const asBuffer = (value: Uint8Array): Buffer => Buffer.from(value.buffer, value.byteOffset, value.byteLength);
