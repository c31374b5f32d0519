// Recorded commands as a pcap file that Wireshark and tshark decode as they are: for each command an iSCSI SCSI Command
// PDU, for each answer a SCSI Response PDU (RFC 7143 11.3, 11.4), in TCP segments of raw IPv4 packets. Only CDB, status,
// residual and sense data are real. Addresses (192.0.2.0/24, RFC 5737), ports and sequence numbers are made up, one
// connection for each nexus and for what the bridge itself sent to each device; there is no data, so that READ has no Data-In.
import type { TraceLine } from "./trace-lines.js";

/** Nanosecond variant of the pcap format; LINKTYPE_RAW: packets begin with the IP header. */
const MAGIC = 0xa1b23c4d;
const LINKTYPE_RAW = 101;
const SNAP = 65_535;
const ISCSI_PORT = 3260;
const TARGET = Buffer.from([192, 0, 2, 1]);
const FIRST_PORT = 49_152;
const BHS = 48;
const CDB_IN_BHS = 16;

interface Packet {
  /** Nanoseconds since 1970. */
  readonly atNs: bigint;
  readonly flow: number | string;
  readonly toTarget: boolean;
  readonly pdu: Buffer;
}

interface Flow {
  readonly address: Buffer;
  readonly port: number;
  /** Next bytes of either direction, and of the commands' and answers' own counts. */
  sent: number;
  answered: number;
  cmdSn: number;
  statSn: number;
}

export function pcapOf(lines: readonly TraceLine[]): Buffer {
  const packets = lines.flatMap(packetsOf).sort((a, b) => (a.atNs < b.atNs ? -1 : a.atNs > b.atNs ? 1 : 0));
  const flows = new Map<number | string, Flow>();
  const head = Buffer.alloc(24);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(SNAP, 16);
  head.writeUInt32LE(LINKTYPE_RAW, 20);
  return Buffer.concat([head, ...packets.flatMap((packet) => framed(packet, flowOf(flows, packet.flow)))]);
}

function flowOf(flows: Map<number | string, Flow>, whose: number | string): Flow {
  const known = flows.get(whose);
  if (known !== undefined) return known;
  const index = flows.size;
  const address = Buffer.from([192, 0, 2, 2 + (index % 250)]);
  const flow = { address, port: FIRST_PORT + (index % 16_000), sent: 1, answered: 1, cmdSn: 1, statSn: 1 };
  flows.set(whose, flow);
  return flow;
}

function packetsOf(line: TraceLine): Packet[] {
  // A tag of its own for each command; its end is after its beginning also where both are the same microsecond.
  const beganNs = BigInt(Math.round(line.beganMs * 1000)) * 1000n;
  const endedNs = beganNs + BigInt(line.tookUs) * 1000n + 1n;
  const flow = line.nexus ?? line.device;
  const command: Packet = { atNs: beganNs, flow, toTarget: true, pdu: commandPdu(line) };
  // Nobody was answered whose command was aborted by himself.
  if (line.outcome === "aborted") return [command];
  return [command, { atNs: endedNs, flow, toTarget: false, pdu: responsePdu(line) }];
}

/** RFC 7143 11.3; a CDB of more than 16 bytes goes on in an additional header segment (11.2.2.3). */
function commandPdu({ serial, lun = 0, cdb, direction, dataBytes }: TraceLine): Buffer {
  const bytes = Buffer.from(cdb, "hex");
  const rest = bytes.subarray(CDB_IN_BHS);
  const ahs = Buffer.alloc(rest.length === 0 ? 0 : 4 + padded(rest.length));
  if (rest.length > 0) {
    ahs.writeUInt16BE(rest.length + 1, 0);
    ahs[2] = 1;
    rest.copy(ahs, 4);
  }
  const pdu = Buffer.alloc(BHS);
  pdu[0] = 0x01;
  // Final, and which way data goes; a simple task.
  pdu[1] = 0x80 | (direction === "in" ? 0x40 : direction === "out" ? 0x20 : 0) | 1;
  pdu[4] = ahs.length / 4;
  putLun(pdu, lun);
  pdu.writeUInt32BE(serial >>> 0, 16);
  pdu.writeUInt32BE(dataBytes, 20);
  bytes.copy(pdu, 32, 0, CDB_IN_BHS);
  return Buffer.concat([pdu, ahs]);
}

