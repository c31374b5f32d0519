// Extents of a disk as a bounded set: coarser when it would grow too large, never smaller than what was put in.
import type { WrittenExtent } from "../plane.js";

const endOf = ({ lba, blocks }: WrittenExtent): bigint => lba + blocks;

/** Ascending and apart from each other; over `most` of them the smallest gaps are filled. */
export function mergeExtents(extents: readonly WrittenExtent[], most: number): readonly WrittenExtent[] {
  const merged: WrittenExtent[] = [];
  for (const extent of extents.toSorted((a, b) => (a.lba < b.lba ? -1 : a.lba > b.lba ? 1 : 0))) {
    if (extent.blocks === 0n) continue;
    const last = merged.at(-1);
    if (last === undefined || extent.lba > endOf(last)) merged.push(extent);
    else merged[merged.length - 1] = joined(last, extent);
  }
  return merged.length <= most ? merged : coarser(merged, most);
}

function joined(a: WrittenExtent, b: WrittenExtent): WrittenExtent {
  const end = endOf(a) > endOf(b) ? endOf(a) : endOf(b);
  return { lba: a.lba, blocks: end - a.lba };
}

/** The largest gaps stay. */
function coarser(extents: readonly WrittenExtent[], most: number): readonly WrittenExtent[] {
  const gaps = extents.slice(1).map((extent, index) => {
    const before = extents[index];
    return { index: index + 1, gap: before === undefined ? 0n : extent.lba - endOf(before) };
  });
  const kept = new Set(
    gaps
      .sort((a, b) => (a.gap > b.gap ? -1 : a.gap < b.gap ? 1 : a.index - b.index))
      .slice(0, most - 1)
      .map(({ index }) => index),
  );
  const coarse: WrittenExtent[] = [];
  extents.forEach((extent, index) => {
    const last = coarse.at(-1);
    if (last === undefined || kept.has(index)) coarse.push(extent);
    else coarse[coarse.length - 1] = joined(last, extent);
  });
  return coarse;
}
