#include "grains.h"

#include "../core/crc32c.h"

/* One more than there are whole grains between consumed and produced: while scatter may look at a grain, gather
 * makes no other one in its place. */
static gt_grain *grain_at(const gt_ring *ring, uint64_t start) {
  return &ring->grains[start / GT_GRAIN_BYTES % gt_ring_grains(ring->size)];
}

void gt_grains_make(gt_ring *ring, uint64_t consumed, uint64_t from, uint64_t to) {
  /* A quarter of the ring keeps scatter busy meanwhile. And at least one grain, so that the beginning of the one
   * that `from` lies in has not been overwritten. */
  uint64_t ahead = from - consumed;
  if (ahead < ring->size / 4 || ahead < GT_GRAIN_BYTES) return;
  for (uint64_t start = from - from % GT_GRAIN_BYTES; to - start >= GT_GRAIN_BYTES; start += GT_GRAIN_BYTES)
    *grain_at(ring, start) = (gt_grain){start, gt_crc32c(0, gt_ring_at(ring, start), GT_GRAIN_BYTES)};
}

uint32_t gt_grains_crc32c(const gt_ring *ring, uint64_t from, uint64_t to) {
  uint32_t crc = 0;
  uint64_t left = from; /* everything before it is in `crc` */
  for (uint64_t start = (from + GT_GRAIN_BYTES - 1) / GT_GRAIN_BYTES * GT_GRAIN_BYTES;
       start < to && to - start >= GT_GRAIN_BYTES; start += GT_GRAIN_BYTES) {
    const gt_grain *grain = grain_at(ring, start);
    if (grain->start != start) continue;
    crc = gt_crc32c(crc, gt_ring_at(ring, left), start - left);
    crc = gt_crc32c_combine(crc, grain->crc32c, GT_GRAIN_BYTES);
    left = start + GT_GRAIN_BYTES;
  }
  return gt_crc32c(crc, gt_ring_at(ring, left), to - left);
}