/** RFC 7143 11.4; the sense data have their length in front of them (11.4.7). */
function responsePdu({ serial, status, sense, residual }: TraceLine): Buffer {
  const bytes = Buffer.from(sense, "hex");
  const length = bytes.length === 0 ? 0 : 2 + bytes.length;
  const pdu = Buffer.alloc(BHS + padded(length));
  pdu[0] = 0x21;
  pdu[1] = 0x80 | (residual > 0 ? 0x02 : residual < 0 ? 0x04 : 0);
  pdu[3] = status;
  pdu.writeUIntBE(length, 5, 3);
  pdu.writeUInt32BE(serial >>> 0, 16);
  pdu.writeUInt32BE(Math.abs(residual), 44);
  if (length > 0) {
    pdu.writeUInt16BE(bytes.length, BHS);
    bytes.copy(pdu, BHS + 2);
  }
  return pdu;
}

/** SAM-5 4.7.7.2 and 4.7.7.3: peripheral device addressing, and flat space above 255. */
function putLun(pdu: Buffer, lun: number): void {
  pdu.writeUInt16BE(lun < 256 ? lun : 0x4000 | (lun & 0x3fff), 8);
}

const padded = (length: number): number => (length + 3) & ~3;

/** Record header, IPv4 and TCP around one PDU, with counts as if nothing else had been said on the connection. */
function framed({ atNs, toTarget, pdu }: Packet, flow: Flow): Buffer[] {
  if (toTarget) {
    pdu.writeUInt32BE(flow.cmdSn++, 24);
    pdu.writeUInt32BE(flow.statSn, 28);
  } else {
    pdu.writeUInt32BE(flow.statSn++, 24);
    pdu.writeUInt32BE(flow.cmdSn, 28);
    pdu.writeUInt32BE(flow.cmdSn + 127, 32);
  }
  const packet = Buffer.concat([Buffer.alloc(40), pdu]);
  const [from, to] = toTarget ? [flow.address, TARGET] : [TARGET, flow.address];
  ipHeader(packet, from, to);
  tcpHeader(packet, toTarget, flow);
  if (toTarget) flow.sent = (flow.sent + pdu.length) >>> 0;
  else flow.answered = (flow.answered + pdu.length) >>> 0;
  const head = Buffer.alloc(16);
  head.writeUInt32LE(Number(atNs / 1_000_000_000n), 0);
  head.writeUInt32LE(Number(atNs % 1_000_000_000n), 4);
  head.writeUInt32LE(packet.length, 8);
  head.writeUInt32LE(packet.length, 12);
  return [head, packet];
}

/** RFC 791 3.1. */
function ipHeader(packet: Buffer, from: Buffer, to: Buffer): void {
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(0x4000, 6); // not to be fragmented
  packet[8] = 64;
  packet[9] = 6;
  from.copy(packet, 12);
  to.copy(packet, 16);
  packet.writeUInt16BE(internetSum(packet.subarray(0, 20)), 10);
}

/** RFC 9293 3.1, with the pseudo-header in the sum. */
function tcpHeader(packet: Buffer, toTarget: boolean, { port, sent, answered }: Flow): void {
  const tcp = packet.subarray(20);
  tcp.writeUInt16BE(toTarget ? port : ISCSI_PORT, 0);
  tcp.writeUInt16BE(toTarget ? ISCSI_PORT : port, 2);
  tcp.writeUInt32BE(toTarget ? sent : answered, 4);
  tcp.writeUInt32BE(toTarget ? answered : sent, 8);
  tcp[12] = 0x50;
  tcp[13] = 0x18; // PSH, ACK
  tcp.writeUInt16BE(0xffff, 14);
  const pseudo = Buffer.alloc(12);
  packet.copy(pseudo, 0, 12, 20);
  pseudo[9] = 6;
  pseudo.writeUInt16BE(tcp.length, 10);
  tcp.writeUInt16BE(internetSum(Buffer.concat([pseudo, tcp])), 16);
}

/** RFC 1071. */
function internetSum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
