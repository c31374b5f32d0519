// Remembers the replies to commands by message id, so that a command that MQTT delivers twice is carried out
// once and answered twice with the same reply. Bounded: the oldest are forgotten first, and what then comes
// again meets handlers that are idempotent by their own ids.
import { GantryError } from "../sys/errors.js";

export interface ReplyMemoryLimits {
  readonly replies: number;
  /** Bytes of remembered replies. */
  readonly bytes: number;
}

interface Remembered {
  /** What the command was: the same id for something else is refused. */
  readonly fingerprint: string;
  readonly reply: Promise<Uint8Array>;
  bytes: number;
}

export class ReplyMemory {
  readonly #limits: ReplyMemoryLimits;
  /** In order of arrival. */
  readonly #replies = new Map<string, Remembered>();
  #bytes = 0;

  constructor(limits: ReplyMemoryLimits = { replies: 4096, bytes: 4 << 20 }) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#replies.size;
  }

  /** Runs once per key, and gives who comes again the reply of the first, also while it runs. Throws MESSAGE_ID_REUSED. */
  async once(key: string, fingerprint: string, run: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const known = this.#replies.get(key);
    if (known !== undefined) {
      if (known.fingerprint === fingerprint) return known.reply;
      throw new GantryError("MESSAGE_ID_REUSED", "The message id was used for another command; choose a new one.");
    }
    const entry: Remembered = { fingerprint, reply: run(), bytes: 0 };
    this.#replies.set(key, entry);
    try {
      const reply = await entry.reply;
      entry.bytes = reply.length;
      this.#bytes += reply.length;
      this.#forget();
      return reply;
    } catch (error) {
      this.#replies.delete(key);
      throw error;
    }
  }

  #forget(): void {
    for (const [key, entry] of this.#replies) {
      if (this.#replies.size <= this.#limits.replies && this.#bytes <= this.#limits.bytes) return;
      // What still runs has no bytes and stays: forgetting it would let it run twice at once.
      if (entry.bytes === 0) continue;
      this.#replies.delete(key);
      this.#bytes -= entry.bytes;
    }
  }
}
