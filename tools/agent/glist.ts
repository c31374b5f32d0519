// The file form of a block list, `.glist`:
//
//   byte 0     "GTLIST1\n"
//   byte 8     length of the header, uint32 big-endian
//   byte 12    header: CBOR map, the fields of ListHeader and `shared`; then zeros
//   byte 4064  SHA-256 of the bytes before it
//   byte 4096  chunks in order, each as uint32 big-endian length and encodeChunk() bytes; nothing after the last
//
// It is written under another name and renamed when it is whole, so a file with the right name is whole.
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { decode, encode } from "../../src/control/codec.js";
import { flag, read } from "../../src/control/fields.js";
import { CHUNK_BYTES_MAX, decodeChunk, encodeChunk, listDigest } from "../../src/control/list-chunk.js";
import { listHeaderSchema } from "../../src/control/messages/commands.js";
import type { ListChunk, ListHeader } from "../../src/list.js";
import { GantryError, messageOf } from "../../src/sys/errors.js";
import type { ListSource } from "./list-source.js";
import { readExactly, writeAll } from "./positioned-io.js";

const MAGIC = Buffer.from("GTLIST1\n");
const CHUNKS_AT = 4096n;
const DIGEST_AT = 4064;

export interface GlistHeader extends ListHeader {
  /** Some extents are shared by several files: the job needs overlap = "allow". */
  readonly shared: boolean;
}

/** Takes all chunks of the source into a file. Returns its header. Throws what the source throws, AGENT_LIST_FILE. */
export async function writeGlist(path: string, listId: string, source: ListSource): Promise<GlistHeader> {
  const part = `${path}.part`;
  try {
    const file = await open(part, "w");
    let header: GlistHeader;
    try {
      header = await fill(file, listId, source);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
    return header;
  } catch (cause) {
    await rm(part, { force: true });
    if (cause instanceof GantryError) throw cause;
    throw new GantryError("AGENT_LIST_FILE", `${path} cannot be written: ${messageOf(cause)}.`, { cause });
  }
}

async function fill(file: FileHandle, listId: string, source: ListSource): Promise<GlistHeader> {
  const digest = listDigest();
  let at = CHUNKS_AT;
  for await (const chunk of source.chunks) {
    const bytes = encodeChunk(chunk);
    digest.update(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    await writeAll(file, at, Buffer.concat([length, bytes]));
    at += BigInt(4 + bytes.length);
  }
  const { members, extents, bytes, chunks, shared } = source.totals;
  const { volume, blockBytes } = source;
  const header = {
    listId,
    volume,
    blockBytes,
    members,
    extents,
    bytes,
    chunks,
    digest: new Uint8Array(digest.digest()),
    shared,
  };
  const encoded = encode(header, DIGEST_AT - 12);
  const head = Buffer.alloc(Number(CHUNKS_AT));
  MAGIC.copy(head);
  head.writeUInt32BE(encoded.length, 8);
  head.set(encoded, 12);
  head.set(headDigest(head), DIGEST_AT);
  await writeAll(file, 0n, head);
  return header;
}

/** An open `.glist` file. Chunks may be walked through any number of times. */
export class Glist {
  private constructor(
    readonly path: string,
    readonly header: GlistHeader,
    readonly file: FileHandle,
  ) {}

  /** Throws AGENT_LIST_FILE when the file is missing or is no list. */
  static async open(path: string): Promise<Glist> {
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (cause) {
      throw new GantryError("AGENT_LIST_FILE", `${path} cannot be opened: ${messageOf(cause)}.`, { cause });
    }
    try {
      const head = await readExactly(file, 0n, Number(CHUNKS_AT));
      if (!head.subarray(0, 8).equals(MAGIC)) throw wrong(path, "it does not begin with GTLIST1");
      const length = head.readUInt32BE(8);
      if (!headDigest(head).equals(head.subarray(DIGEST_AT))) throw wrong(path, "its header is damaged");
      if (length > DIGEST_AT - 12) throw wrong(path, "its header is too long");
      const fields = decode(head.subarray(12, 12 + length));
      const { shared } = fields as { shared?: unknown };
      return new Glist(
        path,
        { ...(read("header", listHeaderSchema, fields) as ListHeader), shared: read("header", flag, shared) },
        file,
      );
    } catch (cause) {
      await file.close();
      throw cause instanceof GantryError && cause.code === "AGENT_LIST_FILE"
        ? cause
        : wrong(path, messageOf(cause), cause);
    }
  }

  /** The encoded chunks, as they go over the wire. Throws AGENT_LIST_FILE when the file is cut off. */
  async *encodedChunks(): AsyncGenerator<Uint8Array, void, undefined> {
    let at = CHUNKS_AT;
    for (let index = 0; index < this.header.chunks; index++) {
      const length = await this.#bytes(at, 4).then((bytes) => bytes.readUInt32BE(0));
      if (length > CHUNK_BYTES_MAX) throw wrong(this.path, `chunk ${index} is too long`);
      yield await this.#bytes(at + 4n, length);
      at += BigInt(4 + length);
    }
  }

  /** The decoded chunks; after the last the digest has been compared. Throws AGENT_LIST_FILE, LIST_INVALID. */
  async *chunks(): AsyncGenerator<ListChunk, void, undefined> {
    const digest = listDigest();
    let index = 0;
    for await (const bytes of this.encodedChunks()) {
      digest.update(bytes);
      yield decodeChunk(bytes, index++);
    }
    if (!digest.digest().equals(Buffer.from(this.header.digest))) throw wrong(this.path, "its digest does not match");
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  async #bytes(at: bigint, length: number): Promise<Buffer> {
    try {
      return await readExactly(this.file, at, length);
    } catch (cause) {
      throw wrong(this.path, "it is cut off", cause);
    }
  }
}

function headDigest(head: Buffer): Buffer {
  return listDigest().update(head.subarray(0, DIGEST_AT)).digest();
}

function wrong(path: string, what: string, cause?: unknown): GantryError {
  return new GantryError("AGENT_LIST_FILE", `${path} is no whole block list: ${what}.`, { cause });
}
