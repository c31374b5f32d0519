// A connection to an iSCSI portal at the level of PDUs, for tests: sends what it is told, right or wrong.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { pairsOf, response } from "./iscsi-initiator.js";

export interface Received {
  readonly header: Buffer;
  readonly answer: ReturnType<typeof response>;
  readonly data: Buffer;
  readonly pairs: readonly string[];
}

export class Wire {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    const end = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("data", (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("end", end).on("close", end).on("error", end);
  }

  static async open(port: number): Promise<Wire> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new Wire(socket);
  }

  /** One PDU: DataSegmentLength is filled in unless it is told to lie. */
  send(header: Buffer, data: Buffer = Buffer.alloc(0), claimedLength = data.length): void {
    header.writeUIntBE(claimedLength, 5, 3);
    this.#socket.write(Buffer.concat([header, data, Buffer.alloc((4 - (data.length % 4)) % 4)]));
  }

  /** Bytes as they are. */
  raw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** The next PDU; undefined: the other side closed. */
  async receive(): Promise<Received | undefined> {
    for (;;) {
      const length = this.#bytes.length < 48 ? Number.POSITIVE_INFINITY : 48 + this.#bytes.readUIntBE(5, 3);
      const padded = Math.ceil(length / 4) * 4;
      if (this.#bytes.length >= padded) {
        const header = Buffer.from(this.#bytes.subarray(0, 48));
        const data = Buffer.from(this.#bytes.subarray(48, length));
        this.#bytes = this.#bytes.subarray(padded);
        return { header, answer: response(header), data, pairs: pairsOf(data) };
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async ask(header: Buffer, data: Buffer): Promise<Received | undefined> {
    this.send(header, data);
    return this.receive();
  }

  close(): void {
    this.#socket.destroy();
  }
}
