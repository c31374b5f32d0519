// The two sides of a step as lists of parts: pieces cut out of them, and parts put together that follow on each other.
import type { GatherPart, ScatterPart } from "./steps.js";

/** Bytes of a logical block, by the name of the disk. */
export type BlockSizes = ReadonlyMap<string, bigint>;

type Extent = { readonly device: string; readonly lba: bigint; readonly skip: number };

export const sizeOf = (part: GatherPart | ScatterPart): bigint =>
  part.op === "inline" ? BigInt(part.data.length) : part.bytes;

export const totalOf = (parts: readonly (GatherPart | ScatterPart)[]): bigint =>
  parts.reduce((sum, part) => sum + sizeOf(part), 0n);

/** A disk's block size; 1 for none that is known. */
export const blockOf = (blocks: BlockSizes, device: string): bigint => blocks.get(device) ?? 1n;

/** Byte address of an extent on its disk. */
export const addressOf = (extent: Extent, blocks: BlockSizes): bigint =>
  extent.lba * blockOf(blocks, extent.device) + BigInt(extent.skip);

/** Where the byte at this address is. */
export function placeOf(device: string, address: bigint, blocks: BlockSizes): Extent {
  const block = blockOf(blocks, device);
  return { device, lba: address / block, skip: Number(address % block) };
}

/** First block that an extent touches, and the one behind the last. */
export function blocksOf(
  extent: Extent & { readonly bytes: bigint },
  blocks: BlockSizes,
): { first: bigint; end: bigint } {
  const block = blockOf(blocks, extent.device);
  return { first: extent.lba, end: (addressOf(extent, blocks) + extent.bytes + block - 1n) / block };
}

function cutOne<P extends GatherPart | ScatterPart>(part: P, from: bigint, to: bigint, blocks: BlockSizes): P {
  const bytes = to - from;
  switch (part.op) {
    case "inline":
      return { ...part, data: part.data.subarray(Number(from), Number(to)) };
    case "extent":
      return { ...part, ...placeOf(part.device, addressOf(part, blocks) + from, blocks), bytes };
    case "carried":
      return { ...part, skip: part.skip + from, bytes };
    default:
      return { ...part, bytes };
  }
}

/** Bytes [from, to) of what the parts describe. */
export function cut<P extends GatherPart | ScatterPart>(
  parts: readonly P[],
  from: bigint,
  to: bigint,
  blocks: BlockSizes,
): P[] {
  const found: P[] = [];
  let at = 0n;
  for (const part of parts) {
    const end = at + sizeOf(part);
    const [first, last] = [from > at ? from : at, to < end ? to : end];
    if (first < last) found.push(cutOne(part, first - at, last - at, blocks));
    at = end;
  }
  return found;
}

/** Puts a part behind the others; where it goes on with the last one they become one. */
export function push<P extends GatherPart | ScatterPart>(parts: P[], part: P, blocks: BlockSizes): void {
  if (sizeOf(part) === 0n) return;
  const last = parts.at(-1);
  if (last === undefined || !goesOn(last, part, blocks)) parts.push(part);
  else parts[parts.length - 1] = { ...last, bytes: sizeOf(last) + sizeOf(part) };
}

/** Does the second part begin where the first one ends? */
export function goesOn(last: GatherPart | ScatterPart, part: GatherPart | ScatterPart, blocks: BlockSizes): boolean {
  if (heldOf(last) !== heldOf(part)) return false;
  switch (part.op) {
    case "extent":
      return (
        last.op === "extent" &&
        last.device === part.device &&
        addressOf(last, blocks) + last.bytes === addressOf(part, blocks)
      );
    case "tape":
      return last.op === "tape" && last.device === part.device;
    case "carried":
      return last.op === "carried" && last.skip + last.bytes === part.skip;
    case "zeros":
    case "discard":
      return last.op === part.op;
    default:
      return false;
  }
}

const heldOf = (part: GatherPart | ScatterPart): boolean => "held" in part && part.held;
