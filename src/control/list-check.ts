// Reads a whole list once, chunk by chunk, and compares it with its header: digest, totals, and what can only
// be seen across chunks (whose extents these are, whether they rise). One chunk in memory at a time.
import type { ListChunk, ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { decodeChunk, listDigest } from "./list-chunk.js";

const INT64_MAX = (1n << 63n) - 1n;
const UINT64_END = 1n << 64n;

export class ListCheck {
  readonly #header: ListHeader;
  readonly #hash = listDigest();
  readonly #blockBytes: bigint;
  /** Extent counts of members whose extents have not all come yet; #next is the first of them. */
  #owed: number[] = [];
  #next = 0;
  #members = 0;
  #extents = 0n;
  #blocks = 0n;
  #declared = 0n;
  /** Byte offset where the last extent of the current member ends. */
  #end = 0n;

  constructor(header: ListHeader) {
    this.#header = header;
    this.#blockBytes = BigInt(header.blockBytes);
  }

  /** Takes the next encoded chunk. Throws LIST_INVALID. */
  add(bytes: Uint8Array, index: number): void {
    this.#hash.update(bytes);
    const chunk = decodeChunk(bytes, index);
    this.#members += chunk.members.length;
    for (const member of chunk.members) {
      if (member.extents === 0) continue;
      this.#owed.push(member.extents);
      this.#declared += BigInt(member.extents);
    }
    this.#extents += BigInt(chunk.extents.lba.length);
    if (this.#extents > this.#declared) throw this.#wrong(`chunk ${index} has extents that belong to no member`);
    this.#addExtents(chunk);
    if (this.#next > 4096) {
      this.#owed = this.#owed.slice(this.#next);
      this.#next = 0;
    }
  }

  /** After the last chunk. Throws LIST_DIGEST_WRONG or LIST_INVALID. */
  finish(): void {
    const { members, extents, bytes, digest } = this.#header;
    if (!this.#hash.digest().equals(digest)) {
      throw new GantryError(
        "LIST_DIGEST_WRONG",
        `The chunks of list ${this.#header.listId} do not have the SHA-256 of its header. It is dropped; send it again.`,
      );
    }
    if (this.#members !== members) throw this.#wrong(`it has ${this.#members} members, the header says ${members}`);
    if (this.#extents !== this.#declared) {
      throw this.#wrong(`its members have ${this.#declared} extents, ${this.#extents} came`);
    }
    if (this.#extents !== extents) throw this.#wrong(`it has ${this.#extents} extents, the header says ${extents}`);
    const sum = this.#blocks * this.#blockBytes;
    if (sum !== bytes) throw this.#wrong(`its extents have ${sum} bytes, the header says ${bytes}`);
  }

  #addExtents(chunk: ListChunk): void {
    const { fileOffset, lba, blocks } = chunk.extents;
    let owed = this.#owed[this.#next] ?? 0;
    for (let i = 0; i < blocks.length; i++) {
      const count = BigInt(blocks[i] ?? 0);
      const from = fileOffset[i] ?? 0n;
      const first = lba[i] ?? 0n;
      if (from % this.#blockBytes !== 0n) throw this.#at(chunk, i, "`fileOffset` is not a multiple of the block size");
      if (from < this.#end) throw this.#at(chunk, i, "`fileOffset` does not rise within the member");
      if (first + count > UINT64_END) throw this.#at(chunk, i, "`lba` and `blocks` go past 2^64");
      this.#end = from + count * this.#blockBytes;
      if (this.#end > INT64_MAX) throw this.#at(chunk, i, "the extent ends past 2^63-1 bytes");
      this.#blocks += count;
      owed -= 1;
      if (owed > 0) continue;
      this.#next += 1;
      this.#end = 0n;
      owed = this.#owed[this.#next] ?? 0;
    }
    if (this.#next < this.#owed.length) this.#owed[this.#next] = owed;
  }

  #at(chunk: ListChunk, extent: number, what: string): GantryError {
    return this.#wrong(`chunk ${chunk.index}, extent ${extent}: ${what}`);
  }

  #wrong(what: string): GantryError {
    return new GantryError("LIST_INVALID", `List ${this.#header.listId} is wrong: ${what}.`, {
      details: { listId: this.#header.listId },
    });
  }
}
