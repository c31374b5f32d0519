// Looks over a CBOR message before cbor-x sees it, without making one object of it. What passes is
// well-formed (RFC 8949 appendix C), ends where the message ends, is not deep, has text keys that occur once,
// valid UTF-8, and no tag but those of typed arrays; so the decoder's own leniencies cannot be reached.
import { isUtf8 } from "node:buffer";
import { GantryError } from "../sys/errors.js";

export interface CborLimits {
  /** Longest message, bytes. */
  readonly maxBytes: number;
  /** Deepest nesting of arrays and maps. */
  readonly maxDepth: number;
}

/** RFC 8746 tags that are understood → bytes of an element: uint8, uint32 BE/LE, uint64 BE/LE. */
const TYPED_ARRAYS: ReadonlyMap<number, number> = new Map([
  [64, 1],
  [66, 4],
  [67, 8],
  [70, 4],
  [71, 8],
]);

/**
 * Throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED, which says at what byte and why. Returns whether integers of
 * eight bytes occur: the decoder makes bigints of them even when they are small.
 */
export function scan(bytes: Uint8Array, limits: CborLimits): { readonly wideIntegers: boolean } {
  if (bytes.length > limits.maxBytes) {
    throw new GantryError(
      "MESSAGE_TOO_LARGE",
      `The message has ${bytes.length} bytes; at most ${limits.maxBytes} are taken.`,
      { details: { bytes: bytes.length, limit: limits.maxBytes } },
    );
  }
  const scanner = new Scanner(bytes, limits.maxDepth);
  scanner.item(0);
  scanner.end();
  return { wideIntegers: scanner.wideIntegers };
}

class Scanner {
  wideIntegers = false;
  readonly #bytes: Buffer;
  readonly #maxDepth: number;
  #at = 0;

  constructor(bytes: Uint8Array, maxDepth: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#maxDepth = maxDepth;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.#malformed("there is more after the end of the value");
  }

  item(depth: number): void {
    const first = this.#byte();
    const major = first >> 5;
    const info = first & 31;
    // The argument of a simple value or float is the value itself.
    const argument = major === 7 ? info : this.#argument(major, info);
    if (major === 2) this.#take(argument);
    else if (major === 3) this.#text(argument);
    else if (major === 4) this.#array(argument, depth + 1);
    else if (major === 5) this.#map(argument, depth + 1);
    else if (major === 6) this.#tag(argument);
    else if (major === 7) this.#simple(argument);
  }

  /** RFC 8949 3.2: the argument of the head. An integer's eight bytes are only stepped over. */
  #argument(major: number, info: number): number {
    if (info < 24) return info;
    if (info === 24) return this.#byte();
    if (info === 25) return this.#bytes.readUInt16BE(this.#take(2));
    if (info === 26) return this.#bytes.readUInt32BE(this.#take(4));
    if (info === 31 && major >= 2 && major <= 5) throw this.#malformed("indefinite lengths are not used here");
    if (info !== 27) throw this.#malformed(`additional information ${info} is reserved`);
    const at = this.#take(8);
    if (major < 2) {
      this.wideIntegers = true;
      return 0;
    }
    if (this.#bytes.readUInt32BE(at) !== 0) throw this.#malformed("a length is larger than the message");
    return this.#bytes.readUInt32BE(at + 4);
  }

  #text(length: number): void {
    const at = this.#take(length);
    if (!isUtf8(this.#bytes.subarray(at, at + length))) throw this.#malformed("text is not valid UTF-8");
  }

  #array(count: number, depth: number): void {
    this.#nest(depth, count);
    for (let i = 0; i < count; i++) this.item(depth);
  }

  #map(count: number, depth: number): void {
    this.#nest(depth, 2 * count);
    const seen = new Set<string>();
    for (let i = 0; i < count; i++) {
      const key = this.#key();
      if (seen.has(key)) throw this.#malformed(`the key \`${printable(key)}\` occurs twice in one map`);
      seen.add(key);
      this.item(depth);
    }
  }

  /** Keys are text. `latin1` keeps the bytes apart and is cheaper than decoding. */
  #key(): string {
    const first = this.#byte();
    if (first >> 5 !== 3) throw this.#malformed("a map key is not text");
    const length = this.#argument(3, first & 31);
    const start = this.#at;
    this.#text(length);
    const key = this.#bytes.toString("latin1", start, this.#at);
    if (key === "__proto__") throw this.#malformed("the key `__proto__` is not allowed");
    return key;
  }

  #tag(tag: number): void {
    const width = TYPED_ARRAYS.get(tag);
    if (width === undefined) throw this.#malformed(`tag ${tag} is not known here`);
    const first = this.#byte();
    if (first >> 5 !== 2) throw this.#malformed(`tag ${tag} needs a byte string`);
    const length = this.#argument(2, first & 31);
    if (length % width !== 0) throw this.#malformed(`a typed array of ${width}-byte elements has ${length} bytes`);
    this.#take(length);
  }

  /** RFC 8949 3.3: false, true, null, undefined and the three floats. */
  #simple(info: number): void {
    if (info === 25) this.#take(2);
    else if (info === 26) this.#take(4);
    else if (info === 27) this.#take(8);
    else if (info < 20 || info > 23) throw this.#malformed("an unknown simple value");
  }

  /** Every item takes at least one byte, so a count beyond what is left is refused before the first is read. */
  #nest(depth: number, items: number): void {
    if (depth > this.#maxDepth) throw this.#malformed(`nested more than ${this.#maxDepth} deep`);
    if (items > this.#bytes.length - this.#at) throw this.#malformed("a length is larger than the message");
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  /** Steps over n bytes and returns where they start. */
  #take(n: number): number {
    const at = this.#at;
    if (n > this.#bytes.length - at) throw this.#malformed("the message ends too early");
    this.#at = at + n;
    return at;
  }

  #malformed(why: string): GantryError {
    return new GantryError("MESSAGE_MALFORMED", `The message is not the CBOR that is used here: ${why}.`, {
      details: { at: this.#at },
    });
  }
}

function printable(key: string): string {
  return JSON.stringify(key.slice(0, 64)).slice(1, -1);
}
