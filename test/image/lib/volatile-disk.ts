// A disk with a volatile write cache, as cheap flash has one: what was written but not flushed may be lost when the power
// goes, all of it, none of it, or any sectors in between and in any order. QEMU reaches it as a network block device
// (NBD protocol, doc/proto.md: "fixed newstyle negotiation", simple replies).
import { type FileHandle, open } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Lot } from "../../kill/random.js";
import { ByteQueue } from "./byte-queue.js";

const SECTOR_BYTES = 512;

const MAGIC = Buffer.from("NBDMAGIC");
const OPTION_MAGIC = Buffer.from("IHAVEOPT");
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const FIXED_NEWSTYLE = 1;
const NO_ZEROES = 2;
const OPTION = { abort: 2, go: 7 } as const;
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const INFO_EXPORT = 0;
const HAS_FLAGS = 1;
const SEND_FLUSH = 4;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
const EINVAL = 22;

interface Write {
  readonly offset: number;
  readonly data: Buffer;
}

/** How many of the sectors in the cache were lost when the power went. */
export interface Lost {
  readonly sectors: number;
  readonly of: number;
}

export class VolatileDisk {
  readonly #file: FileHandle;
  readonly #bytes: number;
  readonly #server: Server;
  /** Written, in this order, and not flushed. */
  #cache: Write[] = [];
  #client: Promise<void> = Promise.resolve();
  #socket: Socket | undefined;

  private constructor(file: FileHandle, bytes: number) {
    this.#file = file;
    this.#bytes = bytes;
    this.#server = createServer((socket) => {
      this.#socket = socket;
      this.#client = this.#serve(socket).catch(() => {
        // The client was killed in the middle of something. What it was not answered was never promised.
      });
    });
  }

  /** Serves an image, to one client at a time. */
  static async start(image: string, socket: string): Promise<VolatileDisk> {
    const file = await open(image, "r+");
    const disk = new VolatileDisk(file, (await file.stat()).size);
    await new Promise<void>((resolve, reject) => disk.#server.on("error", reject).listen(socket, resolve));
    return disk;
  }

  /** How much was written and not flushed. */
  get cachedBytes(): number {
    return this.#cache.reduce((sum, { data }) => sum + data.length, 0);
  }

  /**
   * The power goes, after the machine that used the disk was killed. Each cached sector is kept or lost by lot, with odds
   * that are drawn anew each time: from nothing to everything.
   */
  async cut(lot: Lot): Promise<Lost> {
    await this.#client;
    const keep = lot.next() * 1.2 - 0.1;
    let [lost, of] = [0, 0];
    for (const { offset, data } of this.#cache) {
      for (let at = 0; at < data.length; at += SECTOR_BYTES) {
        of++;
        if (lot.next() < keep) await this.#file.write(data, at, SECTOR_BYTES, offset + at);
        else lost++;
      }
    }
    this.#cache = [];
    return { sectors: lost, of };
  }

  /** Ends the disk; what is in its cache is written, as when a machine is shut down. */
  async stop(): Promise<void> {
    this.#socket?.destroy();
    await this.#client;
    await this.#flush();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#file.close();
  }

  async #serve(socket: Socket): Promise<void> {
    const input = new ByteQueue(socket);
    // A client that is killed is no error: reading ends.
    socket.on("error", () => {});
    try {
      if (await this.#negotiate(socket, input)) while (await this.#command(socket, input));
    } finally {
      socket.destroy();
    }
  }

  async #negotiate(socket: Socket, input: ByteQueue): Promise<boolean> {
    const flags = Buffer.alloc(2);
    flags.writeUInt16BE(FIXED_NEWSTYLE | NO_ZEROES);
    socket.write(Buffer.concat([MAGIC, OPTION_MAGIC, flags]));
    await input.take(4);
    for (;;) {
      const header = await input.take(16);
      if (!header.subarray(0, 8).equals(OPTION_MAGIC)) return false;
      const option = header.readUInt32BE(8);
      await input.take(header.readUInt32BE(12));
      if (option === OPTION.go) {
        const info = Buffer.alloc(12);
        info.writeUInt16BE(INFO_EXPORT, 0);
        info.writeBigUInt64BE(BigInt(this.#bytes), 2);
        info.writeUInt16BE(HAS_FLAGS | SEND_FLUSH, 10);
        socket.write(Buffer.concat([optionReply(option, REPLY.info, info), optionReply(option, REPLY.ack)]));
        return true;
      }
      socket.write(optionReply(option, option === OPTION.abort ? REPLY.ack : REPLY.unsupported));
      if (option === OPTION.abort) return false;
    }
  }

  /** Commands are carried out one after the other: a flush then covers all that were answered before it. */
  async #command(socket: Socket, input: ByteQueue): Promise<boolean> {
    const header = await input.take(28);
    if (header.readUInt32BE(0) !== REQUEST_MAGIC) return false;
    const command = header.readUInt16BE(6);
    const offset = Number(header.readBigUInt64BE(16));
    const length = header.readUInt32BE(24);
    const data = command === COMMAND.write ? await input.take(length) : undefined;
    const inside =
      offset <= this.#bytes &&
      length <= this.#bytes - offset &&
      offset % SECTOR_BYTES === 0 &&
      length % SECTOR_BYTES === 0;
    let [answer, error]: [Buffer, number] = [Buffer.alloc(0), 0];
    if (command === COMMAND.disconnect) return false;
    if (command === COMMAND.flush) await this.#flush();
    else if (!inside) error = EINVAL;
    else if (command === COMMAND.read) answer = await this.#read(offset, length);
    else if (data !== undefined) this.#cache.push({ offset, data });
    else error = EINVAL;
    const reply = Buffer.alloc(16);
    reply.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
    reply.writeUInt32BE(error, 4);
    header.copy(reply, 8, 8, 16);
    socket.write(reply);
    if (answer.length > 0) socket.write(answer);
    return true;
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const answer = Buffer.alloc(length);
    await this.#file.read(answer, 0, length, offset);
    for (const write of this.#cache) {
      const from = Math.max(offset, write.offset);
      const to = Math.min(offset + length, write.offset + write.data.length);
      if (from < to) write.data.copy(answer, from - offset, from - write.offset, to - write.offset);
    }
    return answer;
  }

  async #flush(): Promise<void> {
    const writes = this.#cache;
    for (const { offset, data } of writes) await this.#file.write(data, 0, data.length, offset);
    this.#cache = [];
  }
}

function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(20);
  header.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}
