// An initiator made by hand from RFC 7143, for tests of the login: headers by offset, text as bytes, CHAP by
// node:crypto. It shares no code with what it tests.
import { createHash } from "node:crypto";

export interface RequestFields {
  readonly opcode?: number;
  readonly immediate?: boolean;
  readonly transit?: boolean;
  readonly continued?: boolean;
  readonly stage?: number;
  readonly nextStage?: number;
  readonly versionMax?: number;
  readonly versionMin?: number;
  readonly additionalHeader?: number;
  readonly isid?: string;
  readonly tsih?: number;
  readonly taskTag?: number;
  readonly cid?: number;
  readonly cmdSn?: number;
  readonly expStatSn?: number;
}

export function loginRequest(fields: RequestFields): Buffer {
  const header = Buffer.alloc(48);
  header[0] = (fields.opcode ?? 0x03) | (fields.immediate === false ? 0 : 0x40);
  header[1] =
    (fields.transit === true ? 0x80 : 0) |
    (fields.continued === true ? 0x40 : 0) |
    ((fields.stage ?? 0) << 2) |
    (fields.nextStage ?? 0);
  header[2] = fields.versionMax ?? 0;
  header[3] = fields.versionMin ?? 0;
  header[4] = fields.additionalHeader ?? 0;
  header.write(fields.isid ?? "400001370000", 8, "hex");
  header.writeUInt16BE(fields.tsih ?? 0, 14);
  header.writeUInt32BE(fields.taskTag ?? 0x11223344, 16);
  header.writeUInt16BE(fields.cid ?? 1, 20);
  header.writeUInt32BE(fields.cmdSn ?? 7, 24);
  header.writeUInt32BE(fields.expStatSn ?? 0, 28);
  return header;
}

export interface TextFields {
  readonly final?: boolean;
  readonly continued?: boolean;
  readonly taskTag?: number;
  readonly transferTag?: number;
}

export function textRequest(fields: TextFields): Buffer {
  const header = Buffer.alloc(48);
  header[0] = 0x04;
  header[1] = (fields.final === false ? 0 : 0x80) | (fields.continued === true ? 0x40 : 0);
  header.writeUInt32BE(fields.taskTag ?? 5, 16);
  header.writeUInt32BE(fields.transferTag ?? 0xffffffff, 20);
  return header;
}

/** "A=1", "B=2" as the data segment has them. */
export const text = (...pairs: readonly string[]): Buffer => Buffer.from(pairs.map((pair) => `${pair}\0`).join(""));

/** The pairs of an answer. */
export const pairsOf = (data: Uint8Array): readonly string[] =>
  Buffer.from(data).toString("utf8").split("\0").slice(0, -1);

/** What came back, by offset. */
export function response(header: Uint8Array) {
  const bytes = Buffer.from(header);
  const flags = bytes.readUInt8(1);
  return {
    opcode: bytes.readUInt8(0),
    transit: (flags & 0x80) !== 0,
    continued: (flags & 0x40) !== 0,
    stage: (flags >> 2) & 3,
    nextStage: flags & 3,
    isid: bytes.subarray(8, 14).toString("hex"),
    tsih: bytes.readUInt16BE(14),
    taskTag: bytes.readUInt32BE(16),
    transferTag: bytes.readUInt32BE(20),
    statSn: bytes.readUInt32BE(24),
    expCmdSn: bytes.readUInt32BE(28),
    maxCmdSn: bytes.readUInt32BE(32),
    status: bytes.readUInt16BE(36),
  };
}

/** RFC 1994: the response to a challenge, in hexadecimal as iSCSI sends it. */
export function chapResponse(id: number, secret: string, challenge: Buffer, hash = "md5"): string {
  const digest = createHash(hash).update(Buffer.concat([Buffer.of(id), Buffer.from(secret), challenge]));
  return `0x${digest.digest("hex")}`;
}

/** CHAP_I and CHAP_C of an answer. */
export function challengeIn(pairs: readonly string[]): { readonly id: number; readonly challenge: Buffer } {
  const value = (key: string): string => pairs.find((pair) => pair.startsWith(`${key}=`))?.slice(key.length + 1) ?? "";
  return { id: Number(value("CHAP_I")), challenge: Buffer.from(value("CHAP_C").slice(2), "hex") };
}
