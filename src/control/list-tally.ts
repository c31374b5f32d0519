// The sending side of a block list: encodes chunks and counts what the header has to say about them.
import type { ListChunk, ListHeader, VolumeIdentity } from "../list.js";
import { encodeChunk, listDigest } from "./list-chunk.js";

export class ListTally {
  readonly #hash = listDigest();
  #members = 0;
  #extents = 0n;
  #blocks = 0n;
  #chunks = 0;

  /** Encodes the next chunk, in index order. Throws MESSAGE_TOO_LARGE when it has more than CHUNK_BYTES_MAX bytes. */
  add(chunk: ListChunk): Uint8Array {
    const bytes = encodeChunk(chunk);
    this.#hash.update(bytes);
    this.#members += chunk.members.length;
    this.#extents += BigInt(chunk.extents.blocks.length);
    for (const count of chunk.extents.blocks) this.#blocks += BigInt(count);
    this.#chunks += 1;
    return bytes;
  }

  /** The header of everything that was added; call it once, after the last chunk. */
  header(listId: string, volume: VolumeIdentity, blockBytes: number): ListHeader {
    return {
      listId,
      volume,
      blockBytes,
      members: this.#members,
      extents: this.#extents,
      bytes: this.#blocks * BigInt(blockBytes),
      chunks: this.#chunks,
      digest: new Uint8Array(this.#hash.digest()),
    };
  }
}
