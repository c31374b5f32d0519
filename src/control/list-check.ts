// Reads a whole list once, chunk by chunk, and compares it with its header: digest, totals, and what can only
// be seen across chunks (whose extents these are, whether they rise). One chunk in memory at a time.
import type { ListChunk, ListHeader } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { HIGH, HIGH_UNIT, halvesOf, LOW } from "../wire/uint64.js";
import { decodeChunk, listDigest } from "./list-chunk.js";

/** High halves from here on are past 2^63-1. */
const SIGNED_HIGH = 2 ** 31;
const LAST_HIGH = HIGH_UNIT - 1;

export class ListCheck {
  readonly #header: ListHeader;
  readonly #hash = listDigest();
  /** Extent counts of members whose extents have not all come yet; #next is the first of them. */
  #owed: number[] = [];
  #next = 0;
  #members = 0;
  #extents = 0n;
  #blocks = 0n;
  #declared = 0n;
  /** Byte offset where the last extent of the current member ends, in halves of 32 bits. */
  #endHigh = 0;
  #endLow = 0;

  constructor(header: ListHeader) {
    this.#header = header;
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
    const sum = this.#blocks * BigInt(this.#header.blockBytes);
    if (sum !== bytes) throw this.#wrong(`its extents have ${sum} bytes, the header says ${bytes}`);
  }

  /** All in halves of 32 bits, exactly: a block size is 512 or 4096, so only the low half says what is a multiple. */
  #addExtents(chunk: ListChunk): void {
    const { blockBytes } = this.#header;
    const { fileOffset, lba, blocks } = chunk.extents;
    const [offsets, lbas] = [halvesOf(fileOffset), halvesOf(lba)];
    let owed = this.#owed[this.#next] ?? 0;
    let [endHigh, endLow, sum] = [this.#endHigh, this.#endLow, 0];
    for (let i = 0; i < blocks.length; i++) {
      const count = blocks[i] ?? 0;
      const high = offsets[2 * i + HIGH] ?? 0;
      const low = offsets[2 * i + LOW] ?? 0;
      if (low % blockBytes !== 0) throw this.#at(chunk, i, "`fileOffset` is not a multiple of the block size");
      if (high < endHigh || (high === endHigh && low < endLow))
        throw this.#at(chunk, i, "`fileOffset` does not rise within the member");
      if ((lbas[2 * i + HIGH] ?? 0) === LAST_HIGH && (lbas[2 * i + LOW] ?? 0) + count > HIGH_UNIT)
        throw this.#at(chunk, i, "`lba` and `blocks` go past 2^64");
      // At most 2^32 + 2^44.
      const end = low + count * blockBytes;
      const carry = Math.floor(end / HIGH_UNIT);
      endHigh = high + carry;
      endLow = end - carry * HIGH_UNIT;
      if (endHigh >= SIGNED_HIGH) throw this.#at(chunk, i, "the extent ends past 2^63-1 bytes");
      sum += count;
      owed -= 1;
      if (owed > 0) continue;
      this.#next += 1;
      endHigh = 0;
      endLow = 0;
      owed = this.#owed[this.#next] ?? 0;
    }
    // A chunk's sum is far below 2^53.
    this.#blocks += BigInt(sum);
    this.#endHigh = endHigh;
    this.#endLow = endLow;
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
