// Block lists in the bridge's store.
import type { Store, StoreKey } from "../sys/store.js";
import type { ChunkStore, StoredChunk } from "./chunk-store.js";

const metaKey = (listId: string): StoreKey => ["list", listId];
const chunkKey = (listId: string, index: number): StoreKey => ["list-chunk", listId, index];

export class DurableChunkStore implements ChunkStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  put(listId: string, index: number, bytes: Uint8Array): Promise<void> {
    return this.#store.put(chunkKey(listId, index), bytes);
  }

  async get(listId: string, index: number): Promise<Uint8Array | undefined> {
    const bytes = this.#store.get(chunkKey(listId, index));
    // The store's bytes may lie in its map; they are only good until the next write.
    return bytes === undefined ? undefined : Uint8Array.from(bytes);
  }

  async chunks(listId: string): Promise<readonly StoredChunk[]> {
    const found: StoredChunk[] = [];
    for (const { key, value } of this.#store.under(["list-chunk", listId])) {
      const index = key[2];
      if (typeof index === "number") found.push({ index, bytes: value.length });
    }
    return found;
  }

  putMeta(listId: string, meta: Uint8Array): Promise<void> {
    return this.#store.put(metaKey(listId), meta);
  }

  async getMeta(listId: string): Promise<Uint8Array | undefined> {
    return this.#store.get(metaKey(listId));
  }

  async lists(): Promise<readonly string[]> {
    const ids = new Set<string>();
    for (const room of ["list", "list-chunk"]) {
      for (const { key } of this.#store.under([room])) if (typeof key[1] === "string") ids.add(key[1]);
    }
    return [...ids];
  }

  drop(listId: string): Promise<void> {
    return this.#store.batch([{ delete: metaKey(listId) }, { deleteUnder: ["list-chunk", listId] }]);
  }
}
