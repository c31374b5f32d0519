// A block list against the device, before the first block moves: every extent inside the device, rising within
// its member, and (unless allowed) no block named twice.
import type { ListChunk, ListHeader, VolumeIdentity } from "../list.js";
import { GantryError } from "../sys/errors.js";

export interface DeviceShape {
  readonly name: string;
  readonly blockBytes: number;
  readonly blocks: bigint;
}

/** Block numbers up to here are exact as numbers; no device has as many. */
const EXACT = 1n << 53n;

/** Throws LIST_VOLUME_MISMATCH when the job and its list speak of different states of a volume. */
export function checkVolume(header: ListHeader, wanted: VolumeIdentity | undefined): void {
  if (wanted === undefined) return;
  const { volume } = header;
  if (volume.id === wanted.id && volume.generation === wanted.generation && volume.sequence === wanted.sequence) return;
  const words = ({ id, generation, sequence }: VolumeIdentity): string =>
    `${id} generation ${generation} sequence ${sequence}`;
  throw new GantryError(
    "LIST_VOLUME_MISMATCH",
    `List ${header.listId} is of volume ${words(volume)}, the job of ${words(wanted)}; make a new list.`,
  );
}

/**
 * Reads the whole list once. Throws LIST_EXTENT_INVALID, naming the extent and what is wrong with it.
 * Cost: 16 bytes for each extent while it runs, when overlap is to be refused.
 */
export async function checkExtents(
  header: ListHeader,
  read: (index: number) => Promise<ListChunk>,
  device: DeviceShape,
  overlap: "refuse" | "allow",
): Promise<void> {
  if (header.blockBytes !== device.blockBytes) {
    throw invalid(
      header,
      `counts blocks of ${header.blockBytes} bytes, but ${device.name} has blocks of ${device.blockBytes}`,
    );
  }
  const count = Number(header.extents);
  const starts = overlap === "refuse" ? new Float64Array(count) : undefined;
  const ends = overlap === "refuse" ? new Float64Array(count) : undefined;
  const capacity = Number(device.blocks < EXACT ? device.blocks : EXACT);
  let number = 0;
  let end = 0;
  // Extents that lie one behind the other on the device, as those of an image do, need no sorting.
  let rising = true;
  for (let chunk = 0; chunk < header.chunks; chunk++) {
    const { extents } = await read(chunk);
    for (let index = 0; index < extents.blocks.length; index++, number++) {
      // An LBA that is rounded here is one past any capacity.
      const lba = Number(extents.lba[index] ?? 0n);
      const blocks = extents.blocks[index] ?? 0;
      if (lba > capacity || blocks > capacity - lba) {
        throw invalid(
          header,
          `extent ${number} (LBA ${extents.lba[index]}, ${blocks} blocks) lies outside ${device.name}, which has ${device.blocks} blocks`,
        );
      }
      rising &&= lba >= end;
      end = lba + blocks;
      if (starts !== undefined) starts[number] = lba;
      if (ends !== undefined) ends[number] = end;
    }
  }
  if (!rising && starts !== undefined && ends !== undefined) refuseOverlap(header, starts, ends);
}

/** Intervals are disjoint exactly if, each sorted by itself, no start lies before the end one place earlier. */
function refuseOverlap(header: ListHeader, starts: Float64Array, ends: Float64Array): void {
  starts.sort();
  ends.sort();
  for (let index = 1; index < starts.length; index++) {
    const start = starts[index] ?? 0;
    if (start < (ends[index - 1] ?? 0)) {
      throw invalid(
        header,
        `two extents share block ${start}; allow overlap in the job if that is meant (shared extents of copied files)`,
      );
    }
  }
}

const invalid = (header: ListHeader, what: string): GantryError =>
  new GantryError("LIST_EXTENT_INVALID", `List ${header.listId}: ${what}.`, { details: { listId: header.listId } });
