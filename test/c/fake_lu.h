/* A logical unit for the tests of the engine: a disk or a tape in memory that answers in random order and whose
 * answers a test can script. It is not an emulated device: it knows only what the engine sends, and checks that it
 * is right. */
#ifndef FAKE_LU_H
#define FAKE_LU_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/bytes.h"
#include "core/scsi.h"
#include "core/sense.h"
#include "transport/lu.h"

#ifndef FAKE_OBJECTS
#define FAKE_OBJECTS (1 << 16)
#endif
enum { FAKE_QUEUE = 64 };

typedef struct fake_object {
  uint8_t *data; /* NULL: filemark */
  uint32_t bytes;
} fake_object;

typedef struct fake fake;
struct fake {
  gt_lu lu;
  gt_io *queue[FAKE_QUEUE];
  unsigned queued, most_queued;
  uint64_t seed;              /* 0: answers in order */
  bool hold;                  /* answers nothing until it is cleared, or the command is aborted */
  _Atomic unsigned hold_from; /* the same from its command of that number on; 0: never */
  bool woken;
  _Atomic unsigned commands;
  unsigned flushes, aborts;
  _Atomic unsigned idle_polls; /* with nothing outstanding */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  /* Answers io itself and returns true; or returns false and the unit does. */
  bool (*script)(fake *f, gt_io *io);
  uint64_t counter; /* the script's own */
  void *state;      /* and more of it */
  /* disk */
  uint8_t *disk;
  uint32_t block;
  uint64_t blocks;
  /* tape */
  fake_object *objects;
  uint64_t count, at;
  uint64_t used, early_at, full_at; /* bytes; 0: endless */
  bool tells_position, locates;
};

/* A fake runs on the engine's threads, where a CHECK would be a race: what must hold there ends the test at once. */
#define FAKE_MUST(condition)                                                                                           \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                  \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

static inline uint64_t fake_random(uint64_t *seed) {
  *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
  return *seed;
}

static inline void fake_good(gt_io *io, int32_t resid) {
  io->outcome = GT_DELIVERED;
  io->status = GT_STATUS_GOOD;
  io->sense_len = 0;
  io->resid = resid;
}

static inline void fake_check(gt_io *io, const gt_sense *sense, int32_t resid) {
  fake_good(io, resid);
  io->status = GT_STATUS_CHECK_CONDITION;
  io->sense_len = (uint8_t)gt_sense_build(sense, false, io->sense, GT_SENSE_MAX);
}

static inline void fake_error(gt_io *io, uint8_t key, uint16_t asc) {
  gt_sense sense = {.key = key, .asc = asc};
  fake_check(io, &sense, (int32_t)io->data_len);
}

static inline void fake_disk_run(fake *f, gt_io *io) {
  uint64_t lba = gt_load_be64(io->cdb + 2), blocks = gt_load_be32(io->cdb + 10);
  if (io->cdb[0] == GT_SYNCHRONIZE_CACHE_16) {
    f->flushes++;
    fake_good(io, 0);
    return;
  }
  FAKE_MUST(io->cdb[0] == GT_READ_16 || io->cdb[0] == GT_WRITE_16);
  if (lba > f->blocks || blocks > f->blocks - lba || blocks * f->block != io->data_len) {
    FAKE_MUST(!"a transfer that fits the disk");
  }
  if (io->cdb[0] == GT_READ_16)
    memcpy(io->data, f->disk + lba * f->block, io->data_len);
  else
    memcpy(f->disk + lba * f->block, io->data, io->data_len);
  fake_good(io, 0);
}

static inline void fake_tape_cut(fake *f) {
  for (; f->count > f->at; f->count--) {
    f->used -= f->objects[f->count - 1].bytes;
    free(f->objects[f->count - 1].data);
  }
}

