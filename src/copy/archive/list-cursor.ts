// Walking over a block list that is too large to exist as a whole: chunks are read when they are needed, and a
// cursor over the extents is cheap to copy, so that a member's extents can be gone through more than once.
import type { ListChunk } from "../../list.js";
import { GantryError } from "../../sys/errors.js";

/** Chunks of one list, by index 0 … chunks - 1. Reading a chunk again gives the same content. */
export interface ChunkSource {
  readonly chunks: number;
  read(index: number): Promise<ListChunk> | ListChunk;
}

/** A list that is in memory. */
export function chunkSource(chunks: readonly ListChunk[]): ChunkSource {
  return {
    chunks: chunks.length,
    read(index) {
      const chunk = chunks[index];
      if (chunk === undefined) throw new RangeError(`there is no chunk ${index}`);
      return chunk;
    },
  };
}

/** Keeps the last few chunks, because the cursors of one plan mostly stand in the same one. */
export function cachedChunks(source: ChunkSource, keep = 4): ChunkSource {
  const kept = new Map<number, ListChunk>();
  return {
    chunks: source.chunks,
    async read(index) {
      const chunk = kept.get(index) ?? (await source.read(index));
      kept.delete(index);
      kept.set(index, chunk);
      for (const oldest of kept.keys()) {
        if (kept.size <= keep) break;
        kept.delete(oldest);
      }
      return chunk;
    },
  };
}

/** A place in the list's extents. Usage: `while (n--) { if (!cursor.ready) await cursor.load(); …; cursor.step(); }` */
export class ExtentCursor {
  readonly #source: ChunkSource;
  #chunk: ListChunk | undefined;
  #chunkIndex: number;
  #at: number;

  constructor(source: ChunkSource, chunkIndex = 0, at = 0) {
    this.#source = source;
    this.#chunkIndex = chunkIndex;
    this.#at = at;
  }

  clone(): ExtentCursor {
    const copy = new ExtentCursor(this.#source, this.#chunkIndex, this.#at);
    copy.#chunk = this.#chunk;
    return copy;
  }

  /** True when the current extent may be read. */
  get ready(): boolean {
    return this.#chunk !== undefined && this.#at < this.#chunk.extents.lba.length;
  }

  /** Goes to the next chunk that has an extent. @throws GantryError ARCHIVE_LIST_INVALID at the list's end. */
  async load(): Promise<void> {
    while (!this.ready) {
      if (this.#chunk !== undefined) {
        this.#chunkIndex++;
        this.#at = 0;
      }
      if (this.#chunkIndex >= this.#source.chunks) {
        throw new GantryError("ARCHIVE_LIST_INVALID", "The list has fewer extents than its members announce.");
      }
      this.#chunk = await this.#source.read(this.#chunkIndex);
    }
  }

  step(): void {
    this.#at++;
  }

  get fileOffset(): bigint {
    return this.#chunk?.extents.fileOffset[this.#at] ?? 0n;
  }

  get lba(): bigint {
    return this.#chunk?.extents.lba[this.#at] ?? 0n;
  }

  get blocks(): bigint {
    return BigInt(this.#chunk?.extents.blocks[this.#at] ?? 0);
  }
}
