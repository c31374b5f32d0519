// The pcap file, read again by the standards' offsets.
import test from "ava";
import { cdbWords } from "../../../src/shell/cdb-words.js";
import { pcapOf } from "../../../src/shell/pcap.js";
import { type TraceLine, traceLineText } from "../../../src/shell/trace-lines.js";
import { fromHex } from "../../../src/wire/hex.js";

const line = (serial: number, more: Partial<TraceLine> = {}): TraceLine => ({
  serial,
  beganMs: 1_800_000_000_123.456,
  tookUs: 130,
  nexus: 7,
  initiator: "iqn.2024-01.x:a",
  peer: "10.0.0.1:4000",
  lun: 3,
  device: "disk0",
  command: "READ(10) LBA 16, 8 blocks",
  ended: "GOOD",
  direction: "in",
  dataBytes: 4096,
  residual: 0,
  outcome: "delivered",
  status: 0,
  cdb: "28000000001000000800",
  sense: "",
  ...more,
});

const SENSE = "70000300000010000a00000000110000000000";

interface Seen {
  readonly atNs: bigint;
  readonly ip: Buffer;
  readonly tcp: Buffer;
  readonly pdu: Buffer;
}

function packets(file: Buffer): Seen[] {
  const found: Seen[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    const packet = file.subarray(at + 16, at + 16 + length);
    const atNs = BigInt(file.readUInt32LE(at)) * 1_000_000_000n + BigInt(file.readUInt32LE(at + 4));
    found.push({ atNs, ip: packet.subarray(0, 20), tcp: packet.subarray(20, 40), pdu: packet.subarray(40) });
    at += 16 + length;
  }
  return found;
}

/** RFC 1071: the sum over what holds its own checksum is FFFFh. */
function sum(...parts: Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += ((bytes[at] ?? 0) << 8) + (bytes[at + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

test("the head says raw IP with nanoseconds; headers have right lengths and checksums", (t) => {
  const file = pcapOf([line(1), line(2, { sense: SENSE, status: 2 })]);
  t.is(file.readUInt32LE(0), 0xa1b23c4d);
  t.is(file.readUInt32LE(20), 101);
  const all = packets(file);
  t.is(all.length, 4);
  for (const { ip, tcp, pdu } of all) {
    t.is(ip[0], 0x45);
    t.is(ip.readUInt16BE(2), 40 + pdu.length);
    t.is(sum(ip), 0xffff);
    const length = Buffer.alloc(4);
    length[1] = 6;
    length.writeUInt16BE(20 + pdu.length, 2);
    t.is(sum(ip.subarray(12, 20), length, tcp, pdu), 0xffff);
  }
});

test("a command is a SCSI Command PDU to port 3260, its answer a SCSI Response PDU with status, residual and sense", (t) => {
  const [command, response] = packets(pcapOf([line(5, { status: 2, sense: SENSE, residual: 512 })]));
  t.is(command?.tcp.readUInt16BE(2), 3260);
  t.is(command?.pdu[0], 0x01);
  t.is(command?.pdu[1], 0xc1);
  t.is(command?.pdu.subarray(8, 16).toString("hex"), "0003000000000000");
  t.is(command?.pdu.readUInt32BE(16), 5);
  t.is(command?.pdu.readUInt32BE(20), 4096);
  t.is(command?.pdu.subarray(32, 42).toString("hex"), "28000000001000000800");
  t.is(command?.atNs, 1_800_000_000_123_456_000n);
  t.is(response?.tcp.readUInt16BE(0), 3260);
  t.is(response?.pdu[0], 0x21);
  t.is(response?.pdu[1], 0x82);
  t.is(response?.pdu[3], 2);
  t.is(response?.pdu.readUInt32BE(16), 5);
  t.is(response?.pdu.readUInt32BE(44), 512);
  t.is(response?.pdu.readUIntBE(5, 3), 2 + SENSE.length / 2);
  t.is(response?.pdu.readUInt16BE(48), SENSE.length / 2);
  t.is(response?.pdu.subarray(50, 50 + SENSE.length / 2).toString("hex"), SENSE);
  t.is((response?.pdu.length ?? 1) % 4, 0);
  t.is((response?.atNs ?? 0n) - (command?.atNs ?? 0n), 130_001n);
});

test("packets are in order of time; each nexus is a connection whose sequence numbers fit; an aborted one has no answer", (t) => {
  const all = packets(
    pcapOf([
      line(1, { tookUs: 5000 }),
      line(2, { beganMs: 1_800_000_000_124, nexus: 8 }),
      line(3, { beganMs: 1_800_000_000_130, outcome: "aborted" }),
    ]),
  );
  t.is(all.length, 5);
  t.true(all.every(({ atNs }, index) => index === 0 || atNs >= (all[index - 1]?.atNs ?? 0n)));
  const ports = new Set(all.map(({ tcp }) => Math.max(tcp.readUInt16BE(0), tcp.readUInt16BE(2))));
  t.is(ports.size, 2);
  const next = new Map<string, number>();
  for (const { ip, tcp, pdu } of all) {
    const key = `${ip.subarray(12, 20).toString("hex")}${tcp.subarray(0, 4).toString("hex")}`;
    t.is(tcp.readUInt32BE(4), next.get(key) ?? 1);
    next.set(key, tcp.readUInt32BE(4) + pdu.length);
  }
});

test("a CDB of 32 bytes goes on in an additional header segment", (t) => {
  const cdb = `7f${"11".repeat(31)}`;
  const [{ pdu } = { pdu: Buffer.alloc(0) }] = packets(pcapOf([line(1, { cdb })]));
  t.is(pdu[4], 5);
  t.is(pdu.length, 48 + 20);
  t.is(pdu.readUInt16BE(48), 17);
  t.is(pdu[50], 1);
  t.is(pdu.subarray(52, 68).toString("hex"), "11".repeat(16));
});

test("a command in words: its name on that device, where and how much", (t) => {
  const words = (cdb: string, type?: "disk" | "tape" | "changer") => cdbWords(fromHex(cdb), type);
  t.is(words("28000000001000000800", "disk"), "READ(10) LBA 16, 8 blocks");
  t.is(words("8800000000010000000000000004" + "0000", "disk"), "READ(16) LBA 4294967296, 4 blocks");
  t.is(words("0800010000 00".replace(" ", ""), "tape"), "READ(6) 65536 bytes");
  t.is(words("1101ffffff00", "tape"), "SPACE(6) -1 filemarks");
  t.is(words("12018300ff00", "disk"), "INQUIRY VPD page 83h");
  t.is(words("9e100000000000000000000000200000", "disk"), "READ CAPACITY(16)");
  t.is(words("83010000000000000000000000000000", "disk"), "EXTENDED COPY(LID4)");
  t.is(words("d00000000000", "disk"), "command D0h");
  t.is(words("2800", "disk"), "READ(10) (2800)");
});

test("a line for people has time to the microsecond, who, where, what, how it ended", (t) => {
  t.is(
    traceLineText(line(1, { residual: 4000 })),
    "08:00:00.123456 iqn.2024-01.x:a LUN 3 disk0: READ(10) LBA 16, 8 blocks; GOOD, 96 bytes in, 130 us",
  );
});
