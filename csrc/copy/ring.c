#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arena.h"
#include "grains.h"

static int map_at(void *where, uint64_t bytes, int fd, uint64_t offset) {
  void *at = mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, (off_t)offset);
  return at == MAP_FAILED ? -errno : 0;
}

/* One reservation of address space holds both images and the slots, so that nothing else can come between. */
static int map_view(gt_view *view, int fd) {
  uint64_t span = 2 * view->size + view->aside_bytes;
  uint8_t *base = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return -errno;
  int result = map_at(base, view->size, fd, view->offset);
  if (!result) result = map_at(base + view->size, view->size, fd, view->offset);
  if (!result && view->aside_bytes)
    result = map_at(base + 2 * view->size, view->aside_bytes, fd, view->offset + view->size);
  if (result)
    munmap(base, span);
  else
    view->base = base;
  return result;
}

int gt_ring_map(gt_ring *ring, gt_arena *arena, uint64_t slice_bytes, uint64_t aside_bytes) {
  uint64_t size = slice_bytes - aside_bytes, offset;
  memset(ring, 0, sizeof *ring);
  if (!size || size > SIZE_MAX / 4 || aside_bytes > SIZE_MAX / 4) return -EINVAL;
  int result = gt_arena_lend(arena, slice_bytes, &offset);
  if (result) return result;
  gt_view view = {.offset = offset, .size = size, .aside_bytes = aside_bytes};
  if (!gt_arena_take_view(arena, &view)) result = map_view(&view, gt_arena_fd(arena));
  if (result) {
    gt_arena_give_back(arena, offset);
    return result;
  }
  *ring = (gt_ring){.base = view.base,
                    .size = size,
                    .aside = view.base + 2 * size,
                    .aside_bytes = aside_bytes,
                    .arena = arena,
                    .offset = offset};
  uint64_t grains = gt_ring_grains(size);
  ring->grains = malloc(grains * sizeof *ring->grains);
  for (uint64_t i = 0; ring->grains && i < grains; i++)
    ring->grains[i].start = UINT64_MAX;
  if (ring->grains) return 0;
  gt_ring_unmap(ring);
  return -ENOMEM;
}

void gt_ring_unmap(gt_ring *ring) {
  if (!ring->base) return;
  gt_arena_keep_view(
      ring->arena,
      &(gt_view){.base = ring->base, .offset = ring->offset, .size = ring->size, .aside_bytes = ring->aside_bytes});
  gt_arena_give_back(ring->arena, ring->offset);
  free(ring->grains);
  memset(ring, 0, sizeof *ring);
}
