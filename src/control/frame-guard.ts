// Follows the MQTT control packets in the bytes that come in and says when one is longer than allowed, from its
// fixed header (MQTT 3.1.1 and 5.0, 2.2) and before its body is collected. A 3.1.1 server knows no Maximum Packet
// Size, and the parser would otherwise gather up to 256 MiB.

export class FrameGuard {
  readonly #maxBytes: number;
  /** Body bytes of the current packet that are still to come. */
  #left = 0;
  /** Remaining Length so far and how many of its bytes came; -1: the next byte is a packet type. */
  #length = 0;
  #digits = -1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes the next bytes; false: a packet is longer than maxBytes, or its length is malformed. */
  accept(bytes: Uint8Array): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, bytes.length - at);
        this.#left -= step;
        at += step;
      } else if (this.#digits < 0) {
        this.#digits = 0;
        this.#length = 0;
        at += 1;
      } else if (!this.#digit(bytes[at++] ?? 0)) return false;
    }
    return true;
  }

  /** Variable Byte Integer (MQTT 5.0, 1.5.5): seven bits in each of at most four bytes. */
  #digit(byte: number): boolean {
    if (this.#digits === 4) return false;
    this.#length += (byte & 0x7f) * 128 ** this.#digits;
    this.#digits += 1;
    if (byte & 0x80) return true;
    this.#digits = -1;
    this.#left = this.#length;
    return this.#length <= this.#maxBytes;
  }
}
