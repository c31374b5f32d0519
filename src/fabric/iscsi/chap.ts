// CHAP as iSCSI uses it (RFC 7143 12.1.3, RFC 1994): the target challenges, the initiator answers, and may challenge
// back. Attacks that RFC 7143 names are refused: a challenge reflected, one secret for both directions.
import { createHash, timingSafeEqual } from "node:crypto";
import type { ChapSecret } from "../../admit/credentials.js";
import { STATUS } from "./login-pdu.js";
import { loginRefused } from "./login-refused.js";
import { formatBinary, type Pair, parseBinary, parseNumber } from "./text-keys.js";

/** Numbers of the registry of PPP authentication algorithms. MD5 is the one that everybody must have. */
const ALGORITHMS: ReadonlyMap<number, { readonly hash: string; readonly bytes: number }> = new Map([
  [5, { hash: "md5", bytes: 16 }],
  [7, { hash: "sha256", bytes: 32 }],
  [8, { hash: "sha3-256", bytes: 32 }],
]);
const CHALLENGE_BYTES = 32;
/** RFC 7143 12.1.3: binary items are at most 1024 bytes. */
const BINARY_MAX = 1024;

export const CHAP_KEYS: readonly string[] = ["CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"];

export interface ChapFacts {
  /** Secrets of the initiator that is logging in, under a CHAP name. */
  readonly secrets: (chapName: string) => readonly Uint8Array[];
  readonly own: () => ChapSecret | undefined;
  readonly random: (bytes: number) => Uint8Array;
}

/** RFC 1994 4.1: the digest of identifier, secret, challenge. */
export function chapDigest(hash: string, id: number, secret: Uint8Array, challenge: Uint8Array): Uint8Array {
  return createHash(hash).update(Uint8Array.of(id)).update(secret).update(challenge).digest();
}

interface Asked {
  readonly hash: string;
  readonly bytes: number;
  readonly id: number;
  readonly challenge: Uint8Array;
}

export class ChapTarget {
  readonly #facts: ChapFacts;
  #asked: Asked | undefined;
  #name: string | undefined;

  constructor(facts: ChapFacts) {
    this.#facts = facts;
  }

  /** The CHAP name that was proved; undefined: not yet. */
  get proved(): string | undefined {
    return this.#name;
  }

  /**
   * The next step: keys of CHAP that came together, and those to answer with.
   * @throws GantryError ISCSI_LOGIN_REFUSED
   */
  step(pairs: readonly Pair[]): readonly Pair[] {
    const given = new Map(pairs.map(({ key, value }) => [key, value]));
    if (this.#name !== undefined) throw wrong("sends CHAP keys after the proof");
    if (this.#asked !== undefined) return this.#judge(this.#asked, given);
    const algorithms = given.get("CHAP_A");
    if (algorithms === undefined || given.size > 1) throw wrong("does not begin CHAP with CHAP_A alone");
    return this.#ask(algorithms);
  }

  /** Takes the first algorithm of the initiator's list that is known here. */
  #ask(offered: string): readonly Pair[] {
    const number = offered
      .split(",")
      .map(parseNumber)
      .find((one) => one !== undefined && ALGORITHMS.has(one));
    const algorithm = number === undefined ? undefined : ALGORITHMS.get(number);
    if (number === undefined || algorithm === undefined)
      throw wrong("offers no CHAP algorithm that is known here (5 MD5, 7 SHA-256, 8 SHA3-256)");
    const [id = 0] = this.#facts.random(1);
    const challenge = this.#facts.random(CHALLENGE_BYTES);
    this.#asked = { ...algorithm, id, challenge };
    return [
      { key: "CHAP_A", value: String(number) },
      { key: "CHAP_I", value: String(id) },
      { key: "CHAP_C", value: formatBinary(challenge) },
    ];
  }

  #judge(asked: Asked, given: ReadonlyMap<string, string>): readonly Pair[] {
    const name = given.get("CHAP_N");
    const response = parseBinary(given.get("CHAP_R") ?? "", BINARY_MAX);
    if (name === undefined || response === undefined || given.has("CHAP_A"))
      throw wrong("answers the challenge without a proper CHAP_N and CHAP_R");
    const back = challengeOf(given);
    // Whoever sends our own challenge back wants us to make the answer to it.
    if (back !== undefined && same(back.challenge, asked.challenge)) throw wrong("reflects the challenge");
    const secrets = this.#facts.secrets(name);
    if (!this.#matches(asked, secrets, response)) throw wrong("does not know the secret of its CHAP name");
    const proof = back === undefined ? [] : this.#prove(asked, back, secrets);
    this.#name = name;
    return proof;
  }

  /** As much work for a name that does not exist, so that the time tells nothing. */
  #matches(asked: Asked, secrets: readonly Uint8Array[], response: Uint8Array): boolean {
    const tried = secrets.length === 0 ? [this.#facts.random(16)] : secrets;
    let found = false;
    for (const secret of tried) {
      const right = same(chapDigest(asked.hash, asked.id, secret, asked.challenge), response);
      found = (right && secrets.length > 0) || found;
    }
    return found;
  }

  /** Mutual CHAP: our own name, and the answer to the initiator's challenge. */
  #prove(asked: Asked, back: Challenge, theirs: readonly Uint8Array[]): readonly Pair[] {
    const own = this.#facts.own();
    if (own === undefined)
      throw wrong("wants a proof of the bridge, which has no secret of its own (target_secret_file)");
    // With one secret an impostor can have our answer made by the initiator itself (RFC 7143 12.1.3).
    if (theirs.some((secret) => same(secret, own.secret))) throw wrong("has the secret that the bridge has itself");
    return [
      { key: "CHAP_N", value: own.name },
      { key: "CHAP_R", value: formatBinary(chapDigest(asked.hash, back.id, own.secret, back.challenge)) },
    ];
  }
}

interface Challenge {
  readonly id: number;
  readonly challenge: Uint8Array;
}

function challengeOf(given: ReadonlyMap<string, string>): Challenge | undefined {
  const [id, challenge] = [given.get("CHAP_I"), given.get("CHAP_C")];
  if (id === undefined && challenge === undefined) return undefined;
  const found = { id: parseNumber(id ?? ""), challenge: parseBinary(challenge ?? "", BINARY_MAX) };
  if (found.id === undefined || found.id > 255 || found.challenge === undefined)
    throw wrong("challenges the bridge without a proper CHAP_I and CHAP_C");
  return { id: found.id, challenge: found.challenge };
}

const same = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && timingSafeEqual(one, other);

const wrong = (what: string): Error => loginRefused(STATUS.AUTHENTICATION_FAILURE, `The initiator ${what}.`);
