// Digests of a backup while it runs: what the engine reported, what the journal has of it, and who waits for it.
// Only what a checkpoint covers may be journalled, for a resumed run makes the rest again.
import type { BlockCrcs, Journal, MemberDigest } from "./journal.js";

interface Pending {
  readonly digest: MemberDigest;
  /** Stream offset after the member's last byte. */
  readonly offset: bigint;
}

export class DigestBook {
  readonly #members = new Map<number, MemberDigest>();
  readonly #memberWaiters = new Map<number, (digest: MemberDigest) => void>();
  #blocks = new Uint32Array(1024);
  #blockCount = 0;
  #blockWaiters: { readonly count: number; readonly wake: () => void }[] = [];
  #pendingMembers: Pending[] = [];
  #pendingBlocks: BlockCrcs[] = [];
  #total = 0;

  /** Takes up what the journal has, when a job goes on. */
  load(journal: Journal, jobId: string): void {
    for (const digest of journal.members(jobId)) this.#members.set(digest.tag, digest);
    for (const run of journal.blocks(jobId)) this.#setBlocks(run);
    this.#total = this.#members.size;
  }

  /** Members whose data is whole. */
  get memberCount(): number {
    return this.#total;
  }

  addMember(digest: MemberDigest, offset: bigint): void {
    if (!this.#members.has(digest.tag)) this.#total++;
    this.#members.set(digest.tag, digest);
    this.#pendingMembers.push({ digest, offset });
    this.#memberWaiters.get(digest.tag)?.(digest);
    this.#memberWaiters.delete(digest.tag);
  }

  addBlocks(run: BlockCrcs): void {
    this.#setBlocks(run);
    this.#pendingBlocks.push(run);
    const ready = this.#blockWaiters.filter(({ count }) => count <= this.#blockCount);
    this.#blockWaiters = this.#blockWaiters.filter(({ count }) => count > this.#blockCount);
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

  /** CRC32C of archive blocks [first, first + count); resolves when all of them are reported. */
  async blocks(first: number, count: number): Promise<Uint32Array> {
    if (first + count > this.#blockCount) {
      await new Promise<void>((wake) => this.#blockWaiters.push({ count: first + count, wake }));
    }
    return this.#blocks.slice(first, first + count);
  }

  #setBlocks({ first, crcs }: BlockCrcs): void {
    const end = first + crcs.length;
    if (end > this.#blocks.length) {
      const larger = new Uint32Array(Math.max(end, this.#blocks.length * 2));
      larger.set(this.#blocks);
      this.#blocks = larger;
    }
    this.#blocks.set(crcs, first);
    this.#blockCount = Math.max(this.#blockCount, end);
  }
}
