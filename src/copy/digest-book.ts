// Digests of a backup while it runs: what the engine reported, what the journal has of it, and who waits for it.
// Only what a checkpoint covers may be journalled, for a resumed run makes the rest again.
import { CrcTable } from "./crc-table.js";
import type { BlockCrcs, Journal, MemberDigest } from "./journal.js";

interface Pending {
  readonly digest: MemberDigest;
  /** Stream offset after the member's last byte. */
  readonly offset: bigint;
}

export class DigestBook {
  readonly #members = new MemberTable();
  readonly #memberWaiters = new Map<number, (digest: MemberDigest) => void>();
  readonly #blocks = new CrcTable();
  #blockWaiters: { readonly count: number; readonly wake: () => void }[] = [];
  #pendingMembers: Pending[] = [];
  #pendingBlocks: BlockCrcs[] = [];

  /** Takes up what the journal has, when a job goes on. */
  load(journal: Journal, jobId: string): void {
    for (const digest of journal.members(jobId)) this.#members.set(digest);
    for (const { first, crcs } of journal.blocks(jobId)) this.#blocks.set(first, crcs);
  }

  /** Members whose data is whole. */
  get memberCount(): number {
    return this.#members.count;
  }

  addMember(digest: MemberDigest, offset: bigint): void {
    this.#members.set(digest);
    this.#pendingMembers.push({ digest, offset });
    this.#memberWaiters.get(digest.tag)?.(digest);
    this.#memberWaiters.delete(digest.tag);
  }

  addBlocks(run: BlockCrcs): void {
    this.#blocks.set(run.first, run.crcs);
    this.#pendingBlocks.push(run);
    const ready = this.#blockWaiters.filter(({ count }) => count <= this.#blocks.count);
    this.#blockWaiters = this.#blockWaiters.filter(({ count }) => count > this.#blocks.count);
    for (const { wake } of ready) wake();
  }

  /** What became durable with a checkpoint at this offset, to be journalled with it. */
  upTo(offset: bigint): { readonly members: readonly MemberDigest[]; readonly blocks: readonly BlockCrcs[] } {
    const members = this.#pendingMembers.filter((pending) => pending.offset <= offset).map(({ digest }) => digest);
    this.#pendingMembers = this.#pendingMembers.filter((pending) => pending.offset > offset);
    const blocks = this.#pendingBlocks;
    this.#pendingBlocks = [];
    return { members, blocks };
  }

  /** Resolves when the engine has reported the member. */
  member(tag: number): MemberDigest | Promise<MemberDigest> {
    const known = this.#members.get(tag);
    if (known !== undefined) return known;
    return new Promise((resolve) => this.#memberWaiters.set(tag, resolve));
  }

  /** CRC32C of one archive block; undefined when it was not reported yet. */
  block(number: number): number | undefined {
    return this.#blocks.at(number);
  }

  /** CRC32C of archive blocks [first, first + count); resolves when all of them are reported. */
  async blocks(first: number, count: number): Promise<Uint32Array> {
    if (first + count > this.#blocks.count) {
      await new Promise<void>((wake) => this.#blockWaiters.push({ count: first + count, wake }));
    }
    return this.#blocks.slice(first, count);
  }
}

const SHA256_BYTES = 32;

/** Digests by tag: five bytes a member, and 32 more where SHA-256 is asked for, so that millions cost megabytes. */
class MemberTable {
  #crcs = new Uint32Array(1024);
  #known = new Uint8Array(1024);
  #sha256: Uint8Array | undefined;
  count = 0;

  set({ tag, crc32c, sha256 }: MemberDigest): void {
    if (tag >= this.#known.length) this.#grow(tag + 1);
    if (this.#known[tag] === 0) this.count++;
    this.#known[tag] = 1;
    this.#crcs[tag] = crc32c;
    if (sha256 === undefined) return;
    this.#sha256 ??= new Uint8Array(this.#known.length * SHA256_BYTES);
    this.#sha256.set(sha256, tag * SHA256_BYTES);
  }

  get(tag: number): MemberDigest | undefined {
    const crc32c = this.#crcs[tag];
    if (this.#known[tag] !== 1 || crc32c === undefined) return undefined;
    const sha256 = this.#sha256?.slice(tag * SHA256_BYTES, (tag + 1) * SHA256_BYTES);
    return sha256 === undefined ? { tag, crc32c } : { tag, crc32c, sha256 };
  }

  #grow(least: number): void {
    const length = Math.max(least, this.#known.length * 2);
    const [crcs, known] = [new Uint32Array(length), new Uint8Array(length)];
    crcs.set(this.#crcs);
    known.set(this.#known);
    this.#crcs = crcs;
    this.#known = known;
    if (this.#sha256 === undefined) return;
    const sha256 = new Uint8Array(length * SHA256_BYTES);
    sha256.set(this.#sha256);
    this.#sha256 = sha256;
  }
}
