// A token between the command that presents it and the end of what the command copies: which bytes of which disk it
// stands for, and whether it still does.
import type { CopyRefusal } from "../wire/xcopy/refusal.js";
import { ASC, refused } from "../wire/xcopy/refusal.js";
import type { GatherPart } from "./steps.js";
import type { RodRanges } from "./token-ranges.js";

export interface TokenFacts {
  readonly maker: string;
  readonly device: string;
  readonly blockBytes: number;
  /** That it stands for. */
  readonly bytes: bigint;
}

/** OFFSET INTO ROD in the parameter list of WRITE USING TOKEN. */
const OFFSET_PLACE = 8;

export interface RodData {
  /** What is to be written, in the order of the ROD. */
  readonly parts: readonly GatherPart[];
  /** Of all parts; less than was asked for where the token stands for less (COPY OPERATION STATUS 03h). */
  readonly bytes: bigint;
}

/** The block device zero ROD token (SBC-3 4.28.4): zeros without end, from no device. */
export const ZERO_TOKEN = {
  facts: undefined,
  resolve: (_offset: bigint, bytes: bigint, _unitBytes: number): RodData => ({
    parts: bytes > 0n ? [{ op: "zeros", bytes }] : [],
    bytes,
  }),
  refusal: undefined,
  release: (_deleted?: boolean): void => undefined,
} as const;
export type ZeroToken = typeof ZERO_TOKEN;

export class TokenUse {
  readonly facts: TokenFacts;
  readonly #ranges: RodRanges;
  readonly #done: (deleted: boolean) => void;
  #refusal: CopyRefusal | undefined;

  constructor(facts: TokenFacts, ranges: RodRanges, done: (deleted: boolean) => void) {
    this.facts = facts;
    this.#ranges = ranges;
    this.#done = done;
  }

  /**
   * What these bytes of the token are.
   * @param offset bytes: OFFSET INTO ROD counts blocks of the destination (SBC-3 5.45)
   * @param unitBytes a block of the destination; of a smaller rest at the end nothing is given
   * @throws CopyRefusal the offset lies behind the end
   */
  resolve(offset: bigint, bytes: bigint, unitBytes: number): RodData {
    const { device, blockBytes, bytes: whole } = this.facts;
    if (offset > whole || (offset === whole && bytes > 0n))
      throw refused(ASC.LIST_FIELD, `the token stands for ${whole} bytes, and ${offset} are passed over`, OFFSET_PLACE);
    const rest = whole - offset;
    const given = bytes <= rest ? bytes : rest - (rest % BigInt(unitBytes));
    const pieces = this.#ranges.pieces(offset, given, blockBytes);
    return { parts: pieces.map((piece) => ({ op: "extent", device, ...piece })), bytes: given };
  }

  /**
   * Why the token died meanwhile: what was read since may be of another time. To be asked when all is read, after the
   * writes to the source until then were told of, those of the command itself after that; undefined: it lives.
   */
  get refusal(): CopyRefusal | undefined {
    return this.#refusal;
  }

  /** For the keeper of the tokens, once. */
  died(refusal: CopyRefusal): void {
    this.#refusal = refusal;
  }

  /** The command has ended; its inactivity timeout begins anew. @param deleted DEL_TKN */
  release(deleted = false): void {
    this.#done(deleted);
  }
}
