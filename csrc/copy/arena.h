/* Slices of the arena, for the ring. */
#ifndef GT_ARENA_H
#define GT_ARENA_H

#include "engine.h"

/* Lends bytes (a multiple of the page size) of the arena's memory file; *offset is where they start.
 * -ENOMEM: no stretch of that length is free. Any thread. */
int gt_arena_lend(gt_arena *arena, uint64_t bytes, uint64_t *offset);
void gt_arena_give_back(gt_arena *arena, uint64_t offset);
int gt_arena_fd(const gt_arena *arena);

/* How a ring has a slice in its address space: two images of `size` bytes, and aside_bytes behind them. */
typedef struct gt_view {
  uint8_t *base;
  uint64_t offset, size, aside_bytes; /* of the slice */
} gt_view;
/* Making the pages of a mapping and taking them away costs a short copy more than its data does. So the view that was
 * given back last is kept, where it is not too large, until a ring of the same shape takes it at the same place,
 * another one comes back, or the arena is destroyed. Any thread. */
bool gt_arena_take_view(gt_arena *arena, gt_view *view); /* base is filled in; false: there is no such view */
void gt_arena_keep_view(gt_arena *arena, const gt_view *view);

#endif
