// A block list against the device, before the first block moves: every extent inside the device, rising within
// its member, and (unless allowed) no block named twice.
import type { ListChunk, ListHeader, VolumeIdentity } from "../list.js";
import { GantryError } from "../sys/errors.js";
import { halvesOf, numberAt } from "../wire/uint64.js";

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
 * Throws LIST_EXTENT_INVALID, naming the extent and what is wrong with it. Reads the whole list once; a second time, with
 * 16 bytes for each extent while it runs, when overlap is to be refused and the extents do not rise on the device.
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
  const rising = await checkInside(header, read, device);
  // Extents that lie one behind the other on the device, as those of an image do, share nothing.
  if (overlap === "refuse" && !rising) await refuseOverlap(header, read);
}

/** Every extent is on the device. Resolves with whether each lies behind the one before it. */
async function checkInside(
  header: ListHeader,
  read: (index: number) => Promise<ListChunk>,
  device: DeviceShape,
): Promise<boolean> {
  const capacity = Number(device.blocks < EXACT ? device.blocks : EXACT);
  let number = 0;
  let end = 0;
  let rising = true;
  for (let chunk = 0; chunk < header.chunks; chunk++) {
    const { extents } = await read(chunk);
    const lbas = halvesOf(extents.lba);
    for (let index = 0; index < extents.blocks.length; index++, number++) {
      // An LBA that is rounded here is one past any capacity.
      const lba = numberAt(lbas, index);
      const blocks = extents.blocks[index] ?? 0;
      if (lba > capacity || blocks > capacity - lba) {
        throw invalid(
          header,
          `extent ${number} (LBA ${extents.lba[index]}, ${blocks} blocks) lies outside ${device.name}, which has ${device.blocks} blocks`,
        );
      }
      rising &&= lba >= end;
      end = lba + blocks;
    }
  }
  return rising;
}

/** Intervals are disjoint exactly if, each sorted by itself, no start lies before the end one place earlier. */
async function refuseOverlap(header: ListHeader, read: (index: number) => Promise<ListChunk>): Promise<void> {
  const starts = new Float64Array(Number(header.extents));
  const ends = new Float64Array(starts.length);
  let number = 0;
  for (let chunk = 0; chunk < header.chunks; chunk++) {
    const { extents } = await read(chunk);
    const lbas = halvesOf(extents.lba);
    for (let index = 0; index < extents.blocks.length; index++, number++) {
      const lba = numberAt(lbas, index);
      starts[number] = lba;
      ends[number] = lba + (extents.blocks[index] ?? 0);
    }
  }
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
