/* What the tests of the engine share: a program builder with an oracle of the stream, and a run to its end with
 * all its events. */
#ifndef ENGINE_RIG_H
#define ENGINE_RIG_H

#include <semaphore.h>

#include "check.h"
#include "copy/engine.h"
#include "core/crc32c.h"
#include "core/sha256.h"
#include "fake_lu.h"

/* A program, the stream that it should make, and its members' digests. */
typedef struct rig_program {
  gt_seg *gather, *scatter;
  size_t gathers, scatters;
  uint8_t *inline_bytes, *stream;
  size_t inline_len, stream_len;
} rig_program;

/* Tests of thousands of short runs take less. */
#ifndef RIG_STREAM_BYTES
#define RIG_STREAM_BYTES (1 << 26)
#endif
enum { RIG_SEGS = RIG_STREAM_BYTES >> 10, RIG_STREAM = RIG_STREAM_BYTES };

static inline void rig_program_open(rig_program *p) {
  memset(p, 0, sizeof *p);
  p->gather = calloc(RIG_SEGS, sizeof *p->gather);
  p->scatter = calloc(RIG_SEGS, sizeof *p->scatter);
  p->inline_bytes = malloc(RIG_STREAM);
  p->stream = malloc(RIG_STREAM);
}

static inline void rig_program_close(rig_program *p) {
  free(p->gather);
  free(p->scatter);
  free(p->inline_bytes);
  free(p->stream);
}

static inline void rig_inline(rig_program *p, const void *bytes, size_t len, uint32_t tag) {
  p->gather[p->gathers++] = (gt_seg){.op = GT_OP_INLINE, .addr = p->inline_len, .bytes = len, .tag = tag};
  memcpy(p->inline_bytes + p->inline_len, bytes, len);
  memcpy(p->stream + p->stream_len, bytes, len);
  p->inline_len += len;
  p->stream_len += len;
}

static inline void rig_zeros(rig_program *p, size_t len, uint32_t tag) {
  p->gather[p->gathers++] = (gt_seg){.op = GT_OP_ZEROS, .bytes = len, .tag = tag};
  memset(p->stream + p->stream_len, 0, len);
  p->stream_len += len;
}

static inline void rig_extent(rig_program *p, const fake *disk, uint8_t lu, uint64_t lba, uint16_t skip, size_t len,
                              uint32_t tag) {
  p->gather[p->gathers++] = (gt_seg){.op = GT_OP_EXTENT, .lu = lu, .addr = lba, .skip = skip, .bytes = len, .tag = tag};
  memcpy(p->stream + p->stream_len, disk->disk + lba * disk->block + skip, len);
  p->stream_len += len;
}

static inline gt_seg *rig_scatter(rig_program *p, gt_seg seg) {
  p->scatter[p->scatters] = seg;
  return &p->scatter[p->scatters++];
}

/* The gather list of p from stream byte `from` on: what a caller does to resume. */
static inline void rig_cut(const rig_program *p, size_t from, uint32_t block, rig_program *out) {
  rig_program_open(out);
  memcpy(out->inline_bytes, p->inline_bytes, p->inline_len);
  out->inline_len = p->inline_len;
  memcpy(out->stream, p->stream, p->stream_len);
  out->stream_len = p->stream_len;
  for (size_t i = 0, at = 0; i < p->gathers; at += p->gather[i++].bytes) {
    gt_seg seg = p->gather[i];
    if (at + seg.bytes < from || (at + seg.bytes == from && seg.bytes)) continue;
    size_t gone = at < from ? from - at : 0;
    seg.bytes -= gone;
    if (seg.op == GT_OP_INLINE) seg.addr += gone;
    if (seg.op == GT_OP_EXTENT) {
      seg.addr += (seg.skip + gone) / block;
      seg.skip = (uint16_t)((seg.skip + gone) % block);
    }
    out->gather[out->gathers++] = seg;
  }
  memcpy(out->scatter, p->scatter, p->scatters * sizeof *p->scatter);
  out->scatters = p->scatters;
}

/* A run. */
typedef struct rig {
  gt_copy_options options;
  gt_copy_lu lus[4];
  gt_copy *copy;
  sem_t notified;
  gt_event *events;
  size_t count, size;
  gt_event done;
  gt_copy_stats stats;
  char err[128];
} rig;

