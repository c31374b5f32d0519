// Reads a stream by exact numbers of bytes.
import type { Socket } from "node:net";

export class ByteQueue {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** The next bytes, as a copy of their own. @throws Error when the stream ends before them */
  async take(length: number): Promise<Buffer> {
    const parts = [this.#rest];
    let have = this.#rest.length;
    while (have < length) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw new Error(`The stream ended ${length - have} bytes too early.`);
      parts.push(value);
      have += value.length;
    }
    const all = Buffer.concat(parts, have);
    this.#rest = all.subarray(length);
    return all.subarray(0, length);
  }
}
