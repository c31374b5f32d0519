/* The ring that the stream runs through: a slice of the arena mapped twice in a row, so that every piece
 * of at most `size` bytes is contiguous wherever it starts. Positions are stream bytes of this run and never
 * wrap; the byte at position p lies at p % size. The end of the slice is aside: small slots for
 * what must not land in the ring as it is (reads that overrun their piece, blocks to compare with). */
#ifndef GT_RING_H
#define GT_RING_H

#include "engine.h"

/* See grains.h. `start` tells which of the grains that come to this place in turn it is. */
typedef struct gt_grain {
  uint64_t start;
  uint32_t crc32c;
} gt_grain;

typedef struct gt_ring {
  uint8_t *base; /* 2 × size bytes of address space */
  uint64_t size;
  uint8_t *aside;
  uint64_t aside_bytes;
  gt_arena *arena;
  uint64_t offset; /* of the slice */
  gt_grain *grains;
} gt_ring;

/* slice_bytes and aside_bytes are multiples of the page size, aside_bytes < slice_bytes. -ENOMEM: the arena
 * has no such slice. */
int gt_ring_map(gt_ring *ring, gt_arena *arena, uint64_t slice_bytes, uint64_t aside_bytes);
void gt_ring_unmap(gt_ring *ring);

static inline uint8_t *gt_ring_at(const gt_ring *ring, uint64_t position) { return ring->base + position % ring->size; }

#endif