static inline void fake_tape_write(fake *f, gt_io *io) {
  gt_sense sense = {.stream = true, .eom = true, .has_information = true};
  fake_tape_cut(f);
  if (f->full_at && f->used + io->data_len > f->full_at) {
    sense.key = GT_KEY_VOLUME_OVERFLOW;
    sense.asc = GT_ASC_END_OF_MEDIUM;
    sense.information = io->data_len;
    fake_check(io, &sense, (int32_t)io->data_len);
    return;
  }
  fake_object *object = &f->objects[f->count++];
  object->bytes = io->data_len;
  object->data = malloc(io->data_len);
  memcpy(object->data, io->data, io->data_len);
  f->used += io->data_len;
  f->at = f->count;
  sense.asc = GT_ASC_END_OF_MEDIUM;
  if (f->early_at && f->used > f->early_at)
    fake_check(io, &sense, 0);
  else
    fake_good(io, 0);
}

static inline void fake_tape_read(fake *f, gt_io *io) {
  gt_sense sense = {.stream = true, .has_information = true};
  if (f->at == f->count) {
    sense.key = GT_KEY_BLANK_CHECK;
    sense.asc = GT_ASC_END_OF_DATA;
    sense.information = io->data_len;
    fake_check(io, &sense, (int32_t)io->data_len);
    return;
  }
  const fake_object *object = &f->objects[f->at++];
  if (!object->data) {
    sense.filemark = true;
    sense.asc = GT_ASC_FILEMARK_DETECTED;
    sense.information = io->data_len;
    fake_check(io, &sense, (int32_t)io->data_len);
    return;
  }
  uint32_t moved = object->bytes < io->data_len ? object->bytes : io->data_len;
  memcpy(io->data, object->data, moved);
  if (object->bytes == io->data_len) {
    fake_good(io, 0);
    return;
  }
  sense.ili = true;
  sense.information = (uint64_t)((int64_t)io->data_len - (int64_t)object->bytes);
  fake_check(io, &sense, (int32_t)(io->data_len - moved));
}

static inline void fake_tape_filemarks(fake *f, gt_io *io) {
  uint32_t marks = gt_load_be24(io->cdb + 2);
  if (!marks)
    f->flushes++;
  else
    fake_tape_cut(f);
  while (marks--)
    f->objects[f->count++] = (fake_object){0};
  if (gt_load_be24(io->cdb + 2)) f->at = f->count;
  fake_good(io, 0);
}

static inline void fake_tape_space(fake *f, gt_io *io) {
  int32_t count = (int32_t)(gt_load_be24(io->cdb + 2) << 8) >> 8;
  uint8_t code = io->cdb[1] & 0xf;
  fake_good(io, 0);
  if (code == 3) f->at = f->count;
  if (code == 1) {
    for (; count && f->at < f->count; f->at++)
      count -= !f->objects[f->at].data;
  }
  if (code != 0) return;
  while (count && f->at < f->count) {
    if (!f->objects[f->at++].data) {
      gt_sense sense = {.stream = true,
                        .filemark = true,
                        .asc = GT_ASC_FILEMARK_DETECTED,
                        .has_information = true,
                        .information = (uint64_t)count};
      fake_check(io, &sense, 0);
      return;
    }
    count--;
  }
}

static inline void fake_tape_run(fake *f, gt_io *io) {
  uint8_t *data = io->data;
  switch (io->cdb[0]) {
  case GT_WRITE_6: fake_tape_write(f, io); return;
  case GT_READ_6: fake_tape_read(f, io); return;
  case GT_WRITE_FILEMARKS_6: fake_tape_filemarks(f, io); return;
  case GT_SPACE_6: fake_tape_space(f, io); return;
  case GT_REWIND: f->at = 0; break;
  case GT_LOCATE_16:
    if (!f->locates) {
      fake_error(io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE);
      return;
    }
    f->at = gt_load_be64(io->cdb + 4);
    break;
  case GT_READ_POSITION:
    if (io->cdb[1] != 6) {
      fake_error(io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_FIELD_IN_CDB);
      return;
    }
    memset(data, 0, io->data_len);
    data[0] = (uint8_t)((f->tells_position ? 0 : 4) | (f->at ? 0 : 0x80));
    gt_store_be64(data + 8, f->at);
    break;
  default: fake_error(io, GT_KEY_ILLEGAL_REQUEST, GT_ASC_INVALID_OPCODE); return;
  }
  fake_good(io, 0);
}

static inline void fake_run(fake *f, gt_io *io) {
  f->commands++;
  if (f->script && f->script(f, io)) return;
  if (f->disk)
    fake_disk_run(f, io);
  else
    fake_tape_run(f, io);
}

