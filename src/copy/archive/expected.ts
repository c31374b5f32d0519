// The bytes of an archive that no checksum covers and that follow from its manifest: the leads of further cartridges,
// and everything behind the list of block checksums. They are made again and held against what the tape has.
import type { CrcTable } from "../crc-table.js";
import { type ContinuationOptions, continuationLead } from "./continuation.js";
import { END_BYTES } from "./manifest-format.js";
import type { ManifestSource } from "./manifest-walk.js";
import { type OwnLayout, openMembers } from "./regions.js";
import { padding } from "./ustar.js";
import type { ArchiveVolume } from "./volumes.js";

/** CRC32C of bytes, to go on from a seed. */
export type Crc32c = (data: Uint8Array, seed?: number) => number;

/** Checksums of list entries that become bytes at once. */
const CRCS_AT_ONCE = 65536;

/** CRC32C of each tape block of the lead of every cartridge but the first, by the cartridge's index. */
export async function expectedLeads(
  manifest: ManifestSource,
  own: OwnLayout,
  volumes: readonly ArchiveVolume[],
  facts: Pick<ContinuationOptions, "archiveId" | "tapeBlockBytes" | "createdMs">,
  crc32c: Crc32c,
): Promise<readonly (readonly number[])[]> {
  const further = volumes.slice(1).map(({ from }) => from);
  const open = await openMembers(manifest, own, further);
  const leads = further.map((from): number[] => {
    const lead = continuationLead({ ...facts, from, open: open.get(from) });
    const crcs: number[] = [];
    for (let at = 0; at < lead.length; at += facts.tapeBlockBytes)
      crcs.push(crc32c(lead.subarray(at, at + facts.tapeBlockBytes)));
    return crcs;
  });
  return [[], ...leads];
}

/** CRC32C of every tape block from the first one of the block list's checksums to the end of the archive.
 * @param list the checksums, as they should be */
export async function expectedTail(
  manifest: ManifestSource,
  own: OwnLayout,
  list: CrcTable,
  tapeBlockBytes: number,
  crc32c: Crc32c,
): Promise<number[]> {
  const crcs: number[] = [];
  let [crc, filled] = [0, 0];
  for await (const piece of tailPieces(manifest, own, list)) {
    for (let at = 0; at < piece.length; ) {
      const take = Math.min(piece.length - at, tapeBlockBytes - filled);
      crc = crc32c(piece.subarray(at, at + take), crc);
      at += take;
      filled += take;
      if (filled < tapeBlockBytes) continue;
      crcs.push(crc);
      [crc, filled] = [0, 0];
    }
  }
  return crcs;
}

async function* tailPieces(
  manifest: ManifestSource,
  { blocks, manifest: place }: OwnLayout,
  list: CrcTable,
): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < blocks.count; at += CRCS_AT_ONCE)
    yield listBytes(list, at, Math.min(CRCS_AT_ONCE, blocks.count - at));
  yield Buffer.alloc(Number(padding(blocks.size)));
  yield place.header;
  yield* manifest();
  yield Buffer.alloc(END_BYTES);
}

/** Checksums of `count` blocks as the list has them. */
export function listBytes(list: CrcTable, first: number, count: number): Uint8Array {
  const crcs = list.slice(first, count);
  const bytes = new Uint8Array(4 * count);
  const view = new DataView(bytes.buffer);
  crcs.forEach((crc, index) => {
    view.setUint32(4 * index, crc, true);
  });
  return bytes;
}

/** CRC32C of the list of these checksums, as the manifest has it. */
export function listCrc(list: CrcTable, count: number, crc32c: Crc32c): number {
  let crc = 0;
  for (let at = 0; at < count; at += CRCS_AT_ONCE)
    crc = crc32c(listBytes(list, at, Math.min(CRCS_AT_ONCE, count - at)), crc);
  return crc;
}
