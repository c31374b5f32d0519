#include "fabric/buffers.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { FREE = 0x80, TOP = GT_BUFFER_ORDERS - 1 };

static size_t size_of(unsigned order) { return (size_t)GT_BUFFER_PAGE << order; }

static size_t page_of(const gt_buffers *pool, const void *block) {
  return (size_t)((const uint8_t *)block - pool->memory) / GT_BUFFER_PAGE;
}

static void put(gt_buffers *pool, void *block, unsigned order) {
  gt_buffer_link *link = block;
  link->previous = NULL;
  link->next = pool->free[order];
  if (link->next) link->next->previous = link;
  pool->free[order] = link;
  pool->state[page_of(pool, block)] = (uint8_t)(FREE | (order + 1));
}

static void pull(gt_buffers *pool, void *block, unsigned order) {
  gt_buffer_link *link = block;
  if (link->next) link->next->previous = link->previous;
  if (link->previous)
    link->previous->next = link->next;
  else
    pool->free[order] = link->next;
  pool->state[page_of(pool, block)] = 0;
}

int gt_buffers_open(gt_buffers *pool, size_t bytes) {
  *pool = (gt_buffers){.bytes = bytes};
  if (!bytes || bytes % size_of(TOP)) return -EINVAL;
  pool->state = calloc(bytes / GT_BUFFER_PAGE, 1);
  if (!pool->state) return -ENOMEM;
  pool->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pool->memory == MAP_FAILED) {
    free(pool->state);
    return -ENOMEM;
  }
  /* The lowest addresses are to go out first, so that what is never needed is never touched. */
  for (size_t at = bytes; at > 0; at -= size_of(TOP))
    put(pool, pool->memory + at - size_of(TOP), TOP);
  return 0;
}

void gt_buffers_close(gt_buffers *pool) {
  if (!pool->state) return;
  munmap(pool->memory, pool->bytes);
  free(pool->state);
  pool->state = NULL;
}

void *gt_buffers_take(gt_buffers *pool, size_t length) {
  unsigned order = 0, from;
  if (!length || length > size_of(TOP)) return NULL;
  while (size_of(order) < length)
    order++;
  for (from = order; from < GT_BUFFER_ORDERS && !pool->free[from]; from++)
    continue;
  if (from == GT_BUFFER_ORDERS) return NULL;
  uint8_t *block = (uint8_t *)pool->free[from];
  pull(pool, block, from);
  while (from > order) {
    from--;
    put(pool, block + size_of(from), from);
  }
  pool->state[page_of(pool, block)] = (uint8_t)(order + 1);
  pool->taken += size_of(order);
  return block;
}

void gt_buffers_give(gt_buffers *pool, void *block) {
  unsigned order = pool->state[page_of(pool, block)] - 1u;
  uint8_t *at = block;
  pool->taken -= size_of(order);
  pool->state[page_of(pool, block)] = 0;
  for (; order < TOP; order++) {
    uint8_t *buddy = pool->memory + ((size_t)(at - pool->memory) ^ size_of(order));
    if (pool->state[page_of(pool, buddy)] != (FREE | (order + 1))) break;
    pull(pool, buddy, order);
    if (buddy < at) at = buddy;
  }
  put(pool, at, order);
}
