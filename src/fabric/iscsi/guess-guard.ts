// Slows down who guesses CHAP secrets: every failure makes the next answer to the same name, or to the same address,
// come later, however many connections ask at once. A pair of name and address that proved itself lately waits for its
// address alone, so that nobody can lock a server out by guessing under its name from elsewhere. Memory is bounded.
import type { Clock } from "../../sys/clock.js";

const FIRST_DELAY_MS = 250;
const ENTRIES_MAX = 4096;
/** Failures are forgotten after so long without any. */
const FORGET_MS = 600_000;

interface Entry {
  failures: number;
  lastMs: number;
  /** When the next proof may be answered. */
  freeMs: number;
}

export interface GuardCounts {
  /** Proofs that were wrong. */
  failures: number;
  /** Answers that were held back. */
  delayed: number;
  /** Proofs that were not even looked at, because too many waited. */
  turnedAway: number;
}

export class GuessGuard {
  readonly counts: GuardCounts = { failures: 0, delayed: 0, turnedAway: 0 };
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #longestMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #trusted = new Map<string, true>();

  /** @param longestMs nobody is kept waiting for longer; who would have to be is turned away. */
  constructor(clock: Pick<Clock, "monotonicMs">, longestMs = 10_000) {
    this.#clock = clock;
    this.#longestMs = longestMs;
  }

  /** How long to hold back the answer to a proof, which takes its place in the row; undefined: turn it away. */
  admit(name: string, peer: string): number | undefined {
    const now = this.#clock.monotonicMs();
    const entries = this.#keys(name, peer).flatMap((key) => this.#alive(key, now) ?? []);
    const wait = Math.max(0, ...entries.map(({ freeMs }) => freeMs - now));
    if (wait > this.#longestMs) {
      this.counts.turnedAway += 1;
      return undefined;
    }
    for (const entry of entries) entry.freeMs = now + wait + this.#delay(entry);
    if (wait > 0) this.counts.delayed += 1;
    return wait;
  }

  failed(name: string, peer: string): void {
    const now = this.#clock.monotonicMs();
    this.counts.failures += 1;
    this.#trusted.delete(pairOf(name, peer));
    for (const key of [nameKey(name), addressKey(peer)]) {
      const entry = this.#alive(key, now) ?? { failures: 0, lastMs: now, freeMs: now };
      entry.failures += 1;
      entry.lastMs = now;
      entry.freeMs = Math.max(entry.freeMs, now + this.#delay(entry));
      remember(this.#entries, key, entry);
    }
  }

  passed(name: string, peer: string): void {
    remember(this.#trusted, pairOf(name, peer), true);
  }

  get size(): number {
    return this.#entries.size;
  }

  #delay({ failures }: Entry): number {
    return Math.min(this.#longestMs, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 16));
  }

  #keys(name: string, peer: string): readonly string[] {
    return this.#trusted.has(pairOf(name, peer)) ? [addressKey(peer)] : [nameKey(name), addressKey(peer)];
  }

  #alive(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || now - entry.lastMs < FORGET_MS) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}

/** What was touched longest ago goes when there is no room. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > ENTRIES_MAX && oldest !== undefined) map.delete(oldest);
}

const nameKey = (name: string): string => `name ${name}`;
const addressKey = (peer: string): string => `address ${addressOf(peer)}`;
const pairOf = (name: string, peer: string): string => `${name} ${addressOf(peer)}`;

/** Without the port; of an IPv6 address the first 64 bits, because a host has all of the others to itself. */
export function addressOf(peer: string): string {
  const host = peer.slice(0, Math.max(0, peer.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
  if (!host.includes(":")) return host;
  const [head = "", tail] = host.split("::");
  const before = head.split(":").filter((group) => group !== "");
  const after = tail === undefined ? [] : tail.split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0");
  return [...before, ...(tail === undefined ? [] : zeros), ...after].slice(0, 4).join(":");
}
