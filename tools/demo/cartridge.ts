// Reads a cartridge file block by block, as a tape drive gives its blocks to `tar`: here in the part of the kernel's
// tape driver. It knows SIMH tape images (record length, data, record length; zero is a filemark) and nothing of
// archives.
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";

/** The data of all blocks up to the first filemark, as one stream. */
export function tapeData(path: string): Readable {
  return Readable.from(blocks(path));
}

async function* blocks(path: string): AsyncGenerator<Buffer, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (;;) {
      if (rest.length < 4) break;
      const length = rest.readUInt32LE(0) & 0x0fffffff;
      if (length === 0) return;
      // Data of odd length is padded to an even one.
      const whole = 4 + length + (length & 1) + 4;
      if (rest.length < whole) break;
      yield rest.subarray(4, 4 + length);
      rest = rest.subarray(whole);
    }
  }
}
