/* A ring comes and goes: its mapping, its ends, and everything that its commands will need. On the supervisor's thread
 * when it comes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lio/internal.h"

static int explain(int error, const char *what, char *err, size_t err_len) {
  if (err && err_len) snprintf(err, err_len, "%s: %s", what, strerror(-error));
  return error;
}

static int duplicate(int fd, int *out) {
  *out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return *out < 0 ? -errno : 0;
}

static int map(gt_lio_ring *ring, const gt_lio_ends *ends, char *err, size_t err_len) {
  if (!ends->bytes || ends->bytes > SIZE_MAX) return explain(-EINVAL, "the ring has no size", err, err_len);
  ring->memory = mmap(NULL, ends->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ends->memory, 0);
  if (ring->memory == MAP_FAILED) {
    ring->memory = NULL;
    return explain(-errno, "the ring cannot be mapped", err, err_len);
  }
  ring->bytes = ends->bytes;
  return gt_tcmu_open(&ring->shared, ring->memory, ring->bytes, err, err_len);
}

static int prepare(gt_lio_ring *ring, uint32_t depth) {
  ring->depth = depth;
  ring->room = depth + GT_LIO_RECORDS_MORE;
  ring->commands = calloc(depth, sizeof *ring->commands);
  /* Address space: a page of it is used when a command has so many pieces. */
  ring->pieces = calloc((size_t)depth * GT_LIO_PIECES_MAX, sizeof *ring->pieces);
  ring->records = calloc(ring->room, sizeof *ring->records);
  ring->detached = calloc(1, sizeof *ring->detached);
  ring->failed = calloc(1, sizeof *ring->failed);
  if (!ring->commands || !ring->pieces || !ring->records || !ring->detached || !ring->failed) return -ENOMEM;
  for (uint32_t i = depth; i-- > 0;) {
    gt_lio_command *command = &ring->commands[i];
    command->ring = ring;
    command->piece = ring->pieces + (size_t)i * GT_LIO_PIECES_MAX;
    command->next = ring->free;
    ring->free = command;
  }
  return 0;
}

int gt_lio_ring_make(gt_lio *lio, const gt_lio_ends *ends, gt_lio_ring **out, char *err, size_t err_len) {
  gt_lio_ring *ring = calloc(1, sizeof *ring);
  if (!ring) return explain(-ENOMEM, "no memory for a ring", err, err_len);
  ring->lio = lio;
  ring->events = ring->doorbell = -1;
  int error = prepare(ring, lio->options.depth);
  if (!error) error = duplicate(ends->events, &ring->events);
  if (!error) error = duplicate(ends->doorbell, &ring->doorbell);
  if (error)
    explain(error, "a ring cannot be attached", err, err_len);
  else
    error = map(ring, ends, err, err_len);
  if (error) return gt_lio_ring_free(ring), error;
  *out = ring;
  return 0;
}

void gt_lio_ring_free(gt_lio_ring *ring) {
  if (ring->memory) munmap(ring->memory, ring->bytes);
  if (ring->events >= 0) close(ring->events);
  if (ring->doorbell >= 0) close(ring->doorbell);
  free(ring->commands);
  free(ring->pieces);
  free(ring->records);
  free(ring->detached);
  free(ring->failed);
  free(ring);
}
