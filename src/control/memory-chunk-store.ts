// The twin of the daemon's chunk store for tests: everything in memory, nothing durable.
import type { ChunkStore, StoredChunk } from "./chunk-store.js";

interface Slot {
  meta?: Uint8Array;
  readonly chunks: Map<number, Uint8Array>;
}

export class MemoryChunkStore implements ChunkStore {
  readonly #lists = new Map<string, Slot>();

  async put(listId: string, index: number, bytes: Uint8Array): Promise<void> {
    this.#slot(listId).chunks.set(index, bytes.slice());
  }

  async get(listId: string, index: number): Promise<Uint8Array | undefined> {
    return this.#lists.get(listId)?.chunks.get(index)?.slice();
  }

  async chunks(listId: string): Promise<readonly StoredChunk[]> {
    return [...(this.#lists.get(listId)?.chunks ?? [])].map(([index, bytes]) => ({ index, bytes: bytes.length }));
  }

  async putMeta(listId: string, meta: Uint8Array): Promise<void> {
    this.#slot(listId).meta = meta.slice();
  }

  async getMeta(listId: string): Promise<Uint8Array | undefined> {
    return this.#lists.get(listId)?.meta?.slice();
  }

  async lists(): Promise<readonly string[]> {
    return [...this.#lists.keys()];
  }

  async drop(listId: string): Promise<void> {
    this.#lists.delete(listId);
  }

  #slot(listId: string): Slot {
    const slot = this.#lists.get(listId) ?? { chunks: new Map() };
    this.#lists.set(listId, slot);
    return slot;
  }
}
