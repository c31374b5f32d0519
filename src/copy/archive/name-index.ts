// Finds the members of a restore list by name, in 32 bytes a member: hashes, and where in the list each one is.
// The names themselves are read again from the list.
import type { ListMember } from "../../list.js";
import { type ChunkSource, ExtentCursor } from "./list-cursor.js";
import { archiveName } from "./member-header.js";

export interface FoundMember {
  /** Number in the list, from 0. */
  readonly ordinal: number;
  readonly member: ListMember;
  /** Stands at its first extent. */
  readonly extents: ExtentCursor;
}

export class NameIndex {
  readonly #source: ChunkSource;
  #count = 0;
  #hash = new Uint32Array(64);
  #chunk = new Uint32Array(64);
  #inChunk = new Uint32Array(64);
  #extent = new Float64Array(64);
  #match = new Uint32Array(64);
  /** Open addressing: ordinal + 1, 0 for free. Never more than half full. */
  #slots = new Uint32Array(256);
  /** Number of extents in the chunks before each. */
  readonly #before: number[] = [];

  private constructor(source: ChunkSource) {
    this.#source = source;
  }

  /** @param onDouble told of a name that is there twice; the first stays. */
  static async build(source: ChunkSource, onDouble: (name: string) => void): Promise<NameIndex> {
    const index = new NameIndex(source);
    let [extents, before] = [0, 0];
    for (let chunkIndex = 0; chunkIndex < source.chunks; chunkIndex++) {
      const chunk = await source.read(chunkIndex);
      index.#before.push(before);
      before += chunk.extents.lba.length;
      for (const [inChunk, member] of chunk.members.entries()) {
        const name = archiveName(member);
        if ((await index.find(name)) === undefined) index.#add(name, chunkIndex, inChunk, extents);
        else onDouble(name);
        extents += member.extents;
      }
    }
    return index;
  }

  get size(): number {
    return this.#count;
  }

  async find(name: string): Promise<FoundMember | undefined> {
    const hash = hashOf(name);
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const ordinal = (this.#slots[slot] ?? 0) - 1;
      if (ordinal < 0) return undefined;
      if (this.#hash[ordinal] !== hash) continue;
      const member = await this.member(ordinal);
      if (archiveName(member) === name) return { ordinal, member, extents: this.#extents(ordinal) };
    }
  }

  async member(ordinal: number): Promise<ListMember> {
    const chunk = await this.#source.read(this.#chunk[ordinal] ?? 0);
    const member = chunk.members[this.#inChunk[ordinal] ?? 0];
    if (member === undefined) throw new RangeError(`the list has lost member ${ordinal}`);
    return member;
  }

  /** The archive's member that is to be restored here: its number there, 0 for none. */
  matchOf(ordinal: number): number {
    return this.#match[ordinal] ?? 0;
  }

  setMatch(ordinal: number, tag: number): void {
    this.#match[ordinal] = tag;
  }

  #extents(ordinal: number): ExtentCursor {
    const first = this.#extent[ordinal] ?? 0;
    let [low, high] = [0, this.#before.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#before[middle] ?? 0) <= first) low = middle;
      else high = middle - 1;
    }
    return new ExtentCursor(this.#source, low, first - (this.#before[low] ?? 0));
  }

  #add(name: string, chunk: number, inChunk: number, extent: number): void {
    if (this.#count === this.#hash.length) this.#grow();
    const ordinal = this.#count++;
    this.#hash[ordinal] = hashOf(name);
    this.#chunk[ordinal] = chunk;
    this.#inChunk[ordinal] = inChunk;
    this.#extent[ordinal] = extent;
    this.#place(ordinal);
  }

  #place(ordinal: number): void {
    const mask = this.#slots.length - 1;
    let slot = (this.#hash[ordinal] ?? 0) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = ordinal + 1;
  }

  #grow(): void {
    const size = this.#hash.length * 2;
    const larger = (old: Uint32Array) => {
      const grown = new Uint32Array(size);
      grown.set(old);
      return grown;
    };
    this.#hash = larger(this.#hash);
    this.#chunk = larger(this.#chunk);
    this.#inChunk = larger(this.#inChunk);
    this.#match = larger(this.#match);
    const extent = new Float64Array(size);
    extent.set(this.#extent);
    this.#extent = extent;
    this.#slots = new Uint32Array(size * 2);
    for (let ordinal = 0; ordinal < this.#count; ordinal++) this.#place(ordinal);
  }
}

/** FNV-1a over UTF-16 code units. */
function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
