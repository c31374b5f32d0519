/* CRC-32C of the stream in grains of fixed size, worked out by gather while scatter has enough to do, so that the
 * side that has time does the sums. What gather left out, scatter works out itself; the results are the same. */
#ifndef GT_GRAINS_H
#define GT_GRAINS_H

#include "ring.h"

enum { GT_GRAIN_BYTES = 64 << 10 };

static inline uint64_t gt_ring_grains(uint64_t ring_bytes) { return ring_bytes / GT_GRAIN_BYTES + 1; }

/* Gather, before it publishes [from, to): the bytes are in the ring and stay as they are. */
void gt_grains_make(gt_ring *ring, uint64_t consumed, uint64_t from, uint64_t to);
/* Scatter: the CRC of [from, to), which gather has published and scatter has not consumed. */
uint32_t gt_grains_crc32c(const gt_ring *ring, uint64_t from, uint64_t to);

#endif
