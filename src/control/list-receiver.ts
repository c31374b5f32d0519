// Takes block lists in: chunks in any order, each acknowledged when it is on stable storage, the list "whole"
// only after all of it was read back and found right. State is rebuilt from the store after a restart.

import { setImmediate as breathe } from "node:timers/promises";
import type { ListChunk, ListHeader } from "../list.js";
import type { Clock } from "../sys/clock.js";
import { GantryError, isGantryError } from "../sys/errors.js";
import type { ChunkStore } from "./chunk-store.js";
import { ListCheck } from "./list-check.js";
import { decodeChunk } from "./list-chunk.js";
import {
  type ListEntry,
  newEntry,
  OPENING,
  readRecord,
  record,
  sameList,
  statusOf,
  unknownList,
  type WholeList,
} from "./list-entry.js";
import { LIST_LIMITS, type ListLimits, limit } from "./list-limits.js";
import type { ListStatus } from "./messages/commands.js";

export interface ListReceiverOptions {
  readonly store: ChunkStore;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly limits?: Partial<ListLimits>;
}

export type { WholeList } from "./list-entry.js";
export { LIST_LIMITS, type ListLimits } from "./list-limits.js";

export class ListReceiver {
  readonly #store: ChunkStore;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #limits: ListLimits;
  readonly #lists = new Map<string, ListEntry>();
  #bytes = 0;

