// Where the chunks of block lists lie. The daemon keeps them in its state store; the twin for tests is
// MemoryChunkStore. Nobody else writes what is in it.

export interface StoredChunk {
  readonly index: number;
  readonly bytes: number;
}

export interface ChunkStore {
  /** Resolves when the chunk is on stable storage. The bytes are not changed by the caller afterwards. */
  put(listId: string, index: number, bytes: Uint8Array): Promise<void>;
  /** The bytes as they were put, in memory of their own; undefined when there is no such chunk. */
  get(listId: string, index: number): Promise<Uint8Array | undefined>;
  /** Index and length of every stored chunk of a list, in any order. */
  chunks(listId: string): Promise<readonly StoredChunk[]>;
  /** Opaque record of a list. Resolves when it is on stable storage; replaces the one before atomically. */
  putMeta(listId: string, meta: Uint8Array): Promise<void>;
  getMeta(listId: string): Promise<Uint8Array | undefined>;
  /** Ids of all lists of which anything is stored, chunks or record. */
  lists(): Promise<readonly string[]>;
  /** Removes record and chunks, the record not after the chunks: what is cut off in between is seen as garbage. */
  drop(listId: string): Promise<void>;
}