static inline void rig_notify(void *context) { sem_post(context); }

static inline gt_copy_lu rig_disk(fake *f) {
  return (gt_copy_lu){.lu = &f->lu, .block_bytes = f->block, .blocks = f->blocks, .type = 0};
}

static inline gt_copy_lu rig_tape(fake *f) { return (gt_copy_lu){.lu = &f->lu, .type = 1}; }

static inline void rig_open(rig *r, gt_arena *arena, uint64_t ring_bytes, uint32_t tape_block) {
  memset(r, 0, sizeof *r);
  sem_init(&r->notified, 0, 0);
  r->options = (gt_copy_options){.arena = arena,
                                 .ring_bytes = ring_bytes,
                                 .lus = r->lus,
                                 .tape_block_bytes = tape_block,
                                 .notify = rig_notify,
                                 .notify_context = &r->notified};
}

static inline int rig_start(rig *r) { return gt_copy_start(&r->options, &r->copy, r->err, sizeof r->err); }

/* Takes what is there; true once DONE was among it. */
static inline bool rig_take(rig *r) {
  gt_event batch[64];
  size_t taken;
  while ((taken = gt_copy_take(r->copy, batch, 64))) {
    if (r->count + taken > r->size) {
      r->size = 2 * (r->count + taken);
      r->events = realloc(r->events, r->size * sizeof *r->events);
    }
    memcpy(r->events + r->count, batch, taken * sizeof batch[0]);
    r->count += taken;
    if (batch[taken - 1].type == GT_EV_DONE) {
      r->done = batch[taken - 1];
      return true;
    }
  }
  return false;
}

static inline gt_event *rig_find(const rig *r, uint8_t type, size_t from) {
  for (; from < r->count; from++) {
    if (r->events[from].type == type) return &r->events[from];
  }
  return NULL;
}

static inline size_t rig_count(const rig *r, uint8_t type) {
  size_t n = 0;
  for (size_t i = 0; i < r->count; i++)
    n += r->events[i].type == type;
  return n;
}

/* Waits until there is an event of the type. */
static inline void rig_await(rig *r, uint8_t type) {
  while (!rig_find(r, type, 0) && !rig_take(r) && !rig_find(r, type, 0))
    sem_wait(&r->notified);
}

static inline uint8_t rig_wait(rig *r) {
  while (!rig_take(r))
    sem_wait(&r->notified);
  gt_copy_stats_get(r->copy, &r->stats);
  return r->done.result;
}

static inline int rig_append(rig *r, const rig_program *p) {
  size_t bad;
  return gt_copy_append(r->copy, p->gather, p->gathers, p->scatter, p->scatters, p->inline_bytes, p->inline_len, &bad);
}

static inline uint8_t rig_run(rig *r, const rig_program *p) {
  int result = rig_start(r);
  if (result) fprintf(stderr, "start: %d %s\n", result, r->err);
  CHECK_EQ(result, 0);
  if (result) exit(1);
  CHECK_EQ(rig_append(r, p), 0);
  gt_copy_finish(r->copy);
  return rig_wait(r);
}

static inline void rig_close(rig *r) {
  gt_copy_close(r->copy);
  for (size_t i = 0; i < r->count; i++)
    gt_event_release(&r->events[i]);
  free(r->events);
  sem_destroy(&r->notified);
}

static inline void rig_say_done(const rig *r) {
  printf("  result %d side %d error %d outcome %d status %02x cdb %02x sense %02x %02x/%02x at %llu object %llu\n",
         r->done.result, r->done.gather_side, r->done.error, r->done.outcome, r->done.status, r->done.cdb[0],
         r->done.sense[2], r->done.sense[12], r->done.sense[13], (unsigned long long)r->done.stream_offset,
         (unsigned long long)r->done.object);
}

/* The blocks of tape objects [from, to), one after the other, against the stream. */
static inline bool rig_tape_is(const fake *tape, uint64_t from, const uint8_t *stream, size_t len, uint32_t block) {
  size_t at = 0;
  for (; at < len; from++) {
    size_t want = len - at < block ? len - at : block;
    if (from >= tape->count || tape->objects[from].bytes != want) return false;
    if (memcmp(tape->objects[from].data, stream + at, want)) return false;
    at += want;
  }
  return true;
}

#endif
