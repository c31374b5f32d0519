// Sense data for what the supervisor answers itself (SPC-4 4.5.3, fixed format, current).

const LENGTH = 18;

export function fixedSense(key: number, asc: number, ascq: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  bytes[0] = 0x70;
  bytes[2] = key & 0x0f;
  bytes[7] = LENGTH - 8;
  bytes[12] = asc;
  bytes[13] = ascq;
  return bytes;
}
