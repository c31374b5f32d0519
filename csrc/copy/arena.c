#include "arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct slice slice;
struct slice {
  uint64_t offset, bytes;
  slice *next; /* by offset */
};

/* A ring of 8 MiB fits. */
enum { KEPT_MAX = 16 << 20 };

struct gt_arena {
  pthread_mutex_t lock;
  int fd;
  uint64_t bytes;
  slice *lent;
  gt_view kept; /* base NULL: none */
};

static uint64_t span(const gt_view *view) { return 2 * view->size + view->aside_bytes; }

int gt_arena_create(uint64_t bytes, gt_arena **out) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  if (!bytes || bytes > (uint64_t)INT64_MAX - page) return -EINVAL;
  bytes = (bytes + page - 1) / page * page;
  gt_arena *arena = calloc(1, sizeof *arena);
  if (!arena) return -ENOMEM;
  arena->bytes = bytes;
  arena->fd = memfd_create("gantry-arena", MFD_CLOEXEC);
  /* fallocate makes the pages now: memory that is not there is an error here, not a SIGBUS in a copy. */
  if (arena->fd < 0 || fallocate(arena->fd, 0, 0, (off_t)bytes) < 0) {
    int error = errno;
    if (arena->fd >= 0) close(arena->fd);
    free(arena);
    return -(error == ENOSPC ? ENOMEM : error);
  }
  pthread_mutex_init(&arena->lock, NULL);
  *out = arena;
  return 0;
}

uint64_t gt_arena_bytes(const gt_arena *arena) { return arena->bytes; }

int gt_arena_fd(const gt_arena *arena) { return arena->fd; }

uint64_t gt_arena_free_bytes(gt_arena *arena) {
  pthread_mutex_lock(&arena->lock);
  uint64_t bytes = arena->bytes;
  for (const slice *s = arena->lent; s; s = s->next)
    bytes -= s->bytes;
  pthread_mutex_unlock(&arena->lock);
  return bytes;
}

int gt_arena_lend(gt_arena *arena, uint64_t bytes, uint64_t *offset) {
  slice *made = malloc(sizeof *made);
  if (!made) return -ENOMEM;
  pthread_mutex_lock(&arena->lock);
  uint64_t start = 0;
  slice **link = &arena->lent;
  while (*link && (*link)->offset - start < bytes) {
    start = (*link)->offset + (*link)->bytes;
    link = &(*link)->next;
  }
  bool fits = *link || bytes <= arena->bytes - start;
  if (fits) {
    *made = (slice){.offset = start, .bytes = bytes, .next = *link};
    *link = made;
    *offset = start;
  }
  pthread_mutex_unlock(&arena->lock);
  if (!fits) free(made);
  return fits ? 0 : -ENOMEM;
}

void gt_arena_give_back(gt_arena *arena, uint64_t offset) {
  pthread_mutex_lock(&arena->lock);
  slice **link = &arena->lent;
  while (*link && (*link)->offset != offset)
    link = &(*link)->next;
  slice *gone = *link;
  if (gone) *link = gone->next;
  pthread_mutex_unlock(&arena->lock);
  free(gone);
}

bool gt_arena_take_view(gt_arena *arena, gt_view *view) {
  pthread_mutex_lock(&arena->lock);
  gt_view *kept = &arena->kept;
  bool same =
      kept->base && kept->offset == view->offset && kept->size == view->size && kept->aside_bytes == view->aside_bytes;
  if (same) {
    view->base = kept->base;
    kept->base = NULL;
  }
  pthread_mutex_unlock(&arena->lock);
  return same;
}

void gt_arena_keep_view(gt_arena *arena, const gt_view *view) {
  gt_view gone = *view;
  if (span(view) <= KEPT_MAX) {
    pthread_mutex_lock(&arena->lock);
    gone = arena->kept;
    arena->kept = *view;
    pthread_mutex_unlock(&arena->lock);
  }
  if (gone.base) munmap(gone.base, span(&gone));
}

void gt_arena_destroy(gt_arena *arena) {
  if (!arena) return;
  assert(!arena->lent);
  if (arena->kept.base) munmap(arena->kept.base, span(&arena->kept));
  close(arena->fd);
  pthread_mutex_destroy(&arena->lock);
  free(arena);
}