  constructor(options: ListReceiverOptions) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#limits = { ...LIST_LIMITS, ...options.limits };
  }

  get limits(): ListLimits {
    return this.#limits;
  }

  /** Rebuilds the state from the store; call it once, before anything else. Returns ids of what was dropped as garbage. */
  async load(): Promise<readonly string[]> {
    const dropped: string[] = [];
    for (const listId of await this.#store.lists()) {
      const meta = await this.#store.getMeta(listId);
      const entry = meta === undefined ? undefined : readRecord(meta, this.#clock.monotonicMs());
      if (entry === undefined || entry.header.listId !== listId) {
        await this.#store.drop(listId);
        dropped.push(listId);
        continue;
      }
      for (const { index, bytes } of await this.#store.chunks(listId)) this.#count(entry, index, bytes);
      if (entry.stored !== entry.header.chunks) entry.state = "open";
      this.#lists.set(listId, entry);
    }
    return dropped;
  }

  /**
   * Opens a list, or finds it open already: the same header again is how a sender resumes. Throws LIST_EXISTS for
   * another header under the same id, LIST_LIMIT.
   */
  async open(header: ListHeader, device: string): Promise<ListStatus> {
    const known = this.#lists.get(header.listId);
    if (known !== undefined && known.state !== "dropping") {
      if (!sameList(known, header, device)) {
        throw new GantryError("LIST_EXISTS", `List ${header.listId} exists with another header.`);
      }
      await known.pending.get(OPENING);
      return this.status(header.listId);
    }
    if (known !== undefined) await this.#drop(known);
    // Another open() may have been faster while this one waited.
    if (this.#lists.has(header.listId)) return this.open(header, device);
    if (this.#lists.size >= this.#limits.lists) {
      throw limit(`There are ${this.#lists.size} lists already; at most ${this.#limits.lists} are kept`);
    }
    const entry = newEntry({ header, device }, this.#clock.monotonicMs());
    this.#lists.set(header.listId, entry);
    await this.#pend(entry, OPENING, this.#store.putMeta(header.listId, record(entry, false))).catch(
      (error: unknown) => {
        this.#lists.delete(header.listId);
        throw error;
      },
    );
    return statusOf(entry);
  }

  /**
   * Stores a chunk; resolves when it is on stable storage, for the last one when the whole list was checked and
   * its record is durable. The same chunk again changes nothing. Throws LIST_UNKNOWN, LIST_INVALID,
   * LIST_CHUNK_CONFLICT, LIST_LIMIT, MESSAGE_MALFORMED; with the last chunk also LIST_DIGEST_WRONG (the list is dropped).
   */
  async chunk(listId: string, index: number, data: Uint8Array): Promise<ListStatus> {
    const entry = this.#entry(listId);
    await entry.pending.get(OPENING);
    if (index >= entry.header.chunks) {
      throw new GantryError(
        "LIST_INVALID",
        `List ${listId} has ${entry.header.chunks} chunks; there is no chunk ${index}.`,
      );
    }
    // Somebody else stores the same chunk: what became of it decides.
    while (entry.pending.has(index)) await entry.pending.get(index)?.catch(() => {});
    if (this.#entry(listId) !== entry) throw unknownList(listId);
    if (entry.sizes[index] === 0) await this.#store1(entry, index, data);
    else await this.#compare(entry, index, data);
    // Dropped meanwhile, and perhaps opened again: this chunk is not of the list that is there now.
    if (this.#entry(listId) !== entry) throw unknownList(listId);
    return this.status(listId);
  }

  /** State and missing chunks. Checks a list that has all its chunks but was not checked yet. Throws as chunk() does. */
  async status(listId: string): Promise<ListStatus> {
    const entry = this.#entry(listId);
    if (entry.state === "checking" || (entry.state === "open" && entry.stored === entry.header.chunks)) {
      entry.checking ??= this.#check(entry);
      await entry.checking;
    }
    return statusOf(entry);
  }

  /** Drops a list. Throws LIST_UNKNOWN, and LIST_IN_USE while a job holds it. */
  async drop(listId: string): Promise<void> {
    const entry = this.#entry(listId);
    if (entry.holds > 0) throw new GantryError("LIST_IN_USE", `List ${listId} is in use by ${entry.holds} job(s).`);
    await this.#drop(entry);
  }

  /** Header and device of a list that is whole. Throws LIST_UNKNOWN or LIST_INCOMPLETE. */
  whole(listId: string): WholeList {
    const entry = this.#entry(listId);
    if (entry.state !== "whole") {
      const { stored, header } = entry;
      throw new GantryError(
        "LIST_INCOMPLETE",
        `List ${listId} is not whole: ${stored} of ${header.chunks} chunks are stored.`,
      );
    }
    return { header: entry.header, device: entry.device };
  }

  /** A job needs the list until it calls what this returns (idempotent). Throws as whole() does. */
  hold(listId: string): () => void {
    this.whole(listId);
    const entry = this.#entry(listId);
    let held = true;
    entry.holds += 1;
    return () => {
      if (!held) return;
      held = false;
      entry.holds -= 1;
      entry.touchedMs = this.#clock.monotonicMs();
    };
  }

  /** The chunks of a whole list in order, one in memory at a time. Hold the list while reading it. */
  async *readChunks(listId: string): AsyncGenerator<ListChunk, void, void> {
    const { header } = this.whole(listId);
    for (let index = 0; index < header.chunks; index++) {
      yield decodeChunk(await this.#get(listId, index), index);
    }
  }

  /** All lists with their state, for status answers. */
  all(): readonly ListStatus[] {
    return [...this.#lists.values()].filter((entry) => entry.state !== "dropping").map(statusOf);
  }

  /** Drops lists that were left: incomplete ones and whole ones that nobody holds. Returns their ids. */
  async expire(): Promise<readonly string[]> {
    const now = this.#clock.monotonicMs();
    const old = [...this.#lists.values()].filter((entry) => {
      if (entry.holds > 0 || entry.pending.size > 0) return false;
      // A drop that the store did not take.
      if (entry.state === "dropping") return entry.dropping === undefined;
      if (entry.state === "open") return now - entry.touchedMs >= this.#limits.incompleteMs;
      return entry.state === "whole" && now - entry.touchedMs >= this.#limits.unusedMs;
    });
    await Promise.all(old.map((entry) => this.#drop(entry)));
    return old.map((entry) => entry.header.listId);
  }

  async #store1(entry: ListEntry, index: number, data: Uint8Array): Promise<void> {
    decodeChunk(data, index);
    const { listId } = entry.header;
    if (entry.bytes + data.length > this.#limits.listBytes) {
      throw limit(`List ${listId} would have more than ${this.#limits.listBytes} bytes`);
    }
    if (this.#bytes + data.length > this.#limits.allBytes) {
      throw limit(`All lists together would have more than ${this.#limits.allBytes} bytes`);
    }
    // Counted before it is stored, so that many chunks at once cannot pass the limit together.
    entry.bytes += data.length;
    this.#bytes += data.length;
    try {
      await this.#pend(entry, index, this.#store.put(listId, index, data));
    } catch (error) {
      entry.bytes -= data.length;
      this.#bytes -= data.length;
      throw error;
    }
    entry.sizes[index] = data.length;
    entry.stored += 1;
    entry.touchedMs = this.#clock.monotonicMs();
  }

  async #compare(entry: ListEntry, index: number, data: Uint8Array): Promise<void> {
    const { listId } = entry.header;
    if (entry.sizes[index] === data.length && Buffer.compare(await this.#get(listId, index), data) === 0) return;
    throw new GantryError(
      "LIST_CHUNK_CONFLICT",
      `Chunk ${index} of list ${listId} is stored already with other bytes.`,
    );
  }

  /** Reads the list back from the store, so that what is promised is what will be read later. */
  async #check(entry: ListEntry): Promise<void> {
    const { listId, chunks } = entry.header;
    entry.state = "checking";
    try {
      const check = new ListCheck(entry.header);
      for (let index = 0; index < chunks && entry.state === "checking"; index++) {
        check.add(await this.#get(listId, index), index);
        // A store may answer at once: let other work in between chunks.
        await breathe();
      }
      // Somebody dropped it meanwhile, and waits for this to end.
      if (entry.state !== "checking") throw unknownList(listId);
      check.finish();
      await this.#store.putMeta(listId, record(entry, true));
      if (entry.state !== "checking") throw unknownList(listId);
      entry.state = "whole";
      entry.touchedMs = this.#clock.monotonicMs();
      delete entry.checking;
    } catch (error) {
      delete entry.checking;
      if (entry.state !== "checking") throw error;
      entry.state = "open";
      // The list itself is wrong: it cannot become right. A store that failed may work the next time.
      if (isGantryError(error) && error.kind === "input") await this.#drop(entry);
      throw error;
    }
  }

  async #get(listId: string, index: number): Promise<Uint8Array> {
    const bytes = await this.#store.get(listId, index);
    if (bytes === undefined) throw unknownList(listId);
    return bytes;
  }

  #entry(listId: string): ListEntry {
    const entry = this.#lists.get(listId);
    if (entry === undefined || entry.state === "dropping") throw unknownList(listId);
    return entry;
  }

  #drop(entry: ListEntry): Promise<void> {
    entry.state = "dropping";
    entry.dropping ??= this.#dropNow(entry).finally(() => {
      // Should the store have failed, the next open() or drop tries again.
      delete entry.dropping;
    });
    return entry.dropping;
  }

  async #dropNow(entry: ListEntry): Promise<void> {
    // What ended after the drop would leave a chunk or a record behind.
    await Promise.allSettled([...entry.pending.values(), entry.checking]);
    await this.#store.drop(entry.header.listId);
    this.#bytes -= entry.bytes;
    this.#lists.delete(entry.header.listId);
  }

  async #pend(entry: ListEntry, index: number, put: Promise<void>): Promise<void> {
    entry.pending.set(index, put);
    try {
      await put;
    } finally {
      entry.pending.delete(index);
    }
  }

  #count(entry: ListEntry, index: number, bytes: number): void {
    if (index >= entry.header.chunks || bytes === 0) return;
    entry.sizes[index] = bytes;
    entry.stored += 1;
    entry.bytes += bytes;
    this.#bytes += bytes;
  }
}
