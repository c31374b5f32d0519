/* Slices of the arena, for the ring. */
#ifndef GT_ARENA_H
#define GT_ARENA_H

#include "engine.h"

/* Lends bytes (a multiple of the page size) of the arena's memory file; *offset is where they start.
 * -ENOMEM: no stretch of that length is free. Any thread. */
int gt_arena_lend(gt_arena *arena, uint64_t bytes, uint64_t *offset);
void gt_arena_give_back(gt_arena *arena, uint64_t offset);
int gt_arena_fd(const gt_arena *arena);

#endif