static int fake_submit(gt_lu *lu, gt_io *io) {
  fake *f = (fake *)lu;
  FAKE_MUST(f->queued < FAKE_QUEUE);
  FAKE_MUST(io->data_len <= lu->limits.max_transfer);
  io->priv[0] = 0;
  f->queue[f->queued++] = io;
  if (f->queued > f->most_queued) f->most_queued = f->queued;
  return 0;
}

static inline void fake_remove(fake *f, unsigned at) {
  memmove(&f->queue[at], &f->queue[at + 1], (--f->queued - at) * sizeof f->queue[0]);
}

static inline int fake_answer(fake *f) {
  for (unsigned i = 0; i < f->queued; i++) {
    gt_io *io = f->queue[i];
    if (!io->priv[0]) continue;
    fake_remove(f, i);
    io->outcome = GT_ABORTED;
    io->done(io);
    return 1;
  }
  if (f->hold || !f->queued || (f->hold_from && f->commands + 1 >= f->hold_from)) return 0;
  unsigned at = f->seed ? (unsigned)(fake_random(&f->seed) % f->queued) : 0;
  gt_io *io = f->queue[at];
  fake_remove(f, at);
  fake_run(f, io);
  io->done(io);
  return 1;
}

static int fake_poll(gt_lu *lu, int timeout_ms) {
  fake *f = (fake *)lu;
  if (!f->queued) f->idle_polls++;
  int done = fake_answer(f);
  if (done || !f->queued || !timeout_ms) return done;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += timeout_ms / 1000;
  until.tv_nsec += timeout_ms % 1000 * 1000000l;
  if (until.tv_nsec >= 1000000000l) until.tv_sec++, until.tv_nsec -= 1000000000l;
  pthread_mutex_lock(&f->lock);
  int error = 0;
  while (!f->woken && !error)
    error = timeout_ms < 0 ? pthread_cond_wait(&f->cond, &f->lock) : pthread_cond_timedwait(&f->cond, &f->lock, &until);
  f->woken = false;
  pthread_mutex_unlock(&f->lock);
  return fake_answer(f);
}

static void fake_wake(gt_lu *lu) {
  fake *f = (fake *)lu;
  pthread_mutex_lock(&f->lock);
  f->woken = true;
  pthread_cond_signal(&f->cond);
  pthread_mutex_unlock(&f->lock);
}

static int fake_abort(gt_lu *lu, gt_io *io) {
  ((fake *)lu)->aborts++;
  io->priv[0] = 1;
  return 0;
}

static void fake_close(gt_lu *lu) {
  fake *f = (fake *)lu;
  FAKE_MUST(!f->queued);
  f->at = 0;
  fake_tape_cut(f);
  free(f->objects);
  free(f->disk);
  pthread_mutex_destroy(&f->lock);
  pthread_cond_destroy(&f->cond);
  free(f);
}

static const gt_lu_ops fake_ops = {.name = "fake",
                                   .submit = fake_submit,
                                   .poll = fake_poll,
                                   .wake = fake_wake,
                                   .abort = fake_abort,
                                   .close = fake_close};

static inline fake *fake_open(void) {
  fake *f = calloc(1, sizeof *f);
  f->lu = (gt_lu){.ops = &fake_ops, .limits = {.max_transfer = 8 << 20, .max_queue = FAKE_QUEUE}};
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->cond, NULL);
  return f;
}

/* Random contents; answers in random order. */
static inline fake *fake_disk(uint32_t block, uint64_t blocks, uint64_t seed) {
  fake *f = fake_open();
  f->block = block;
  f->blocks = blocks;
  f->seed = seed;
  f->disk = malloc(block * blocks);
  for (uint64_t i = 0; i + 8 <= block * blocks; i += 8) {
    uint64_t value = fake_random(&seed);
    memcpy(f->disk + i, &value, 8);
  }
  return f;
}

static inline fake *fake_tape(void) {
  fake *f = fake_open();
  f->objects = calloc(FAKE_OBJECTS, sizeof *f->objects);
  f->tells_position = f->locates = true;
  return f;
}

#endif
