/* Paths made for tests: each one carries commands to the same pretended unit until it is told to fail, in one of the
 * ways in which real ones do. */
#ifndef PATHS_RIG_H
#define PATHS_RIG_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"
#include "core/scsi.h"
#include "core/sense.h"
#include "transport/io_list.h"
#include "transport/paths.h"

enum {
  WAY_FINE,
  WAY_LOSES /* what it has */,
  WAY_GONE /* and takes nothing */,
  WAY_HANGS,
  WAY_BROKEN /* poll fails */
};
enum { WAY_QUEUE = 64, STREAM = 1 << 20 };

/* The unit behind all paths: what it carried out, and how often. */
typedef struct rig_unit {
  atomic_uint executed, inquiries, twice, out_of_order;
  atomic_uchar done_once[STREAM]; /* of commands that must be carried out once: by their number */
  atomic_uchar told[STREAM];      /* their caller knows how they ended */
} rig_unit;

typedef struct rig_way {
  gt_lu lu;
  rig_unit *unit;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  gt_io *queue[WAY_QUEUE];
  unsigned queued;
  bool woken;
  atomic_int mode;
  atomic_uint attentions; /* TEST UNIT READY says 29h so many times */
  atomic_uint *closed;    /* counts; outlives the path */
  uint64_t seed;
} rig_way;

/* A command that must not be carried out twice is WRITE(6) here, its number in the CDB; WRITE(10) may be. */
static inline uint32_t rig_number(const gt_io *io) {
  return (uint32_t)io->cdb[1] << 16 | (uint32_t)io->cdb[2] << 8 | io->cdb[3];
}

static inline uint64_t rig_random(uint64_t *seed) {
  *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
  return *seed;
}

static inline void rig_execute(rig_way *way, gt_io *io) {
  rig_unit *unit = way->unit;
  io->outcome = GT_DELIVERED;
  io->status = GT_STATUS_GOOD;
  io->sense_len = 0;
  io->resid = 0;
  if (io->cdb[0] == GT_INQUIRY) atomic_fetch_add(&unit->inquiries, 1);
  if (io->cdb[0] == GT_TEST_UNIT_READY && atomic_load(&way->attentions)) {
    atomic_fetch_sub(&way->attentions, 1);
    gt_sense sense = {.key = GT_KEY_UNIT_ATTENTION, .asc = GT_ASC_POWER_ON_OR_RESET};
    io->status = GT_STATUS_CHECK_CONDITION;
    io->sense_len = (uint8_t)gt_sense_build(&sense, false, io->sense, GT_SENSE_MAX);
    return;
  }
  if (io->cdb[0] == GT_WRITE_6) {
    uint32_t number = rig_number(io);
    if (atomic_exchange(&unit->done_once[number], 1)) atomic_fetch_add(&unit->twice, 1);
    for (uint32_t i = number > 64 ? number - 64 : 0; i < number; i++)
      if (!atomic_load(&unit->done_once[i]) && !atomic_load(&unit->told[i])) atomic_fetch_add(&unit->out_of_order, 1);
  }
  atomic_fetch_add(&unit->executed, 1);
}

static inline int rig_submit(gt_lu *lu, gt_io *io) {
  rig_way *way = (rig_way *)lu;
  int mode = atomic_load(&way->mode);
  if (mode == WAY_GONE) return -ENODEV;
  pthread_mutex_lock(&way->lock);
  int error = way->queued == WAY_QUEUE ? -EBUSY : 0;
  if (!error) way->queue[way->queued++] = io;
  pthread_mutex_unlock(&way->lock);
  return error;
}

static inline int rig_poll(gt_lu *lu, int timeout_ms) {
  rig_way *way = (rig_way *)lu;
  uint64_t until_ns = timeout_ms < 0 ? UINT64_MAX : gt_now_ns() + (uint64_t)timeout_ms * 1000000u;
  pthread_mutex_lock(&way->lock);
  if (atomic_load(&way->mode) == WAY_BROKEN) {
    pthread_mutex_unlock(&way->lock);
    return -EIO;
  }
  while (way->queued && !way->woken && atomic_load(&way->mode) == WAY_HANGS && gt_now_ns() < until_ns) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 1000000;
    if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
    pthread_cond_timedwait(&way->changed, &way->lock, &until);
  }
  way->woken = false;
  int mode = atomic_load(&way->mode), count = 0;
  gt_io *ready[WAY_QUEUE];
  while (way->queued && mode != WAY_HANGS && mode != WAY_BROKEN) {
    /* The oldest first, for the device keeps order; a path that fails loses its answers in any. */
    gt_io *io = way->queue[0];
    way->queued--;
    memmove(way->queue, way->queue + 1, way->queued * sizeof *way->queue);
    if (mode == WAY_FINE) {
      rig_execute(way, io);
    } else {
      /* It may have got there, as far as those before it did. */
      if (count == 0 && rig_random(&way->seed) & 1) rig_execute(way, io);
      io->outcome = GT_TRANSPORT;
    }
    ready[count++] = io;
    if (mode == WAY_FINE && rig_random(&way->seed) % 4 == 0) break;
  }
  pthread_mutex_unlock(&way->lock);
  for (int i = 0; i < count; i++)
    ready[i]->done(ready[i]);
  return count;
}

static inline void rig_wake(gt_lu *lu) {
  rig_way *way = (rig_way *)lu;
  pthread_mutex_lock(&way->lock);
  way->woken = true;
  pthread_cond_broadcast(&way->changed);
  pthread_mutex_unlock(&way->lock);
}

static inline int rig_abort(gt_lu *lu, gt_io *io) {
  rig_way *way = (rig_way *)lu;
  for (unsigned i = 0; i < way->queued; i++) {
    if (way->queue[i] != io) continue;
    way->queued--;
    memmove(way->queue + i, way->queue + i + 1, (way->queued - i) * sizeof *way->queue);
    io->outcome = GT_ABORTED;
    io->done(io);
    return 0;
  }
  return -ENOENT;
}

static inline void rig_close(gt_lu *lu) {
  rig_way *way = (rig_way *)lu;
  for (unsigned i = 0; i < way->queued; i++) {
    way->queue[i]->outcome = GT_ABORTED;
    way->queue[i]->done(way->queue[i]);
  }
  atomic_fetch_add(way->closed, 1);
  pthread_cond_destroy(&way->changed);
  pthread_mutex_destroy(&way->lock);
  free(way);
}

static const gt_lu_ops rig_ops = {
    .name = "rig", .submit = rig_submit, .poll = rig_poll, .wake = rig_wake, .abort = rig_abort, .close = rig_close};

static inline rig_way *rig_open(rig_unit *unit, atomic_uint *closed) {
  rig_way *way = calloc(1, sizeof *way);
  if (!way) abort();
  way->lu.ops = &rig_ops;
  way->lu.limits = (gt_lu_limits){.max_transfer = 1 << 20, .max_queue = 32};
  way->unit = unit;
  way->closed = closed;
  way->seed = (uint64_t)(uintptr_t)way | 1;
  pthread_mutex_init(&way->lock, NULL);
  pthread_cond_init(&way->changed, NULL);
  return way;
}

#endif
