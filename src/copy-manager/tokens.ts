// ROD tokens of this bridge (SPC-4 5.17.6, SBC-3 4.28): POPULATE TOKEN makes one for ranges of a disk, WRITE USING TOKEN
// presents it. Nothing is copied when one is made, so that all are of type POINT IN TIME COPY - CHANGE VULNERABLE: a write
// to a block of theirs cancels them. They live in memory: after a restart each is unknown.
import { timingSafeEqual } from "node:crypto";
import type { Clock } from "../sys/clock.js";
import type { BinaryDesignator } from "../wire/xcopy/designator.js";
import type { BlockRange } from "../wire/xcopy/ranges.js";
import { ASC, type CopyAsc, type CopyRefusal, refused } from "../wire/xcopy/refusal.js";
import { encodeAllTokens, encodeRodToken, ROD_TYPE, tokenHeader } from "../wire/xcopy/rod-token.js";
import { TOKEN_LIMITS } from "./limits.js";
import { type Extent, RodRanges } from "./token-ranges.js";
import { type TokenFacts, TokenUse, ZERO_TOKEN, type ZeroToken } from "./token-use.js";

export const TOKENS_MAX = {
  all: 1024,
  /** Of one maker, so that no server takes all. */
  ofMaker: 256,
  /** Ranges of all tokens together. */
  ranges: 65_536,
  /** Dead ones that are known to have been. */
  dead: 1024,
} as const;

/** Why a token is none any more, and what one is told who presents it (SPC-4 table 113). */
const DEATHS = {
  expired: { asc: ASC.TOKEN_EXPIRED, problem: "nobody used the token for its inactivity timeout, or it is too old" },
  cancelled: { asc: ASC.TOKEN_CANCELLED, problem: "blocks that the token stands for were written since it was made" },
  revoked: { asc: ASC.TOKEN_REVOKED, problem: "who made the token may not read its blocks any more" },
  deleted: { asc: ASC.TOKEN_DELETED, problem: "the token was deleted after its last use" },
} as const satisfies Record<string, { asc: CopyAsc; problem: string }>;
export type TokenDeath = keyof typeof DEATHS;

/** ROD TOKEN in the parameter list of WRITE USING TOKEN; ROD TOKEN IDENTIFIER in a token. */
const TOKEN_PLACE = 16;
const IDENTIFIER_BYTES = 8;
/** What nobody can guess of a token, besides its identifier, which REPORT ALL ROD TOKENS tells. */
const SECRET_BYTES = 32;

export interface TokenRequest {
  /** The I_T nexus or initiator that asked for it, as the caller names it in revoke(). */
  readonly maker: string;
  /** The source disk. */
  readonly device: string;
  readonly blockBytes: number;
  readonly ranges: readonly BlockRange[];
  /** INACTIVITY TIMEOUT; 0: the default. */
  readonly inactivitySeconds: number;
  /** Designator of the disk's logical unit: NAA or EUI-64. */
  readonly creator: BinaryDesignator;
  /** Of the target device. */
  readonly target: BinaryDesignator;
  /** Bytes 8 to 31 of READ CAPACITY (16) data (SBC-3 4.28.5). */
  readonly deviceData: Uint8Array;
}

interface Live {
  readonly facts: TokenFacts;
  readonly token: Uint8Array;
  readonly ranges: RodRanges;
  readonly inactivityMs: number;
  readonly madeMs: number;
  usedMs: number;
  /** The timeout stands still as long as one is under way. */
  readonly uses: Set<TokenUse>;
  /** DEL_TKN of a use that has ended; it dies with the last one. */
  deleted: boolean;
}

export interface TokensOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly random: (bytes: number) => Uint8Array;
}

