// Which commands may be sent again over another path when nobody knows whether the first path carried them out: those that
// leave the device as it was or bring it to the same state twice. The data plane looks a bit up (csrc/transport/paths.h).
// Not among them: what moves a tape or writes on it, COMPARE AND WRITE, ORWRITE, reservations, and what tells something
// once only (REQUEST SENSE; LOG SENSE of tapes, whose TapeAlert flags are gone when they were read, SSC-4 8.2.3).
import type { DeviceConfig } from "../sys/config.js";

/** TEST UNIT READY, INQUIRY, MODE SENSE, PERSISTENT RESERVE IN, REPORT LUNS, MAINTENANCE IN. */
const EVERYWHERE = [0x00, 0x12, 0x1a, 0x5a, 0x5e, 0xa0, 0xa3] as const;
const OPCODES: Readonly<Record<DeviceConfig["type"], readonly number[]>> = {
  disk: [
    ...EVERYWHERE,
    ...[0x08, 0x28, 0x88, 0xa8], // READ
    ...[0x0a, 0x2a, 0x8a, 0xaa, 0x9c], // WRITE, WRITE ATOMIC
    ...[0x2e, 0x8e, 0xae, 0x2f, 0x8f, 0xaf], // WRITE AND VERIFY, VERIFY
    ...[0x34, 0x90, 0x35, 0x91], // PRE-FETCH, SYNCHRONIZE CACHE
    ...[0x41, 0x93, 0x42], // WRITE SAME, UNMAP
    ...[0x25, 0x9e, 0x37, 0xb7, 0x4d], // READ CAPACITY, GET LBA STATUS, READ DEFECT DATA, LOG SENSE
  ],
  // READ BLOCK LIMITS, READ POSITION, REPORT DENSITY SUPPORT, READ ATTRIBUTE.
  tape: [...EVERYWHERE, 0x05, 0x34, 0x44, 0x8c],
  // READ ATTRIBUTE, READ ELEMENT STATUS.
  changer: [...EVERYWHERE, 0x8c, 0xb8],
};

/** A bit for each operation code. */
export function repeatable(type: DeviceConfig["type"]): Uint8Array {
  const bits = new Uint8Array(32);
  for (const opcode of OPCODES[type]) bits[opcode >> 3] = (bits[opcode >> 3] ?? 0) | (1 << (opcode & 7));
  return bits;
}
