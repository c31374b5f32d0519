// CRC32C (RFC 3720 B.4: polynomial 1EDC6F41h, reflected) of the few bytes that the supervisor itself writes to or
// reads from an archive: the manifest. Payload is digested by the data plane.

const TABLE = makeTable();

function makeTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[byte] = crc;
  }
  return table;
}

/** CRC32C of `data`, an unsigned 32-bit number. `seed`: the CRC of what went before, to go on with it. */
export function crc32c(data: Uint8Array, seed = 0): number {
  let crc = ~seed;
  for (let i = 0; i < data.length; i++) crc = (TABLE[(crc ^ (data[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Eight lower-case hexadecimal digits, as the manifest has them. */
export function crcHex(crc: number): string {
  return (crc >>> 0).toString(16).padStart(8, "0");
}