export class Tokens {
  readonly #options: TokensOptions;
  /** By identifier, the oldest first. */
  readonly #live = new Map<bigint, Live>();
  readonly #dead = new Map<bigint, { readonly token: Uint8Array; readonly death: TokenDeath }>();

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /**
   * A token for these blocks as they are. Writes that were done before and not told of yet have to be told of first, or
   * they cancel it.
   * @throws CopyRefusal there is no room for another
   */
  make(request: TokenRequest): Uint8Array {
    const { maker, device, blockBytes } = request;
    this.#sweep();
    const ranges = new RodRanges(request.ranges);
    const all = [...this.#live.values()];
    const ofMaker = all.filter(({ facts }) => facts.maker === maker).length;
    if (all.length >= TOKENS_MAX.all || ofMaker >= TOKENS_MAX.ofMaker)
      throw refused(ASC.NO_ROOM_FOR_TOKEN, `there are ${all.length} tokens, ${ofMaker} of this nexus`);
    if (all.reduce((sum, one) => sum + one.ranges.count, ranges.count) > TOKENS_MAX.ranges)
      throw refused(ASC.NO_ROOM_FOR_ROD, `all tokens together may have ${TOKENS_MAX.ranges} ranges`);
    const facts = { maker, device, blockBytes, bytes: ranges.blocks * BigInt(blockBytes) };
    const identifier = this.#identifier();
    const token = this.#encode(request, identifier, facts.bytes);
    const nowMs = this.#nowMs();
    const seconds = request.inactivitySeconds || TOKEN_LIMITS.defaultInactivitySeconds;
    const life = {
      inactivityMs: seconds * 1000,
      madeMs: nowMs,
      usedMs: nowMs,
      uses: new Set<TokenUse>(),
      deleted: false,
    };
    this.#live.set(identifier, { facts, token, ranges, ...life });
    return token.slice();
  }

  /**
   * The token that these bytes are, to be used until release() is called. Whether whoever presents it may read the source
   * now is for the caller to judge, by what it finds in `facts`.
   * @param token 512 bytes
   * @throws CopyRefusal INVALID TOKEN OPERATION
   */
  use(token: Uint8Array): TokenUse | ZeroToken {
    this.#sweep();
    const { type } = tokenHeader(token);
    if (type === ROD_TYPE.ZERO) return ZERO_TOKEN;
    if (type !== ROD_TYPE.POINT_IN_TIME_VULNERABLE)
      throw wrong(ASC.TOKEN_TYPE, `tokens of type ${type.toString(16)}h are not made here`);
    const identifier = identifierOf(token);
    const live = this.#live.get(identifier);
    const dead = this.#dead.get(identifier);
    const known = live?.token ?? dead?.token;
    if (known === undefined) throw wrong(ASC.TOKEN_UNKNOWN, "no such token was made here, or it is long forgotten");
    if (known.length !== token.length || !timingSafeEqual(known, token))
      throw wrong(ASC.TOKEN_CORRUPT, "the token has the identifier of one that was made here, and is another");
    if (live === undefined) throw deathOf(dead?.death ?? "expired");
    if (live.deleted) throw deathOf("deleted");
    const { facts, ranges } = live;
    const use = new TokenUse(facts, ranges, (deleted) => this.#used(identifier, use, deleted));
    live.uses.add(use);
    return use;
  }

  /** That these blocks of a device were written, by whomever. @returns how many tokens that cancels */
  wrote(device: string, extents: readonly Extent[]): number {
    return this.#end("cancelled", (one) => one.facts.device === device && one.ranges.touchedBy(extents));
  }

  /** The device is gone, has another medium, or it is not known what was written. @returns how many tokens that cancels */
  cancelAll(device: string): number {
    return this.#end("cancelled", ({ facts }) => facts.device === device);
  }

  /** Rights were taken away. @returns how many tokens that revokes */
  revoke(match: (facts: TokenFacts) => boolean): number {
    return this.#end("revoked", ({ facts }) => match(facts));
  }

  /** REPORT ALL ROD TOKENS data: of those that whoever asks may know of. What is secret in a token is not told. */
  report(visible: (facts: TokenFacts) => boolean): Uint8Array {
    this.#sweep();
    const shown = [...this.#live.values()].filter(({ facts }) => visible(facts));
    return encodeAllTokens(shown.map(({ token }) => token));
  }

  /** How many can be used. */
  get size(): number {
    this.#sweep();
    return this.#live.size;
  }

  #used(identifier: bigint, use: TokenUse, deleted: boolean): void {
    const live = this.#live.get(identifier);
    if (live === undefined || !live.uses.delete(use)) return;
    live.usedMs = this.#nowMs();
    live.deleted ||= deleted;
    if (live.deleted && live.uses.size === 0) this.#bury(identifier, live, "deleted");
  }

  #end(death: TokenDeath, match: (one: Live) => boolean): number {
    this.#sweep();
    const matching = [...this.#live].filter(([, one]) => match(one));
    for (const [identifier, one] of matching) this.#bury(identifier, one, death);
    return matching.length;
  }

  #bury(identifier: bigint, live: Live, death: TokenDeath): void {
    this.#live.delete(identifier);
    for (const use of live.uses) use.died(deathOf(death));
    this.#dead.set(identifier, { token: live.token, death });
    for (const oldest of this.#dead.keys()) {
      if (this.#dead.size <= TOKENS_MAX.dead) break;
      this.#dead.delete(oldest);
    }
  }

  #sweep(): void {
    const nowMs = this.#nowMs();
    for (const [identifier, one] of [...this.#live]) {
      if (one.uses.size > 0) continue;
      const old = nowMs - one.madeMs >= TOKEN_LIMITS.lifetimeSeconds * 1000;
      if (old || nowMs - one.usedMs >= one.inactivityMs) this.#bury(identifier, one, "expired");
    }
  }

  #encode({ creator, target, blockBytes, deviceData }: TokenRequest, identifier: bigint, bytes: bigint): Uint8Array {
    const disk = { nul: false, deviceType: 0, initiatorPort: 0, pad: false, fixed: false, blockBytes };
    return encodeRodToken({
      type: ROD_TYPE.POINT_IN_TIME_VULNERABLE,
      identifier,
      creator: { form: "identification", ...disk, designator: creator },
      byteCount: bytes,
      target,
      deviceData,
      extended: this.#options.random(SECRET_BYTES),
    });
  }

  /** One that no token had as long as anybody remembers. */
  #identifier(): bigint {
    for (;;) {
      const identifier = Buffer.from(this.#options.random(IDENTIFIER_BYTES)).readBigUInt64BE();
      if (!this.#live.has(identifier) && !this.#dead.has(identifier)) return identifier;
    }
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

const identifierOf = (token: Uint8Array): bigint =>
  Buffer.from(token.buffer, token.byteOffset, token.length).readBigUInt64BE(IDENTIFIER_BYTES);

const wrong = (asc: CopyAsc, problem: string): CopyRefusal => refused(asc, problem, TOKEN_PLACE);
const deathOf = (death: TokenDeath): CopyRefusal => wrong(DEATHS[death].asc, DEATHS[death].problem);
