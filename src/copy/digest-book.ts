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
  readonly #members = new Map<number, MemberDigest>();
  readonly #memberWaiters = new Map<number, (digest: MemberDigest) => void>();
  readonly #blocks = new CrcTable();
  #blockWaiters: { readonly count: number; readonly wake: () => void }[] = [];
  #pendingMembers: Pending[] = [];
  #pendingBlocks: BlockCrcs[] = [];
  #total = 0;

  /** Takes up what the journal has, when a job goes on. */
  load(journal: Journal, jobId: string): void {
    for (const digest of journal.members(jobId)) this.#members.set(digest.tag, digest);
    for (const { first, crcs } of journal.blocks(jobId)) this.#blocks.set(first, crcs);
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

  /** CRC32C of archive blocks [first, first + count); resolves when all of them are reported. */
  async blocks(first: number, count: number): Promise<Uint32Array> {
    if (first + count > this.#blocks.count) {
      await new Promise<void>((wake) => this.#blockWaiters.push({ count: first + count, wake }));
    }
    return this.#blocks.slice(first, count);
  }
}
